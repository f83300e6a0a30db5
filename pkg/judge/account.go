package judge

import (
	"cmp"
	"slices"
)

// charge is one hold of one request as the bounds see it: an admission that
// takes, or a rejection that only asks.
type charge struct {
	request int32
	hold    int32
	// asks: it was rejected; it takes nothing, but its demand is judged.
	asks bool
	// judged: a verdict is wanted. False for requests whose decision nobody knows.
	judged bool
	// prior: it was reserved before a reload, and only what is left of it counts here:
	// its settlement, or its slot.
	prior bool
	// lost: a reload may have lost it, with its slot or what was to be settled.
	lost bool
	// decided (τ) and settled (u) contain the two instants.
	decided, settled Span
	// demand is what had to fit, taken (e) what was held, actual (a) what is charged.
	demand, taken, actual Span
}

// verdict is what one account says of one charge.
type verdict struct {
	// most and least bound what was left at the decision, in whole tokens.
	most, least int64
	// lack is by how much it certainly did not fit; zero if it may have fitted.
	lack int64
	// fits: it certainly fitted.
	fits bool
}

// account is one limit and key, with everything that happened to it.
type account struct {
	limit *Limit
	key   string
	// charges, by request.
	charges  []charge
	verdicts []verdict
	levels   []Sample
	// together are sets of admissions that are only wrong together.
	together []excess
	// high and low explain a verdict: the series of the upper and the lower bound.
	// Only a bucket has them, and its scales.
	high, low          *series
	upScale, downScale scale
	// over and leak are the largest proven amounts.
	over, leak int64
}

// accounts sorts the holds of a history into its accounts, ordered by limit and
// key.
func accounts(h *History) []*account {
	type id struct{ limit, key string }
	limits := make(map[string]*Limit, len(h.Header.Limits))
	for i := range h.Header.Limits {
		limits[h.Header.Limits[i].ID] = &h.Header.Limits[i]
	}
	sizes := map[id]int{}
	for i := range h.Requests {
		for j := range h.Requests[i].Holds {
			hold := &h.Requests[i].Holds[j]
			sizes[id{hold.Limit, hold.Key}]++
		}
	}
	byID := make(map[id]*account, len(sizes))
	var all []*account
	for i := range h.Requests {
		r := &h.Requests[i]
		for j := range r.Holds {
			hold := &r.Holds[j]
			l := limits[hold.Limit]
			if l == nil {
				continue
			}
			at := id{hold.Limit, hold.Key}
			a := byID[at]
			if a == nil {
				a = &account{limit: l, key: hold.Key, charges: make([]charge, 0, sizes[at])}
				byID[at] = a
				all = append(all, a)
			}
			if c, ok := newCharge(r, hold, l, &h.Header.Target); ok {
				c.request, c.hold = int32(i), int32(j)
				a.charges = append(a.charges, c)
			}
		}
	}
	slices.SortFunc(all, func(a, b *account) int {
		return cmp.Or(cmp.Compare(a.limit.ID, b.limit.ID), cmp.Compare(a.key, b.key))
	})
	carryOver(all, h.Header.Limits)
	for _, a := range all {
		if a.limit.Refund == RefundRetroactive {
			a.keepOldest()
		}
	}
	return all
}

// mostReplayed is how many events a retroactive refund goes back at most
// (semantics.md 4). Beyond, the oldest open reservation is treated as kept.
const mostReplayed = 4096

// keepOldest leaves open what became of the reservations that may have been open for
// longer: they were refunded in retrospect, or kept, and then an overshoot was
// charged when they settled. Each charge since may have been two events.
func (a *account) keepOldest() {
	if len(a.charges) < mostReplayed/2 {
		return
	}
	var began, ended []int64
	for i := range a.charges {
		if c := &a.charges[i]; !c.asks && !c.prior {
			began, ended = append(began, c.decided.Lo), append(ended, c.decided.Hi)
		}
	}
	slices.Sort(began)
	slices.Sort(ended)
	for i := range a.charges {
		c := &a.charges[i]
		since, _ := slices.BinarySearch(ended, c.decided.Lo)
		until, _ := slices.BinarySearch(began, c.settled.Hi+1)
		if c.asks || c.prior || until-since <= mostReplayed/2 {
			continue
		}
		over := c.actual.Hi - c.taken.Lo
		c.actual = c.actual.join(c.taken)
		if over > 0 {
			debit := *c
			debit.prior, debit.judged, debit.taken, debit.actual = true, false, Span{}, Between(0, over)
			a.charges = append(a.charges, debit)
		}
	}
}

// carryOver gives accounts that began with a reload what was reserved before it and
// may still be open: a settlement that is to come, or a slot that is in use.
func carryOver(all []*account, limits []Limit) {
	for _, a := range all {
		if a.limit.From == 0 {
			continue
		}
		for _, before := range all {
			if before.limit.Rule != a.limit.Rule || before.key != a.key || before.limit.From >= a.limit.From || !a.limit.follows(before.limit) {
				continue
			}
			// An account that a limit of another kind used in between has begun anew, and
			// whether any request came for this key meanwhile is the target's business.
			lost := slices.ContainsFunc(limits, func(l Limit) bool {
				return l.Rule == a.limit.Rule && l.From > before.limit.From && l.From < a.limit.From && !l.follows(a.limit)
			})
			for _, c := range before.charges {
				if c.asks || c.prior || c.settled.Hi < a.limit.From {
					continue
				}
				c.prior, c.judged, c.lost = true, false, lost
				switch {
				case lost:
					c.actual = Between(0, max(c.actual.Hi, c.taken.Hi))
					c.taken.Lo = 0
				case before.limit.Refund == RefundRetroactive && a.limit.Refund == RefundRetroactive:
					// It is corrected where it was taken, and the new burst may have cut that off.
					c.actual = c.actual.join(c.taken)
				}
				a.charges = append(a.charges, c)
			}
		}
	}
}

// newCharge places one hold of a request in time and gives its amounts; ok is
// false if it cannot have touched the account.
func newCharge(r *Request, h *Hold, l *Limit, t *Target) (c charge, ok bool) {
	e := h.Reserved
	switch r.Decision {
	case Rejected:
		c.asks, c.judged = true, true
		c.demand = demand(e, t)
		c.decided = Between(r.Sent, earliest(r.HeadersAt, r.Ended))
		return c, true
	case Admitted:
		c.judged = true
		c.actual = actual(r, h, l, t)
		c.taken = taken(e, l, t)
	case Undecided:
		c.actual = Between(0, max(actual(r, h, l, t).Hi, e.Hi))
		c.taken = Between(0, e.Hi)
	case Refused:
		return c, false
	}
	c.demand = demand(e, t)
	if !l.Settles {
		c.actual = c.taken
	}
	c.decided = Between(r.Sent, earliest(after(r.Received, t.ClockError), r.HeadersAt, r.Ended))
	c.settled = settlement(r, t, c.decided)
	return c, true
}

// demand is what had to fit. A target that does not reserve, or of which it is
// not known, may have asked for less.
func demand(e Span, t *Target) Span {
	if t.Accounting == AccountingReserve {
		return e
	}
	return Between(min(0, e.Lo), e.Hi)
}

// taken is what is held until the settlement.
func taken(e Span, l *Limit, t *Target) Span {
	switch {
	case t.Accounting == AccountingReserve || !l.Settles:
		return e
	case t.Accounting == AccountingSettleAfter:
		return Span{}
	}
	return Between(0, e.Hi)
}

// settlement contains the instant of the settlement. It cannot come before the
// usage was written or, without one, before the mock had the request; it comes
// at the latest D after both ends are done. A lease may end it before.
func settlement(r *Request, t *Target, decided Span) Span {
	lo := decided.Lo
	switch {
	case r.UsageAt != 0 || r.Outcome == OutcomeLeft || r.Outcome == OutcomeCut:
		lo = earliest(after(r.UsageAt, -t.ClockError), after(r.Finished, -t.ClockError), r.Ended, r.Left)
	case r.Received != 0:
		lo = r.Received - t.ClockError
	}
	hi := int64(forever)
	if r.Ended != 0 && (r.Finished != 0 || r.Received == 0) {
		hi = max(after(r.Finished, t.ClockError), r.Ended) + t.SettleDelay
	}
	if t.Lease > 0 && r.lasted() > t.Lease {
		lo = min(lo, r.Sent+t.Lease)
	}
	lo = max(lo, decided.Lo)
	return Between(lo, max(lo, hi))
}

// earliest is the first of those instants that are known, forever if none is.
func earliest(instants ...int64) int64 {
	first := int64(forever)
	for _, t := range instants {
		if t != 0 {
			first = min(first, t)
		}
	}
	return first
}

// after moves an instant that is known.
func after(t, by int64) int64 {
	if t == 0 {
		return 0
	}
	return t + by
}
