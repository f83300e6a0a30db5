// Package judge decides whether a history is possible: whether any correct
// limiter could have admitted and rejected as the target did.
//
// How to think about it. A [History] holds what can be known from outside: when
// a request was sent, when the mock received it, when it wrote the usage, when
// the client had its answer, and what the true usage was. The instant of the
// decision and the instant of the settlement are not known, only intervals that
// contain them. [Judge] computes, for every account, an upper and a lower bound
// of the level at each instant. An admission that does not fit under the upper
// bound is an over-admission; a rejection of what fits under the lower bound is
// wrongful. Both come with a number of tokens and the stretch of the history
// that proves them. What lies between the bounds is undecidable and is never
// held against the target.
//
// Three tasks, three entrances:
//
//   - [ReadRules] and [Rules.Bind] read the target's limits and say which of
//     them bind a request and what it reserves. They are a second reader, written
//     without a look at the one that is judged.
//   - [History], [WriteHistory] and [ReadHistories] hold and move what was seen.
//   - [Judge] is a pure function: the same history gives the same report, byte for
//     byte.
//
// The package does no I/O of its own, reads no clock and starts no goroutine;
// instants are data. Every function is safe for concurrent use on distinct
// values. The theory is in docs/how-the-judge-works.md.
package judge
