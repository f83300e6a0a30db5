package scenarios

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

// verdict puts steps and judgement together into the outcome of the cell.
func (w *world) verdict() {
	r := w.result
	if r.Outcome == Skip {
		return
	}
	r.Outcome = r.Outcome.Worse(Pass)
	if r.Aborted != "" {
		r.Outcome, r.Reason = Error, "stopped by abort-if: "+r.Aborted
	}
	for _, step := range r.Steps {
		if step.Outcome == Skip {
			continue // after a step that did not pass, which counts
		}
		if step.Outcome != Pass && r.Reason == "" {
			r.Reason = w.secret(fmt.Sprintf("%s: %s", step.ID, step.Reason))
		}
		r.Outcome = r.Outcome.Worse(step.Outcome)
	}
	w.judgement()
	walk(r.Steps, func(step *StepResult) {
		for i := range step.Checks {
			if c := &step.Checks[i]; c.Warning {
				r.Warnings = append(r.Warnings, c.Message)
			} else if c.Outcome == Fail {
				w.evidence(c)
			}
		}
	})
	w.strength()
	w.knownFailure()
}

// judgement turns what the judge has proved into checks of a step of its own, the
// last one.
func (w *world) judgement() {
	r := w.result
	r.Limits = w.limits()
	if r.Judged == nil {
		return
	}
	step := &StepResult{ID: "judge", Verb: KindJudge, File: r.File, Line: r.Line, Outcome: Pass, At: r.Elapsed}
	for _, f := range r.Judged.Findings {
		c := Check{
			Kind: KindJudge, Text: string(f.Kind), File: r.File, Line: r.Line, Outcome: Fail, Message: w.secret(f.Message),
			At: time.Duration(f.At - w.start.UnixNano()), Proof: f.Proof(w.start.UnixNano()),
		}
		for i, x := range r.Requests {
			if x.ID == f.Request {
				c.Request = &i
				break
			}
		}
		step.Checks = append(step.Checks, c)
		step.Outcome, step.Reason = Fail, first(step.Reason, c.Message)
	}
	if len(step.Checks) == 0 {
		t := r.Judged.Totals
		step.Checks = append(step.Checks, Check{
			Kind: KindJudge, File: r.File, Line: r.Line, Outcome: Pass, At: r.Elapsed,
			Text: fmt.Sprintf("%d decisions right, %d undecidable, %d without a known limit", t.Right, t.Undecidable, t.Unjudged),
		})
	}
	for _, n := range r.Judged.Notes {
		r.Notes = append(r.Notes, w.secret(n.Message))
	}
	r.Steps = append(r.Steps, step)
	r.Outcome = r.Outcome.Worse(step.Outcome)
	r.Reason = first(r.Reason, step.Reason)
}

// strength: what a SHOULD or a MAY does not keep is a warning.
func (w *world) strength() {
	r := w.result
	if r.Outcome == Fail && (r.Strength == "SHOULD" || r.Strength == "MAY") {
		r.Warnings = append(r.Warnings, r.Strength+" does not hold: "+r.Reason)
		r.Outcome = Pass
	}
}

func (w *world) knownFailure() {
	r := w.result
	switch {
	case r.KnownFailure == "":
	case r.Outcome == Fail:
		r.Notes = append(r.Notes, fmt.Sprintf("fails as known (%s): %s", r.KnownFailure, r.Reason))
		r.Outcome, r.Reason = Pass, ""
	case r.Outcome == Pass:
		r.Outcome = Fail
		r.Reason = fmt.Sprintf("passes, although it is marked as a known failure (%s): take the mark away", r.KnownFailure)
	}
}

// walk visits every step, those inside parallel too.
func walk(steps []*StepResult, visit func(*StepResult)) {
	for _, step := range steps {
		visit(step)
		for _, branch := range step.Parallel {
			walk(branch, visit)
		}
	}
}

// wireLimit is how much of a message a report shows.
const wireLimit = 4000

// evidence keeps what went over the wire for a check that failed.
func (w *world) evidence(c *Check) {
	if c.Request == nil || *c.Request >= len(w.sent) || *c.Request >= len(w.result.Requests) {
		return
	}
	s, x := w.sent[*c.Request], w.result.Requests[*c.Request]
	if x.Wire != nil || s.x == nil {
		return
	}
	x.Wire = &Wire{Request: w.dumpRequest(s), Response: w.dumpResponse(s)}
	if entries := w.entries(s); len(entries) > 0 {
		if e := &entries[len(entries)-1]; string(e.Sent.Body) != string(s.x.Raw) {
			x.Wire.Mock = w.secret(shorten(string(e.Sent.Body), wireLimit))
		}
	}
}

func (w *world) dumpRequest(s *sentRequest) string {
	var b strings.Builder
	target := s.path
	if s.query != "" {
		target += "?" + s.query
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\nHost: %s\n", s.wire.Method, target, hostOf(s.wire.URL))
	b.WriteString(headerLines(s.wire.Header))
	b.WriteString("\n")
	b.Write(s.wire.Body)
	return w.secret(shorten(b.String(), wireLimit))
}

func (w *world) dumpResponse(s *sentRequest) string {
	x := s.x
	var b strings.Builder
	if x.Status == 0 {
		fmt.Fprintf(&b, "(no response: %v)", x.Err)
		return w.secret(b.String())
	}
	fmt.Fprintf(&b, "%s %d\n", x.Proto, x.Status)
	b.WriteString(first(s.head, headerLines(x.Header)))
	b.WriteString("\n")
	body := x.Raw
	if x.DecodeErr == nil {
		body = x.Body
	}
	b.Write(body)
	if x.Outcome != client.Complete {
		fmt.Fprintf(&b, "\n(%s)", x.Outcome)
	}
	return w.secret(shorten(b.String(), wireLimit))
}

func headerLines(h http.Header) string {
	var b strings.Builder
	for _, name := range sortedKeys(h) {
		for _, value := range h[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	return b.String()
}
