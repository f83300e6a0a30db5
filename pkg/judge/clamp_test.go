package judge

import (
	"math/rand/v2"
	"testing"
)

// A chain makes of its start what its links do one by one, however they are set:
// late, twice, long after those behind them, or never.
func TestChainEqualsItsLinks(t *testing.T) {
	t.Parallel()
	for seed := range uint64(histories(50)) {
		rng := rand.New(rand.NewPCG(seed, 31))
		const n = 1000
		links := make([]clamp, n)
		for i := range links {
			links[i] = unchanged
		}
		start := rng.Int64N(1000)
		c := newChain(start)
		set := func(i int32, final bool) {
			lo := rng.Int64N(2000) - 1000
			f := clamp{add: rng.Int64N(400) - 200, lo: lo, hi: lo + rng.Int64N(3000)}
			c.set(i, f, final)
			f.loAt, f.hiAt = i, i
			links[i] = f
		}
		most := rng.IntN(100)
		var open []int32 // not final yet, in order
		oldest := 0
		for i := range int32(n) {
			open = append(open, i)
			oldest = max(oldest, int(i-open[0])+1)
			for len(open) > 0 && (len(open) > most || rng.IntN(2) == 0) {
				k := rng.IntN(len(open))
				if rng.IntN(10) == 0 {
					set(open[k], false)
					continue
				}
				set(open[k], true)
				open = append(open[:k], open[k+1:]...)
			}
			want, since := start, int32(-1)
			for k := range links {
				want, since = links[k].apply(want, since)
			}
			if got, at := c.value(); got != want || at != since {
				t.Fatalf("seed %d, %d links: %d since %d, want %d since %d", seed, i+1, got, at, want, since)
			}
		}
		if c.size > max(64, 4*(oldest+1)) {
			t.Errorf("seed %d: the tree has %d places, the oldest open link has %d behind it", seed, c.size, oldest)
		}
	}
}
