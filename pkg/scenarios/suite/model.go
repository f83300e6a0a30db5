package suite

import "time"

// Suite is one file as its author wrote it: interpolations are still
// unresolved and defaults unmerged. [Compile] makes it runnable.
type Suite struct {
	Pos            Pos               `json:"-"`
	Version        int               `json:"version" jsonschema:"enum=1"` // of the language; always 1
	Name           string            `json:"suite,omitempty"`             // name of the suite in reports
	Description    string            `json:"description,omitempty"`       // for people
	Seed           *uint64           `json:"seed,omitempty"`              // default 1; --seed overrides it
	Include        []string          `json:"include,omitempty"`           // files whose vars and steps are taken in; relative to this one
	Vars           map[string]any    `json:"vars,omitempty"`              // constants of the suite: ${vars.name}
	Profile        *Profile          `json:"profile,omitempty"`           // a suite with a profile runs only by --profile
	Implementation *Implementation   `json:"implementation,omitempty"`    // who is judged, for the compliance report
	Backend        *Backend          `json:"backend,omitempty"`           // the mock
	Target         *Target           `json:"target,omitempty"`            // what is judged
	Features       *Features         `json:"features,omitempty"`          // what the implementation declares
	Spend          *Spend            `json:"spend,omitempty"`             // a guard: beyond it the run stops
	Defaults       *Defaults         `json:"defaults,omitempty"`          // merged below every scenario's
	Steps          map[string][]Step `json:"steps,omitempty"`             // named step lists for `use`
	Scenarios      []Scenario        `json:"scenarios,omitempty" jsonschema:"minItems=1"`

	root    *node               // the whole document
	lists   map[string]*node    // step lists, included ones too
	vars    []field             // included ones first
	sources map[string][]string // lines of every file read, for problems
}

// Profile names the contract that a suite checks.
type Profile struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// Implementation names the system that is judged.
type Implementation struct {
	Organization string   `json:"organization"`
	Project      string   `json:"project"`
	Version      string   `json:"version"`
	URL          string   `json:"url,omitempty"`
	Contact      []string `json:"contact,omitempty"`
}

// Features lists what an implementation declares. A scenario whose feature is
// unsupported is skipped with that reason.
type Features struct {
	Supported   []string `json:"supported,omitempty"`
	Unsupported []string `json:"unsupported,omitempty"`
}

// Spend is the most that a run may cost; 0 means no bound.
type Spend struct {
	Tokens   int64 `json:"tokens,omitempty"`
	Requests int64 `json:"requests,omitempty"`
}

// Backend says what answers behind the target.
type Backend struct {
	Mock *Mock `json:"mock,omitempty"`
}

// Mock configures the mock backend of the suite.
type Mock struct {
	Listen    string           `json:"listen,omitempty"`    // address to bind, in memory if the target is in-process; default: a free port
	Advertise string           `json:"advertise,omitempty"` // base URL by which the target reaches it
	URL       string           `json:"url,omitempty"`       // a mock that runs already
	Plan      *Plan            `json:"plan,omitempty"`      // the answer to every request that says nothing else
	Plans     map[string]*Plan `json:"plans,omitempty"`     // named answers
}

// Defaults are merged below what a step says: a step over its scenario's over
// the suite's.
type Defaults struct {
	Request *Request       `json:"request,omitempty"`
	Gap     *time.Duration `json:"gap,omitempty"`     // between the repetitions of a step
	Timeout *time.Duration `json:"timeout,omitempty"` // of one step
}

// Scenario is one requirement and the steps that prove it.
type Scenario struct {
	Pos          Pos            `json:"-"`
	ID           string         `json:"id"`
	Requirement  string         `json:"requirement,omitempty"` // one sentence
	Catches      []string       `json:"catches,omitempty"`     // faulty limiters that this scenario turns red
	Refs         []string       `json:"refs,omitempty"`        // owner/repo#n
	Tags         []string       `json:"tags,omitempty"`
	Level        string         `json:"level,omitempty" jsonschema:"enum=L0,enum=L1,enum=L2,enum=L3,enum=L4"`
	Strength     string         `json:"strength,omitempty" jsonschema:"enum=MUST,enum=SHOULD,enum=MAY"`
	Feature      string         `json:"feature,omitempty"`
	Needs        []string       `json:"needs,omitempty"`  // capabilities; a missing one is a skip
	Limits       []string       `json:"limits,omitempty"` // names of target.limits that it is about; one that is not declared is a skip
	Matrix       Matrix         `json:"matrix,omitempty"`
	Start        *time.Time     `json:"start,omitempty"` // instant at which a virtual scenario begins
	Clock        string         `json:"clock,omitempty" jsonschema:"enum=virtual,enum=real"`
	Timeout      *time.Duration `json:"timeout,omitempty"`
	Serial       bool           `json:"serial,omitempty"` // runs alone
	Reason       string         `json:"reason,omitempty"` // why it is as it is, for people
	Defaults     *Defaults      `json:"defaults,omitempty"`
	Judge        *JudgeOption   `json:"judge,omitempty"`
	KnownFailure string         `json:"known-failure,omitempty"` // URL; an expected failure passes with a note
	Steps        []Step         `json:"steps" jsonschema:"minItems=1"`

	node *node
}

// JudgeOption switches the judge off for a scenario, with the reason.
type JudgeOption struct {
	Off string `json:"off"`
}

// Matrix is the axes of a scenario, in the order of the file. The first axis
// varies slowest.
type Matrix []Axis

// Axis is one dimension of a matrix.
type Axis struct {
	Pos    Pos
	Name   string
	Values []any
}

// Severity says what a failed check does to its scenario.
type Severity string

// The severities.
const (
	SeverityFail Severity = "fail" // the default
	SeverityWarn Severity = "warn" // passes with a warning
)

// Profile levels in rising order.
const (
	L0Observes = "L0"
	L1Bounded  = "L1"
	L2Reserves = "L2"
	L3Refunds  = "L3"
	L4Exact    = "L4"
)
