package judge

import (
	"cmp"
	"slices"
)

// excess is a set of admissions that cannot all have been right, although each
// alone may be: those inside [from, to].
type excess struct {
	charge   int32 // the last of them
	tokens   int64
	from, to int64
	events   int
}

// An arrival-curve check asks no model for the level. Whatever a bucket did, at
// the last admission inside a stretch [s, t] the level was not below zero, so
//
//	sum of reservations taken inside <= B + rho (t - s) + refunds that come inside
//
// Refunds are counted wherever they may lie inside, charges only where they
// certainly do: intervals make it weaker, never wrong. In terms of actual costs
// this is the refund bound of semantics.md 4: a refund for a reservation from
// before s is the slack F; what a request inside costs beyond its reservation is
// not counted, which is the slack O, and with it W.
//
// It sees what the single verdicts cannot: thirty-two admissions at one instant,
// of which any, but not all, may have been first.

// arrivals finds the violations of a bucket. starts are the early ends of the
// charges; a tree holds, for each start s, rho s + charges - refunds inside
// [s, t], while t moves over the late ends.
func (a *account) arrivals(b *bucketBound) []excess {
	type step struct {
		at     int64
		item   int32
		refund bool
	}
	starts := make([]int64, 0, len(a.charges))
	steps := make([]step, 0, 2*len(a.charges))
	for i := range a.charges {
		c := &a.charges[i]
		if c.asks || !c.judged {
			if !c.asks && opens(c) > 0 && c.settled.Lo < forever {
				steps = append(steps, step{c.settled.Lo, int32(i), true})
			}
			continue
		}
		starts = append(starts, c.decided.Lo)
		if c.decided.Hi < forever {
			steps = append(steps, step{c.decided.Hi, int32(i), false})
		}
		if opens(c) > 0 && c.settled.Lo < forever {
			steps = append(steps, step{c.settled.Lo, int32(i), true})
		}
	}
	if len(starts) == 0 {
		return nil
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	// At one instant, refunds first: they may have come first.
	slices.SortFunc(steps, func(x, y step) int {
		if x.at != y.at {
			return cmp.Compare(x.at, y.at)
		}
		return cmp.Or(-compareBool(x.refund, y.refund), cmp.Compare(x.item, y.item))
	})
	tree := newPeaks(starts, b.scale.refilled)
	upTo := func(t int64) int { // starts at or before t
		n, found := slices.BinarySearch(starts, t)
		if found {
			n++
		}
		return n
	}
	var found []excess
	for _, s := range steps {
		c := &a.charges[s.item]
		if s.refund {
			closed := max(0, c.taken.Lo-c.actual.Lo) * b.scale.unit
			open := opens(c) * b.scale.unit
			within := upTo(c.decided.Lo)
			if !c.judged || c.prior {
				within = 0
			}
			tree.add(0, within, -closed)
			tree.add(within, upTo(c.settled.Hi), -open)
			continue
		}
		tree.add(0, upTo(c.decided.Lo), c.taken.Lo*b.scale.unit)
		top := tree.top(upTo(s.at))
		over := top.value - b.scale.refilled(s.at) - b.cap
		if over > b.scale.slack {
			found = append(found, excess{charge: s.item, tokens: b.scale.ceil(over), from: starts[top.index], to: s.at})
		}
	}
	return found
}

// opens is the most that a settlement gives back to a window that did not see
// the reservation being taken.
func opens(c *charge) int64 {
	if c.asks {
		return 0
	}
	return max(0, c.taken.Hi-c.actual.Lo)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// peaks is a segment tree over starts with range addition and the maximum of a
// prefix, and where it is (the latest one, for the smallest window).
type peaks struct {
	size int
	max  []peak
	plus []int64
}

type peak struct {
	value int64
	index int
}

func newPeaks(starts []int64, first func(int64) int64) *peaks {
	size := 1
	for size < len(starts) {
		size *= 2
	}
	p := &peaks{size: size, max: make([]peak, 2*size), plus: make([]int64, 2*size)}
	for i := range size {
		p.max[size+i] = peak{-infinite, i}
		if i < len(starts) {
			p.max[size+i].value = first(starts[i])
		}
	}
	for i := size - 1; i > 0; i-- {
		p.pull(i)
	}
	return p
}

func (p *peaks) pull(i int) {
	l, r := p.max[2*i], p.max[2*i+1]
	if l.value > r.value {
		r = l
	}
	r.value += p.plus[i]
	p.max[i] = r
}

// add adds v to the starts [from, to).
func (p *peaks) add(from, to int, v int64) {
	if from < to && v != 0 {
		p.addIn(1, 0, p.size, from, to, v)
	}
}

func (p *peaks) addIn(node, lo, hi, from, to int, v int64) {
	if to <= lo || hi <= from {
		return
	}
	if from <= lo && hi <= to {
		p.plus[node] += v
		p.max[node].value += v
		return
	}
	mid := (lo + hi) / 2
	p.addIn(2*node, lo, mid, from, to, v)
	p.addIn(2*node+1, mid, hi, from, to, v)
	p.pull(node)
}

// top is the largest of the first n starts.
func (p *peaks) top(n int) peak {
	return p.topIn(1, 0, p.size, n)
}

func (p *peaks) topIn(node, lo, hi, n int) peak {
	if hi <= n {
		return p.max[node]
	}
	if n <= lo {
		return peak{value: -infinite}
	}
	mid := (lo + hi) / 2
	l, r := p.topIn(2*node, lo, mid, n), p.topIn(2*node+1, mid, hi, n)
	if l.value > r.value {
		r = l
	}
	r.value += p.plus[node]
	return r
}

// Arrival is some tokens at an instant (ns) that lies within bounds.
type Arrival struct {
	At     Span
	Tokens int64
}

// Burst is the least burst B for which the arrivals certainly conform to B and a
// rate (tokens per ns: amount / per), and the window that needs it. With instants
// that are known this is Lindley's recursion over a queue served at the rate: its
// longest backlog. Otherwise only what certainly lies inside a window counts, so
// that a burst above B proves a violation for every placement.
func Burst(arrivals []Arrival, amount, per int64) (tokens int64, window Span) {
	if len(arrivals) == 0 {
		return 0, Span{}
	}
	a := slices.Clone(arrivals)
	slices.SortFunc(a, func(x, y Arrival) int {
		return cmp.Or(cmp.Compare(x.At.Hi, y.At.Hi), cmp.Compare(x.At.Lo, y.At.Lo))
	})
	origin, sum, points := a[0].At.Lo, int64(0), true
	for i := range a {
		origin = min(origin, a[i].At.Lo)
		sum += a[i].Tokens
		points = points && a[i].At.IsPoint()
	}
	s, ok := newScale(uint64(amount)*1_000_000, uint64(per), sum, origin, a[len(a)-1].At.Hi)
	if !ok {
		return 0, Span{}
	}
	if points {
		return lindley(a, &s)
	}
	return demandBound(a, &s)
}

func lindley(a []Arrival, s *scale) (int64, Span) {
	var backlog, worst int64
	var window Span
	from, last := a[0].At.Lo, a[0].At.Lo
	for _, x := range a {
		t := x.At.Lo
		backlog -= s.refilled(t) - s.refilled(last)
		last = t
		if backlog <= 0 {
			backlog, from = 0, t
		}
		backlog += x.Tokens * s.unit
		if backlog > worst {
			worst, window = backlog, Between(from, t)
		}
	}
	return s.ceil(worst), window
}

func demandBound(a []Arrival, s *scale) (int64, Span) {
	starts := make([]int64, 0, len(a))
	for i := range a {
		starts = append(starts, a[i].At.Lo)
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	tree := newPeaks(starts, s.refilled)
	var worst int64
	var window Span
	for _, x := range a {
		n, _ := slices.BinarySearch(starts, x.At.Lo)
		tree.add(0, n+1, x.Tokens*s.unit)
		reach, found := slices.BinarySearch(starts, x.At.Hi)
		if found {
			reach++
		}
		top := tree.top(reach)
		if v := top.value - s.refilled(x.At.Hi); v > worst {
			worst, window = v, Between(starts[top.index], x.At.Hi)
		}
	}
	return s.ceil(worst), window
}
