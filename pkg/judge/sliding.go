package judge

// judgeAnyWindow judges a limit whose window is not known, slides, or begins with
// the first hit. Only what holds for all of these is said:
//
//   - whatever the phase, a stretch of one period touches at most two windows, and
//     a bucket gives at most its burst and one period's refill in it, plus what
//     comes back inside for reservations taken before it;
//   - what was charged more than two periods ago is forgotten by all of them.
func (a *account) judgeAnyWindow(h *Header) {
	l := a.limit
	most, least := a.amounts(&h.Target)
	burst := max(most, perMillion(l.Burst.Hi, h.Target.TolerancePPM))
	ceiling := most + burst
	if l.Burst.Lo > 0 {
		least = min(least, l.Burst.Lo)
	}
	a.verdicts = make([]verdict, len(a.charges))

	low := newUsed(a.charges, false)
	for i := range low.certain {
		low.certain[i] = !a.charges[i].prior
	}
	// Overshoots are written off at a debt floor, where there may be one.
	if l.Window == WindowUnknown && h.Target.DebtFloor != DebtFloorNone {
		low.charges = append([]charge(nil), a.charges...)
		for i := range low.charges {
			c := &low.charges[i]
			c.actual.Lo = min(c.actual.Lo, c.taken.Lo)
		}
	}
	inLast := sweepAll(a.expiring(low.charges, l.Per, decidedLo), low, -1)
	refunds := sweepAll(a.expiring(a.charges, l.Per, settledHi), &lateRefunds{charges: a.charges, per: l.Per}, 1)
	high := newUsed(a.charges, true)
	inTwo := sweepAll(a.expiring(a.charges, 2*l.Per, decidedHi), high, 1)

	for i := range a.charges {
		c, v := &a.charges[i], &a.verdicts[i]
		if c.prior {
			continue
		}
		own := int64(0)
		if !c.asks {
			own = c.taken.Hi
		}
		v.most = ceiling - inLast.around(c.decided) + refunds.around(c.decided)
		v.least = least - (inTwo.around(c.decided) - own)
		if burst > most || h.Target.UsedAccounts {
			v.least = -forever
		}
		a.conclude(i)
	}
	a.levels = windowSamples(inLast, inLast, ceiling, least)
}

// expiring are the marks, and for each charge one more at which it is forgotten:
// a period after an edge of it.
func (a *account) expiring(charges []charge, after int64, from edge) []mark {
	marks := marksOf(charges)
	for i := range charges {
		c := &charges[i]
		at := c.decided.Lo
		switch from {
		case decidedHi:
			at = c.decided.Hi
		case settledHi:
			at = c.settled.Hi
		case decidedLo, settledLo, expires:
		}
		if !c.asks && at < forever-after {
			marks = append(marks, mark{at + after, int32(i), expires})
		}
	}
	return sorted(marks)
}

// lateRefunds bounds what may come back within one period for reservations that
// were taken before it: everything that is refunded and not yet a period old.
type lateRefunds struct {
	charges []charge
	per     int64
	sum     int64
}

func (f *lateRefunds) change(i int32) int64 {
	c := &f.charges[i]
	if c.asks || c.settled.Hi-c.decided.Lo == 0 {
		return 0
	}
	return max(0, c.taken.Hi-c.actual.Lo)
}

func (f *lateRefunds) reach(m mark) {
	if m.edge == settledLo {
		f.sum += f.change(m.item)
	}
}

func (f *lateRefunds) pass(m mark) {
	if m.edge == expires {
		f.sum -= f.change(m.item)
	}
}

func (f *lateRefunds) value(_ int64, n int32) (bound int64, since int32) { return f.sum, n }
