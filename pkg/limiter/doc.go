// Package limiter answers one question: how much is left?
//
// # How to think about it
//
// A [Limit] is a number that somebody promised to keep: 6000 tokens a minute, one million a day, eight requests at
// once. An [Account] is one limit for one paying key; it has a level, and nothing else in the program knows that level.
// A request is a list of [Hold]s, one for each account that binds it, and it passes through a [Store] like this:
//
//	Reserve ── rejected: nothing has changed
//	   │
//	admitted: every account has lent its hold     Extend: not yet, the response still flows
//	   │
//	Settle: the estimate becomes the actual cost, the difference is a refund or a debit
//
// Reserve takes from all accounts or from none, in one critical section, so there is no rollback that could be wrong.
// A reservation settles exactly once: by Settle, or by its lease when nobody came. A second Settle is a no-op that
// returns the first result.
//
// # Time and arithmetic
//
// Time is an argument. The package reads no clock, starts no goroutine and makes no random number, so a day of budget
// can be tested in a microsecond. What a store knows of time never goes back: an instant before the latest one that it
// was given counts as that latest one, and waits are still counted from the instant that was given. Instants lie between
// the years 1678 and 2262, where nanoseconds fit in 64 bits.
//
// Amounts are int64 and no float touches them. A bucket keeps its level in millionths and carries what a division
// leaves over, so that a level read after any number of touches equals the one of a single touch, to the last digit.
//
// # Units
//
// A cost is counted in the unit of its limit's [Kind]: whole tokens for [TokenBucket] and [Window], micro-requests
// ([Micro] = one request) for [RequestBucket], slots for [Concurrency].
package limiter
