package judge

import (
	"cmp"
	"slices"
)

// edge is one end of one of a charge's two intervals.
type edge uint8

const (
	decidedLo edge = iota
	decidedHi
	settledLo
	settledHi
	expires // of sliding windows
	edges   = 5
)

// mark is an edge in time.
type mark struct {
	at   int64
	item int32
	edge edge
}

// marksOf lists the edges of the charges, sorted.
func marksOf(charges []charge) []mark {
	marks := make([]mark, 0, 4*len(charges))
	for i := range charges {
		c := &charges[i]
		n := int32(i)
		if !c.prior {
			marks = append(marks, mark{c.decided.Lo, n, decidedLo}, mark{c.decided.Hi, n, decidedHi})
		}
		if !c.asks {
			marks = append(marks, mark{c.settled.Lo, n, settledLo}, mark{c.settled.Hi, n, settledHi})
		}
		for len(marks) > 0 && marks[len(marks)-1].at >= forever {
			marks = marks[:len(marks)-1] // it never ended
		}
	}
	return sorted(marks)
}

func sorted(marks []mark) []mark {
	slices.SortFunc(marks, func(a, b mark) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.item, b.item), cmp.Compare(a.edge, b.edge))
	})
	return marks
}

// sweeper computes a bound while time passes. At each instant x it hears of the
// edges at x twice: reach says that T = x, where what begins at x may have
// happened; pass says that T > x, where what ends at x has happened. value is
// asked in between, for T = x; since is where the memory of the value begins.
//
// This is how ties are kept sound: two things at one instant may have come in
// either order, so neither certainly precedes the other.
type sweeper interface {
	reach(m mark)
	value(at int64) (bound, since int64)
	pass(m mark)
}

// series is a bound at every instant at which something happened. Between two
// instants the bound only rises, so an upper bound has its maxima, and a lower
// bound its minima, at these instants.
type series struct {
	at    []int64
	value []int64
	since []int64
	tree  []int64 // of extremes, over value
	sign  int64   // +1: maxima are asked for, -1: minima
}

// sweep runs a sweeper over the marks.
func sweep(marks []mark, s sweeper, sign int64) *series {
	out := &series{sign: sign}
	for i := 0; i < len(marks); {
		j := i
		for ; j < len(marks) && marks[j].at == marks[i].at; j++ {
			s.reach(marks[j])
		}
		out.at = append(out.at, marks[i].at)
		v, since := s.value(marks[i].at)
		out.value, out.since = append(out.value, v), append(out.since, since)
		for ; i < j; i++ {
			s.pass(marks[i])
		}
	}
	out.index()
	return out
}

// index builds the tree: node i covers the nodes 2i and 2i+1, leaves come last.
func (s *series) index() {
	n := len(s.value)
	s.tree = make([]int64, 2*n)
	for i, v := range s.value {
		s.tree[n+i] = v * s.sign
	}
	for i := n - 1; i > 0; i-- {
		s.tree[i] = max(s.tree[2*i], s.tree[2*i+1])
	}
}

// extreme is the largest (or smallest) value within an interval whose ends are
// among the instants.
func (s *series) extreme(within Span) int64 {
	lo, _ := slices.BinarySearch(s.at, within.Lo)
	if within.IsPoint() {
		return s.value[lo]
	}
	if lo == len(s.value) {
		lo-- // nothing was seen later
	}
	hi, found := slices.BinarySearch(s.at, within.Hi)
	if found {
		hi++
	}
	n := len(s.value)
	best := s.sign * s.value[lo]
	for lo, hi = lo+n, hi+n; lo < hi; lo, hi = lo/2, hi/2 {
		if lo&1 == 1 {
			best = max(best, s.tree[lo])
			lo++
		}
		if hi&1 == 1 {
			hi--
			best = max(best, s.tree[hi])
		}
	}
	return best * s.sign
}

// proof is the stretch that explains the extreme within an interval: from where
// the memory of the value begins to the instant at which it was taken.
func (s *series) proof(within Span) Span {
	best := s.extreme(within)
	i, _ := slices.BinarySearch(s.at, within.Lo)
	for ; i < len(s.at) && s.at[i] <= within.Hi; i++ {
		if s.value[i] == best {
			return Between(min(s.since[i], s.at[i]), s.at[i])
		}
	}
	return within
}

// count is the number of instants of the series in a stretch.
func (s *series) count(within Span) int {
	lo, _ := slices.BinarySearch(s.at, within.Lo)
	hi, found := slices.BinarySearch(s.at, within.Hi)
	if found {
		hi++
	}
	return max(0, hi-lo)
}
