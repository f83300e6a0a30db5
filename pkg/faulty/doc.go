// Package faulty builds limiters that are wrong, to prove that the suites see it.
//
// # How to think about it
//
// A good proxy is a [proxy.Config] whose fields are good. A fault takes such a Config and returns one in which a single field is
// wrapped by something that lies: a store that forgets to check, a settlement that comes late, a dialect that leaks. The code
// of the proxy never knows. [Wrap] applies faults in the order of [Table], whatever the order of their names, so that the same set
// is the same limiter.
//
// # Which seam for which mistake
//
//	Store        what is reserved, when, and whether at once
//	Bind         who is bound, and at what price
//	Settle       what is charged, when, and whether
//	Dialects     what is read of requests and responses
//	Now          what time it is
//	Transport    what is sent upstream, and what comes back
//	Middleware   what the client sees
//
// # How to add one
//
// Write one function of type func(proxy.Config, *Trigger) proxy.Config that wraps one field, asking [Trigger.Strikes] at the moment
// where it goes wrong: in a file of its own, or beside its relatives where it is one line. Add one row to [Table], and name the
// fault in catches: of a scenario that turns red with it; selftest fails until there is one. no_refund.go is the shortest model;
// bind.go, facts.go, meter.go, settle.go, answer.go and transport.go have what wraps a seam.
package faulty
