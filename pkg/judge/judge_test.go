package judge

import (
	"math/rand/v2"
	"os"
	"testing"
)

// histories is how many a property is tried on: LLMLIMIT_SOAK=1 makes it many.
func histories(short int) int {
	if os.Getenv("LLMLIMIT_SOAK") != "" {
		return 100 * short
	}
	return short
}

// randomSimulation draws a policy, a load and troubles.
func randomSimulation(seed uint64) *simulation {
	rng := rand.New(rand.NewPCG(seed, 17))
	s := &simulation{
		rng: rng, start: noon, requests: 20 + rng.IntN(150), keys: 1 + rng.IntN(2),
		tpm: 1000 * (1 + rng.Int64N(300)), load: 0.3 + 1.5*rng.Float64(),
		latency: 1 + rng.Int64N(200)*ms, trouble: 0.3 * rng.Float64(), overshoot: 0.3 + 1.2*rng.Float64(),
		keep5xx: rng.IntN(2) == 0, unknownOutcomes: rng.IntN(4) == 0,
	}
	s.tpm += rng.Int64N(1000)
	s.burst = 500 + rng.Int64N(s.tpm)
	s.maxCost = 100 + rng.Int64N(s.burst)
	if rng.IntN(2) == 0 {
		s.hop = rng.Int64N(10 * ms)
		s.delay = rng.Int64N(20 * ms)
	}
	if rng.IntN(4) == 0 {
		s.retro = true
		s.overshoot = min(s.overshoot, 1)
	}
	if rng.IntN(3) == 0 {
		s.day = s.maxCost * (2 + rng.Int64N(40))
		s.start = noon + 12*3600*sec - rng.Int64N(60*sec) // midnight comes
	}
	if rng.IntN(3) == 0 && !s.retro {
		s.rps, s.rpsBurst = 1+rng.Int64N(20), 1+rng.Int64N(20)
	}
	if rng.IntN(4) == 0 {
		s.clump = 1 + rng.IntN(10)
	}
	if rng.IntN(4) == 0 {
		s.slots = 1 + rng.IntN(8)
	}
	return s
}

// The judge must never cry wolf.
func TestRightLimiterIsNeverFound(t *testing.T) {
	t.Parallel()
	var admitted, rejected, undecidable int
	for seed := range histories(1000) {
		s := randomSimulation(uint64(seed))
		r := Judge(s.history())
		if r.Failed() {
			t.Fatalf("seed %d (%+v): %+v", seed, *s, r.Findings[0])
		}
		admitted += r.Totals.Admitted
		rejected += r.Totals.Rejected
		undecidable += r.Totals.Undecidable
	}
	t.Logf("%d admitted, %d rejected, %d undecidable", admitted, rejected, undecidable)
	if rejected*20 < admitted {
		t.Errorf("%d rejections of %d: the load tests nothing", rejected, admitted+rejected)
	}
}

// weaken forgets some of what is known of a target, truthfully.
func weaken(rng *rand.Rand, s *simulation, h *History) {
	t := &h.Header.Target
	t.Claims, t.Ledger = Claims{}, false
	t.SettleDelay += rng.Int64N(30 * ms)
	if rng.IntN(2) == 0 {
		t.KnownOutcomes = false
	}
	if s.settleAfter {
		t.Accounting = AccountingSettleAfter
	}
	if rng.IntN(3) == 0 {
		t.Accounting = AccountingUnknown
	}
	t.DebtFloor = DebtFloorBurst
	if s.noFloor {
		t.DebtFloor = DebtFloorNone
	}
	if rng.IntN(3) == 0 {
		t.DebtFloor = DebtFloorUnknown
	}
	t.UsedAccounts = rng.IntN(4) == 0
	if rng.IntN(3) == 0 {
		t.TolerancePPM = rng.Int64N(20_000)
	}
	window, widen := rng.IntN(3) == 0, rng.IntN(2) == 0
	for i := range h.Header.Limits {
		if l := &h.Header.Limits[i]; window && l.Per != 0 {
			l.Window = WindowUnknown
		} else if widen && l.Window == WindowBucket {
			l.Burst = Between(l.Burst.Lo-rng.Int64N(l.Burst.Lo/10+1), l.Burst.Hi+rng.Int64N(100))
			l.Amount = Between(l.Amount.Lo-rng.Int64N(l.Amount.Lo/10+1), l.Amount.Hi+rng.Int64N(100))
		}
	}
	skew := rng.Int64N(3 * ms)
	t.ClockError = skew
	guess := rng.IntN(2) == 0
	for i := range h.Requests {
		r := &h.Requests[i]
		for _, at := range []*int64{&r.Received, &r.UsageAt, &r.Finished} {
			if *at != 0 {
				*at += skew // the mock's clock is ahead
			}
		}
		for j := range r.Holds {
			if e := &r.Holds[j].Reserved; guess && e.Hi > 1 {
				*e = Between(e.Lo-rng.Int64N(e.Lo), e.Hi+rng.Int64N(e.Hi))
			}
		}
	}
}

// Whoever knows less may find less, and still must not cry wolf.
func TestRightLimiterOfWhichLittleIsKnown(t *testing.T) {
	t.Parallel()
	var all Totals
	for seed := range histories(400) {
		s := randomSimulation(uint64(seed) + 1_000_000)
		rng := rand.New(rand.NewPCG(uint64(seed), 23))
		if s.noFloor = rng.IntN(3) == 0; !s.retro {
			s.settleAfter = rng.IntN(4) == 0 && s.day == 0
		}
		h := s.history()
		weaken(rng, s, h)
		r := Judge(h)
		if r.Failed() {
			t.Fatalf("seed %d (%+v, %+v, %+v): %+v", seed, *s, h.Header.Target, h.Header.Limits, r.Findings[0])
		}
		all.Right += r.Totals.Right
		all.Undecidable += r.Totals.Undecidable
	}
	t.Logf("%d right, %d undecidable", all.Right, all.Undecidable)
}

// In virtual time the bounds meet in the limiter's own log.
func TestBoundsMeetInVirtualTime(t *testing.T) {
	t.Parallel()
	for seed := range histories(200) {
		s := randomSimulation(uint64(seed))
		s.hop, s.delay, s.trouble, s.unknownOutcomes, s.retro = 0, 0, 0, false, seed%3 == 0
		s.usageLast = true
		if s.retro {
			s.overshoot = min(s.overshoot, 1)
		}
		h := s.history()
		all := accounts(h)
		for _, a := range all {
			if a.limit.ID != "tpm" {
				continue
			}
			if !a.judgeBucket(&h.Header, endOf(h)) {
				t.Fatal("out of reach")
			}
			for i, c := range a.charges {
				v, level := a.verdicts[i], s.levels[h.Requests[c.request].ID]
				if v.least != level || v.most < level || v.most > level+1 {
					t.Fatalf("seed %d: %s had %d left, the bounds are %d and %d", seed, h.Requests[c.request].ID, level, v.least, v.most)
				}
			}
		}
	}
}

// saturated is the load of the table in verification.md.
func saturated(seed uint64, hop int64) *simulation {
	return &simulation{
		rng: rand.New(rand.NewPCG(seed, 3)), start: noon, requests: 1000, keys: 1,
		tpm: 240_000, burst: 6000, load: 1.25, maxCost: 1000, latency: 300 * ms,
		overshoot: 1.3, hop: hop, delay: min(2*ms, 1+hop),
	}
}

var faults = []struct {
	name  string
	fault fault
	clump int   // a race needs company
	idle  int64 // a cap is only seen by who has waited
}{
	{"over-admits 50 tokens", fault{overAdmit: 50}, 0, 0},
	{"over-admits 300 tokens", fault{overAdmit: 300}, 0, 0},
	{"drops 1 % of refunds", fault{dropRefund: 0.01}, 0, 0},
	{"drops 10 % of refunds", fault{dropRefund: 0.1}, 0, 0},
	{"refunds x 0.95", fault{refundScale: 0.95}, 0, 0},
	{"doubles 1 % of refunds", fault{double: 0.01}, 0, 0},
	{"refunds not capped", fault{notCapped: true}, 0, 3 * sec},
	{"refunds 500 ms late", fault{late: 500 * ms}, 0, 0},
	{"overshoot not debited", fault{noDebit: true}, 0, 0},
	{"rate + 1 %", fault{rateScale: 1.01}, 0, 0},
	{"rate - 1 %", fault{rateScale: 0.99}, 0, 0},
	{"burst + 2 %", fault{burstScale: 1.02}, 0, 0},
	{"races for 10 ms", fault{race: 10 * ms}, 8, 0},
}

// And it must see every arithmetic fault, whatever the uncertainty.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	const runs = 8
	found, all := 0, 0
	for _, f := range faults {
		for _, hop := range []int64{0, ms / 2, 5 * ms} {
			n := 0
			for seed := range uint64(runs) {
				s := saturated(seed, hop)
				s.fault, s.clump, s.idle = f.fault, f.clump, f.idle
				if s.idle > 0 {
					s.latency = 2 * sec // what comes back meets a full bucket
				}
				if amountsFailed(Judge(s.history())) {
					n++
				}
			}
			found, all = found+n, all+runs
			t.Logf("%-24s hop %4.1f ms: %2d/%d", f.name, float64(hop)/float64(ms), n, runs)
			if n < runs*3/4 {
				t.Errorf("%s at %d ns: found in %d of %d runs", f.name, hop, n, runs)
			}
		}
	}
	if found*100 < all*95 {
		t.Errorf("found %d of %d", found, all)
	}
}

// amountsFailed: the admissions and rejections alone are proof; what the target
// says of itself in headers and ledger does not count.
func amountsFailed(r *Report) bool {
	return r.Totals.OverAdmissions+r.Totals.WrongfulRejections > 0
}

func TestSaturatedLoadOfRightLimiter(t *testing.T) {
	t.Parallel()
	for _, hop := range []int64{0, ms / 2, 5 * ms} {
		for seed := range uint64(10) {
			s := saturated(seed, hop)
			if seed%2 == 0 {
				s.clump, s.idle = 8, 3*sec
			}
			if r := Judge(s.history()); r.Failed() {
				t.Fatalf("seed %d, hop %d: %+v", seed, hop, r.Findings[0])
			}
		}
	}
}
