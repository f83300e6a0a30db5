package load

import (
	"context"
	"encoding/json"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Every distribution holds what it says, per outcome and over all, and the first
// content and the gaps are those of the answers that have some.
func TestDistributions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		s := open(t, OpenConfig{
			Pacer: stages(t, Constant(), 1, Stage{For: 10 * time.Second, From: 10, To: 10}),
			Config: Config{Source: func(s Shot) (Fire, error) {
				return func(context.Context) Result {
					sent := time.Now().Add(3 * ms) // the sender was late
					switch s.Number % 4 {
					case 0:
						return Result{Status: 200, Good: true, Sent: sent, Content: sent.Add(20 * ms), Ended: sent.Add(50 * ms), Gaps: []time.Duration{10 * ms, 20 * ms}}
					case 1:
						return Result{Outcome: Rejected, Status: 429, Sent: sent, Ended: sent.Add(ms)}
					case 2:
						return Result{Outcome: Cancelled, Status: 200, Sent: sent, Ended: sent.Add(9 * ms)}
					}
					return Result{Outcome: Failed, Ended: time.Now().Add(7 * ms)} // nobody there: never sent
				}, nil
			}},
		})
		for outcome, want := range map[string]struct {
			count             int64
			response, service time.Duration
		}{"admitted": {25, 53 * ms, 50 * ms}, "rejected": {25, 4 * ms, ms}, "cancelled": {25, 12 * ms, 9 * ms}, "failed": {25, 7 * ms, 0}} {
			got := s.Outcomes[outcome]
			if got == nil || got.Response.Count != want.count {
				t.Fatalf("%s: found %+v, expected %d", outcome, got, want.count)
			}
			near(t, outcome+" response", got.Response.P99, want.response)
			near(t, outcome+" service", got.Service.P99, want.service)
		}
		near(t, "TTFT", s.All.TTFT.P50, 20*ms)
		near(t, "shortest gap", s.All.Gap.Min, 10*ms)
		near(t, "longest gap", s.All.Gap.Max, 20*ms)
		near(t, "sender lag", s.SenderLag.P50, 3*ms)
		if s.All.Response.Count != 100 || s.All.Service.Count != 75 || s.All.TTFT.Count != 25 || s.All.Gap.Count != 50 || s.Goodput != 25 {
			t.Errorf("counts %d %d %d %d, goodput %d", s.All.Response.Count, s.All.Service.Count, s.All.TTFT.Count, s.All.Gap.Count, s.Goodput)
		}
		if s.Statuses["2xx"] != 50 || s.Statuses["429"] != 25 || len(s.Statuses) != 4 {
			t.Errorf("statuses %v", s.Statuses)
		}
	})
}

// A histogram survives run.json bit for bit: plots are drawn again from there.
func TestHistogramsInJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistogram()
		for _, micros := range rapid.SliceOfN(rapid.Int64Range(0, 3_600_000_000), 0, 50).Draw(t, "micros") {
			keep(h, time.Duration(micros)*time.Microsecond)
		}
		d := describe(h)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back Distribution
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if empty := h.TotalCount() == 0; empty != d.HDR.IsZero() {
			t.Fatalf("%d values, and a histogram: %v", h.TotalCount(), !d.HDR.IsZero())
		}
		if d.HDR.IsZero() {
			if strings.Contains(string(text), "hdr") || !back.HDR.IsZero() {
				t.Fatalf("nothing was written as %s", text)
			}
			return
		}
		if !back.HDR.Histogram().Equals(h) {
			t.Fatal("another histogram came back")
		}
		back.HDR, d.HDR = HDR{}, HDR{}
		if back != d {
			t.Fatalf("%+v came back as %+v", d, back)
		}
	})
	var d Distribution
	if err := json.Unmarshal([]byte(`{"hdr":"?"}`), &d); err == nil || !strings.Contains(err.Error(), "decoding a histogram: ") {
		t.Errorf("a broken histogram gives %v", err)
	}
}

func TestOutsideTheRange(t *testing.T) {
	h := newHistogram()
	for _, d := range []time.Duration{-time.Second, 0, time.Hour, 25 * time.Hour, math.MaxInt64} {
		keep(h, d)
	}
	if h.TotalCount() != 5 || h.Max() < int64(time.Hour/time.Microsecond) || h.Min() != 0 {
		t.Errorf("%d kept between %d and %d", h.TotalCount(), h.Min(), h.Max())
	}
}

// However long a load turns out to be, the series stays small and loses nothing.
func TestSeries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSeries(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "span")))
		n := rapid.IntRange(1, 300).Draw(t, "events")
		for range n {
			s.bin(time.Duration(rapid.Int64Range(-5, int64(100*time.Hour)).Draw(t, "at"))).Offered++
		}
		var sum Bin
		for _, bin := range s.bins {
			sum.add(bin)
		}
		if sum.Offered != int64(n) || len(s.bins) > mostBins {
			t.Fatalf("%d of %d events are in %d bins", sum.Offered, n, len(s.bins))
		}
	})
	// An event is found at its own time after bins were put together.
	s := newSeries(100 * time.Second)
	s.bin(150*time.Second).Sent++
	s.bin(10_000 * time.Second)
	at := slices.IndexFunc(s.bins, func(b Bin) bool { return b.Sent == 1 })
	if from := time.Duration(at) * s.width; s.width != 64*time.Second || from > 150*time.Second || from+s.width <= 150*time.Second {
		t.Errorf("what happened at 150s is in the bin from %v of width %v", from, s.width)
	}
}

func TestInvalid(t *testing.T) {
	valid := Summary{Bound: 10, MaxInFlight: 10, PlannedRate: 100, AchievedRate: 98, SenderLag: Distribution{P99: 500 * time.Microsecond}}
	for _, row := range []struct {
		why      string
		change   func(*Summary)
		tightest time.Duration
		reason   string // how it begins; empty: valid
	}{
		{"exactly as much as is needed", func(*Summary) {}, 5 * time.Millisecond, ""},
		{"too few were sent", func(s *Summary) { s.AchievedRate = 97.9 }, 0, "97.9 requests/s were sent of 100.0/s planned"},
		{"a little late for a tight bound", func(*Summary) {}, 4900 * time.Microsecond, "the sender was late by 500µs"},
		{"late, but no latency is looked at", func(s *Summary) { s.SenderLag.P99 = time.Hour }, 0, ""},
		{"more in flight than allowed", func(s *Summary) { s.MaxInFlight = 11 }, 0, "11 requests were in flight, 10 are allowed"},
		{"a load without arrivals", func(s *Summary) { s.PlannedRate, s.AchievedRate = 0, 0 }, 0, ""},
	} {
		s := valid
		row.change(&s)
		got := strings.Join(s.Invalid(row.tightest), "\n")
		if !strings.HasPrefix(got, row.reason) || row.reason == "" && got != "" {
			t.Errorf("%s: found %q, expected %q", row.why, got, row.reason)
		}
	}
}

// Who sends late all that was planned has not achieved the rate.
func TestLateSenderHasNotAchieved(t *testing.T) {
	begun := time.Now()
	r := newRecorder(begun, Span{Whole: 10 * time.Second}, 5)
	for i := range int64(100) {
		r.fire(Shot{Number: i, Due: begun}, begun.Add(time.Duration(i+1)*200*time.Millisecond), 1)
	}
	if s := r.finish(20 * time.Second); s.PlannedRate != 10 || s.AchievedRate != 5 || s.Invalid(0) == nil {
		t.Errorf("planned %g/s, achieved %g/s in twice the time; expected 10 and 5, and invalid", s.PlannedRate, s.AchievedRate)
	}
	// Cut short after 5 s, it is measured by what was planned until then.
	r = newRecorder(begun, Span{Whole: 10 * time.Second}, 5)
	for i := range int64(50) {
		r.fire(Shot{Number: i, Due: begun}, begun.Add(time.Duration(i+1)*100*time.Millisecond), 1)
	}
	if s := r.finish(5 * time.Second); s.PlannedRate != 10 || s.AchievedRate != 10 {
		t.Errorf("planned %g/s, achieved %g/s until it was cut short; expected 10", s.PlannedRate, s.AchievedRate)
	}
}

func TestPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order strings.Builder
		side := func(name string, d time.Duration, r Result) Fire {
			return func(ctx context.Context) Result {
				order.WriteString(name)
				fire, _ := takes(d, r)(Shot{})
				return fire(ctx)
			}
		}
		for number := range int64(4) {
			r := Pair(Shot{Number: number}, side("d", 10*time.Millisecond, good), side("t", 13*time.Millisecond, good))(t.Context())
			if !r.Paired || r.Overhead != 3*time.Millisecond || r.service() != 13*time.Millisecond {
				t.Errorf("found %+v, expected the exchange through the target and 3 ms on top", r)
			}
		}
		if order.String() != "dttddttd" {
			t.Errorf("the order was %s, expected that each side goes first in turn", order.String())
		}
		rejected := Result{Outcome: Rejected, Status: 429}
		if r := Pair(Shot{}, side("d", 10, good), side("t", 1, rejected))(t.Context()); r.Paired || r.Outcome != Rejected {
			t.Errorf("a rejection was compared with an answer: %+v", r)
		}
	})
}

func TestDescriptors(t *testing.T) {
	d := Descriptors{InFlight: 240, Each: 4, Besides: 64}
	for limit, ok := range map[uint64]bool{1023: false, 1024: true, math.MaxUint64: true, 10: false} {
		if err := d.Check(limit); (err == nil) != ok {
			t.Errorf("%d in flight with %d descriptors: %v", d.InFlight, limit, err)
		}
	}
	want := "240 requests in flight need 1024 file descriptors (4 each and 64 besides), the limit is 1000: raise it (ulimit -n 1024) or allow at most 234 in flight"
	if err := d.Check(1000); err == nil || err.Error() != want {
		t.Errorf("found %v, expected %q", err, want)
	}
}

// A million results take what a thousand take, and far less than 200 MB.
func TestMemoryOfAMillion(t *testing.T) {
	const results = 1_000_000
	begun := time.Now()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := newRecorder(begun, Span{Whole: time.Hour}, 100)
	gaps := []time.Duration{time.Millisecond, 2 * time.Millisecond}
	for i := range int64(results) {
		s := Shot{Number: i, Due: begun.Add(time.Duration(i) * time.Millisecond)}
		r.fire(s, s.Due, 1)
		r.record(s, &Result{
			Outcome: Outcome(i % outcomeCount), Status: 200, Sent: s.Due, Content: s.Due.Add(time.Microsecond),
			Ended: s.Due.Add(time.Duration(i)), Gaps: gaps,
		})
	}
	s := r.finish(time.Hour)
	runtime.ReadMemStats(&after)
	if s.Ended != results || s.All.Gap.Count != 2*results {
		t.Fatalf("%d ended with %d gaps", s.Ended, s.All.Gap.Count)
	}
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
	if allocated > 32 {
		t.Errorf("%d MB were allocated in all, expected the histograms and no more", allocated)
	}
	t.Logf("%d results and their summary: %d MB allocated in all", results, allocated)
}

func BenchmarkRecord(b *testing.B) {
	begun := time.Now()
	r := newRecorder(begun, Span{Whole: time.Hour}, 100)
	result := Result{Status: 200, Sent: begun, Ended: begun.Add(time.Millisecond)}
	for b.Loop() {
		s := Shot{Due: begun}
		r.fire(s, begun, 1)
		r.record(s, &result)
	}
}
