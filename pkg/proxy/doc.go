// Package proxy is the limiting reverse proxy: it admits a request, forwards it, reads what it cost while the response
// passes, and settles.
//
// # How to think about it
//
// Two halves meet in [Proxy.ServeHTTP]. The engine knows requests as bytes and plain structs: it asks the dialect what a
// request may cost, the policy who is bound, and the store for a reservation; later it turns the way in which the exchange
// ended into a charge and settles. The front is net/http: it reads the body, writes answers, relays the response and notices
// that a client has left. The engine never sees a connection, the front never sees an amount.
//
//	read body → admit ── refused: answer in the dialect of the endpoint, nothing was sent
//	               │
//	            forward → relay, teed into a meter
//	               │
//	         deferred settle: once, on every way out, a panic included
//
// # What may be replaced
//
// Each step stands behind a field of [Config]: the store, the rules that bind, the table of dialects, the settlement, the
// clock, the transport, and a middleware around everything. [Config.Complete] fills them with the good ones, so that a wrapper
// finds what it wraps. That is how package faulty builds its wrong limiters; nothing in here knows of them.
//
// # Time
//
// [Config.Now] gives the instants of decisions, settlements and records. Timers and deadlines of connections run on the
// process clock, as those of net/http do.
package proxy
