package scenarios

import (
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/load"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// SchemaVersion is the version of [RunResult] as JSON. It grows when a field changes
// its meaning or goes away, not when one is added.
const SchemaVersion = 1

// RunResult is the result of everything that was run: run.json. Every report renders
// from it. Durations are nanoseconds in JSON, with names that end in _ns.
type RunResult struct {
	SchemaVersion int           `json:"schemaVersion"`
	ID            string        `json:"run_id"`
	Seed          uint64        `json:"seed"`
	Started       time.Time     `json:"started"`
	Elapsed       time.Duration `json:"elapsed_ns"` // real time
	Outcome       Outcome       `json:"outcome"`
	Stopped       string        `json:"stopped,omitempty"` // why it ended early: see the Stopped constants
	Counts        Counts        `json:"counts"`
	Environment   Environment   `json:"environment"`
	Suites        []SuiteResult `json:"suites"`
}

// Reasons for a run to end before everything had run.
const (
	StoppedFailFast    = "fail-fast"
	StoppedInterrupted = "interrupted"
	StoppedTimeout     = "timeout"
	StoppedSpend       = "spend"
)

// Recount counts the scenarios again, after the outcome of one was changed.
func (r *RunResult) Recount() {
	r.Counts = Counts{}
	for i := range r.Suites {
		s := &r.Suites[i]
		s.Counts = Counts{NotSelected: s.Counts.NotSelected}
		for _, cell := range s.Scenarios {
			s.Counts.add(cell)
		}
		s.Outcome = s.Counts.Outcome()
		r.Counts.merge(s.Counts)
	}
	r.Outcome = r.Counts.Outcome()
}

// Outcome is what became of a run, a suite, a scenario, a step or a check. The
// zero value means that nothing was decided yet.
type Outcome string

// The outcomes. Error is ours or the environment's, Fail is the target's.
const (
	Pass  Outcome = "pass"
	Fail  Outcome = "fail"
	Skip  Outcome = "skip"
	Error Outcome = "error"
)

// Worse returns the worse of two outcomes. A parent takes that of its worst
// child: error, fail, skip, pass.
func (o Outcome) Worse(other Outcome) Outcome {
	if other.rank() > o.rank() {
		return other
	}
	return o
}

func (o Outcome) rank() int {
	switch o {
	case Error:
		return 4
	case Fail:
		return 3
	case Skip:
		return 2
	case Pass:
		return 1
	}
	return 0
}

// Counts counts scenario cells by outcome. A skip among passes makes no parent a
// skip: a suite is skipped when all of it was.
type Counts struct {
	Pass        int `json:"pass"`
	Fail        int `json:"fail"`
	Skip        int `json:"skip"`
	Error       int `json:"error"`
	Warnings    int `json:"warnings"`     // passes with at least one warning
	NotSelected int `json:"not_selected"` // left out by tags, ids, profiles or clocks
}

// Total is the number of cells with an outcome.
func (c Counts) Total() int { return c.Pass + c.Fail + c.Skip + c.Error }

// Outcome is that of a parent with these children: skip only if all are.
func (c Counts) Outcome() Outcome {
	switch {
	case c.Error > 0:
		return Error
	case c.Fail > 0:
		return Fail
	case c.Pass > 0:
		return Pass
	case c.Skip > 0:
		return Skip
	}
	return ""
}

func (c *Counts) add(s *ScenarioResult) {
	switch s.Outcome {
	case Pass:
		c.Pass++
		if len(s.Warnings) > 0 {
			c.Warnings++
		}
	case Fail:
		c.Fail++
	case Skip:
		c.Skip++
	case Error:
		c.Error++
	}
}

// Environment says what ran where. The caller of a [Runner] fills it.
type Environment struct {
	Version    string            `json:"version,omitempty"`
	Commit     string            `json:"commit,omitempty"`
	Go         string            `json:"go,omitempty"`
	OS         string            `json:"os,omitempty"`
	Arch       string            `json:"arch,omitempty"`
	CPUs       int               `json:"cpus,omitempty"`
	GOMAXPROCS int               `json:"gomaxprocs,omitempty"`
	Target     string            `json:"target"`           // "in-process", or the URL
	Faults     []string          `json:"faults,omitempty"` // faulty limiters that were built in
	Flags      map[string]string `json:"flags,omitempty"`  // settings that were not defaults, with their origin
}

// SuiteResult is one suite file.
type SuiteResult struct {
	Name           string            `json:"suite"`
	File           string            `json:"file"`
	Digest         string            `json:"digest"` // sha256: of the file and what it includes
	Profile        string            `json:"profile,omitempty"`
	ProfileVersion string            `json:"profile_version,omitempty"`
	Implementation *Implementation   `json:"implementation,omitempty"`
	Mode           *Mode             `json:"mode,omitempty"` // of an external target, as declared
	Features       []string          `json:"supported_features,omitempty"`
	Unsupported    []string          `json:"unsupported_features,omitempty"`
	Outcome        Outcome           `json:"outcome"`
	Counts         Counts            `json:"counts"`
	Scenarios      []*ScenarioResult `json:"scenarios"`
}

// Implementation is who was judged.
type Implementation struct {
	Organization string   `json:"organization"`
	Project      string   `json:"project"`
	Version      string   `json:"version"`
	URL          string   `json:"url,omitempty"`
	Contact      []string `json:"contact,omitempty"`
}

// Mode is how the target says that it limits.
type Mode struct {
	Accounting string        `json:"accounting,omitempty"`
	Window     string        `json:"window,omitempty"`
	Tokens     int64         `json:"tokens,omitempty"`
	Per        time.Duration `json:"per_ns,omitempty"`
	Limits     []string      `json:"limits,omitempty"` // the names of all that are declared
}

// ScenarioResult is one scenario in one cell of its matrix.
type ScenarioResult struct {
	ID           string            `json:"id"`       // metric[delivery=chunked]; unique in its suite
	Scenario     string            `json:"scenario"` // metric
	Cell         map[string]string `json:"cell,omitempty"`
	File         string            `json:"file"`
	Line         int               `json:"line"`
	Requirement  string            `json:"requirement,omitempty"`
	Level        string            `json:"level,omitempty"`
	Strength     string            `json:"strength,omitempty"`
	Feature      string            `json:"feature,omitempty"`
	Tags         []string          `json:"tags,omitempty"`
	Catches      []string          `json:"catches,omitempty"`
	Refs         []string          `json:"refs,omitempty"`
	KnownFailure string            `json:"known_failure,omitempty"`

	Outcome  Outcome  `json:"outcome"`
	Reason   string   `json:"reason,omitempty"`   // of a skip or an error; of a failure, its first line
	Aside    bool     `json:"aside,omitempty"`    // skipped because it is about something that the target does not claim to have: no level waits for it
	Warnings []string `json:"warnings,omitempty"` // failed SHOULDs and checks of severity warn
	Notes    []string `json:"notes,omitempty"`    // information
	Accepted string   `json:"accepted,omitempty"` // why its failure is accepted here, which makes it a warning

	Clock   string        `json:"clock"` // virtual or real
	Start   time.Time     `json:"start"` // by that clock
	Elapsed time.Duration `json:"elapsed_ns"`
	Real    time.Duration `json:"real_ns"` // by the clock on the wall
	// ClockError is by how much the mock's clock may differ from the runner's; 0 where
	// they are the same one.
	ClockError time.Duration `json:"clock_error_ns,omitempty"`
	Rerun      []string      `json:"rerun"` // arguments of llmlimit that run exactly this again

	Steps    []*StepResult `json:"steps"`
	Limits   []judge.Limit `json:"limits,omitempty"` // of the target, as the judge read them
	Judged   *judge.Report `json:"judged,omitempty"` // nil where the limits are not known, or the judge is off
	Requests []*Exchange   `json:"requests,omitempty"`
	Ledgers  []LedgerPoint `json:"ledger,omitempty"` // the target's own account, each time it was read
	Stderr   string        `json:"stderr,omitempty"` // the end of a crashed child's

	// History is what the judge read: --report events=PATH writes it.
	History *judge.History `json:"-"`

	sendings []sending // of a load that was found guilty; for Shrink

	// Aborted is the abort-if that stopped it, a guard and not the target's failure.
	Aborted string `json:"aborted,omitempty"`
	// InvalidLoad says that a load was not delivered as planned: its latencies
	// are void and the measurement is invalid, which is not the target's fault.
	InvalidLoad string `json:"invalid_load,omitempty"`
}

// EachStep visits every step, those inside parallel too.
func (r *ScenarioResult) EachStep(visit func(*StepResult)) { walk(r.Steps, visit) }

// StepResult is one step. Times are since the start of the scenario.
type StepResult struct {
	ID       string             `json:"id,omitempty"`
	Verb     string             `json:"verb"`
	File     string             `json:"file"`
	Line     int                `json:"line"`
	Outcome  Outcome            `json:"outcome"`
	Reason   string             `json:"reason,omitempty"`
	At       time.Duration      `json:"at_ns"`
	Elapsed  time.Duration      `json:"elapsed_ns"`
	Attempts int                `json:"attempts,omitempty"` // of eventually
	Tried    []Tries            `json:"tried,omitempty"`    // what they found, one after the other
	Requests []int              `json:"requests,omitempty"` // indices into the scenario's requests
	Checks   []Check            `json:"checks,omitempty"`
	Saved    map[string]any     `json:"saved,omitempty"`
	Load     *suite.LoadTotals  `json:"load,omitempty"`
	Measured *load.Summary      `json:"measured,omitempty"` // of a load: its histograms and its series over time
	Drain    *suite.DrainTotals `json:"drain,omitempty"`
	Parallel [][]*StepResult    `json:"parallel,omitempty"`
	Source   string             `json:"source,omitempty"` // the step's YAML; only of one that did not pass
}

// Tries are attempts of an eventually in a row that found the same.
type Tries struct {
	At      time.Duration `json:"at_ns"`    // the first of them, since the start of the scenario
	Until   time.Duration `json:"until_ns"` // the last of them
	Times   int           `json:"times"`
	Outcome Outcome       `json:"outcome"`
	Message string        `json:"message,omitempty"` // of the first check that did not hold
}

// Check is one thing that was expected.
type Check struct {
	Kind     string           `json:"kind"` // see the Kind constants
	Text     string           `json:"text"` // as it stands in the suite
	File     string           `json:"file"`
	Line     int              `json:"line"`
	Column   int              `json:"column,omitempty"`
	Outcome  Outcome          `json:"outcome"`
	Warning  bool             `json:"warning,omitempty"` // it did not hold, and only warns
	Expected string           `json:"expected,omitempty"`
	Found    string           `json:"found,omitempty"`
	Message  string           `json:"message,omitempty"` // one line; empty if it passed
	Values   *suite.ValueTree `json:"values,omitempty"`  // of its parts, if it did not pass
	At       time.Duration    `json:"at_ns"`             // since the start of the scenario
	Request  *int             `json:"request,omitempty"` // the exchange it looked at
	Proof    string           `json:"proof,omitempty"`   // of the judge: when, and the smallest stretch of the history that shows it
}

// What a check belongs to.
const (
	KindExpect    = "expect"
	KindCheck     = "check"
	KindInvariant = "invariant"
	KindJudge     = "judge"
	KindStep      = "step" // the step itself: a drain that ended, a request that was answered
)

// Exchange is one request and what came back, as the client saw it; what the mock
// and the judge know of it stands beside. Times are since the start of the
// scenario, -1 where the thing never happened.
type Exchange struct {
	ID       string        `json:"id"`   // correlation id; names it in the mock's journal
	Step     string        `json:"step"` // id of the step, or its place
	Key      string        `json:"key,omitempty"`
	Due      time.Duration `json:"due_ns,omitempty"` // of a load: when it was to be sent; 0 elsewhere
	Sent     time.Duration `json:"sent_ns"`
	First    time.Duration `json:"first_ns"` // first byte of the response
	Ended    time.Duration `json:"ended_ns"`
	Received time.Duration `json:"received_ns"` // by the mock
	UsageAt  time.Duration `json:"usage_ns"`    // the mock wrote the last byte of its usage
	Finished time.Duration `json:"finished_ns"` // the mock was done with its answer
	Status   int           `json:"status"`
	Decision string        `json:"decision"`         // admitted, rejected, error
	Outcome  string        `json:"outcome"`          // complete, cancelled, reset, truncated, timeout, error
	Reason   string        `json:"reason,omitempty"` // of a rejection
	Error    string        `json:"error,omitempty"`  // of the transport
	Reserved int64         `json:"reserved"`         // the judge's; 0 where it does not know
	Actual   int64         `json:"actual"`           // what the target should charge in the end, at least; the judge's
	AtMost   int64         `json:"actual_at_most"`   // and at most
	Usage    int64         `json:"usage"`            // the true one, as the mock's journal has it
	Stream   bool          `json:"stream,omitempty"`
	Framing  string        `json:"framing,omitempty"` // of the response: content-length or chunked
	Bytes    int64         `json:"bytes"`
	Curl     string        `json:"curl,omitempty"` // secrets masked
	Wire     *Wire         `json:"wire,omitempty"` // of an exchange that a failed check looked at
}

// Decisions of the target about a request.
const (
	Admitted = "admitted" // it reached the mock
	Rejected = "rejected"
	NoAnswer = "error" // neither
)

// Wire is what went over the wire, shortened, secrets masked.
type Wire struct {
	Request  string `json:"request"`
	Response string `json:"response"`
	Mock     string `json:"mock,omitempty"` // what the mock wrote, if it differs
}

// LedgerPoint is the target's own account at one instant, in tokens.
type LedgerPoint struct {
	At          time.Duration `json:"at_ns"`
	Rule        string        `json:"rule"`
	Window      string        `json:"window"`
	Key         string        `json:"key,omitempty"`
	Reserved    int64         `json:"reserved"`
	Actual      int64         `json:"actual"`
	Refunded    int64         `json:"refunded"`
	Debited     int64         `json:"debited"`
	WrittenOff  int64         `json:"written_off"`
	Outstanding int64         `json:"outstanding"`
}
