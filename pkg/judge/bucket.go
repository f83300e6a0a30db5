package judge

import "math"

// bucketBound is one bound of the level of a bucket, upper or lower, as a
// function of the instant T of a decision.
//
// The level is min over s of (B + refill - charges + refunds in (s, T]). The
// upper bound counts a charge only when it certainly lies in (s, T], at the
// early end of its interval, and a refund as soon as it may, at the late end.
// The lower bound does the opposite. So each charge and refund has one place in
// a chain, fixed by its intervals, and only switches on as T passes; what may
// have happened by T but has its place after T is kept in pending.
//
// Levels are kept as y = level - refilled(T), so that the refill costs nothing.
type bucketBound struct {
	scale   scale
	charges []charge
	upper   bool
	retro   bool
	// floored: the level is lifted to floor where a debit takes it below.
	floored    bool
	cap, floor int64 // units
	start      int64 // units, at the origin
	chain      *chain
	pending    int64
	states     []int64 // what each charge has in pending now
	places     []place
	now        int32   // number of the instant that is being placed
	at         []int32 // number of the instant of each link of the chain
}

// place is where a charge and its settlement sit in the chain, and the cap (y)
// that holds there.
type place struct {
	taken, settled       int32
	takenCap, settledCap int64
	at                   uint8 // edges already passed
}

// open amounts: for a charge whose reservation is only known within bounds, a
// window that begins while it is open may gain up to this much more (or less) at
// its settlement than a window that saw it being taken. The cap and the floor
// are moved by the sum of them.
func openAmount(c *charge) int64 {
	if c.prior {
		return 0
	}
	return c.taken.Hi - c.taken.Lo
}

// place gives every charge its places, in one pass over the sorted marks.
func (b *bucketBound) place(marks []mark, unit int64) {
	next, open := int32(0), int64(0)
	for i := 0; i < len(marks); b.now++ {
		j := i
		for ; j < len(marks) && marks[j].at == marks[i].at; j++ {
			if c := &b.charges[marks[j].item]; marks[j].edge == decidedLo && !c.asks {
				open += openAmount(c)
			}
		}
		refill := b.scale.refilled(marks[i].at)
		margin := open * unit
		if !b.upper {
			margin = -margin
		}
		limit := b.cap + margin - refill
		// At one instant charges come first in the upper bound, refunds in the lower.
		for _, charges := range []bool{b.upper, !b.upper} {
			for _, m := range marks[i:j] {
				next = b.placeOne(m, charges, next, limit)
			}
		}
		for ; i < j; i++ {
			if c := &b.charges[marks[i].item]; marks[i].edge == settledHi {
				open -= openAmount(c)
			}
		}
	}
	b.chain = newChain(b.start)
}

func (b *bucketBound) placeOne(m mark, charges bool, next int32, limit int64) int32 {
	c, p := &b.charges[m.item], &b.places[m.item]
	takenAt, settledAt := decidedHi, settledLo
	if b.upper {
		takenAt, settledAt = decidedLo, settledHi
	}
	if b.change(c) < 0 { // an overshoot is charged at its settlement
		settledAt = settledHi + settledLo - settledAt
	}
	switch {
	case c.asks:
	case m.edge == takenAt && charges:
		p.taken, p.takenCap = next, limit
		b.at = append(b.at, b.now)
		next++
	case m.edge == settledAt && charges == (b.change(c) < 0) && b.settlesApart(c):
		p.settled, p.settledCap = next, limit
		b.at = append(b.at, b.now)
		next++
	}
	return next
}

// taken is what this bound counts as held, in tokens.
func (b *bucketBound) taken(c *charge) int64 {
	if c.prior {
		return 0
	}
	if b.upper {
		return c.taken.Lo
	}
	return c.taken.Hi
}

// actual is what this bound counts as charged.
func (b *bucketBound) actual(c *charge) int64 {
	if b.upper {
		return c.actual.Lo
	}
	return c.actual.Hi
}

// change is what a settlement gives back; an overshoot is negative.
func (b *bucketBound) change(c *charge) int64 {
	if c.prior {
		if b.upper {
			return c.taken.Hi - c.actual.Lo
		}
		return c.taken.Lo - c.actual.Hi
	}
	return b.taken(c) - b.actual(c)
}

// merged: in the lower bound, a refund that may come before the end of the
// charge's own interval is taken off the charge itself, because no order has the
// refund without the charge.
func (b *bucketBound) merged(c *charge) bool {
	return !b.upper && !c.prior && b.change(c) > 0 && c.settled.Lo <= c.decided.Hi
}

// settlesApart reports whether the settlement has a place of its own.
func (b *bucketBound) settlesApart(c *charge) bool {
	return b.change(c) != 0 && c.settled.Hi < forever && !b.merged(c) && (!b.retro || c.prior)
}

// pend replaces what a charge has pending.
func (b *bucketBound) pend(i int32, tokens int64) {
	v := tokens * b.scale.unit
	b.pending += v - b.states[i]
	b.states[i] = v
}

// charge puts a charge of some tokens in its place, for good or until its amount
// is known better.
func (b *bucketBound) charge(place int32, limit, tokens int64, final bool) {
	v, floor := tokens*b.scale.unit, -infinite
	if b.floored {
		floor = limit - b.cap + b.floor
	}
	b.chain.set(place, clamp{add: -v, lo: floor, hi: max(floor, limit-v)}, final)
}

// refund puts a refund in its place.
func (b *bucketBound) refund(place int32, limit, tokens int64) {
	v := tokens * b.scale.unit
	f := clamp{add: v, lo: -infinite, hi: infinite}
	if !b.upper {
		f.hi = limit + v // a window may begin right before it
	}
	b.chain.set(place, f, true)
}

func (b *bucketBound) value(at int64, n int32) (bound int64, since int32) {
	y, link := b.chain.value()
	level := y + b.scale.refilled(at)
	if b.upper {
		level += b.pending
	}
	since = -1
	switch {
	case level >= b.cap:
		level, since = b.cap, n
	case link >= 0:
		since = b.at[link]
	}
	if !b.upper {
		level -= b.pending
	}
	return level, since
}

const (
	passedDecided = 1 << iota
	reachedSettled
	passedSettled
)

func (b *bucketBound) reach(m mark) {
	c, p := &b.charges[m.item], &b.places[m.item]
	if c.asks {
		return
	}
	switch m.edge {
	case decidedLo:
		if !b.upper {
			b.pend(m.item, b.taken(c))
		}
	case settledLo:
		p.at |= reachedSettled
		b.settling(m.item, c, p)
	case decidedHi, settledHi, expires:
	}
}

func (b *bucketBound) pass(m mark) {
	c, p := &b.charges[m.item], &b.places[m.item]
	if c.asks {
		return
	}
	switch m.edge {
	case decidedHi:
		p.at |= passedDecided
		b.passDecided(m.item, c, p)
	case settledHi:
		p.at |= passedSettled
		b.passSettled(m.item, c, p)
	case decidedLo, settledLo, expires:
	}
}

// settling: the settlement may have happened.
func (b *bucketBound) settling(i int32, c *charge, p *place) {
	change := b.change(c)
	switch {
	case b.retro && !c.prior:
		b.retroactive(i, c, p)
	case b.upper && change > 0:
		// A charge that is a point and has not passed at this very instant cannot have
		// been settled before another decision of the instant without being charged.
		if p.at&passedDecided != 0 || c.prior || !c.decided.IsPoint() {
			b.pend(i, change)
		}
	case !b.upper && change < 0:
		held := int64(0)
		if p.at&passedDecided == 0 {
			held = b.taken(c)
		}
		b.pend(i, held-change)
	}
}

// passDecided: the charge has certainly been taken.
func (b *bucketBound) passDecided(i int32, c *charge, p *place) {
	if b.retro && !c.prior {
		b.retroactive(i, c, p)
		return
	}
	b.charge(p.taken, p.takenCap, b.taken(c), !b.merged(c) || c.settled.Hi >= forever)
	change := b.change(c)
	switch {
	case p.at&passedSettled != 0:
		b.passSettled(i, c, p)
	case p.at&reachedSettled != 0 && b.upper == (change > 0):
		b.pend(i, abs(change))
	default:
		b.pend(i, 0)
	}
}

// passSettled: the settlement has certainly happened.
func (b *bucketBound) passSettled(i int32, c *charge, p *place) {
	if b.retro && !c.prior {
		b.retroactive(i, c, p)
		return
	}
	if p.at&passedDecided == 0 && !c.prior {
		return // both intervals end here, and the decision is told next
	}
	b.pend(i, 0)
	change := b.change(c)
	switch {
	case b.merged(c):
		b.charge(p.taken, p.takenCap, b.actual(c), true)
	case change > 0:
		b.refund(p.settled, p.settledCap, change)
	case change < 0:
		b.charge(p.settled, p.settledCap, -change, true)
	}
}

// retroactive: one charge at the decision, whose amount becomes the actual one
// when it is settled.
func (b *bucketBound) retroactive(i int32, c *charge, p *place) {
	amount := b.taken(c)
	switch {
	case p.at&passedSettled != 0:
		amount = b.actual(c)
	case p.at&reachedSettled != 0 && b.upper:
		amount = min(amount, b.actual(c))
	case p.at&reachedSettled != 0:
		amount = max(amount, b.actual(c))
	}
	switch {
	case p.at&passedDecided != 0:
		b.pend(i, 0)
		known := p.at&passedSettled != 0 || c.settled.Lo >= forever || c.settled.Hi >= forever && p.at&reachedSettled != 0
		b.charge(p.taken, p.takenCap, amount, known)
	case !b.upper:
		b.pend(i, amount)
	}
}

func abs(v int64) int64 { return max(v, -v) }

// sweep computes the bound at every instant.
func (b *bucketBound) sweep(marks []mark, at []int64, sign int64) *series {
	b.place(marks, b.scale.unit)
	s := sweep(marks, at, b, sign)
	s.start = b.scale.origin
	b.chain = nil
	return s
}

// scratch is what both bounds need, one after the other: a million requests make it large.
func (b *bucketBound) scratch(of *bucketBound) {
	b.places, b.states, b.at = of.places, of.states, of.at[:0]
	clear(b.places)
	clear(b.states)
}

// judgeBucket gives the verdicts of a bucket: both bounds over time, asked at every decision.
func (a *account) judgeBucket(h *Header, end int64) bool {
	marks := marksOf(a.charges)
	var sum int64
	for i := range a.charges {
		c := &a.charges[i]
		sum = min(sum+max(c.taken.Hi, c.actual.Hi, c.demand.Hi), most)
	}
	upper, ok1 := a.newBound(h, true, sum, end)
	lower, ok2 := a.newBound(h, false, sum, end)
	if !ok1 || !ok2 {
		return false
	}
	at := instants(marks)
	upper.places, upper.states = make([]place, len(a.charges)), make([]int64, len(a.charges))
	high := upper.sweep(marks, at, 1)
	lower.scratch(upper)
	low := lower.sweep(marks, at, -1)
	a.verdicts = make([]verdict, len(a.charges))
	for i := range a.charges {
		c := &a.charges[i]
		if c.prior {
			continue
		}
		top := high.extreme(c.decided)
		bottom := low.extreme(c.decided)
		if !c.asks {
			bottom += lower.own(c) * lower.scale.unit
		}
		v := &a.verdicts[i]
		v.most, v.least = upper.scale.floor(top), lower.scale.floor(bottom) // what asks for whole tokens finds no more
		if short := c.demand.Lo*upper.scale.unit - top; short > upper.scale.slack {
			v.lack = upper.scale.ceil(short)
		}
		v.fits = bottom-c.demand.Hi*lower.scale.unit >= lower.scale.slack
	}
	a.high, a.low = high, low
	a.together = a.arrivals(upper, marks)
	a.levels = samples(high, low, &upper.scale, &lower.scale)
	a.upScale, a.downScale = upper.scale, lower.scale
	return true
}

// own is what a charge has pending in the lower bound while it is decided: itself,
// and its overshoot where it may be settled in the same instant. It does not
// count against itself.
func (b *bucketBound) own(c *charge) int64 {
	if c.settled.Lo <= c.decided.Lo {
		return max(b.taken(c), b.actual(c))
	}
	return b.taken(c)
}

// newBound is one bound before anything has happened. The upper one takes the
// largest limits that the tolerance allows, the lower one the smallest.
func (a *account) newBound(h *Header, upper bool, sum, end int64) (*bucketBound, bool) {
	l, t := a.limit, &h.Target
	ppm, amount, burst, far := t.TolerancePPM, l.Amount.Hi, l.Burst.Hi, l.Burst.Lo
	if !upper {
		ppm, amount, burst, far = -ppm, l.Amount.Lo, l.Burst.Lo, l.Burst.Hi
	}
	num, den := max(0, amount), uint64(max(1, l.Per))
	if !l.AmountMicro {
		if num > math.MaxInt64/2/million {
			return nil, false // twice as much, with the largest tolerance, would not fit
		}
		num *= million
	}
	if ppm != 0 {
		num = perMillion(num, ppm)
	}
	burst, far = perMillion(burst, ppm), perMillion(far, -ppm)
	origin := h.Start
	if l.From != 0 {
		origin = l.From
	}
	s, ok := newScale(uint64(num), den, min(sum+4*burst, most), origin, end)
	b := &bucketBound{
		scale: s, charges: a.charges, upper: upper, retro: l.Refund == RefundRetroactive,
		cap: burst * s.unit, floor: -far * s.unit, start: burst * s.unit,
	}
	// A floor that nobody declared may be there (upper) and may be not (lower).
	b.floored = t.DebtFloor == DebtFloorBurst || (upper && t.DebtFloor == DebtFloorUnknown)
	if b.retro && !upper {
		b.floored = false // where the floor is applied in a replay is not observable
	}
	if !upper && (t.UsedAccounts || l.From != 0) {
		b.start = b.floor
	}
	return b, ok
}

// samples thins two series out for a plot, in whole tokens.
func samples(high, low *series, up, down *scale) []Sample {
	n := len(high.at)
	step := (n + MaxSamples - 1) / MaxSamples
	var out []Sample
	for i := 0; i < n; i += max(step, 1) {
		out = append(out, Sample{At: high.at[i], Min: down.floor(low.value[i]), Max: up.ceil(high.value[i])})
	}
	return out
}
