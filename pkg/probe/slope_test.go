package probe

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is asked, and however late the answers are, the true rate stays possible.
func TestSlopeIsSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, start := rapid.Float64Range(0.1, 1e5).Draw(t, "rate"), rapid.Float64Range(0, 1e4).Draw(t, "start")
		var points []point
		for range rapid.IntRange(2, 30).Draw(t, "n") {
			decided := rapid.Float64Range(0, 20).Draw(t, "at")
			cost := rapid.Float64Range(0, 2e6).Draw(t, "cost")
			points = append(points, point{
				cost: cost, admitted: start+rate*decided >= cost,
				from: decided - rapid.Float64Range(0, 0.2).Draw(t, "way out"), to: decided + rapid.Float64Range(0, 0.2).Draw(t, "way back"),
			})
		}
		got := slope(points)
		if !(Interval{got.Lo * (1 - 1e-9), got.Hi * (1 + 1e-9)}).Contains(rate) {
			t.Fatalf("rate %v outside [%v, %v] by %+v", rate, got.Lo, got.Hi, points)
		}
		at := rapid.Float64Range(20.2, 30).Draw(t, "level at")
		level := levels(points, at, got)
		if true1 := start + rate*at; !(Interval{level.Lo - 1e-3, level.Hi + 1e-3}).Contains(true1) {
			t.Fatalf("level %v outside [%v, %v]", true1, level.Lo, level.Hi)
		}
	})
}

// Two points each way bound a rate on both sides, and as tightly as their instants.
func TestSlopeBounds(t *testing.T) {
	points := []point{
		{cost: 1, from: 0, to: 0, admitted: false},
		{cost: 0, from: 0, to: 0, admitted: true},
		{cost: 1000, from: 10, to: 10.01, admitted: true},
		{cost: 1002, from: 10, to: 10.01, admitted: false},
	}
	got := slope(points)
	if math.Abs(got.Lo-999/10.01) > 1e-9 || math.Abs(got.Hi-100.2) > 1e-9 {
		t.Errorf("%+v", got)
	}
	if got := slope(points[:2]); got.Lo != 0 || !math.IsInf(got.Hi, 1) {
		t.Errorf("nothing later bounds it, found %+v", got)
	}
}

// People configure round numbers.
func TestRound(t *testing.T) {
	for _, c := range []struct {
		rate Interval
		want int64
	}{
		{Interval{166.1, 167.3}, 10000}, {Interval{0.99, 1.01}, 60}, {Interval{99.9, 100.1}, 6000}, {Interval{20.56, 20.57}, 1234},
	} {
		if got := round(c.rate); got != c.want {
			t.Errorf("%+v: %d, expected %d", c.rate, got, c.want)
		}
	}
}
