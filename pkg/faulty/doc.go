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
// Write one file with one function of type func(proxy.Config, *Trigger) proxy.Config that wraps one field, asking [Trigger.Strikes]
// at the moment where it goes wrong; add one row to [Table] and one to the table of its test. no_refund.go is the shortest model.
package faulty
