// Package policy answers who is bound by what: it turns a bundle of policies into compiled rules, and a request into the holds that
// those rules ask of a limiter.
//
// Think of it as two functions. [Parse] reads a bundle strictly and gives either a [Bundle] or every problem of the file at once, each
// with its line and a caret. A bundle is immutable and knows everything that a request needs: defaults are filled in where a rule is
// compiled, and nothing is parsed, looked up by name or defaulted later. [Bundle.Bind] then maps one request at one instant to a
// [Binding]: the accounts that its rules name, what each has to hold, and the first check that fails without a look at any account.
//
// A gateway asks in this order:
//
//	bound := bundle.Bind(now, subject, ask)  // pure
//	guards.Check(now, &bound)                // loop detection, circuit breaker
//	if bound.Enforced.Reject != nil { … }    // no account was touched
//	decision := store.Reserve(now, …)        // bound.Enforced.Holds, all or none
//	guards.Spent(now, &bound)                // after an admission
//
// Rules in shadow mode come in a [Set] of their own with accounts of their own: reserve and settle them the same way, and reject nobody
// for what they say.
//
// Amounts are whole tokens, or millionths of a request for token_bucket. Time is an argument everywhere. Only [Guards] has state.
package policy
