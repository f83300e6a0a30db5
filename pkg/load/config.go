package load

import "time"

// Config is what open and closed loads have in common.
type Config struct {
	// Source makes shots ready. Required.
	Source Source
	// Seed orders what is due at the same instant of virtual time.
	Seed uint64
	// Virtual says that the loop runs in a bubble of testing/synctest: no spinning,
	// and no two shots at one instant.
	Virtual bool
	// Patience is how long shots in flight may take after the last one was fired;
	// then their contexts end with [ErrImpatient]. 0 means 30 seconds.
	Patience time.Duration
	// Look is called every LookEvery while the load runs, on a goroutine of the
	// load's own, and never after it has returned. An error stops the load: no
	// further shot is fired, and the contexts of those in flight end with it. Nil
	// looks at nothing.
	Look func(Progress) error
	// LookEvery is the time between two looks; 0 means a second, or a thousandth of
	// the load if that is longer.
	LookEvery time.Duration
}

// OpenConfig is a load by arrival rate.
type OpenConfig struct {
	Config
	// Pacer says when shots are due. Required.
	Pacer Pacer
	// MaxInFlight bounds the shots in flight; what is due beyond it is dropped and
	// counted. 0 means 10 000.
	MaxInFlight int
}

// ClosedConfig is a load by concurrency, without time to think.
type ClosedConfig struct {
	Config
	// Concurrency is how many clients there are; 0 means 1.
	Concurrency int
	// Requests stops after so many, For after so long; at least one is required.
	Requests int64
	For      time.Duration
}

// Defaults of the zero configuration.
const (
	DefaultMaxInFlight = 10_000
	DefaultPatience    = 30 * time.Second
	defaultLookEvery   = time.Second
)

// Progress is how far a load is.
type Progress struct {
	Elapsed  time.Duration
	Planned  time.Duration // 0 if only a number of requests was given
	Sent     int64         // warm-up included
	Dropped  int64         // warm-up included
	InFlight int64
	Rejected int64         // without warm-up
	Rate     float64       // fired per second since the look before
	P99      time.Duration // of the response time, without warm-up
	// Summary sums up what has come back so far. It costs some milliseconds.
	Summary func() *Summary
}
