package load

import (
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// recorder counts what came of shots, in constant memory: histograms for each
// outcome, counters, and a time series whose bins widen. It is safe for concurrent
// use.
type recorder struct {
	begun  time.Time
	span   Span
	bound  int64 // on shots in flight
	closed bool  // the model; set before the first shot

	mu          sync.Mutex // guards what follows
	outcomes    [outcomeCount]*timings
	lag         *hdrhistogram.Histogram
	overhead    *hdrhistogram.Histogram
	statuses    map[int]int64
	warm        struct{ sent, dropped int64 }
	sent        int64
	dropped     int64
	ended       int64
	goodput     int64
	maxInFlight int64
	lastSent    time.Time // of those that count
	series      series
}

// timings are the distributions of one outcome.
type timings struct{ response, service, ttft, gap *hdrhistogram.Histogram }

func newRecorder(begun time.Time, span Span, bound int64) *recorder {
	return &recorder{
		begun: begun, span: span, bound: bound,
		lag: newHistogram(), overhead: newHistogram(), statuses: map[int]int64{}, series: newSeries(span.Whole),
	}
}

// newHistogram holds from a microsecond to an hour, to three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3)
}

// keep enters a duration in microseconds; what lies outside the histogram's range
// counts as its nearest end.
func keep(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(0, d.Microseconds()), h.HighestTrackableValue())) // it is within the range
}

// fire counts a shot that is in flight from now on.
func (r *recorder) fire(s Shot, now time.Time, inFlight int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.maxInFlight = max(r.maxInFlight, inFlight)
	r.series.bin(s.Due.Sub(r.begun)).Offered++
	r.series.bin(now.Sub(r.begun)).Sent++
	if s.Warmup {
		r.warm.sent++
		return
	}
	r.sent++
	r.lastSent = now
}

// drop counts a shot that was due while there was no room for it.
func (r *recorder) drop(a Arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bin := r.series.bin(a.Due)
	bin.Offered++
	bin.Dropped++
	if a.Warmup {
		r.warm.dropped++
		return
	}
	r.dropped++
}

// record enters what came of a shot.
func (r *recorder) record(s Shot, result *Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bin := r.series.bin(result.Ended.Sub(r.begun))
	switch result.Outcome {
	case Admitted:
		bin.Admitted++
	case Rejected:
		bin.Rejected++
	case Failed, Cancelled:
	}
	if result.Good {
		bin.Goodput++
	}
	if s.Warmup {
		return
	}
	r.ended++
	if result.Good {
		r.goodput++
	}
	if result.Status > 0 {
		r.statuses[result.Status]++
	}
	t := r.outcomes[result.Outcome]
	if t == nil {
		t = &timings{newHistogram(), newHistogram(), newHistogram(), newHistogram()}
		r.outcomes[result.Outcome] = t
	}
	keep(t.response, result.Ended.Sub(s.Due))
	if result.Sent.IsZero() {
		return // it was never sent: there is no service to time
	}
	keep(t.service, result.service())
	keep(r.lag, result.Sent.Sub(s.Due))
	if !result.Content.IsZero() {
		keep(t.ttft, result.Content.Sub(result.Sent))
	}
	for _, gap := range result.Gaps {
		keep(t.gap, gap)
	}
	if result.Paired {
		keep(r.overhead, result.Overhead)
	}
}

// progress is how far the load is, but for its rate.
func (r *recorder) progress(inFlight int64) Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{
		Elapsed: time.Since(r.begun), Planned: r.span.Whole, Sent: r.warm.sent + r.sent, Dropped: r.warm.dropped + r.dropped,
		InFlight: inFlight,
		Summary:  func() *Summary { return r.finish(time.Since(r.begun)) },
	}
	all := newHistogram()
	for _, t := range r.outcomes {
		if t != nil {
			all.Merge(t.response)
		}
	}
	if t := r.outcomes[Rejected]; t != nil {
		p.Rejected = t.response.TotalCount()
	}
	p.P99 = time.Duration(all.ValueAtQuantile(99)) * time.Microsecond
	return p
}

// statusCounts are the answers by status and by class: "200" and "2xx".
func (r *recorder) statusCounts() map[string]int64 {
	counts := map[string]int64{}
	for status, n := range r.statuses {
		counts[strconv.Itoa(status)] = n
		counts[strconv.Itoa(status/100)+"xx"] += n
	}
	return counts
}
