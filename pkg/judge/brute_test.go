package judge

import (
	"math/rand/v2"
	"testing"
)

// bruteLevel evaluates a bound as it is defined: the least, over all windows
// (s, T], of what a full bucket at s may (or must) have left at T. Amounts are
// micro-tokens; the bucket gains one per nanosecond.
func bruteLevel(charges []charge, upper bool, burst, start, at int64) int64 {
	starts := []int64{start, at}
	for i := range charges {
		c := &charges[i]
		for _, s := range []int64{c.decided.Lo, c.decided.Hi, c.settled.Lo, c.settled.Hi} {
			if s <= at {
				starts = append(starts, s)
			}
		}
	}
	least := burst
	for _, s := range starts {
		// A window may begin right before or right after what happens at s, or, for
		// the lower bound, after its refunds and before its charges. For the upper one
		// every window is a bound.
		before, between, after := burst+at-s, burst+at-s, burst+at-s
		for i := range charges {
			before += 1_000_000 * bruteShare(&charges[i], upper, s-1, s-1, at)
			between += 1_000_000 * bruteShare(&charges[i], upper, s-1, s, at)
			after += 1_000_000 * bruteShare(&charges[i], upper, s, s, at)
		}
		least = min(least, before)
		if !upper {
			least = min(least, between, after)
		}
	}
	return least
}

// bruteShare is what one charge contributes to the window (s, T]. The upper bound
// counts it only if it certainly lies inside, its refund if it may; the lower
// bound the opposite, and no refund without its charge.
func bruteShare(c *charge, upper bool, s, refunds, at int64) int64 {
	e, r := c.taken.Lo, c.taken.Lo-c.actual.Lo
	if c.asks {
		return 0
	}
	share := int64(0)
	if upper {
		if c.decided.Lo > s && c.decided.Hi < at {
			share -= e
		}
		// A settlement that overshoots is a charge of its own.
		if r < 0 && c.settled.Lo > s && c.settled.Hi < at {
			share += r
		}
		if r > 0 && c.settled.Hi > refunds && c.settled.Lo <= at && (c.decided.Hi < at || !c.decided.IsPoint()) {
			share += r
		}
		return share
	}
	if c.decided.Hi > s && c.decided.Lo <= at {
		share -= e
	}
	if r < 0 && c.settled.Hi > s && c.settled.Lo <= at {
		share += r
	}
	switch {
	case r <= 0 || c.settled.Hi >= at:
	case c.settled.Lo <= c.decided.Hi && c.decided.Hi > s, c.settled.Lo > refunds:
		share += r
	}
	return share
}

func TestBoundsEqualBruteForce(t *testing.T) {
	t.Parallel()
	for seed := range histories(3000) {
		rng := rand.New(rand.NewPCG(uint64(seed), 9))
		burst := 50 + rng.Int64N(100)
		a := &account{limit: &Limit{
			ID: "l", Window: WindowBucket, Amount: Exactly(60_000), Per: 60 * sec, Burst: Exactly(burst), Settles: true,
		}}
		h := &Header{Start: 10, Target: Target{Accounting: AccountingReserve, DebtFloor: DebtFloorNone}}
		a.charges = randomCharges(rng)
		if !a.judgeBucket(h, 1000*ms) {
			t.Fatal("the bucket is out of reach")
		}
		for i, at := range a.high.at {
			up := bruteLevel(a.charges, true, burst*1_000_000, 10, at)
			down := bruteLevel(a.charges, false, burst*1_000_000, 10, at)
			if got := scaled(a.high.value[i], a.upScale.unit); got != up {
				t.Fatalf("seed %d: upper bound at %d is %d, want %d\n%+v", seed, at, got, up, a.charges)
			}
			if got := scaled(a.low.value[i], a.downScale.unit); got != down {
				t.Fatalf("seed %d: lower bound at %d is %d, want %d\n%+v", seed, at, got, down, a.charges)
			}
		}
	}
}

// scaled converts a level to micro-tokens.
func scaled(v, unit int64) int64 { return v * (1_000_000 / unit) }

func randomCharges(rng *rand.Rand) []charge {
	charges := make([]charge, 1+rng.IntN(8))
	for i := range charges {
		c := &charges[i]
		lo := 20*ms + rng.Int64N(40)*ms
		c.decided = Between(lo, lo+rng.Int64N(3)*rng.Int64N(10)*ms)
		ulo := c.decided.Hi + rng.Int64N(3)*rng.Int64N(20)*ms
		c.settled = Between(ulo, ulo+rng.Int64N(3)*rng.Int64N(20)*ms)
		e := 1 + rng.Int64N(40)
		c.taken, c.demand, c.actual = Exactly(e), Exactly(e), Exactly(rng.Int64N(50))
		c.judged, c.asks = true, rng.IntN(6) == 0
	}
	return charges
}

func TestDemandBoundEqualsBruteForce(t *testing.T) {
	t.Parallel()
	for seed := range histories(2000) {
		rng := rand.New(rand.NewPCG(uint64(seed), 5))
		arrivals := make([]Arrival, 1+rng.IntN(10))
		for i := range arrivals {
			lo := rng.Int64N(50) * ms
			arrivals[i] = Arrival{Between(lo, lo+int64(seed%2)*rng.Int64N(20)*ms), 1 + rng.Int64N(30)}
		}
		got, _ := Burst(arrivals, 1000, sec) // one token per ms
		want := int64(0)
		for _, x := range arrivals {
			for _, y := range arrivals {
				sum := int64(0)
				for _, z := range arrivals {
					if z.At.Lo >= x.At.Lo && z.At.Hi <= y.At.Hi {
						sum += z.Tokens
					}
				}
				if y.At.Hi >= x.At.Lo {
					want = max(want, sum-(y.At.Hi-x.At.Lo)/ms)
				}
			}
		}
		if got != want {
			t.Fatalf("seed %d: got %d, want %d for %v", seed, got, want, arrivals)
		}
	}
}
