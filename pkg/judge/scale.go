package judge

import (
	"math"
	"math/bits"
)

// most is the largest sum that the arithmetic of a bound may meet.
const most = int64(1) << 59

// scale measures the level of a bucket in a unit so small that the refill of one
// nanosecond is a whole number of units: then no step ever rounds. Where that
// unit would overflow, it counts micro-tokens, or tokens, and rounds the refill
// down from one fixed origin, so that errors do not add up: slack is their bound.
type scale struct {
	unit     int64 // units per token
	num, den uint64
	origin   int64 // ns
	slack    int64 // units
}

// newScale prepares a scale for a rate of micro-tokens per ns (num / den), for
// levels and sums up to the given tokens, from origin to end.
func newScale(num, den uint64, tokens, origin, end int64) (scale, bool) {
	const micro = 1_000_000
	g := gcd(num, den*micro)
	exact := scale{unit: int64(den * micro / g), num: num / g, den: 1, origin: origin}
	for _, s := range []scale{
		exact,
		{unit: micro, num: num, den: den, origin: origin, slack: 2},
		{unit: 1, num: num, den: den * micro, origin: origin, slack: 2},
	} {
		if s.unit > 0 && fits(uint64(max(tokens, 1)), uint64(s.unit), 1) &&
			fits(uint64(max(end-origin, 1)), s.num, s.den) {
			return s, true
		}
	}
	return scale{}, false
}

// fits reports whether a x b / den stays in the range of the arithmetic.
func fits(a, b, den uint64) bool {
	hi, lo := bits.Mul64(a, b)
	if hi >= den {
		return false
	}
	q, _ := bits.Div64(hi, lo, den)
	return q < uint64(most)
}

// refilled is what a bucket that is never full gains from the origin to t.
func (s *scale) refilled(t int64) int64 {
	if t <= s.origin {
		return 0
	}
	hi, lo := bits.Mul64(uint64(t-s.origin), s.num)
	if hi >= s.den {
		return most
	}
	q, _ := bits.Div64(hi, lo, s.den)
	return int64(min(q, uint64(most)))
}

// wait is the time in ns that it takes to gain some units, rounded up.
func (s *scale) wait(units int64) int64 {
	if units <= 0 {
		return 0
	}
	if s.num == 0 {
		return forever
	}
	hi, lo := bits.Mul64(uint64(units), s.den)
	if hi >= s.num {
		return forever
	}
	q, rem := bits.Div64(hi, lo, s.num)
	if rem > 0 {
		q++
	}
	return int64(min(q, uint64(forever)))
}

func (s *scale) floor(units int64) int64 { return floorDiv(units, s.unit) }
func (s *scale) ceil(units int64) int64  { return -floorDiv(-units, s.unit) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && a < 0 {
		q--
	}
	return q
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, 1)
}

// perMillion widens an amount, saturating.
func perMillion(v, ppm int64) int64 {
	hi, lo := bits.Mul64(uint64(max(v, 0)), uint64(max(million+ppm, 0)))
	if hi >= million {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, million)
	return int64(min(q, math.MaxInt64))
}
