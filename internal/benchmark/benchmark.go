//go:build unix

// Package benchmark measures in benchmarks what code costs beside a reference, in one run and by turns, so that a busy machine is busy
// for both, and says in one line whether a promise about it is kept. "make bench" gathers these lines in a table.
package benchmark

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// Processor is the processor time that this process has used.
func Processor(tb testing.TB) time.Duration {
	tb.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// fewest is how many rounds a median needs, however slow a busy machine makes them.
const fewest = 25

// Rounds lets the sides take turns, batch calls each, until the benchmark has run long enough. The result is the processor time of
// one call in µs, by side and round.
func Rounds(b *testing.B, batch int, sides ...func()) [][]float64 {
	b.Helper()
	took := make([][]float64, len(sides))
	for round, more := 0, true; ; round++ {
		if more = more && b.Loop(); !more && round >= fewest {
			return took
		}
		for k := range sides {
			side := (round + k) % len(sides) // who is first changes
			before := Processor(b)
			for range batch {
				sides[side]()
			}
			took[side] = append(took[side], float64((Processor(b)-before).Nanoseconds())/1e3/float64(batch))
		}
	}
}

// Each is f of the figures of each round.
func Each(rounds [][]float64, f func(of []float64) float64) []float64 {
	out := make([]float64, len(rounds[0]))
	now := make([]float64, len(rounds))
	for i := range out {
		for side := range rounds {
			now[side] = rounds[side][i]
		}
		out[i] = f(now)
	}
	return out
}

// Median is the middle of the figures, which it sorts.
func Median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// AtMost says whether a figure in some unit is within the bound that what has.
func AtMost(b *testing.B, what string, figure, bound float64, unit string) {
	b.Helper()
	verdict(b, what, figure, bound, unit, "at most", figure <= bound)
}

// AtLeast is AtMost the other way round.
func AtLeast(b *testing.B, what string, figure, bound float64, unit string) {
	b.Helper()
	verdict(b, what, figure, bound, unit, "at least", figure >= bound)
}

// verdict prints a row of the table. A benchmark that fails would lose its other figures: it is the table that fails.
func verdict(b *testing.B, what string, figure, bound float64, unit, relation string, holds bool) {
	b.Helper()
	word := "holds"
	if !holds {
		word = "MISSED"
	}
	b.Logf("bound: %s | %.3g%s | %s %g | %s", what, figure, unit, relation, bound, word)
}
