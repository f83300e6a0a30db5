package limiter_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// lived is one event of a bucket's life, in the order in which the store saw it.
type lived struct {
	at         time.Time
	takes      bool // a reservation was admitted; else one was settled
	of         int  // the event that reserved
	settledBy  int  // of a reservation: the event that settled it
	cost       int64
	actual     int64
	writtenOff int64 // micro-tokens, by this settlement
}

// TestRefundBound says for every interval of random lives how many tokens may be spent in it:
// Σ actual ≤ B + ρ(t - s) + F + O + W, and without F where refunds are retroactive. O is the overshoot not yet debited at
// the last admission of the interval: what is debited later shows as debt, and nothing is admitted until it is repaid.
// The test also demands that F is needed for capped refunds, or it would say little.
func TestRefundBound(t *testing.T) {
	lives := 1500
	if soak() {
		lives = 20_000
	}
	checks(t, lives)
	for _, mode := range []limiter.RefundMode{limiter.Capped, limiter.Retroactive} {
		needed := 0
		t.Run(mode.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				l := &limiter.Limit{
					Name: "tpm", Kind: limiter.TokenBucket, Refund: mode,
					Burst:           rapid.Int64Range(10, 200).Draw(t, "burst"),
					TokensPerMinute: rapid.Int64Range(60, 6000).Draw(t, "tpm"),
				}
				if exceeds(t, l, live(t, l)) {
					needed++
				}
			})
		})
		if needed == 0 && mode == limiter.Capped {
			t.Error("no interval of a capped life needed F")
		}
	}
}

// live makes a random life of one bucket near saturation, with everything settled in the end.
func live(t *rapid.T, l *limiter.Limit) []lived {
	store, now := limiter.New(limiter.Options{}), t0
	var life []lived
	var open []int
	ids := map[int]limiter.ID{}
	settle := func(i int) {
		actual := rapid.Int64Range(0, life[i].cost*5/4).Draw(t, "actual")
		result, err := store.Settle(now, ids[i], []int64{actual})
		if err != nil {
			t.Fatal(err)
		}
		off := result.Holds()[0].WrittenOff
		life[i].actual, life[i].settledBy = actual, len(life)
		life = append(life, lived{at: now, of: i, cost: life[i].cost, actual: actual, writtenOff: off.Tokens*limiter.Micro + off.Micro})
	}
	for n := range rapid.IntRange(10, 60).Draw(t, "events") {
		now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "pause")))
		if len(open) > 0 && rapid.IntRange(0, 2).Draw(t, "settles") == 0 {
			k := rapid.IntRange(0, len(open)-1).Draw(t, "which")
			i := open[k]
			open = append(open[:k], open[k+1:]...)
			settle(i)
			continue
		}
		id := limiter.ID{byte(n), 1}
		cost := rapid.Int64Range(1, l.Burst).Draw(t, "cost")
		d, err := store.Reserve(now, &limiter.Request{ID: id, Lease: time.Hour, Holds: []limiter.Hold{
			{Account: limiter.Account{Key: "a", Limit: l}, Cost: cost},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if d.Admitted {
			ids[len(life)] = id
			open = append(open, len(life))
			life = append(life, lived{at: now, takes: true, cost: cost})
		}
	}
	for _, i := range open {
		settle(i)
	}
	return life
}

// exceeds fails if some interval of the life breaks the bound, and says whether some needed F. In units of 1/60 000
// micro-token the refill is a whole number.
func exceeds(t *rapid.T, l *limiter.Limit, life []lived) (needsF bool) {
	const micro = 60_000
	const token = micro * limiter.Micro
	for s := range life {
		var actual, refunds, overshoot, writtenOff int64
		for e := s; e < len(life); e++ {
			ev := life[e]
			switch {
			case ev.takes:
				actual += ev.actual
				overshoot += max(ev.actual-ev.cost, 0)
			default:
				if ev.of < s {
					refunds += max(ev.cost-ev.actual, 0)
				} else {
					overshoot -= max(ev.actual-ev.cost, 0) // debited by now
				}
				writtenOff += ev.writtenOff
			}
			if !ev.takes {
				continue // between two admissions only the allowance grows
			}
			bound := l.Burst*token + int64(ev.at.Sub(life[s].at))*l.TokensPerMinute + overshoot*token + writtenOff*micro
			if actual*token <= bound {
				continue
			}
			needsF = true
			if l.Refund == limiter.Retroactive || actual*token > bound+refunds*token {
				t.Fatalf("events %d to %d: %d tokens against %v + F %d + O %d + W %d", s, e, actual, l, refunds, overshoot, writtenOff)
			}
		}
	}
	return needsF
}
