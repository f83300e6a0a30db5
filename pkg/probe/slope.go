package probe

import "math"

// Interval holds the values that are possible.
type Interval struct{ Lo, Hi float64 }

// exactly is the interval of one value.
func exactly(v float64) Interval { return Interval{v, v} }

// Mid is the middle.
func (i Interval) Mid() float64 { return (i.Lo + i.Hi) / 2 }

// Width is how wide it is as a share of its middle.
func (i Interval) Width() float64 {
	if i.Mid() == 0 {
		return math.Inf(1)
	}
	return (i.Hi - i.Lo) / i.Mid()
}

// Contains tells whether a value is possible.
func (i Interval) Contains(v float64) bool { return i.Lo <= v && v <= i.Hi }

// point is one answer as an inequality: at some instant in [From, To] (seconds) the
// level was at least Cost (admitted), or below it.
type point struct {
	cost     float64
	from, to float64
	admitted bool
}

// slope is the interval of the rates at which a level can rise that starts anywhere
// and gives these answers. Any two points bound it: from a rejection to a later
// admission it must have risen enough, from an admission to a later rejection it
// cannot have risen too much. The upper end is infinite, the lower zero, where
// nothing bounds them.
func slope(points []point) Interval {
	rate := Interval{0, math.Inf(1)}
	for _, early := range points {
		for _, late := range points {
			switch {
			case !early.admitted && late.admitted && late.to > early.from:
				rate.Lo = max(rate.Lo, (late.cost-early.cost)/(late.to-early.from))
			case early.admitted && !late.admitted && late.from > early.to:
				rate.Hi = min(rate.Hi, (late.cost-early.cost)/(late.from-early.to))
			}
		}
	}
	return rate
}

// levels bounds the level at an instant, given the rate.
func levels(points []point, at float64, rate Interval) Interval {
	level := Interval{0, math.Inf(1)}
	for _, p := range points {
		switch {
		case p.admitted && p.to <= at:
			level.Lo = max(level.Lo, p.cost+rate.Lo*(at-p.to))
		case !p.admitted && p.from <= at:
			level.Hi = min(level.Hi, p.cost+rate.Hi*(at-p.from))
		}
	}
	return level
}
