package judge

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// reloaded is a history in which the same limit came again, 10 s after noon.
func reloaded(before Request, after ...Request) *History {
	l := minute()
	l.ID, l.From = "tpm@1", noon+10*sec
	h := quiet(minute(), append([]Request{before}, after...)...)
	h.Header.Limits = append(h.Header.Limits, l)
	for i := range after {
		if after[i].Sent > l.From {
			h.Requests[i+1].Holds[0].Limit = "tpm@1"
		}
	}
	return h
}

// inRetrospect is such a history with retroactive refunds, and another burst after it.
func inRetrospect(burst int64, before Request, after ...Request) *History {
	h := reloaded(before, after...)
	h.Header.Limits[0].Refund, h.Header.Limits[1].Refund = RefundRetroactive, RefundRetroactive
	h.Header.Limits[1].Burst = Exactly(burst)
	return h
}

// ofSlots makes slots of the limits of a history, as many after its reload and one
// more before.
func ofSlots(n int64, h *History) *History {
	for i := range h.Header.Limits {
		l := &h.Header.Limits[i]
		*l = Limit{ID: l.ID, Rule: l.Rule, Dimension: Concurrency, Amount: Exactly(n + 1), From: l.From}
	}
	h.Header.Limits[1].Amount = Exactly(n)
	return h
}

// between puts a limit of another kind between the two of a reloaded history.
func between(h *History) *History {
	l := daily()
	l.ID, l.From = "tpm@0", noon+9*sec
	h.Header.Limits = append(h.Header.Limits, l)
	return h
}

// straddling fills the windows before and after midnight, and asks for 100 at an
// instant that lies in one or the other.
func straddling(before, after int64, d Decision) []Request {
	const midnight = 12 * 3600 * sec
	last := sent(midnight-sec, 100, d)
	last.HeadersAt, last.Ended = noon+midnight+sec, noon+midnight+sec
	if d == Admitted {
		last = lasting(last, midnight+2*sec)
		last.Received = noon + midnight + sec
	}
	return []Request{sent(0, before, Admitted), sent(midnight+1, after, Admitted), last}
}

// What a request costs in the instant of its own decision does not count against it.
func TestOwnCostIsRight(t *testing.T) {
	t.Parallel()
	for _, used := range []int64{0, 1000, 3000} {
		r := Judge(quiet(minute(), costing(sent(0, 6000, Admitted), used)))
		if r.Totals.Right != 1 {
			t.Errorf("6000 of 6000, charged %d: %+v", used, r.Totals)
		}
	}
	if r := Judge(quiet(minute(), sent(0, 1000, Admitted), costing(sent(sec, 5000, Admitted), 9000))); r.Totals.Right != 2 {
		t.Errorf("an overshoot at once: %+v", r.Totals)
	}
	if r := Judge(quiet(slot(), sent(0, 1, Admitted), sent(sec, 1, Admitted))); r.Totals.Right != 2 {
		t.Errorf("a free slot: %+v", r.Totals)
	}
}

// A finding names the smallest stretch that proves it: nothing before the bucket was
// last full, or at its floor, matters.
func TestProof(t *testing.T) {
	t.Parallel()
	full := func(last Request) *History { // full again at 100 s
		return quiet(minute(), sent(0, 5000, Admitted), sent(100*sec, 4000, Admitted), sent(101*sec, 2000, Admitted), last)
	}
	for _, c := range []struct {
		name     string
		h        *History
		bound    int64
		from, to int64 // since noon
		instants int
	}{
		{"an admission", full(sent(102*sec, 201, Admitted)), 200, 100 * sec, 102 * sec, 3},
		{"a rejection", full(sent(102*sec, 150, Rejected)), 200, 100 * sec, 102 * sec, 3},
		{"half a token too many", full(sent(102*sec+5*ms, 201, Admitted)), 200, 100 * sec, 102*sec + 5*ms, 3},
		{"after a debt that was written off", indebted(DebtFloorBurst, Rejected, 121*sec, 6000), 6000, 121 * sec, 121 * sec, 1},
	} {
		f := Judge(c.h).Findings[0]
		if f.Bound != c.bound || f.From-noon != c.from || f.To-noon != c.to || f.At != f.To || f.Events != c.instants {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
	f := Judge(full(sent(102*sec, 201, Admitted))).Findings[0]
	if got, want := f.Message+"\n"+f.Proof(noon), `r102000 was admitted for 201 with at most 200 left of tpm of "k": 1 too many
1m42s after the start, by the 3 instants since 1m40s at which the account changed`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// The extreme of any stretch is that of its values, one by one.
func TestExtreme(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 41))
	for range 300 {
		n := 1 + rng.IntN(200)
		for _, sign := range []int64{1, -1} {
			s := &series{sign: sign}
			for i := range n {
				s.at, s.value = append(s.at, int64(10*i)), append(s.value, rng.Int64N(1000))
			}
			for block := range slices.Chunk(s.value, blockSize) {
				s.peaks = append(s.peaks, s.best(block, block[0]))
			}
			lo := rng.IntN(n)
			hi := lo + rng.IntN(n-lo)
			want := s.value[lo]
			for _, v := range s.value[lo : hi+1] {
				if (v-want)*sign > 0 {
					want = v
				}
			}
			if got := s.extreme(Between(s.at[lo], s.at[hi])); got != want {
				t.Fatalf("%d values, %d to %d, sign %d: %d, want %d", n, lo, hi, sign, got, want)
			}
		}
	}
}

// A wait is enough: a nanosecond less is not.
func TestWait(t *testing.T) {
	t.Parallel()
	s := scale{unit: 1, num: 3, den: 7} // three units in seven nanoseconds
	for units, want := range map[int64]int64{-1: 0, 0: 0, 1: 3, 3: 7, 4: 10, 6: 14} {
		if got := s.wait(units); got != want {
			t.Errorf("%d units take %d ns, want %d", units, got, want)
		}
	}
	if got := (&scale{unit: 1, den: 1}).wait(1); got != forever {
		t.Errorf("without a rate it takes %d", got)
	}
}

// What is priced is rounded up once.
func TestWeighed(t *testing.T) {
	t.Parallel()
	w := &Weights{Input: 1500, CachedInput: 100, CacheWrite: 1250, Output: 4000, Reasoning: 4001}
	for _, c := range []struct {
		usage Usage
		want  int64
	}{
		{Usage{In: 1}, 2},
		{Usage{In: 10, Cached: 10}, 1},
		{Usage{In: 10, Cached: 4, CacheWrite: 2}, 9},       // 4 x 1.5 + 0.4 + 2.5 = 8.9
		{Usage{Out: 10, Reasoning: 9}, 41},                 // 4 + 36.009
		{Usage{In: 1, Out: 1, Total: 3}, 10},               // what the total has more is output: 1.5 + 8
		{Usage{In: 2, Cached: 3, Out: 1, Reasoning: 2}, 9}, // 0.3 + 8.002: parts above the whole
		{Usage{Out: 1 << 51}, 1 << 53},
		{Usage{Out: 1 << 52}, 1 << 53}, // no charge is higher, and no sum too large for 64 bits
		{Usage{In: 1<<53 - 1, Total: 1 << 53}, 1 << 53},
	} {
		if got := weighed(&c.usage, w); got != c.want {
			t.Errorf("%+v: %d, want %d", c.usage, got, c.want)
		}
	}
}
