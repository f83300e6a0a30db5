package limiter_test

import (
	"math/big"
	"slices"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// model is the limiter as slowly and plainly as it can be said: it keeps every event since the beginning and computes
// each level anew from all of them, in integers of any size and without a remainder. It knows no accounts that come and
// go: one that was never used has no events.
type model struct {
	clock    time.Time
	accounts map[string]*modelAccount
	open     []*modelReservation // in order of reservation
	settled  map[limiter.ID]bool
}

type modelAccount struct {
	began  *limiter.Limit // before the first reload
	limit  *limiter.Limit
	events []modelEvent
	ledger limiter.Ledger // but for WrittenOff, which follows from the events
}

// modelEvent happens to an account; exactly one of its parts is set.
type modelEvent struct {
	at    time.Time
	take  *modelHold     // a reservation
	back  *modelHold     // its settlement, where refunds count when they arrive
	limit *limiter.Limit // a reload
}

type modelHold struct {
	key      string
	taken    time.Time
	cost     int64
	actual   int64
	settled  bool
	released bool // of a slot
}

type modelReservation struct {
	id       limiter.ID
	holds    []*modelHold
	deadline time.Time
}

func newModel() *model {
	return &model{accounts: map[string]*modelAccount{}, settled: map[limiter.ID]bool{}}
}

// advance moves time and ends leases. Time that goes backwards changes nothing.
func (m *model) advance(now time.Time) {
	if now.After(m.clock) {
		m.clock = now
	}
	for _, r := range slices.Clone(m.open) {
		if !r.deadline.After(m.clock) {
			m.finish(r, nil)
		}
	}
}

func (m *model) account(a limiter.Account) *modelAccount {
	if m.accounts[a.Key] == nil {
		m.accounts[a.Key] = &modelAccount{began: a.Limit, limit: a.Limit}
	}
	return m.accounts[a.Key]
}

// admits says whether a request of these holds would be admitted at an instant.
func (m *model) admits(now time.Time, holds []limiter.Hold) bool {
	for _, h := range holds {
		if !m.account(h.Account).admits(now, h.Cost) {
			return false
		}
	}
	return true
}

// reserve takes, if everything fits.
func (m *model) reserve(now time.Time, req *limiter.Request) bool {
	m.advance(now)
	if !m.admits(m.clock, req.Holds) {
		return false
	}
	r := &modelReservation{id: req.ID, deadline: m.clock.Add(req.Lease)}
	for _, h := range req.Holds {
		a := m.account(h.Account)
		held := &modelHold{key: h.Account.Key, taken: m.clock, cost: h.Cost, actual: h.Cost}
		a.events = append(a.events, modelEvent{at: m.clock, take: held})
		a.ledger.Reserved += h.Cost
		a.ledger.Outstanding += h.Cost
		r.holds = append(r.holds, held)
	}
	m.open = append(m.open, r)
	return true
}

// finish settles r at actual, or at its cost.
func (m *model) finish(r *modelReservation, actual []int64) {
	for i, h := range r.holds {
		if h.released {
			continue
		}
		n := h.cost
		if actual != nil {
			n = actual[i]
		}
		m.accounts[h.key].settle(m.clock, h, n)
	}
	m.open = slices.DeleteFunc(m.open, func(o *modelReservation) bool { return o == r })
	m.settled[r.id] = true
}

// release gives the slots of r back.
func (m *model) release(r *modelReservation) {
	for _, h := range r.holds {
		if a := m.accounts[h.key]; a.limit.Kind == limiter.Concurrency && !h.released {
			a.settle(m.clock, h, h.cost)
			h.released = true
		}
	}
}

// reload puts an account under another limit; known says whether the store still has it.
func (a *modelAccount) reload(now time.Time, l *limiter.Limit, known bool) {
	if a.limit = l; known {
		a.events = append(a.events, modelEvent{at: now, limit: l})
	} else {
		a.began, a.events = l, nil
	}
}

func (a *modelAccount) settle(now time.Time, h *modelHold, actual int64) {
	if a.limit.Kind == limiter.RequestBucket || a.limit.Kind == limiter.Concurrency {
		actual = h.cost
	}
	h.actual, h.settled = actual, true
	a.events = append(a.events, modelEvent{at: now, back: h})
	a.ledger.Outstanding -= h.cost
	a.ledger.Actual += actual
	a.ledger.Refunded += max(h.cost-actual, 0)
	a.ledger.Debited += max(actual-h.cost, 0)
}

func (a *modelAccount) admits(now time.Time, cost int64) bool {
	switch a.limit.Kind {
	case limiter.TokenBucket, limiter.RequestBucket:
		level, _ := a.level(now)
		return level.Cmp(times(cost, a.unit())) >= 0
	case limiter.Window:
		used := a.used(now)
		for _, s := range a.limit.Stages {
			if s.Action == limiter.Reject && (used+cost)*100 > a.limit.Amount*s.Percent {
				return false
			}
		}
		return used+cost <= a.limit.Amount
	case limiter.Concurrency:
		return a.slots()+cost <= a.limit.MaxConcurrent
	}
	return false
}

// unit is one token or micro-request in the unit of level: 1/60 000 micro-token, 1/10^9 micro-request.
func (a *modelAccount) unit() int64 {
	if a.limit.Kind == limiter.TokenBucket {
		return 60_000 * limiter.Micro
	}
	return 1e9
}

// level replays everything that ever happened to a bucket. The second result is what was written off.
func (a *modelAccount) level(now time.Time) (level, writtenOff *big.Int) {
	limit := a.began
	level, writtenOff = times(limit.Burst, a.unit()), new(big.Int)
	at := now
	if len(a.events) > 0 {
		at = a.events[0].at
	}
	bound := func() {
		top := times(limit.Burst, a.unit())
		if level.Cmp(top) > 0 {
			level.Set(top)
		}
		if floor := new(big.Int).Neg(top); level.Cmp(floor) < 0 {
			micro := big.NewInt(a.unit() / a.scale())
			below := new(big.Int).Sub(floor, level)
			below.Add(below, new(big.Int).Sub(micro, big.NewInt(1))).Div(below, micro) // in whole micro-units, up
			writtenOff.Add(writtenOff, below)
			level.Set(floor)
		}
	}
	refill := func(to time.Time) {
		level.Add(level, times(int64(to.Sub(at)), limit.TokensPerMinute+limit.MicroPerSecond))
		at = to
		bound()
	}
	for _, e := range a.events {
		refill(e.at)
		switch {
		case e.limit != nil:
			limit = e.limit
		case e.take != nil && limit.Refund == limiter.Retroactive:
			level.Sub(level, times(e.take.actual, a.unit()))
		case e.take != nil:
			level.Sub(level, times(e.take.cost, a.unit()))
		case limit.Refund == limiter.Capped:
			level.Add(level, times(e.back.cost-e.back.actual, a.unit()))
		}
		bound()
	}
	refill(now)
	return level, writtenOff
}

func (a *modelAccount) scale() int64 {
	if a.limit.Kind == limiter.TokenBucket {
		return limiter.Micro
	}
	return 1
}

// used is what the window of now has used.
func (a *modelAccount) used(now time.Time) (used int64) {
	start := windowStart(a.limit.Period, now)
	for _, e := range a.events {
		if e.take != nil && windowStart(a.limit.Period, e.take.taken).Equal(start) {
			used += e.take.actual
		}
	}
	return used
}

func (a *modelAccount) slots() (n int64) {
	for _, e := range a.events {
		if e.take != nil && !e.take.settled {
			n += e.take.cost
		}
	}
	return n
}

// windowStart says with the calendar what the limiter computes from nanoseconds.
func windowStart(p limiter.Period, t time.Time) time.Time {
	t = t.UTC()
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	switch p {
	case limiter.FiveMinutes:
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute()/5*5, 0, 0, time.UTC)
	case limiter.Hour:
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), 0, 0, 0, time.UTC)
	case limiter.Day:
		return day
	case limiter.Week:
		return day.AddDate(0, 0, -(int(t.Weekday())+6)%7)
	}
	panic("no such period")
}

func times(a, b int64) *big.Int {
	return new(big.Int).Mul(big.NewInt(a), big.NewInt(b))
}
