package report

import (
	"fmt"
	"strings"
)

// picture is a ledger drawn on the server, as paths of an SVG, for readers without
// JavaScript and for paper. The template puts them in place.
type picture struct {
	Title                        string
	Width, Height                int
	Settled, Total, Band, Beyond string // paths
	LimitY                       string
	LimitText                    string
	Ticks                        []string // x of the beginnings of windows
	LabelsX, LabelsY             []label
	Plot                         box
}

type label struct{ At, Text string }

type box struct{ X, Y, W, H float64 }

// draw draws a ledger: what was used for good, what was reserved above it, the
// judge's bounds, the limit.
func draw(l *ledgerPlot) *picture {
	p := &picture{Title: l.Title, Width: 860, Height: 260, Plot: box{64, 12, 764, 216}}
	top := l.Limit
	for i := range l.X {
		top = max(top, l.Total[i], min(l.High[i], 2*l.Limit))
	}
	s := scale{box: p.Plot, from: l.X[0], to: l.X[len(l.X)-1], top: float64(max(top, 1)) * 1.06}
	if s.to == s.from {
		s.to = s.from + 1
	}
	zero := make([]int64, len(l.X))
	beyond, limit := make([]int64, len(l.X)), make([]int64, len(l.X))
	over := false
	for i := range l.X {
		limit[i] = l.Limit
		beyond[i] = max(l.Limit, l.Low[i])
		over = over || l.Low[i] > l.Limit
	}
	p.Settled, p.Total = s.area(l.X, zero, l.Settled), s.area(l.X, l.Settled, l.Total)
	p.Band = s.area(l.X, l.Low, l.High)
	if over {
		p.Beyond = s.area(l.X, limit, beyond)
	}
	p.LimitY, p.LimitText = coordinate(s.y(l.Limit)), fmt.Sprintf("limit %d", l.Limit)
	for _, t := range l.Ticks {
		p.Ticks = append(p.Ticks, coordinate(s.x(t)))
	}
	for i := range 5 {
		share := float64(i) / 4
		at := s.from + share*(s.to-s.from)
		p.LabelsX = append(p.LabelsX, label{coordinate(s.x(at)), secondsText(at)})
		amount := int64(share * float64(max(top, 1)))
		p.LabelsY = append(p.LabelsY, label{coordinate(s.y(amount)), fmt.Sprint(amount)})
	}
	return p
}

// scale places data in a box.
type scale struct {
	box
	from, to, top float64
}

func (s scale) x(at float64) float64 { return s.X + (at-s.from)/(s.to-s.from)*s.W }
func (s scale) y(v int64) float64    { return s.Y + s.H - min(1, max(0, float64(v)/s.top))*s.H }

// area is the path between two step lines: along the upper one, and back along the
// lower.
func (s scale) area(x []float64, low, high []int64) string {
	last := len(x) - 1
	var b strings.Builder
	fmt.Fprintf(&b, "M%s %s", coordinate(s.x(x[0])), coordinate(s.y(high[0])))
	for i := 1; i <= last; i++ {
		fmt.Fprintf(&b, "H%sV%s", coordinate(s.x(x[i])), coordinate(s.y(high[i])))
	}
	fmt.Fprintf(&b, "V%s", coordinate(s.y(low[last])))
	for i := last; i > 0; i-- {
		fmt.Fprintf(&b, "H%sV%s", coordinate(s.x(x[i])), coordinate(s.y(low[i-1])))
	}
	fmt.Fprintf(&b, "H%sZ", coordinate(s.x(x[0])))
	return b.String()
}

func coordinate(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.1f", v), "0"), ".")
}

// secondsText is a time since the start, for an axis.
func secondsText(s float64) string {
	switch {
	case s >= 2*86400:
		return fmt.Sprintf("%.1f d", s/86400)
	case s >= 2*3600:
		return fmt.Sprintf("%.1f h", s/3600)
	case s >= 300:
		return fmt.Sprintf("%.1f min", s/60)
	case s >= 1 || s == 0:
		return fmt.Sprintf("%.3g s", s)
	case s >= 1e-3:
		return fmt.Sprintf("%.3g ms", s*1e3)
	case s >= 1e-6:
		return fmt.Sprintf("%.3g µs", s*1e6)
	}
	return fmt.Sprintf("%.3g ns", s*1e9)
}
