package load

import (
	"fmt"
	"iter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Summary is what a load measured. Counts, rates and distributions are without the
// warm-up; InFlight and Series are with it.
type Summary struct {
	Sent     int64            `json:"sent"`
	Ended    int64            `json:"ended"`
	Dropped  int64            `json:"dropped"` // due while there was no room
	Goodput  int64            `json:"goodput"`
	Statuses map[string]int64 `json:"statuses"` // by status and by class: "200" and "2xx"

	PlannedRate  float64       `json:"planned_rate"`  // per second
	AchievedRate float64       `json:"achieved_rate"` // per second
	Duration     time.Duration `json:"duration_ns"`   // of everything, until the last shot ended
	MaxInFlight  int64         `json:"max_in_flight"`
	Bound        int64         `json:"bound"` // on shots in flight

	All       Timings             `json:"all"`
	Outcomes  map[string]*Timings `json:"outcomes"`   // by the outcome's name; those that occurred
	SenderLag Distribution        `json:"sender_lag"` // from due to sent: the pacer's own error
	Overhead  Distribution        `json:"overhead"`   // of pairs; below 0 counts as 0

	BinWidth time.Duration `json:"bin_width_ns"`
	Series   []Bin         `json:"series"`
}

// Timings are the distributions of shots that ended alike.
type Timings struct {
	Response Distribution `json:"response"` // from due to the end
	Service  Distribution `json:"service"`  // from sent to the end
	TTFT     Distribution `json:"ttft"`     // from sent to the first event of content
	Gap      Distribution `json:"gap"`      // between events
}

// Distribution is of durations, from a microsecond to an hour, to three digits.
type Distribution struct {
	Count int64         `json:"count"`
	Min   time.Duration `json:"min_ns"`
	Mean  time.Duration `json:"mean_ns"`
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
	P95   time.Duration `json:"p95_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
	Max   time.Duration `json:"max_ns"`
	// HDR is all of it, in the exchange format of HdrHistogram: V2, compressed, in
	// base64, values in microseconds. It is absent from an empty distribution.
	HDR HDR `json:"hdr,omitzero"`
}

// HDR is a histogram of microseconds. As text it is in its exchange format.
type HDR struct{ histogram *hdrhistogram.Histogram }

// Histogram is nil if the distribution is empty. It is the caller's to read, not to
// change.
func (h HDR) Histogram() *hdrhistogram.Histogram { return h.histogram }

// IsZero tells whether there is no histogram.
func (h HDR) IsZero() bool { return h.histogram == nil }

// JSONSchemaAlias tells generators of schemas that it is a string.
func (HDR) JSONSchemaAlias() any { return "" }

// MarshalText implements [encoding.TextMarshaler].
func (h HDR) MarshalText() ([]byte, error) {
	if h.histogram == nil {
		return nil, nil
	}
	blob, err := h.histogram.EncodeV2()
	if err != nil {
		return nil, fmt.Errorf("encoding a histogram: %w", err)
	}
	return blob, nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *HDR) UnmarshalText(text []byte) error {
	h.histogram = nil
	if len(text) == 0 {
		return nil
	}
	decoded, err := hdrhistogram.Decode(text)
	if err != nil {
		return fmt.Errorf("decoding a histogram: %w", err)
	}
	h.histogram = decoded
	return nil
}

// Distribute makes a distribution of durations that were measured elsewhere.
func Distribute(durations iter.Seq[time.Duration]) Distribution {
	h := newHistogram()
	for d := range durations {
		keep(h, d)
	}
	return describe(h)
}

// describe takes a copy: the recorder goes on.
func describe(h *hdrhistogram.Histogram) Distribution {
	if h.TotalCount() == 0 {
		return Distribution{}
	}
	at := h.ValueAtPercentilesSlice([]float64{50, 90, 95, 99, 99.9})
	micros := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	return Distribution{
		Count: h.TotalCount(), Min: micros(h.Min()), Mean: time.Duration(h.Mean() * float64(time.Microsecond)),
		P50: micros(at[0]), P90: micros(at[1]), P95: micros(at[2]), P99: micros(at[3]), P999: micros(at[4]), Max: micros(h.Max()),
		HDR: HDR{h.Clone()},
	}
}

func (t *timings) describe() *Timings {
	return &Timings{describe(t.response), describe(t.service), describe(t.ttft), describe(t.gap)}
}

// finish sums up; sending is for how long shots were fired.
func (r *recorder) finish(sending time.Duration) *Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &Summary{
		Sent: r.sent, Ended: r.ended, Dropped: r.dropped, Goodput: r.goodput, Statuses: r.statusCounts(),
		Duration: time.Since(r.begun), MaxInFlight: r.maxInFlight, Bound: r.bound,
		Outcomes: map[string]*Timings{}, SenderLag: describe(r.lag), Overhead: describe(r.overhead),
		BinWidth: r.series.width, Series: append([]Bin(nil), r.series.bins...),
	}
	s.PlannedRate, s.AchievedRate = r.rates(sending)
	all := timings{newHistogram(), newHistogram(), newHistogram(), newHistogram()}
	for outcome, t := range r.outcomes {
		if t == nil {
			continue
		}
		s.Outcomes[Outcome(outcome).String()] = t.describe()
		all.response.Merge(t.response)
		all.service.Merge(t.service)
		all.ttft.Merge(t.ttft)
		all.gap.Merge(t.gap)
	}
	s.All = *all.describe()
	return s
}

// rates are shots per second of the measured time, as planned and as fired. Who
// fires all that was planned, but takes longer than planned, has not achieved it. A
// closed load plans no rate: it plans what it achieves.
func (r *recorder) rates(sending time.Duration) (planned, achieved float64) {
	if r.closed {
		if sending <= 0 {
			return 0, 0
		}
		rate := float64(r.sent) / sending.Seconds()
		return rate, rate
	}
	measured := r.span.Measured()
	if sending < r.span.Whole { // cut short, or still on its way
		measured = sending - r.span.Warmup
	}
	if measured <= 0 {
		return 0, 0
	}
	took := max(measured, r.lastSent.Sub(r.begun)-r.span.Warmup)
	return float64(r.sent+r.dropped) / measured.Seconds(), float64(r.sent) / took.Seconds()
}
