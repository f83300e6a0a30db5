package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/internal/bubble"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// virtualCellTimeout bounds a cell in virtual time by the clock on the wall, with
// perRequest for each request that it may send: on an idle processor one takes half a
// millisecond. Beyond, something waits outside its bubble.
const (
	virtualCellTimeout = 2 * time.Minute
	perRequest         = 10 * time.Millisecond
)

// cellTimeout is that bound for the largest of the cells.
func cellTimeout(units []*unit) time.Duration {
	most := int64(0)
	for _, u := range units {
		most = max(most, u.cell.WorstCase(func(*suite.Request) int64 { return 0 }).Requests)
	}
	return virtualCellTimeout + time.Duration(min(most, int64(24*time.Hour/perRequest)))*perRequest
}

// execution is one run of a plan.
type execution struct {
	plan   *Plan
	o      Options
	stop   context.CancelCauseFunc
	over   func() error // why the run ends before its time; nil while it may go on
	mu     sync.Mutex   // guards what follows, and makes calls of Observe follow each other
	units  []*unit
	failed bool
}

// unit is one cell of the plan and what became of it.
type unit struct {
	suite  *PlannedSuite
	cell   *suite.Cell
	index  int
	result *ScenarioResult
	began  time.Time
}

var errFailFast = errors.New("a scenario before it failed, and --fail-fast was given")

func newExecution(plan *Plan, o Options) *execution {
	o.known = newAcquaintances()
	e := &execution{plan: plan, o: o}
	for _, s := range plan.Suites {
		for _, cell := range s.Program.Cells {
			e.units = append(e.units, &unit{suite: s, cell: cell, index: len(e.units)})
		}
	}
	return e
}

func (e *execution) run(ctx context.Context) (*RunResult, error) {
	began := time.Now()
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	e.stop, e.over = stop, ctx.Err
	var virtual, direct, apart, serial, last []*unit
	for _, u := range e.units {
		switch {
		case u.cell.Skip != "":
			e.finish(u, skipped(u, u.cell.Skip))
		case u.cell.Virtual && e.o.Child != nil:
			virtual = append(virtual, u)
		case u.cell.Serial: // it may leave the target in a state that others would feel
			last = append(last, u)
		case u.cell.Target != nil && u.cell.Target.URL != "":
			// A target by URL knows one address of the mock, and each cell has a
			// mock of its own there.
			if e.standsApart(u) {
				apart = append(apart, u)
			} else {
				serial = append(serial, u)
			}
		default:
			direct = append(direct, u)
		}
	}
	e.runVirtual(work, virtual)
	e.runReal(work, direct, max(1, e.o.Workers))
	e.runReal(work, apart, max(1, first(e.o.Gateways, e.o.Workers)))
	e.runReal(work, serial, 1)
	e.runReal(work, last, 1)
	if err := e.o.known.close(); err != nil {
		return nil, fmt.Errorf("closing the mock: %w", err)
	}
	return e.summary(ctx, time.Since(began)), nil
}

// standsApart tells whether a cell at a target by URL may run beside others: it is
// another client than they are, and each of its requests says whose it is.
func (e *execution) standsApart(u *unit) bool {
	t := u.cell.Target
	if e.o.MockURL != "" || u.cell.Mock != nil && u.cell.Mock.URL != "" {
		return false // it is one mock for all
	}
	switch t.Control {
	case "path", "key", "queue":
		return false
	}
	for _, l := range t.Binding(u.cell.Scenario.Limits) {
		if l.Identity == nil && !madeUp(t.Identity) || l.Identity != nil && !madeUp(l.Identity) {
			return false
		}
	}
	return madeUp(t.Identity) && (t.Control == "header" || allMarked(u.cell.Steps))
}

// madeUp tells whether there are as many identities as one likes.
func madeUp(is *suite.Identity) bool {
	return is != nil && (is.Pool == nil || len(is.Pool.List) == 0)
}

// allMarked tells whether every request of a list of steps has a prompt that can
// carry a marker.
func allMarked(steps []suite.Step) bool {
	all := true
	each := func(r *suite.Request) { all = all && (r == nil || r.JSON != nil && r.Body == nil && r.BodyFile == "") }
	eachStep(steps, func(step *suite.Step) {
		each(step.Send)
		if step.Drain != nil {
			each(step.Drain.Request)
		}
		if step.Load != nil {
			each(step.Load.Request)
			for i := range step.Load.Mix {
				each(step.Load.Mix[i].Request)
			}
		}
	})
	return all
}

// runVirtual gives cells to children.
func (e *execution) runVirtual(ctx context.Context, units []*unit) {
	jobs := make([]json.RawMessage, len(units))
	for i, u := range units {
		var err error
		if jobs[i], err = newJob(u.suite, u.cell, &e.o); err != nil {
			e.finish(u, failedToRun(u, fmt.Errorf("describing the cell to a child: %w", err)))
		}
	}
	if len(units) == 0 {
		return
	}
	limit := e.o.CellTimeout
	if limit == 0 {
		limit = cellTimeout(units)
	}
	pool := e.o.children
	if pool == nil {
		pool = &bubble.Pool{}
	}
	pool.Argv, pool.Workers, pool.JobTimeout = e.o.Child, e.o.Workers, limit
	results := pool.Run(ctx, jobs, &poolObserver{e: e, units: units, parts: make([]part, len(units))})
	for i, r := range results {
		if units[i].result == nil { // it never started
			e.finish(units[i], failedToRun(units[i], r.Err))
		}
	}
}

// poolObserver translates what the pool tells.
type poolObserver struct {
	e     *execution
	units []*unit
	parts []part // of each unit, so far; each is used by one worker at a time
}

func (p *poolObserver) Started(i int) { p.e.start(p.units[i]) }

func (p *poolObserver) Event(i int, event json.RawMessage) {
	var n news
	switch err := json.Unmarshal(event, &n); {
	case err != nil:
		p.parts[i].err = err
	case n.Load != nil:
		p.e.progress(p.units[i], *n.Load)
	case n.Part != nil:
		p.parts[i].take(n.Part)
	}
}

func (p *poolObserver) Finished(i int, r bubble.Result) {
	u := p.units[i]
	var a answer
	err := r.Err
	if err == nil {
		err = errors.Join(p.parts[i].err, json.Unmarshal(r.Value, &a))
	}
	if err == nil && a.Result == nil {
		err = errors.New("the child gave no result")
	}
	if err != nil {
		p.e.finish(u, failedToRun(u, err))
		return
	}
	a.Result.History, a.Result.sendings = a.History, a.Sendings
	if a.History != nil {
		a.Result.Requests, a.History.Requests = p.parts[i].Requests, p.parts[i].History
	}
	p.parts[i] = part{}
	p.e.finish(u, a.Result)
}

// runReal runs cells in this process, by the clock on the wall.
func (e *execution) runReal(ctx context.Context, units []*unit, workers int) {
	next := make(chan *unit)
	var running sync.WaitGroup
	for range min(workers, len(units)) {
		running.Go(func() {
			for u := range next {
				e.start(u)
				e.finish(u, e.runHere(ctx, u))
			}
		})
	}
	for _, u := range units {
		if ctx.Err() != nil {
			e.finish(u, failedToRun(u, context.Cause(ctx)))
			continue
		}
		select {
		case next <- u:
		case <-ctx.Done():
			e.finish(u, failedToRun(u, context.Cause(ctx)))
		}
	}
	close(next)
	running.Wait()
}

func (e *execution) runHere(ctx context.Context, u *unit) *ScenarioResult {
	if e.o.CellTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.o.CellTimeout)
		defer cancel()
	}
	cell := *u.cell
	cell.Virtual = false
	return runCell(ctx, u.suite, &cell, &e.o, func(p LoadProgress) { e.progress(u, p) })
}

func (e *execution) event(u *unit, kind EventKind) Event {
	return Event{Kind: kind, Suite: u.suite.Program.Suite.Name, Cell: u.cell.ID, Index: u.index, Total: len(e.units)}
}

func (e *execution) start(u *unit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	u.began = time.Now()
	e.tell(e.event(u, CellStarted))
}

func (e *execution) progress(u *unit, p LoadProgress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	event := e.event(u, CellLoad)
	event.Load = &p
	e.tell(event)
}

func (e *execution) finish(u *unit, r *ScenarioResult) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if u.result != nil {
		return
	}
	if !u.began.IsZero() {
		r.Real = time.Since(u.began)
	}
	if err := e.over(); err != nil && cutOff(r) {
		r.Outcome, r.Reason = Skip, fmt.Sprintf("the run ended before it: %v", err)
	}
	r.Rerun = e.again(u)
	u.result = r
	if e.o.FailFast && (r.Outcome == Fail || r.Outcome == Error) && !e.failed {
		e.failed = true
		e.stop(errFailFast)
	}
	event := e.event(u, CellFinished)
	event.Result = r
	e.tell(event)
}

// cutOff tells whether a result may be no more than the end of the run: nothing was
// found that the target did wrong.
func cutOff(r *ScenarioResult) bool {
	switch r.Outcome {
	case Error:
		return true
	case Fail:
		wrong := false
		r.EachStep(func(step *StepResult) {
			for _, c := range step.Checks {
				wrong = wrong || c.Outcome == Fail && c.Kind != KindStep
			}
		})
		return !wrong
	case Pass, Skip:
	}
	return false
}

// tell requires that e.mu is held.
func (e *execution) tell(event Event) {
	if e.o.Observe != nil {
		e.o.Observe(event)
	}
}

// describe is what is known of a cell before it has run.
func describe(cell *suite.Cell) *ScenarioResult {
	r := &ScenarioResult{
		ID: cell.ID, Scenario: cell.Scenario.ID, File: cell.Pos.File, Line: cell.Pos.Line,
		Requirement: cell.Scenario.Requirement, Level: cell.Scenario.Level, Strength: cell.Scenario.Strength,
		Feature: cell.Scenario.Feature, Tags: cell.Scenario.Tags, Catches: cell.Scenario.Catches,
		Refs: cell.Scenario.Refs, KnownFailure: cell.Scenario.KnownFailure,
		Clock: "real", Steps: []*StepResult{},
	}
	if cell.Virtual {
		r.Clock = "virtual"
	}
	if len(cell.Labels) > 0 {
		r.Cell = map[string]string{}
		for _, label := range cell.Labels {
			r.Cell[label.Axis] = label.Value
		}
	}
	return r
}

// again is the command line by which one cell runs as it did.
func (e *execution) again(u *unit) []string {
	args := []string{"run"}
	if !u.suite.source.Builtin {
		args = append(args, u.suite.source.Name)
	}
	args = append(args, "--id", u.cell.ID, "--seed", fmt.Sprint(u.suite.Program.Seed))
	for _, fault := range e.o.Faults {
		args = append(args, "--fault", fault)
	}
	return append(args, e.o.Rerun...)
}

func skipped(u *unit, reason string) *ScenarioResult {
	r := describe(u.cell)
	r.Outcome, r.Reason, r.Aside = Skip, reason, u.cell.Aside
	return r
}

// failedToRun is the result of a cell that has none of its own.
func failedToRun(u *unit, err error) *ScenarioResult {
	r := describe(u.cell)
	r.Outcome, r.Reason = Error, fmt.Sprint(err)
	if errors.Is(err, errFailFast) {
		r.Outcome = Skip
	}
	if crash, ok := errors.AsType[*bubble.CrashError](err); ok {
		r.Stderr = crash.Stderr
	}
	return r
}

// summary puts the results together, in the order of the plan.
func (e *execution) summary(ctx context.Context, elapsed time.Duration) *RunResult {
	run := &RunResult{
		SchemaVersion: SchemaVersion, Started: e.o.Started, Elapsed: elapsed,
		Environment: e.o.Environment, Suites: []SuiteResult{},
	}
	run.Environment.Faults = e.o.Faults
	run.Environment.Target = "in-process"
	at := 0
	for _, s := range e.plan.Suites {
		run.ID, run.Seed = s.Program.RunID, s.Program.Seed
		result := suiteResult(s)
		for range s.Program.Cells {
			cell := e.units[at].result
			at++
			result.Scenarios = append(result.Scenarios, cell)
			result.Counts.add(cell)
		}
		result.Counts.NotSelected = len(s.Program.NotSelected)
		result.Outcome = result.Counts.Outcome()
		if s.Program.External {
			run.Environment.Target = "external"
			if len(s.Program.Cells) > 0 {
				run.Environment.Target = s.Program.Cells[0].Target.URL
			}
		}
		run.Counts.merge(result.Counts)
		run.Suites = append(run.Suites, result)
	}
	run.Outcome = run.Counts.Outcome()
	switch {
	case ctx.Err() == nil && e.failed:
		run.Stopped = StoppedFailFast
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		run.Stopped = StoppedTimeout
	case ctx.Err() != nil:
		run.Stopped = StoppedInterrupted
	}
	return run
}

func suiteResult(s *PlannedSuite) SuiteResult {
	p := s.Program
	result := SuiteResult{Name: p.Suite.Name, File: s.source.Name, Digest: s.Digest, Scenarios: []*ScenarioResult{}}
	if p.Suite.Profile != nil {
		result.Profile, result.ProfileVersion = p.Suite.Profile.Name, p.Suite.Profile.Version
	}
	if i := p.Implementation; i != nil {
		result.Implementation = &Implementation{
			Organization: i.Organization, Project: i.Project, Version: i.Version, URL: i.URL, Contact: i.Contact,
		}
	}
	if p.Features != nil {
		result.Features, result.Unsupported = p.Features.Supported, p.Features.Unsupported
	}
	if len(p.Cells) > 0 && p.External {
		t := p.Cells[0].Target
		result.Mode = &Mode{Accounting: t.Accounting}
		for _, limit := range t.Limits {
			result.Mode.Limits = append(result.Mode.Limits, limit.Name)
			if limit.Dimension == "tokens" && result.Mode.Tokens == 0 {
				result.Mode.Window, result.Mode.Tokens, result.Mode.Per = limit.Window, limit.Amount, limit.Per
			}
		}
	}
	return result
}

func (c *Counts) merge(o Counts) {
	c.Pass += o.Pass
	c.Fail += o.Fail
	c.Skip += o.Skip
	c.Error += o.Error
	c.Warnings += o.Warnings
	c.NotSelected += o.NotSelected
}
