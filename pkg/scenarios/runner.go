package scenarios

import (
	"context"
	"time"

	"github.com/llmlimit/llmlimit/internal/bubble"
)

// Options say how to run a [Plan].
type Options struct {
	// Target starts in-process targets. It may be nil if every suite has a URL.
	Target Target
	// Faults are names of faulty limiters to build into every in-process target.
	Faults []string
	// Child is the command line of a process that calls [Child]: there virtual time
	// is spent. Nil runs every cell in real time in this process.
	Child []string
	// Workers is how many cells run side by side; 0 means 1. Gateways is how many do
	// at a target by URL, where most of their time is waiting; 0 means Workers.
	Workers, Gateways int
	// FailFast starts no further cell after the first that did not pass or skip.
	FailFast bool
	// CellTimeout bounds one cell in real time; 0 means 2 minutes and 10 ms for each
	// request in virtual time, and no bound but the scenario's own in real time.
	CellTimeout time.Duration
	// MockListen and MockAdvertise override the suites' for a target that reaches
	// the mock from elsewhere. MockURL names one that runs already.
	MockListen, MockAdvertise, MockURL string
	// Header is added to every request to a target by URL; it overrides the suite's.
	Header map[string]string
	// Secrets are values that every output masks, beside those of the suites.
	Secrets []string
	// TLS overrides the suite's, field by field.
	TLS TLSFiles
	// Environment goes into the result as it is, except Target and Faults, which
	// are filled.
	Environment Environment
	// Started is the instant that the result gives as its start.
	Started time.Time
	// Rerun is added to the command line by which a scenario runs again: the flags
	// that say what was judged, and against what.
	Rerun []string
	// Observe hears of progress; calls never overlap. It must not block for long.
	// Nil hears nothing.
	Observe func(Event)

	known    *acquaintances // what the cells of a run tell each other of targets by URL
	children *bubble.Pool   // that runs of many small plans share; nil: each has its own
}

// TLSFiles are the files of a TLS client, each optional.
type TLSFiles struct {
	CA, Cert, Key string
	Insecure      bool
}

// Event is progress.
type Event struct {
	Kind  EventKind
	Suite string // name of the suite
	Cell  string // id of the cell
	Index int    // of the cell in the order of the plan, from 0
	Total int    // cells in the plan

	Result *ScenarioResult // of CellFinished
	Load   *LoadProgress   // of CellLoad
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	CellStarted  EventKind = "started"
	CellLoad     EventKind = "load" // about once a second of the load's own clock
	CellFinished EventKind = "finished"
)

// LoadProgress is how far a load is.
type LoadProgress struct {
	Elapsed  time.Duration `json:"elapsed_ns"`
	Planned  time.Duration `json:"planned_ns"`
	Sent     int64         `json:"sent"`
	Rate     float64       `json:"rate"` // achieved, per second
	Rejected int64         `json:"rejected"`
	InFlight int64         `json:"in_flight"`
	P99      time.Duration `json:"p99_ns"`
}

// Execute runs a plan and returns what came of it. It returns when everything that
// it started has ended. When ctx is cancelled, cells that run are stopped and
// those that have not finished are reported as errors; the result is as complete
// as it can be. An error means that nothing could be run at all.
func Execute(ctx context.Context, plan *Plan, o Options) (*RunResult, error) {
	return newExecution(plan, o).run(ctx)
}
