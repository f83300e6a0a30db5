package judge

import "slices"

// windowStart is the start of the calendar window that contains t. Windows of
// seven days begin on Monday, and the epoch was a Thursday.
func windowStart(t, per int64) int64 {
	const day = 24 * 3600 * 1_000_000_000
	offset := int64(0)
	if per == 7*day {
		offset = 4 * day
	}
	return floorDiv(t-offset, per)*per + offset
}

// used is a bound of what is used of a window: no refill, no cap, no order.
type used struct {
	charges []charge
	upper   bool
	// certain: the decision certainly lies in this window.
	certain []bool
	now     []int64
	sum     int64
	seen    []uint8
}

func (u *used) put(i int32, v int64) {
	u.sum += v - u.now[i]
	u.now[i] = v
}

// amount is what a charge counts in this window, given the edges that T has
// reached or passed. A reservation holds taken until its settlement, actual after.
func (u *used) amount(i int32) int64 {
	c, at := &u.charges[i], u.seen[i]
	if c.asks {
		return 0
	}
	if u.upper {
		v := c.taken.Hi
		switch {
		case at&passedSettled != 0:
			v = c.actual.Hi
		case at&reachedSettled != 0:
			v = max(v, c.actual.Hi)
		}
		return v
	}
	if at&passedDecided == 0 || !u.certain[i] {
		return 0
	}
	v := c.taken.Lo
	switch {
	case at&passedSettled != 0:
		v = c.actual.Lo
	case at&reachedSettled != 0:
		v = min(v, c.actual.Lo)
	}
	return v
}

func (u *used) reach(m mark) {
	switch m.edge {
	case decidedLo:
		u.seen[m.item] |= reachedDecided
	case settledLo:
		u.seen[m.item] |= reachedSettled
	case expires:
		u.put(m.item, 0)
		u.seen[m.item] |= expired
	case decidedHi, settledHi:
	}
	u.update(m.item)
}

func (u *used) pass(m mark) {
	switch m.edge {
	case decidedHi:
		u.seen[m.item] |= passedDecided
	case settledHi:
		u.seen[m.item] |= passedSettled
	case decidedLo, settledLo, expires:
	}
	u.update(m.item)
}

func (u *used) update(i int32) {
	if at := u.seen[i]; at&expired == 0 && (at&reachedDecided != 0 || u.charges[i].prior) {
		u.put(i, u.amount(i))
	}
}

func (u *used) value(_ int64, n int32) (bound int64, since int32) { return u.sum, n }

const (
	reachedDecided = 8 << iota
	expired
)

func newUsed(charges []charge, upper bool) *used {
	return &used{
		charges: charges, upper: upper, certain: make([]bool, len(charges)),
		now: make([]int64, len(charges)), seen: make([]uint8, len(charges)),
	}
}

// judgeCalendar judges windows that are aligned to the clock. A decision whose
// interval straddles a boundary is tried in both windows.
func (a *account) judgeCalendar(h *Header) {
	a.verdicts = make([]verdict, len(a.charges))
	for i := range a.verdicts {
		a.verdicts[i] = verdict{most: -forever, least: forever}
	}
	windows := map[int64][]int32{}
	for i := range a.charges {
		c := &a.charges[i]
		last := c.decided.Hi
		if last >= forever {
			last = max(h.End, c.decided.Lo)
		}
		for w := windowStart(c.decided.Lo, a.limit.Per); w <= last; w += a.limit.Per {
			windows[w] = append(windows[w], int32(i))
		}
	}
	starts := make([]int64, 0, len(windows))
	for w := range windows {
		starts = append(starts, w)
	}
	slices.Sort(starts)
	most, least := a.amounts(&h.Target)
	for _, w := range starts {
		a.judgeOneWindow(h, w, windows[w], most, least)
	}
	for i := range a.verdicts {
		a.conclude(i)
	}
}

// amounts of the limit, with the tolerance: the most and the least.
func (a *account) amounts(t *Target) (most, least int64) {
	return perMillion(a.limit.Amount.Hi, t.TolerancePPM), perMillion(a.limit.Amount.Lo, -t.TolerancePPM)
}

// conclude turns what was left into a verdict.
func (a *account) conclude(i int) {
	v, c := &a.verdicts[i], &a.charges[i]
	v.lack = max(0, c.demand.Lo-v.most)
	v.fits = v.least >= c.demand.Hi
}

func (a *account) judgeOneWindow(h *Header, start int64, items []int32, most, least int64) {
	charges := make([]charge, len(items))
	certain := make([]bool, len(items))
	for n, i := range items {
		c := a.charges[i]
		certain[n] = !c.prior && c.decided.Lo >= start && c.decided.Hi < start+a.limit.Per
		charges[n] = c
	}
	marks := marksOf(charges)
	low, high := newUsed(charges, false), newUsed(charges, true)
	low.certain, high.certain = certain, certain
	at := instants(marks)
	atLeast, atMost := sweep(marks, at, low, -1), sweep(marks, at, high, 1)
	for n, i := range items {
		c, v := &charges[n], &a.verdicts[i]
		if c.prior {
			continue
		}
		within := Between(max(c.decided.Lo, start), min(c.decided.Hi, start+a.limit.Per-1))
		own := int64(0)
		if !c.asks {
			own = c.taken.Hi
		}
		left := least - (atMost.around(within) - own)
		if h.Target.UsedAccounts || start < a.limit.From {
			left = -forever // charged before anybody looked
		}
		v.most = max(v.most, most-atLeast.around(within))
		v.least = min(v.least, left)
	}
	a.together = append(a.together, fullWindow(charges, certain, items, marks, most)...)
	a.levels = append(a.levels, windowSamples(atLeast, atMost, most, least)...)
	if over := len(a.levels) - MaxSamples; over > 0 {
		a.levels = a.levels[:MaxSamples]
	}
}

// around is the extreme within an interval whose ends need not be instants of
// the series: sums do not change between instants.
func (s *series) around(within Span) int64 {
	lo, found := slices.BinarySearch(s.at, within.Lo)
	if !found && lo > 0 {
		within.Lo = s.at[lo-1]
	}
	return s.extreme(within)
}

func windowSamples(low, high *series, most, least int64) []Sample {
	step := (len(low.at) + MaxSamples - 1) / MaxSamples
	var out []Sample
	for i := 0; i < len(low.at); i += max(step, 1) {
		out = append(out, Sample{At: low.at[i], Min: least - high.value[i], Max: most - low.value[i]})
	}
	return out
}

// fullWindow finds admissions of one window that cannot all have been right: at
// the last of them, what they hold together did not fit. Overshoots are not
// counted, since no admission foresees them.
func fullWindow(charges []charge, certain []bool, items []int32, marks []mark, most int64) []excess {
	var held int64
	var found []excess
	counted := make([]bool, len(charges))
	for i := 0; i < len(marks); {
		j, last := i, int32(-1)
		for ; j < len(marks) && marks[j].at == marks[i].at; j++ {
			m := marks[j]
			c := &charges[m.item]
			if c.asks || !c.judged || !certain[m.item] {
				continue
			}
			switch m.edge {
			case decidedHi:
				if !counted[m.item] {
					held += c.taken.Lo
				}
				counted[m.item], last = true, m.item
			case settledLo:
				if !counted[m.item] {
					held += c.taken.Lo // whatever was settled was taken before
				}
				counted[m.item] = true
				held -= max(0, c.taken.Lo-c.actual.Lo)
			case decidedLo, settledHi, expires:
			}
		}
		if over := held - most; over > 0 && last >= 0 {
			found = append(found, excess{charge: items[last], tokens: over, from: marks[0].at, to: marks[i].at, events: j})
		}
		i = j
	}
	return found
}
