// Package probe finds out what a gateway's token limiter does, from outside.
//
// How to think about it. The mock behind the gateway answers as the probe tells it,
// which makes questions cheap: a rejection costs nothing, and an admission costs
// what the mock says was used, which is one token. So a probe can ask for as much as
// it likes, and learn from whether it is let through.
//
//	Gateway.Ask ──► Answers ──► half-planes (cost, instant, yes or no) ──► intervals
//
// Every answer is an inequality on a level that rises with time: who was admitted
// for c at t proves level(t) ≥ c, who was rejected proves level(t) < c. Nothing is
// fitted: a parameter is the interval of the values that no answer excludes. The
// inference (infer.go, slope.go) sees answers only; questions go over the wire in
// wire.go, under a budget that is never exceeded.
//
// [Examine] is the doctor: what the gateway does to a request and to its answer on
// the way, and which control channels reach the mock.
//
// The package is on the judge's side: it imports nothing of the proxy's.
package probe
