// Package load says when each request of a load is due, fires it then, and measures
// what came of it. It knows nothing of HTTP: a shot is a callback.
//
// # How to think about it
//
// A [Pacer] is a pure function of its parameters and a seed: every instant at which
// a shot is due, known before anything is fired. [Open] walks along it and fires
// each shot at its due time, whatever became of those before: a slow target gets
// the same traffic as a fast one, as it would from clients who know nothing of each
// other. What the target cannot bear piles up in flight, up to a bound; beyond it
// shots are dropped and counted, never delayed. [Closed] is the other model: so
// many clients, each of which waits for its answer before it asks again.
//
// Every shot has two beginnings. It was due, and it was sent. The response time
// counts from due, the service time from sent; where the two drift apart, either
// the sender was late (its lag is measured) or a measurement that counts from the
// send alone would have hidden how long a client waited: coordinated omission.
//
// Results are counted as they come and not kept: a million of them
// take as much memory as a hundred. Shots of a warm-up are fired and shown in the
// time series, but are in no distribution and no count.
//
// A generator that did not deliver what was planned has measured itself, not the
// target. [Summary.Invalid] says so, and it is never the target's fault.
//
// # Clocks
//
// The loops read the clock of the goroutine that they run in. In a bubble of
// testing/synctest (set Virtual) they sleep on timers only, and shots that are due
// at the same instant get distinct offsets of some nanoseconds from the seed, so
// that the same seed is the same run. On the clock on the wall timers of an idle Go
// process are up to a millisecond late; there the last stretch is slept by the
// operating system where it can do better, else spent yielding.
package load
