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
		if a.at != b.at { // nearly always
			return cmp.Compare(a.at, b.at)
		}
		return cmp.Or(cmp.Compare(a.item, b.item), cmp.Compare(a.edge, b.edge))
	})
	return marks
}

// sweeper computes a bound while time passes. At each instant x it hears of the
// edges at x twice: reach says that T = x, where what begins at x may have
// happened; pass says that T > x, where what ends at x has happened. value is
// asked in between, for T = x, the n-th instant; since is the instant, by number,
// at which the memory of the value begins, -1 for the very beginning.
//
// This is how ties are kept sound: two things at one instant may have come in
// either order, so neither certainly precedes the other.
type sweeper interface {
	reach(m mark)
	value(at int64, n int32) (bound int64, since int32)
	pass(m mark)
}

// series is a bound at every instant at which something happened. Between two
// instants the bound only rises, so an upper bound has its maxima, and a lower
// bound its minima, at these instants.
type series struct {
	at    []int64
	value []int64
	since []int32
	peaks []int64 // the extreme of every block of blockSize values
	sign  int64   // +1: maxima are asked for, -1: minima
	start int64   // what since -1 means
}

const blockSize = 32

// instants are the distinct instants of marks.
func instants(marks []mark) []int64 {
	n := 0
	for i := range marks {
		if i == 0 || marks[i].at != marks[i-1].at {
			n++
		}
	}
	at := make([]int64, 0, n)
	for i := range marks {
		if i == 0 || marks[i].at != marks[i-1].at {
			at = append(at, marks[i].at)
		}
	}
	return at
}

// sweep runs a sweeper over the marks, whose instants are given.
func sweep(marks []mark, at []int64, s sweeper, sign int64) *series {
	out := &series{at: at, value: make([]int64, len(at)), since: make([]int32, len(at)), sign: sign}
	for i, n := 0, 0; i < len(marks); n++ {
		j := i
		for ; j < len(marks) && marks[j].at == at[n]; j++ {
			s.reach(marks[j])
		}
		out.value[n], out.since[n] = s.value(at[n], int32(n))
		for ; i < j; i++ {
			s.pass(marks[i])
		}
	}
	out.peaks = make([]int64, 0, len(at)/blockSize+1)
	for block := range slices.Chunk(out.value, blockSize) {
		out.peaks = append(out.peaks, out.best(block, block[0]))
	}
	return out
}

// sweepAll is sweep over all instants of the marks.
func sweepAll(marks []mark, s sweeper, sign int64) *series {
	return sweep(marks, instants(marks), s, sign)
}

// best is the extreme of some values and one more.
func (s *series) best(values []int64, so int64) int64 {
	if s.sign > 0 {
		for _, v := range values {
			so = max(so, v)
		}
		return so
	}
	for _, v := range values {
		so = min(so, v)
	}
	return so
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
	best := s.value[lo]
	first, last := (lo+blockSize-1)/blockSize, hi/blockSize // whole blocks
	if first >= last {
		return s.best(s.value[lo:max(lo, hi)], best)
	}
	best = s.best(s.value[lo:first*blockSize], best)
	best = s.best(s.peaks[first:last], best)
	return s.best(s.value[last*blockSize:hi], best)
}

// after is the extreme of the instants that lie behind one and not behind another;
// found is false if there is none.
func (s *series) after(from, until int64) (value int64, found bool) {
	i, _ := slices.BinarySearch(s.at, from+1)
	if i == len(s.at) || s.at[i] > until {
		return 0, false
	}
	return s.extreme(Between(s.at[i], until)), true
}

// proof is the stretch that explains the extreme within an interval: from where
// the memory of the value begins to the instant at which it was taken.
func (s *series) proof(within Span) Span {
	best := s.extreme(within)
	i, _ := slices.BinarySearch(s.at, within.Lo)
	for ; i < len(s.at) && s.at[i] <= within.Hi; i++ {
		if s.value[i] == best {
			if n := s.since[i]; n >= 0 {
				return Between(s.at[n], s.at[i])
			}
			return Between(min(s.start, s.at[i]), s.at[i])
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
