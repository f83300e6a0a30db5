package scenarios

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/load"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// totals sums up a load that is over. Who was admitted is for the mock's journal to
// say: a client that left early cannot know.
func (b *barrage) totals(summary *load.Summary) *suite.LoadTotals {
	t := summed(summary)
	journal := b.l.w.mock.journal()
	var overhead []time.Duration
	b.l.w.mu.Lock()
	defer b.l.w.mu.Unlock()
	for _, one := range b.shots {
		s := one.s
		if one.warmup || s.x == nil {
			continue
		}
		entries := journal(s.id)
		verdict := decision(s, len(entries) > 0, false)
		tally(t, s, verdict)
		if verdict == judge.Admitted && len(entries) > 0 {
			t.AdmittedTokens += entries[len(entries)-1].Usage.Total
			overhead = appendOverhead(overhead, s.x, entries)
		}
	}
	if !b.load.Paired {
		summary.Overhead = load.Distribute(slices.Values(overhead))
		t.Overhead = quantiles(summary.Overhead)
	}
	return t
}

// appendOverhead adds how long an exchange took, less the mock's own part in it.
func appendOverhead(all []time.Duration, x *client.Exchange, entries []mockllm.Entry) []time.Duration {
	begun, last := entries[0].Recv, &entries[len(entries)-1]
	if x.Outcome != client.Complete || !last.Done() {
		return all
	}
	return append(all, x.Ended.Sub(x.Sent)-last.EndAt.Sub(begun))
}

// soFar sums up a load that is under way, by what its clients have seen: to ask the
// journal about every request once a second would slow the mock down.
func (b *barrage) soFar(summary *load.Summary) *suite.LoadTotals {
	t := summed(summary)
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Admitted, t.Rejected, t.Errors, t.Cancelled = b.live.Admitted, b.live.Rejected, b.live.Errors, b.live.Cancelled
	t.AdmittedTokens = b.live.AdmittedTokens
	return t
}

// summed is what does not depend on the target's decisions.
func summed(s *load.Summary) *suite.LoadTotals {
	return &suite.LoadTotals{
		Count: s.Sent, Dropped: s.Dropped, Goodput: s.Goodput, Statuses: s.Statuses,
		PlannedRate: s.PlannedRate, AchievedRate: s.AchievedRate, MaxInFlight: s.MaxInFlight, Duration: s.Duration,
		Latency: quantiles(s.All.Response), Service: quantiles(s.All.Service), TTFT: quantiles(s.All.TTFT), Gap: quantiles(s.All.Gap),
		Overhead: quantiles(s.Overhead), SenderLag: quantiles(s.SenderLag),
	}
}

func quantiles(d load.Distribution) suite.Quantiles {
	return suite.Quantiles{Min: d.Min, Mean: d.Mean, P50: d.P50, P90: d.P90, P95: d.P95, P99: d.P99, P999: d.P999, Max: d.Max}
}

// tally counts what became of one request.
func tally(t *suite.LoadTotals, s *sentRequest, verdict judge.Decision) {
	switch verdict {
	case judge.Admitted:
		t.Admitted++
	case judge.Rejected:
		t.Rejected++
	case judge.Refused, judge.Undecided:
		if s.x.Outcome != client.Cancelled {
			t.Errors++
		}
	}
	if s.x.Outcome == client.Cancelled {
		t.Cancelled++
	}
}

// deliveredAsPlanned notes a load that was not: then what it measured says nothing
// of the target. In virtual time a sender cannot lag, and a drop is the plan's own.
func (w *world) deliveredAsPlanned(s *load.Summary, run *stepRun) {
	reasons := s.Invalid(tightest(run.bound.Check))
	if w.cell.Virtual || len(reasons) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.result.InvalidLoad = strings.Join(reasons, "; ")
	w.result.Warnings = append(w.result.Warnings, "the measurement is invalid: "+w.result.InvalidLoad)
}

// latencyBound is a load's latency with an upper bound that is a literal.
var latencyBound = regexp.MustCompile(`\bload\.(?:latency|service|ttft|gap|overhead)\.\w+\s*<=?\s*([0-9][0-9a-zµ.]*)`)

// tightest is the smallest bound on a latency among checks; 0 if there is none.
func tightest(checks []*suite.Expression) time.Duration {
	least := time.Duration(0)
	for i := range checks {
		for _, match := range latencyBound.FindAllStringSubmatch(checks[i].Source, -1) {
			bound, err := suite.ParseDuration(match[1])
			if err == nil && (least == 0 || bound < least) {
				least = bound
			}
		}
	}
	return least
}

// ofDelivery is what an invalid measurement says nothing about.
var ofDelivery = regexp.MustCompile(`\bload\.(?:latency|service|ttft|gap|overhead|sender_lag|planned_rate|achieved_rate|dropped)\b`)

// voided turns a failed check of what a load measured into a warning where the load
// was not delivered: that is not the target's fault, and not its merit either. What
// is proven in spite of it stays.
func (w *world) voided(c Check) Check {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Outcome == Fail && w.result.InvalidLoad != "" && ofDelivery.MatchString(c.Text) {
		c.Outcome, c.Warning = Pass, true
		c.Message = "void, the measurement is invalid: " + c.Message
	}
	return c
}

// lighten lets go of the bodies and headers that came back to a request of a load, once
// all that is needed of them has been computed: a million of them would not fit into
// memory.
func (s *sentRequest) lighten() {
	x := s.x
	for i := 1; i < len(x.Events); i++ {
		s.gaps = append(s.gaps, x.Events[i].At.Sub(x.Events[i-1].At))
	}
	s.head = headerLines(x.Header)
	x.Raw, x.Body, x.Events, x.Pieces, x.Header, x.Trailer = nil, nil, nil, nil, nil, nil
}
