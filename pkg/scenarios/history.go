package scenarios

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

// history is what the judge reads, the ledger apart: everything that has been seen up
// to now.
func (w *world) history() *judge.History {
	sent := w.sentNow()
	h := &judge.History{
		Header: judge.Header{
			Cell: w.cell.ID, Suite: w.suite.Program.Suite.Name, Scenario: w.cell.Scenario.ID, Seed: w.suite.Program.Seed,
			Start: w.start.UnixNano(), End: time.Now().UnixNano(), Limits: w.limits(), Target: w.declared(),
		},
		Requests: make([]judge.Request, 0, len(sent)),
	}
	entries := w.mock.journal()
	for _, s := range sent {
		h.Requests = append(h.Requests, w.judged(s, entries(s.id)))
	}
	return h
}

// readRules reads the limits for the judge alone; spec is nil for a target by URL,
// whose limits the suite declares.
func (w *world) readRules(spec *TargetSpec) {
	var document []byte
	switch {
	case spec == nil:
		document = w.declaredLimits()
	case spec.Rules != nil:
		document = spec.Rules
	default:
		document = spec.Policy
	}
	if document == nil {
		return
	}
	options := judge.RulesOptions{Reload: len(w.rules), Estimator: w.estimator()}
	if len(w.rules) > 0 {
		options.At = time.Now().UnixNano()
	}
	rules, err := judge.ReadRules(document, options)
	if err != nil {
		w.note("the judge cannot read the limits: " + err.Error())
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = append(w.rules, rules)
	w.reloaded = append(w.reloaded, time.Now())
}

func (w *world) limits() []judge.Limit {
	var all []judge.Limit
	for _, rules := range w.rules {
		all = append(all, rules.Limits()...)
	}
	return all
}

// rulesAt are the rules in force at an instant; nil if none are known.
func (w *world) rulesAt(at time.Time) *judge.Rules {
	for i, rules := range slices.Backward(w.rules) {
		if i == 0 || !w.reloaded[i].After(at) {
			return rules
		}
	}
	return nil
}

// judged is one request as the judge reads it, under way or over.
func (w *world) judged(s *sentRequest, entries []mockllm.Entry) judge.Request {
	r := judge.Request{ID: s.id, Step: s.step, Curl: w.curl(s), Sent: nanos(s.ready)}
	r.Calls, r.ExemptCalls = len(entries), exemptCalls(entries)
	if x := s.x; x != nil {
		r.Sent, r.HeadersAt, r.Ended = nanos(x.Sent), nanos(x.Headers), nanos(x.Ended)
		if x.Outcome == client.Cancelled || x.Outcome == client.Timeout {
			r.Left = nanos(x.Ended)
		}
		r.Status, r.Reason = x.Status, s.said.Reason
		r.Retry, r.Rates, r.SaidReserved = s.said.Retry, s.said.Rates, s.said.Reserved
	}
	if len(entries) > 0 {
		head, last := &entries[0], &entries[len(entries)-1]
		r.Received = head.RecvNS
		r.UsageAt, r.Finished = last.Sent.UsageNS, last.EndNS
		if r.Status == http.StatusTooManyRequests && last.Sent.Status == r.Status {
			r.Retry, r.Rates = nil, nil // the upstream's own, passed on
		}
	}
	binding := judge.Binding{}
	if r.Sent != 0 {
		if rules := w.rulesAt(time.Unix(0, r.Sent)); rules != nil {
			binding = rules.Bind(w.view(s))
			binding.Fill(&r)
		}
	}
	r.Decision = decision(s, len(entries) > 0, binding.Refused != "")
	if s.x != nil && r.Decision == judge.Admitted && len(entries) > 0 {
		w.ending(&r, s, &entries[len(entries)-1])
	}
	// Admitted without an entry in the journal: whether anything was written
	// upstream before the connection broke, nobody has seen, and the outcome stays
	// unknown.
	return r
}

// view is a request as it was sent.
func (w *world) view(s *sentRequest) judge.View {
	return judge.View{
		Method: s.wire.Method, Host: cmp.Or(s.wire.Header.Get("Host"), hostOf(s.wire.URL)), Path: s.path, Query: s.query,
		Header: s.wire.Header, Peer: "127.0.0.1", Payers: s.payment.keys, Body: s.wire.Body,
	}
}

func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

func nanos(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixNano()
}

// exemptCalls counts second calls after a 400 that named stream_options, the only
// repetition that a target may allow itself.
func exemptCalls(entries []mockllm.Entry) int {
	n := 0
	for i := range len(entries) - 1 {
		if entries[i].Sent.Status == http.StatusBadRequest && strings.Contains(string(entries[i].Sent.Body), "stream_options") {
			n++
		}
	}
	return n
}

// limitReasons are the reasons of a limiter that said no, in whatever status.
var limitReasons = []string{
	"tpm_exceeded", "tpd_exceeded", "rate_limit_exceeded", "budget_exceeded", "concurrency_exceeded", "request_too_large",
	"prompt_tokens_exceeded", "max_tokens_per_request_exceeded",
}

// decision is what the target decided. What the mock has seen was admitted,
// whatever the client was told.
func decision(s *sentRequest, reachedMock, refused bool) judge.Decision {
	switch {
	case reachedMock:
		return judge.Admitted
	case s.x == nil || s.x.Status == 0:
		return judge.Undecided
	case refused:
		return judge.Refused
	case slices.Contains(limitReasons, s.said.Reason):
		return judge.Rejected
	}
	switch s.x.Status {
	case http.StatusTooManyRequests, http.StatusForbidden: // 403 is a quota at some gateways
		return judge.Rejected
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return judge.Admitted // it tried, and reached nobody
	case http.StatusOK:
		return judge.Admitted // from a cache, or by a mock that is not ours
	}
	return judge.Refused
}

// judge reads the ledger one last time, when nothing is under way any more, and
// has the whole history judged.
func (w *world) judge(ctx context.Context) {
	w.settled()
	if off := w.cell.Scenario.Judge; off != nil {
		w.note("the judge is off: " + off.Off)
	}
	var accounts []ledgerAccount
	if w.ledgerURL() != "" && len(w.limits()) > 0 {
		var err error
		if accounts, err = w.readLedger(context.WithoutCancel(ctx)); err != nil {
			w.note("the ledger at the end: " + err.Error())
		}
	}
	h := w.history()
	h.Ledger = ledgerEntries(accounts, h)
	h.Header.End = time.Now().UnixNano()
	w.result.History = h
	w.fillRequests(h)
	if w.byURL() {
		if suspicion := failOpen(h); suspicion != "" {
			w.note(suspicion)
		}
	}
	if w.cell.Scenario.Judge != nil || len(w.limits()) == 0 {
		return
	}
	w.result.Judged = judge.Judge(h)
	w.result.sendings = w.sendings()
}

// fillRequests writes the requests of the result.
func (w *world) fillRequests(h *judge.History) {
	instant := func(ns int64) time.Duration {
		if ns == 0 {
			return -1
		}
		return time.Duration(ns - h.Header.Start)
	}
	for i, s := range w.sent {
		r := &h.Requests[i]
		x := &Exchange{
			ID: r.ID, Step: r.Step, Sent: instant(r.Sent), First: instant(r.HeadersAt), Ended: instant(r.Ended),
			Received: instant(r.Received), UsageAt: instant(r.UsageAt), Finished: instant(r.Finished), Status: r.Status, Decision: string(r.Decision),
			Reason: r.Reason, Curl: r.Curl,
		}
		if !s.due.IsZero() {
			x.Due = s.due.Sub(w.start)
		}
		for i := range r.Holds {
			hold := &r.Holds[i]
			if hold.Reserved.Lo <= x.Reserved {
				continue
			}
			x.Reserved, x.Key = hold.Reserved.Lo, hold.Key
			if r.Decision == judge.Admitted {
				cost := h.Costs(r, hold)
				x.Actual, x.AtMost = cost.Lo, cost.Hi
			}
		}
		if r.Usage != nil {
			x.Usage = max(r.Usage.Total, r.Usage.In+r.Usage.Out)
		}
		if s.x != nil {
			x.Outcome, x.Bytes, x.Stream, x.Framing = s.x.Outcome, s.bytes, s.streamed, s.x.Framing
			if s.x.Err != nil {
				x.Error = w.secret(s.x.Err.Error())
			}
		}
		w.result.Requests = append(w.result.Requests, x)
	}
}
