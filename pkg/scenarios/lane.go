package scenarios

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// lane runs a list of steps in order. Each branch of a parallel has its own, so
// that `res` is the last response of that very list. It is used by one goroutine.
type lane struct {
	w    *world
	path string // place in the scenario, for steps without an id
	last *sentRequest
}

func newLane(w *world) *lane { return &lane{w: w, path: "step"} }

// run runs steps until one does not pass. What comes after it is not run: its
// results would say nothing.
func (l *lane) run(ctx context.Context, steps []suite.Step) []*StepResult {
	results := make([]*StepResult, 0, len(steps))
	broken := false
	for i := range steps {
		r := l.begin(&steps[i], i)
		results = append(results, r)
		if broken {
			r.Outcome, r.Reason = Skip, "a step before it did not pass"
			continue
		}
		l.step(ctx, &steps[i], r)
		r.Elapsed = time.Since(l.w.start) - r.At
		if r.Outcome != Pass && r.File == l.w.suite.source.Name {
			r.Source = l.w.secret(excerpt(l.w.suite.source.Data, r.Line, steps[i].Pos.Column))
		}
		broken = r.Outcome == Fail || r.Outcome == Error
	}
	if broken {
		// Nobody may wait for a release that will not come.
		l.w.mock.Release()
	}
	return results
}

func (l *lane) begin(step *suite.Step, i int) *StepResult {
	id := step.ID
	if id == "" {
		id = fmt.Sprintf("%s %d", l.path, i+1)
	}
	return &StepResult{
		ID: id, Verb: string(step.Verb()), File: step.Pos.File, Line: step.Pos.Line,
		Outcome: Pass, At: time.Since(l.w.start),
	}
}

// do runs the verb of a step: the table of what steps do.
func (l *lane) do(ctx context.Context, run *stepRun) error {
	l.w.acted(run.bound)
	switch verb := run.bound.Verb(); verb {
	case suite.VerbSend:
		return l.send(ctx, run)
	case suite.VerbEventually:
		return l.eventually(ctx, run)
	case suite.VerbDrain:
		return l.drain(ctx, run)
	case suite.VerbLoad:
		return l.load(ctx, run)
	case suite.VerbWait:
		return l.wait(ctx, run)
	case suite.VerbAlign:
		return l.align(ctx, run)
	case suite.VerbScrape:
		return l.scrape(ctx, run)
	case suite.VerbHold:
		return l.hold(run)
	case suite.VerbRelease:
		return l.release()
	case suite.VerbFault:
		return l.fault(run)
	case suite.VerbReload:
		return l.reload(ctx, run)
	case suite.VerbHook:
		return l.hook(ctx, run)
	case suite.VerbParallel:
		return l.parallel(ctx, run)
	case suite.VerbCheck:
		l.w.settled()
		return nil
	case suite.VerbUse: // planning has put the steps in its place
		fallthrough
	default:
		return fmt.Errorf("no rule for the verb %q", verb)
	}
}

// stepRun is one step while it runs.
type stepRun struct {
	raw    *suite.Step // as planned, to bind again for each request
	bound  *suite.Step
	result *StepResult
	load   *suite.LoadTotals
	drain  *suite.DrainTotals
}

// step runs one step: condition, verb, checks, saves.
func (l *lane) step(ctx context.Context, raw *suite.Step, result *StepResult) {
	run := &stepRun{raw: raw, result: result}
	bound, err := l.bind(raw)
	if err != nil {
		run.fault(err)
		return
	}
	run.bound = bound
	if bound.If != nil {
		holds, _, err := bound.If.Check(l.environment(ctx, run, bound.If))
		if err != nil {
			run.fault(fmt.Errorf("evaluating if: %w", err))
			return
		}
		if !holds {
			result.Reason = "passed over: " + bound.If.Source
			return
		}
	}
	limit := l.w.stepTimeout(bound)
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errStepTimeout)
		defer cancel()
	}
	if err := l.do(ctx, run); err != nil {
		l.ended(run, err)
		return
	}
	if bound.Eventually == nil { // which checks by itself
		for _, check := range l.checks(ctx, run, bound.Check) {
			run.add(l.w.voided(check))
		}
	}
	l.invariants(ctx, run)
	l.save(ctx, run)
}

var errStepTimeout = fmt.Errorf("the step's timeout passed: %w", context.DeadlineExceeded)

// ended says what an error of a verb means: out of time with something expected is
// the target's failure, anything else is ours.
func (l *lane) ended(run *stepRun, err error) {
	timeout := errors.Is(err, context.DeadlineExceeded)
	pending := run.bound.Expect != nil || len(run.bound.Check) > 0
	if timeout && pending {
		run.add(Check{
			Kind: KindStep, Text: string(run.bound.Verb()), File: run.result.File, Line: run.result.Line,
			Outcome: Fail, Message: "timed out while an expectation was pending", At: time.Since(l.w.start),
		})
		return
	}
	run.fault(err)
}

// stepTimeout is what the step says, else the defaults', else a bound that no
// honest answer needs. Steps that are made of waiting have none.
func (w *world) stepTimeout(step *suite.Step) time.Duration {
	if step.Timeout != nil {
		return *step.Timeout
	}
	switch step.Verb() {
	case suite.VerbSend, suite.VerbScrape, suite.VerbReload, suite.VerbHook:
		if w.cell.Virtual {
			return time.Hour
		}
		return 2 * time.Minute
	case suite.VerbLoad, suite.VerbDrain, suite.VerbEventually, suite.VerbWait, suite.VerbAlign, suite.VerbHold,
		suite.VerbRelease, suite.VerbFault, suite.VerbParallel, suite.VerbUse, suite.VerbCheck:
	}
	return 0
}

// bind resolves the names that are known only now.
func (l *lane) bind(step *suite.Step) (*suite.Step, error) {
	if !step.Open() {
		return step, nil
	}
	return step.Bind(l.w.runtime())
}

// runtime holds the names that are known only now.
func (w *world) runtime() suite.Runtime {
	w.mu.Lock()
	defer w.mu.Unlock()
	return suite.Runtime{Save: maps.Clone(w.saved), I: w.counter}
}

// add appends a check and lets it count.
func (run *stepRun) add(c Check) {
	if c.Outcome == Fail && run.bound.Severity == suite.SeverityWarn {
		c.Outcome, c.Warning = Pass, true
	}
	run.result.Checks = append(run.result.Checks, c)
	run.result.Outcome = run.result.Outcome.Worse(c.Outcome)
	if run.result.Reason == "" && c.Outcome != Pass {
		run.result.Reason = c.Message
	}
}

// fault makes the step an error of ours.
func (run *stepRun) fault(err error) {
	run.result.Outcome = Error
	run.result.Reason = err.Error()
}

func (l *lane) wait(ctx context.Context, run *stepRun) error {
	w := run.bound.Wait
	d := w.For
	if w.Until != nil {
		d = time.Until(*w.Until)
	}
	return pause(ctx, d)
}

func (l *lane) hold(run *stepRun) error {
	l.w.mock.Hold(run.bound.Hold.At)
	return nil
}

func (l *lane) release() error {
	l.w.mock.Release()
	l.w.settled()
	return nil
}

// parallel runs child lists side by side. Branches that begin at the same instant
// get distinct offsets from the seed.
func (l *lane) parallel(ctx context.Context, run *stepRun) error {
	branches := run.raw.Parallel
	run.result.Parallel = make([][]*StepResult, len(branches))
	offsets := l.w.offsets(len(branches))
	var all sync.WaitGroup
	for i, steps := range branches {
		branch := &lane{w: l.w, path: fmt.Sprintf("%s.%d", run.result.ID, i+1), last: l.last}
		all.Go(func() {
			if err := pause(ctx, offsets[i]); err != nil {
				return
			}
			run.result.Parallel[i] = branch.run(ctx, steps)
		})
	}
	all.Wait()
	for _, branch := range run.result.Parallel {
		if branch == nil {
			return context.Cause(ctx)
		}
		for _, step := range branch {
			if step.Outcome == Skip && run.result.Outcome == Pass {
				continue
			}
			run.result.Outcome = run.result.Outcome.Worse(step.Outcome)
			if run.result.Reason == "" && (step.Outcome == Fail || step.Outcome == Error) {
				run.result.Reason = step.Reason
			}
		}
	}
	return nil
}

// eventually repeats until all checks hold. The last attempt counts.
func (l *lane) eventually(ctx context.Context, run *stepRun) error {
	e := run.bound.Eventually
	every := e.Every
	if every <= 0 {
		every = max(e.Within/40, time.Millisecond)
	}
	begun := time.Now()
	for {
		run.result.Attempts++
		attempt, err := l.attempt(ctx, run)
		if err != nil {
			return err
		}
		holds := run.result.tried(time.Since(l.w.start), attempt)
		over := time.Since(begun)+every > e.Within
		if !holds && !over && e.Unless != nil {
			if over, _, err = e.Unless.Check(l.environment(ctx, run, e.Unless)); err != nil {
				return fmt.Errorf("evaluating unless: %w", err)
			}
		}
		if holds || over {
			for _, c := range attempt {
				run.add(c)
			}
			return nil
		}
		if err := pause(ctx, every); err != nil {
			return err
		}
	}
}

// maxTries is how many changes of what an eventually finds are kept, the last of
// which counts on.
const maxTries = 50

// tried notes an attempt, and tells whether everything held.
func (r *StepResult) tried(at time.Duration, checks []Check) (holds bool) {
	t := Tries{At: at, Until: at, Times: 1, Outcome: Pass}
	for i := range checks {
		if checks[i].Outcome != Pass && t.Outcome == Pass {
			t.Outcome, t.Message = checks[i].Outcome, checks[i].Message
		}
	}
	last := len(r.Tried) - 1
	if last >= 0 && (r.Tried[last].Outcome == t.Outcome && r.Tried[last].Message == t.Message || len(r.Tried) == maxTries) {
		t.At, t.Times = r.Tried[last].At, r.Tried[last].Times+1
		r.Tried[last] = t
	} else {
		r.Tried = append(r.Tried, t)
	}
	return t.Outcome == Pass
}

// attempt is one round of an eventually.
func (l *lane) attempt(ctx context.Context, run *stepRun) ([]Check, error) {
	var checks []Check
	if run.bound.Send != nil {
		s, err := l.sendOnce(ctx, run, run.raw)
		if err != nil {
			return nil, err
		}
		checks = l.expectations(run, s)
	}
	l.w.settled()
	return append(checks, l.checks(ctx, run, run.bound.Check)...), nil
}

// save evaluates what later steps will use.
func (l *lane) save(ctx context.Context, run *stepRun) {
	if run.result.Outcome == Fail || run.result.Outcome == Error {
		return
	}
	for name, e := range run.bound.Save {
		value, err := e.Eval(l.environment(ctx, run, e))
		if err != nil {
			run.fault(fmt.Errorf("saving %s: %w", name, err))
			return
		}
		l.w.mu.Lock()
		l.w.saved[name] = value
		l.w.mu.Unlock()
		if run.result.Saved == nil {
			run.result.Saved = map[string]any{}
		}
		run.result.Saved[name] = value
	}
}
