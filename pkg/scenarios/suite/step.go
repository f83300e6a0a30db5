package suite

import "time"

// Step does one thing and looks at what came of it. Exactly one verb is set,
// or none and only checks; `eventually` may carry a `send` beside it, the
// attempt that it repeats.
//
// In a planned [Cell] the defaults are merged and every name known before the
// run is resolved. Call [Step.Bind] right before running it.
type Step struct {
	Pos Pos    `json:"-"`
	ID  string `json:"id,omitempty"`

	Send       *Request    `json:"send,omitempty"`
	Load       *Load       `json:"load,omitempty"`
	Drain      *Drain      `json:"drain,omitempty"`
	Eventually *Eventually `json:"eventually,omitempty"`
	Wait       *Wait       `json:"wait,omitempty"`
	Align      *Align      `json:"align,omitempty"`
	Scrape     *Scrape     `json:"scrape,omitempty"`
	Hold       *Hold       `json:"hold,omitempty"`
	Release    *Release    `json:"release,omitempty"`
	Fault      *Fault      `json:"fault,omitempty"`
	Reload     *Reload     `json:"reload,omitempty"`
	Hook       string      `json:"hook,omitempty"` // runs a command of target.hooks
	Parallel   [][]Step    `json:"parallel,omitempty"`
	Use        string      `json:"use,omitempty"` // name of a step list; gone after planning, replaced by its steps

	Repeat     int                    `json:"repeat,omitempty" jsonschema:"minimum=1"` // run it n times in order; 0 means once
	Gap        *time.Duration         `json:"gap,omitempty"`                           // between repetitions; nil means target.settle
	Expect     *Expect                `json:"expect,omitempty"`
	Check      []*Expression          `json:"check,omitempty"`
	Invariants []Invariant            `json:"invariants,omitempty"`
	Save       map[string]*Expression `json:"save,omitempty"` // evaluated after the step: ${save.name}
	Cancel     *Cancel                `json:"cancel,omitempty"`
	AbortIf    []*Expression          `json:"abort-if,omitempty"`
	Severity   Severity               `json:"severity,omitempty" jsonschema:"enum=fail,enum=warn"`
	Timeout    *time.Duration         `json:"timeout,omitempty"`
	If         *Expression            `json:"if,omitempty"` // false: the step is passed over

	binding *binding
}

// binding is what a step was read from.
type binding struct {
	node    *node
	open    bool // something waits for a name of the run
	builder *builder
	types   *cellTypes // before the step
}

// Verb names what a step does.
type Verb string

// The verbs; VerbCheck is a step that only looks.
const (
	VerbSend       Verb = "send"
	VerbLoad       Verb = "load"
	VerbDrain      Verb = "drain"
	VerbEventually Verb = "eventually"
	VerbWait       Verb = "wait"
	VerbAlign      Verb = "align"
	VerbScrape     Verb = "scrape"
	VerbHold       Verb = "hold"
	VerbRelease    Verb = "release"
	VerbFault      Verb = "fault"
	VerbReload     Verb = "reload"
	VerbHook       Verb = "hook"
	VerbParallel   Verb = "parallel"
	VerbUse        Verb = "use"
	VerbCheck      Verb = "check"
)

// Verb tells which verb is set. With `eventually` and `send` it is eventually.
func (s *Step) Verb() Verb {
	verbs := s.verbs()
	if len(verbs) == 0 {
		return VerbCheck
	}
	if s.Eventually != nil {
		return VerbEventually
	}
	return verbs[0]
}

// verbs lists every verb that is set, in the order of the struct.
func (s *Step) verbs() []Verb {
	var set []Verb
	for _, row := range []struct {
		verb Verb
		on   bool
	}{
		{VerbSend, s.Send != nil},
		{VerbLoad, s.Load != nil},
		{VerbDrain, s.Drain != nil},
		{VerbEventually, s.Eventually != nil},
		{VerbWait, s.Wait != nil},
		{VerbAlign, s.Align != nil},
		{VerbScrape, s.Scrape != nil},
		{VerbHold, s.Hold != nil},
		{VerbRelease, s.Release != nil},
		{VerbFault, s.Fault != nil},
		{VerbReload, s.Reload != nil},
		{VerbHook, s.Hook != ""},
		{VerbParallel, s.Parallel != nil},
		{VerbUse, s.Use != ""},
	} {
		if row.on {
			set = append(set, row.verb)
		}
	}
	return set
}

// Drain sends until an expression holds. Reaching AtMost fails.
type Drain struct {
	Until   *Expression    `json:"until"`
	AtMost  int            `json:"at-most" jsonschema:"minimum=1"`
	Gap     *time.Duration `json:"gap,omitempty"` // between requests; nil means none
	Request *Request       `json:"request,omitempty"`
}

// Eventually repeats its step's send, if any, and checks until all hold. The
// last attempt counts.
type Eventually struct {
	Within time.Duration `json:"within"`
	Every  time.Duration `json:"every,omitempty"`  // 0 means a fortieth of Within
	Unless *Expression   `json:"unless,omitempty"` // true: give up early
}

// Interval is the pause between two attempts.
func (e *Eventually) Interval() time.Duration {
	if e.Every > 0 {
		return e.Every
	}
	return e.Within / 40
}

// Wait sleeps.
type Wait struct {
	For   time.Duration `json:"for,omitempty"`
	Until *time.Time    `json:"until,omitempty"` // an instant instead of a duration
}

// Align waits for a window of a limit to start. A bucket has none: no-op.
type Align struct {
	Limit string         `json:"limit"`
	Room  *time.Duration `json:"room,omitempty"` // wait for the next window if less than this is left of the current one
}

// Scrape takes a snapshot of the target's metrics.
type Scrape struct {
	URL string `json:"url,omitempty"` // default: the target's
}

// Hold makes the mock's answers wait until a release.
type Hold struct {
	At string `json:"at" jsonschema:"enum=headers,enum=usage"`
}

// Release lets every held answer go.
type Release struct{}

// Fault switches a fault of the mock or of the in-process target.
type Fault struct {
	Mock   string `json:"mock,omitempty"`
	Target string `json:"target,omitempty"`
	On     bool   `json:"on"`
}

// Reload gives the in-process target another policy: rules in place or a file.
type Reload struct {
	Rules  *Opaque `json:"rules,omitempty"`
	Policy string  `json:"policy,omitempty"` // path, relative to the suite
}

// Cancel says when the client leaves. Exactly one field is set.
type Cancel struct {
	AfterHeaders bool          `json:"after-headers,omitempty"`
	AfterBytes   int           `json:"after-bytes,omitempty" jsonschema:"minimum=1"`  // of the response body
	AfterEvents  int           `json:"after-events,omitempty" jsonschema:"minimum=1"` // of the event stream
	After        time.Duration `json:"after,omitempty"`                               // since the send
}

// Invariant is a property of the whole history of a load.
type Invariant struct {
	Pos    Pos
	Name   string        // one of InvariantNames
	Within time.Duration // outstanding-drains: the bound
	Slack  int64         // no-wrongful-reject: tokens
	Amount int64         // refund-leak: tokens that may be missing
}

// The invariants.
const (
	InvariantNeverOverAdmit    = "never-over-admit"
	InvariantRefundLeak        = "refund-leak"
	InvariantOutstandingDrains = "outstanding-drains"
	InvariantNoWrongfulReject  = "no-wrongful-reject"
)

// InvariantNames lists every invariant.
var InvariantNames = []string{
	InvariantNeverOverAdmit, InvariantRefundLeak, InvariantOutstandingDrains, InvariantNoWrongfulReject,
}
