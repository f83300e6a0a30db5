package scenarios

import (
	"context"
	"fmt"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// drain sends until its expression holds. Reaching at-most is a failure.
func (l *lane) drain(ctx context.Context, run *stepRun) error {
	d := run.bound.Drain
	run.drain = &suite.DrainTotals{}
	begun := time.Now()
	var last *sentRequest
	for i := range d.AtMost {
		if i > 0 && d.Gap != nil {
			if err := pause(ctx, *d.Gap); err != nil {
				return err
			}
		}
		bound, err := l.bind(run.raw)
		if err != nil {
			return err
		}
		if last, err = l.exchange(ctx, run, bound.Drain.Request, leaving(bound.Cancel)); err != nil {
			return err
		}
		l.count(run.drain, last)
		run.drain.Duration = time.Since(begun)
		holds, _, err := d.Until.Check(l.environment(ctx, run, d.Until))
		if err != nil {
			return fmt.Errorf("evaluating until: %w", err)
		}
		if holds {
			l.w.keep(run)
			for _, c := range l.expectations(run, last) {
				run.add(c)
			}
			return nil
		}
	}
	l.w.keep(run)
	index := last.index
	run.add(Check{
		Kind: KindStep, Text: "drain until " + d.Until.Source, File: d.Until.Pos.File, Line: d.Until.Pos.Line, Outcome: Fail,
		Message: fmt.Sprintf("%s did not come true within %d requests: %s", d.Until.Source, d.AtMost, l.w.unlimited(run.drain)), At: time.Since(l.w.start), Request: &index,
	})
	return nil
}

func (l *lane) count(totals *suite.DrainTotals, s *sentRequest) {
	totals.Count++
	entries := l.w.entries(s)
	switch decision(s, len(entries) > 0, false) {
	case judge.Admitted:
		totals.Admitted++
		if len(entries) > 0 {
			totals.AdmittedTokens += entries[len(entries)-1].Usage.Total
		}
	case judge.Rejected:
		totals.Rejected++
	case judge.Refused, judge.Undecided:
	}
}

// keep makes the totals of a step visible to later ones.
func (w *world) keep(run *stepRun) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps[run.result.ID] = &suite.StepResult{Load: run.load, Drain: run.drain}
	run.result.Load, run.result.Drain = run.load, run.drain
}

// align waits for a window of a limit to start: a calendar window by the clock, an
// unknown one by what the last response said of its reset, if it did. A bucket has
// none.
func (l *lane) align(ctx context.Context, run *stepRun) error {
	a := run.bound.Align
	kind, per := l.w.windowOf(a.Limit)
	var left time.Duration
	switch kind {
	case judge.WindowBucket, judge.WindowSliding:
		return nil
	case judge.WindowCalendar:
		left = untilWindow(time.Now(), per)
	case judge.WindowFirstHit, judge.WindowUnknown:
		if kind == judge.WindowFirstHit && l.last == nil {
			return nil // it begins with the first request
		}
		if l.last == nil || l.w.response(l.last).Reset == nil {
			l.w.note(fmt.Sprintf("not aligned to %s: its window is %s, and no response has said when it ends", a.Limit, kind))
			return nil
		}
		left = *l.w.response(l.last).Reset - time.Since(l.last.x.Headers)
	}
	if a.Room != nil && left >= *a.Room {
		return nil
	}
	return pause(ctx, left)
}

// windowOf finds a limit by the name in the suite, or by the rule's.
func (w *world) windowOf(name string) (kind judge.WindowKind, per time.Duration) {
	for _, limit := range w.cell.Target.Limits {
		if limit.Name == name {
			return judge.WindowKind(first(limit.Window, string(judge.WindowUnknown))), limit.Per
		}
	}
	for _, limit := range w.limits() {
		if limit.ID == name || limit.Rule == name {
			return limit.Window, time.Duration(limit.Per)
		}
	}
	return judge.WindowBucket, 0
}

// untilWindow is the time until the next calendar window: UTC, weeks from Monday.
func untilWindow(now time.Time, per time.Duration) time.Duration {
	if per <= 0 {
		return 0
	}
	monday := time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
	return per - now.Sub(monday)%per
}

// fault switches a fault of the mock or of the in-process target. The mock's goes
// into its default plan, under the plans of the requests.
func (l *lane) fault(run *stepRun) error {
	f := run.bound.Fault
	if f.Target != "" {
		return l.w.conn.SetFault(f.Target, f.On)
	}
	plan := l.w.standard
	if f.On {
		over := mockllm.Plan{Fault: mockllm.Fault{Kind: f.Mock}}
		if err := over.Validate(); err != nil {
			return fmt.Errorf("switching the mock's fault: %w", err)
		}
		plan = plan.Merge(over)
	}
	l.w.mock.SetDefault(plan)
	return nil
}

// reload gives the target another policy, and the judge the same one. An instant
// lies between it and what is sent before and after, so that nobody has to guess
// under which policy a request was.
func (l *lane) reload(ctx context.Context, run *stepRun) error {
	r := run.bound.Reload
	spec := l.w.suite.policySpec(r.Rules, r.Policy)
	if err := pause(ctx, tick); err != nil {
		return err
	}
	if err := l.w.conn.Reload(ctx, spec); err != nil {
		return fmt.Errorf("reloading: %w", err)
	}
	l.w.readRules(&spec)
	return pause(ctx, tick)
}
