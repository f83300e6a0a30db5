package scenarios

import (
	"context"
	"net"
)

// Target starts what is judged. The command fills it with the bundled proxy and
// its faults; an external gateway is one that is already running.
type Target interface {
	// Start makes a fresh target for one scenario cell. In virtual time it is
	// called inside the cell's bubble: everything that it makes must be made
	// there, and must have ended when Close returns.
	Start(ctx context.Context, spec TargetSpec) (Conn, error)
}

// TargetSpec says which target to start. Rules or Policy is set, never both; both
// are empty for an external target.
type TargetSpec struct {
	// Rules is the YAML node under target.serve.rules, as it stands in the suite.
	Rules     []byte
	RulesFile string // the suite file, for messages
	RulesLine int    // line of RulesFile at which Rules begins
	// Policy is a whole policy bundle, PolicyFile where it was read.
	Policy     []byte
	PolicyFile string
	// Backend is the base URL of the mock, without a slash at its end.
	Backend string
	// Faults are names of faulty limiters to build in, in the order given.
	Faults []string
	// Net is where the target listens and dials; nothing else may be used.
	Net Net
	// Seed is for whatever the target draws.
	Seed uint64
}

// Net is a network: the loopback of this machine, or one in memory whose waits
// let a virtual clock run.
type Net interface {
	Listen(addr string) (net.Listener, error)
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Conn is a running target. Everything about it but these few controls goes over
// HTTP, so that the judge knows no more of the bundled proxy than of a stranger's.
type Conn interface {
	// URL is the base URL for clients, without a slash at its end.
	URL() string
	// AdminURL is the base URL of the target's own metrics and ledger, empty if
	// it has none.
	AdminURL() string
	// Reload gives it another policy. Only Rules or Policy of spec count.
	Reload(ctx context.Context, spec TargetSpec) error
	// SetFault switches a faulty limiter on or off.
	SetFault(name string, on bool) error
	// Capabilities lists what it can do, in the words of a scenario's `needs`.
	Capabilities() []string
	// Close stops it and waits until nothing of it runs.
	Close(ctx context.Context) error
}

// loopback is the real network. Listening is on this machine's loopback unless
// the address says otherwise.
type loopback struct{ dialer net.Dialer }

func (l *loopback) Listen(addr string) (net.Listener, error) {
	var cfg net.ListenConfig
	return cfg.Listen(context.Background(), "tcp", addr)
}

func (l *loopback) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return l.dialer.DialContext(ctx, network, addr)
}
