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

// arrivals finds the violations of a bucket. Its chain holds what is left of a
// bucket that was full at some start: each charge may be that start, and takes at
// the early end of its interval once the late end has passed.
type arrivals struct {
	account *account
	scale   *scale
	cap     int64
	left    *chain
	back    int64 // refunds that may have come, and have no link yet
	links   []arrivalLinks
	charge  []int32 // whose link it is
}

// arrivalLinks are those of one charge.
type arrivalLinks struct {
	taken, settled       int32
	counted, mayHaveCome bool
}

// arrivals looks at all stretches; marks are those of all charges.
func (a *account) arrivals(b *bucketBound, marks []mark) []excess {
	s := &arrivals{
		account: a, scale: &b.scale, cap: b.cap, left: newChain(infinite),
		links: make([]arrivalLinks, len(a.charges)),
	}
	s.place(marks)
	var found []excess
	for i := 0; i < len(marks); {
		j := i
		for ; j < len(marks) && marks[j].at == marks[i].at; j++ {
			if marks[j].edge == settledLo { // refunds first: they may have come first
				s.mayCome(marks[j].item)
			}
		}
		for _, m := range marks[i:j] {
			if c := &a.charges[m.item]; m.edge == decidedHi && c.judged && !c.asks {
				if x, ok := s.count(m); ok {
					found = append(found, x)
				}
			}
		}
		for ; i < j; i++ {
			if marks[i].edge == settledHi {
				s.came(marks[i].item)
			}
		}
	}
	return found
}

// place numbers the links: charges by their early ends, refunds by their late ones,
// and at one instant charges first, so that a stretch may begin there with both.
func (s *arrivals) place(marks []mark) {
	s.charge = make([]int32, 0, 2*len(s.links))
	for i := 0; i < len(marks); {
		j := i
		for ; j < len(marks) && marks[j].at == marks[i].at; j++ {
			c := &s.account.charges[marks[j].item]
			if marks[j].edge == decidedLo && c.judged && !c.asks {
				s.links[marks[j].item].taken = int32(len(s.charge))
				s.charge = append(s.charge, marks[j].item)
			}
		}
		for ; i < j; i++ {
			if marks[i].edge == settledHi && opens(&s.account.charges[marks[i].item]) > 0 {
				s.links[marks[i].item].settled = int32(len(s.charge))
				s.charge = append(s.charge, marks[i].item)
			}
		}
	}
}

// mayCome: a settlement may lie inside the stretches that end here.
func (s *arrivals) mayCome(i int32) {
	c := &s.account.charges[i]
	s.back += opens(c) * s.scale.unit
	s.links[i].mayHaveCome = true
	if s.links[i].counted && closes(c) != opens(c) {
		s.take(i)
	}
}

// count: a charge certainly lies inside the stretches that end here and begin at it
// or before. What they lack is the excess.
func (s *arrivals) count(m mark) (excess, bool) {
	s.links[m.item].counted = true
	s.take(m.item)
	left, since := s.left.value()
	over := -(left + s.back + s.scale.refilled(m.at))
	if over <= s.scale.slack {
		return excess{}, false
	}
	from := s.account.charges[s.charge[since]].decided.Lo
	return excess{charge: m.item, tokens: s.scale.ceil(over), from: from, to: m.at}, true
}

// take sets the link of a charge that is counted. To stretches that saw it taken
// less may come back than to the others.
func (s *arrivals) take(i int32) {
	c, l := &s.account.charges[i], &s.links[i]
	tokens := c.taken.Lo
	if l.mayHaveCome {
		tokens += opens(c) - closes(c)
	}
	v := tokens * s.scale.unit
	full := s.cap - s.scale.refilled(c.decided.Lo)
	s.left.set(l.taken, clamp{add: -v, lo: -infinite, hi: full - v}, l.mayHaveCome || opens(c) == closes(c) || c.settled.Lo >= forever)
}

// came: stretches that begin later do not see the settlement.
func (s *arrivals) came(i int32) {
	if v := opens(&s.account.charges[i]) * s.scale.unit; v > 0 {
		s.back -= v
		s.left.set(s.links[i].settled, clamp{add: v, lo: -infinite, hi: infinite}, true)
	}
}

// opens is the most that a settlement gives back to a stretch that did not see
// the reservation being taken, and closes to one that did.
func opens(c *charge) int64 {
	if c.asks {
		return 0
	}
	return max(0, c.taken.Hi-c.actual.Lo)
}

func closes(c *charge) int64 { return max(0, c.taken.Lo-c.actual.Lo) }

// Arrival is some tokens at an instant (ns) that lies within bounds.
type Arrival struct {
	At     Span
	Tokens int64
}

// Burst is the least burst B for which the arrivals certainly conform to B and a
// rate (tokens per ns: amount / per), and the window that needs it: the longest
// backlog of a queue served at the rate. Only what certainly lies inside a window
// counts, so that a burst above B proves a violation for every placement.
func Burst(arrivals []Arrival, amount, per int64) (tokens int64, window Span) {
	if len(arrivals) == 0 {
		return 0, Span{}
	}
	a := slices.Clone(arrivals)
	slices.SortFunc(a, func(x, y Arrival) int {
		return cmp.Or(cmp.Compare(x.At.Hi, y.At.Hi), cmp.Compare(x.At.Lo, y.At.Lo))
	})
	origin, sum := a[0].At.Lo, int64(0)
	byStart := make([]int32, len(a))
	for i := range a {
		origin = min(origin, a[i].At.Lo)
		sum += a[i].Tokens
		byStart[i] = int32(i)
	}
	s, ok := newScale(uint64(amount)*1_000_000, uint64(per), sum, origin, a[len(a)-1].At.Hi)
	if !ok {
		return 0, Span{}
	}
	slices.SortStableFunc(byStart, func(x, y int32) int { return cmp.Compare(a[x].At.Lo, a[y].At.Lo) })
	link := make([]int32, len(a))
	for n, i := range byStart {
		link[i] = int32(n)
	}
	left := newChain(infinite) // of an empty bucket, at some start
	for i := range a {
		v := a[i].Tokens * s.unit
		left.set(link[i], clamp{add: -v, lo: -infinite, hi: -s.refilled(a[i].At.Lo) - v}, true)
		y, since := left.value()
		if lacks := s.ceil(-(y + s.refilled(a[i].At.Hi))); lacks > tokens {
			tokens, window = lacks, Between(a[byStart[since]].At.Lo, a[i].At.Hi)
		}
	}
	return tokens, window
}
