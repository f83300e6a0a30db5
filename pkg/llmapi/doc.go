// Package llmapi knows what a request to an LLM API asks for and what its response cost.
//
// Every endpoint that reports tokens in its own way is a [Dialect]. A dialect answers five questions:
//
//   - is this request mine? ([Dialect.Match])
//   - how much may it cost at most? ([Dialect.ParseRequest] gives [Facts]: prompt estimate, output allowance, choices)
//   - how much did it cost? ([Dialect.Meter] is fed the response's bytes as they pass and ends in a [Reading])
//   - how does this API say no? ([Dialect.Reject])
//   - how does this API tell how much is left? ([Dialect.RateHeaders])
//
// What only some APIs can do is an extra interface, found by type assertion: [UsageRequester], [OutputCapper] and
// [EventDropper] on a dialect, [StreamEnder] on a meter.
//
// Three rules hold everywhere. JSON is parsed, never searched: text inside a string is never mistaken for a field, and
// a cut document is unknown, never a number. Nothing blocks and nothing grows without a bound: a meter holds one event
// of a stream, or one capped body. And doubt is never a refund: [Reading.Reported] is false unless the response itself,
// read to its end, said what it cost.
//
// The package knows no clock, no connection and no limit. The rules it follows are those of the semantics page
// (sections 1, 5, 6 and 7) and of the wire formats page of the project's documentation.
package llmapi
