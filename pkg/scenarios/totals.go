package scenarios

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// clocked are the distributions of a load.
type clocked struct{ latency, service, ttft, gap, overhead, lag *hdrhistogram.Histogram }

// newHistogram holds from a microsecond to an hour, to three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3)
}

// record keeps a duration in microseconds; what is longer than the histogram's
// range counts as its end.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	micros := min(max(0, d.Microseconds()), h.HighestTrackableValue())
	_ = h.RecordValue(micros) // it is within the range
}

// totals sums up what has come back. sending is how long requests were sent.
func (b *barrage) totals(sending time.Duration) *suite.LoadTotals {
	b.mu.Lock()
	shots := slices.Clone(b.shots)
	t := &suite.LoadTotals{
		Dropped: int64(b.dropped), MaxInFlight: int64(b.highest), Duration: time.Since(b.begun), Statuses: map[string]int64{},
	}
	planned := b.planned
	b.mu.Unlock()
	h := clocked{newHistogram(), newHistogram(), newHistogram(), newHistogram(), newHistogram(), newHistogram()}
	mock := b.l.w.journal()
	for _, one := range shots {
		if !one.warmup {
			b.l.w.tally(t, &h, one, mock[one.s.id])
		}
	}
	measured := sending
	for _, stage := range b.load.Stages {
		if stage.Warmup {
			measured -= stage.For
		}
	}
	if seconds := measured.Seconds(); seconds > 0 {
		t.PlannedRate, t.AchievedRate = float64(planned)/seconds, float64(t.Count)/seconds
	}
	t.Latency, t.Service, t.TTFT = quantiles(h.latency), quantiles(h.service), quantiles(h.ttft)
	t.Gap, t.Overhead, t.SenderLag = quantiles(h.gap), quantiles(h.overhead), quantiles(h.lag)
	return t
}

// tally counts one request.
func (w *world) tally(t *suite.LoadTotals, h *clocked, one *shot, entries []mockllm.Entry) {
	t.Count++
	w.mu.Lock()
	x, gaps := one.s.x, one.s.gaps
	w.mu.Unlock()
	if x == nil {
		return
	}
	switch decision(one.s, len(entries) > 0, false) {
	case judge.Admitted:
		t.Admitted++
		if len(entries) > 0 {
			last := &entries[len(entries)-1]
			t.AdmittedTokens += last.Usage.Total
			if x.Outcome == client.Complete && last.Done() {
				record(h.overhead, x.Ended.Sub(x.Sent)-last.EndAt.Sub(entries[0].Recv))
			}
		}
	case judge.Rejected:
		t.Rejected++
	case judge.Refused, judge.Undecided:
		if x.Outcome != client.Cancelled {
			t.Errors++
		}
	}
	if x.Outcome == client.Cancelled {
		t.Cancelled++
	}
	if x.Outcome == client.Complete && x.Status == 200 {
		t.Goodput++
	}
	if x.Status > 0 {
		t.Statuses[fmt.Sprint(x.Status)]++
		t.Statuses[fmt.Sprintf("%dxx", x.Status/100)]++
	}
	record(h.lag, x.Sent.Sub(one.due))
	record(h.latency, x.Ended.Sub(one.due))
	record(h.service, x.Ended.Sub(x.Sent))
	if at := firstContent(x); !at.IsZero() && x.Status == 200 {
		record(h.ttft, at.Sub(x.Sent))
	}
	for _, gap := range gaps {
		record(h.gap, gap)
	}
}

func firstContent(x *client.Exchange) time.Time {
	if !x.Content.IsZero() {
		return x.Content
	}
	return x.Headers
}

func quantiles(h *hdrhistogram.Histogram) suite.Quantiles {
	if h.TotalCount() == 0 {
		return suite.Quantiles{}
	}
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) * time.Microsecond }
	return suite.Quantiles{
		Min: time.Duration(h.Min()) * time.Microsecond, Mean: time.Duration(h.Mean() * float64(time.Microsecond)),
		P50: at(50), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9), Max: time.Duration(h.Max()) * time.Microsecond,
	}
}

// leastDelivered is the share of the plan that a valid measurement delivers.
const leastDelivered = 0.98

// deliveredAsPlanned notes a load that was not: then its latencies say nothing of
// the target. In virtual time a sender cannot lag, and a drop is the plan's own.
func (w *world) deliveredAsPlanned(t *suite.LoadTotals, virtual bool) {
	if virtual || t.PlannedRate == 0 || t.AchievedRate >= leastDelivered*t.PlannedRate {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.result.InvalidLoad = fmt.Sprintf("%.1f requests/s were sent of %.1f/s planned; %d were dropped at the bound on requests in flight",
		t.AchievedRate, t.PlannedRate, t.Dropped)
}

// lighten lets go of the bodies of a request of a load, once all that is needed of
// them has been computed: a million of them would not fit into memory.
func (s *sentRequest) lighten() {
	x := s.x
	for i := 1; i < len(x.Events); i++ {
		s.gaps = append(s.gaps, x.Events[i].At.Sub(x.Events[i-1].At))
	}
	x.Raw, x.Body, x.Events, x.Pieces = nil, nil, nil, nil
}
