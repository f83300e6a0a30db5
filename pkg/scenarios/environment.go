package scenarios

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// environment is what an expression sees now. Only what it names is fetched: a
// ledger is a request, and a judgement reads the whole history.
func (l *lane) environment(ctx context.Context, run *stepRun, e *suite.Expression) suite.Environment {
	w := l.w
	env := suite.Environment{Load: run.load, Drain: run.drain, Save: w.savedNow()}
	if l.last != nil {
		env.Res = w.response(l.last)
		env.Header = func(name string) string { return headerOf(env.Res, name) }
	}
	if e.Uses("steps") {
		env.Steps = w.stepResults()
	}
	if run.load != nil || run.drain != nil {
		env.Steps = withCurrent(env.Steps, run)
	}
	if e.Uses("judge") {
		totals := judge.Judge(w.history()).Totals
		env.Judge = &suite.JudgeTotals{
			Reserved: totals.Reserved.Lo, Charged: totals.Charged.Lo,
			OverAdmitted: totals.OverAdmitted, WronglyRejected: totals.WronglyRejected,
		}
	}
	if e.Uses("ledger") || e.Uses("ledger_of") {
		accounts, err := w.readLedger(ctx)
		if err == nil {
			env.Ledger, err = onlyAccount(accounts)
		}
		if err != nil && e.Uses("ledger") {
			w.note("the ledger: " + err.Error())
		}
		env.LedgerOf = func(rule, window string) (*suite.Ledger, error) { return accountOf(accounts, rule, window) }
	}
	env.Delta = func(selector string) (float64, error) { return w.delta(ctx, selector) }
	return env
}

func (w *world) savedNow() map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.saved)
}

// note adds information to the result, once.
func (w *world) note(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text = w.secret(text); !slices.Contains(w.result.Notes, text) {
		w.result.Notes = append(w.result.Notes, text)
	}
}

// stepResults are the responses by the id of their step.
func (w *world) stepResults() map[string]*suite.StepResult {
	w.mu.Lock()
	results := make(map[string]*suite.StepResult, len(w.steps))
	for id, r := range w.steps {
		results[id] = &suite.StepResult{Load: r.Load, Drain: r.Drain}
	}
	w.mu.Unlock()
	for _, s := range w.sentNow() {
		if s.x == nil {
			continue
		}
		r := results[s.step]
		if r == nil {
			r = &suite.StepResult{}
			results[s.step] = r
		}
		r.Results = append(r.Results, w.response(s))
	}
	return results
}

func withCurrent(steps map[string]*suite.StepResult, run *stepRun) map[string]*suite.StepResult {
	if steps == nil {
		return nil
	}
	r := steps[run.result.ID]
	if r == nil {
		r = &suite.StepResult{}
		steps[run.result.ID] = r
	}
	r.Load, r.Drain = run.load, run.drain
	return steps
}

// headerOf reads a header by name, in any case.
func headerOf(r *suite.Response, name string) string {
	if r == nil {
		return ""
	}
	value, _ := r.Headers[strings.ToLower(name)].(string)
	return value
}

// response is a request as expressions see it.
func (w *world) response(s *sentRequest) *suite.Response {
	w.mu.Lock()
	x, seen := s.x, s.seen
	w.mu.Unlock()
	if seen != nil || x == nil {
		return seen
	}
	entries := w.entries(s)
	r := &suite.Response{
		Status: int64(x.Status), Reason: s.said.Reason, Outcome: x.Outcome,
		Headers: map[string]any{}, Body: string(x.Body), Bytes: s.bytes,
		Reserved: s.said.Reserved, Duration: x.Ended.Sub(x.Sent), Upstream: int64(len(entries)),
	}
	if x.Err != nil {
		r.Error = w.secret(x.Err.Error())
	}
	for name, values := range x.Header {
		r.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if u := s.usage; u != nil {
		r.Usage = &suite.Usage{In: u.In, Out: u.Out, Total: u.Total}
	}
	r.Limit, r.Remaining, r.Reset = rates(s.said.Rates)
	r.RetryAfter = retryAfter(s.said.Retry, x.Headers)
	switch {
	case !x.Content.IsZero():
		r.TTFT = x.Content.Sub(x.Sent)
	case !x.Headers.IsZero():
		r.TTFT = x.Headers.Sub(x.Sent)
	}
	for _, e := range x.Events {
		r.Events = append(r.Events, suite.Event{Name: e.Name, Data: e.Data, At: e.At.Sub(x.Sent)})
	}
	final := true
	if len(entries) > 0 {
		last := entries[len(entries)-1]
		r.Mock = mockEntry(&last)
		final = last.Done()
	}
	if final && w.cell.Virtual { // elsewhere the target may yet ask the mock
		w.mu.Lock()
		s.seen = r
		w.mu.Unlock()
	}
	return r
}

// entries are the lines of the mock's journal about one request.
func (w *world) entries(s *sentRequest) []mockllm.Entry { return w.mock.entries(s.id) }

func mockEntry(e *mockllm.Entry) *suite.MockEntry {
	m := &suite.MockEntry{
		ID: e.ID, Seq: int64(e.Seq), Method: e.Method, Path: e.Path, Body: e.Body, Model: e.Model,
		Stream: e.Stream, IncludeUsage: e.IncludeUsage, MaxTokens: e.MaxTokens, End: e.End, Attempt: int64(e.AttemptNo),
		Usage: suite.Usage{In: e.Usage.In, Out: e.Usage.Out, Total: e.Usage.Total},
		Sent: suite.MockSent{
			Status: int64(e.Sent.Status), Bytes: e.Sent.Bytes, Segments: int64(e.Sent.Segments), Flushes: int64(e.Sent.Flushes),
		},
	}
	if e.ClientGoneAt != nil {
		m.GoneAfter = time.Duration(e.ClientGoneAt.MS) * time.Millisecond
	}
	return m
}

// rates picks what a response says of tokens, else of requests. Of several
// accounts the one with the smallest share left counts.
func rates(all []judge.RateHeader) (limit, remaining *int64, reset *time.Duration) {
	for _, dimension := range []judge.Dimension{judge.Tokens, judge.Requests} {
		var best *judge.RateHeader
		for i := range all {
			if r := &all[i]; r.Dimension == dimension && (best == nil || tighter(r, best)) {
				best = r
			}
		}
		if best == nil {
			continue
		}
		if best.Reset != nil {
			d := time.Duration(*best.Reset)
			reset = &d
		}
		return best.Limit, best.Remaining, reset
	}
	return nil, nil, nil
}

// tighter compares remaining / limit where both tell both.
func tighter(a, b *judge.RateHeader) bool {
	if a.Limit == nil || a.Remaining == nil || b.Limit == nil || b.Remaining == nil {
		return false
	}
	return *a.Remaining**b.Limit < *b.Remaining**a.Limit
}

// retryAfter is the wait that a rejection asks for. Milliseconds are the finer
// form and count first.
func retryAfter(r *judge.RetryAfter, at time.Time) *time.Duration {
	if r == nil {
		return nil
	}
	var d time.Duration
	switch {
	case r.Millis != nil:
		d = time.Duration(*r.Millis) * time.Millisecond
	case r.Seconds != nil:
		d = time.Duration(*r.Seconds) * time.Second
	case r.Date != 0:
		d = time.Unix(0, r.Date).Sub(at)
	default:
		return nil
	}
	return &d
}

// checks evaluates the expressions of a step.
func (l *lane) checks(ctx context.Context, run *stepRun, expressions []*suite.Expression) []Check {
	checks := make([]Check, 0, len(expressions))
	for _, e := range expressions {
		ok, tree, err := e.Check(l.environment(ctx, run, e))
		c := Check{
			Kind: KindCheck, Text: e.Source, File: e.Pos.File, Line: e.Pos.Line, Column: e.Pos.Column,
			Outcome: Pass, At: time.Since(l.w.start),
		}
		if !ok {
			c.Outcome, c.Values = Fail, tree
			c.Message = fmt.Sprintf("%s does not hold", e.Source)
			if err != nil {
				c.Message = fmt.Sprintf("%s cannot be computed: %v", e.Source, innermost(err))
			}
		}
		if l.last != nil && l.last.x != nil {
			index := l.last.index
			c.Request = &index
		}
		checks = append(checks, c)
	}
	return checks
}

// innermost drops the place and the text of the expression, which the check has.
func innermost(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
