package limiter

import "slices"

// maxReplay is the largest number of events that a replay goes over: some 60 µs under the store's lock.
const maxReplay = 4096

// maxIdleReplay is the number of events that an account without any keeps the memory of.
const maxIdleReplay = 16

// replay is the memory of a bucket with retroactive refunds: the bucket as it was before its oldest open reservation, and
// all that has been taken since. When a reservation settles, its event is corrected and the level is computed anew, as
// if its actual had been known when it was taken.
//
// Rejected requests are no events, and refilling needs none: it follows from the instants.
type replay struct {
	base       bucket // before the first event
	limit      *Limit // in force at base
	writtenOff WrittenOff
	first      int64 // number of events[0]; numbers begin at 1, so that a mark of 0 means no event
	began      int64 // number of its first event ever: those below are of a replay that was ended
	events     []event
}

// event is an amount taken from a bucket, or a change of its limit.
type event struct {
	at     int64 // ns
	amount int64 // tokens; negative for a refund of what was reserved before the replay began
	open   bool  // its reservation is not settled: amount is the cost, and may change
	adopt  *Limit
}

// begin starts a replay at the present state of an account; p may be nil, or one that was ended.
func (p *replay) begin(a *account) *replay {
	if p == nil {
		p = &replay{first: 1}
	}
	p.base, p.limit, p.writtenOff, p.began = a.bucket, a.limit, a.ledger.WrittenOff, p.first
	return p
}

// end forgets all events; reservations that are open settle as if there had been no replay.
func (p *replay) end() {
	if p.running() {
		p.first += int64(len(p.events))
		p.limit, p.events = nil, nil
	}
}

func (p *replay) running() bool { return p != nil && p.limit != nil }

// take records a reservation that is being made and returns its number.
func (p *replay) take(at, cost int64) int64 {
	n := p.first + int64(len(p.events))
	p.add(event{at: at, amount: cost, open: true})
	return n
}

// add appends an event. When there are too many, the oldest open reservation is treated as kept at its cost.
func (p *replay) add(e event) {
	p.events = append(p.events, e)
	if len(p.events) > maxReplay {
		p.events[0].open = false
	}
	p.absorb()
}

// absorb moves the base over the events that can no longer change, so that the first event is always an open one.
func (p *replay) absorb() {
	n := 0
	for n < len(p.events) && !p.events[n].open {
		p.limit, p.writtenOff = p.base.apply(p.limit, p.events[n], p.writtenOff)
		n++
	}
	if n == 0 {
		return
	}
	p.first += int64(n)
	p.events = slices.Delete(p.events, 0, n)
	if len(p.events) == 0 && cap(p.events) > maxIdleReplay {
		p.events = nil
	}
}

// apply lets an event happen to a bucket and returns the limit in force after it and what is written off in total.
func (b *bucket) apply(l *Limit, e event, off WrittenOff) (*Limit, WrittenOff) {
	b.refill(l.flow(), e.at)
	if e.adopt != nil {
		return e.adopt, off.plus(b.clamp(e.adopt.flow()))
	}
	return l, off.plus(b.charge(l.flow(), e.amount))
}

// settle corrects event n of an account that has been brought to now, or, for a reservation that has no event any more,
// adds one. It returns the account's bucket and what is written off in total.
func (p *replay) settle(a *account, n, cost, actual int64) (bucket, WrittenOff) {
	switch {
	case n >= p.first:
		e := &p.events[n-p.first]
		e.amount, e.open = actual, false
		p.absorb()
	case n < p.began: // reserved before there was this replay: refunded or debited as capped
		p.add(event{at: a.clock, amount: actual - cost})
	case actual > cost: // treated as kept: no refund, but what is beyond is owed
		p.add(event{at: a.clock, amount: actual - cost})
	}
	if actual == cost {
		return a.bucket, a.ledger.WrittenOff
	}
	b, l, off := p.base, p.limit, p.writtenOff
	for _, e := range p.events {
		l, off = b.apply(l, e, off)
	}
	b.refill(l.flow(), a.clock)
	return b, off
}
