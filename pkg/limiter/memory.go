package limiter

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Options of a Memory store. The zero value is ready to use.
type Options struct {
	// MaxAccounts is the most accounts that exist at the same time; 0 means 1 000 000.
	MaxAccounts int
	// KeepIdle is how long an account that equals an absent one is kept, untouched, for the sake of its ledger; 0 means
	// 24 hours. When half of MaxAccounts is in use, idle accounts are dropped at once.
	KeepIdle time.Duration
	// Remember is how many settled reservations are remembered, so that a second settlement can be given the first
	// result; 0 means 8192. One that is forgotten is ErrUnknown: it is never settled twice.
	Remember int
}

// Memory is a Store in this process, which can also release, reload and inspect.
//
// One lock guards everything: a decision over the accounts of several keys is one critical section anyway, takes a
// fraction of a microsecond, and an order of many locks would cost more than it saves. Nothing that holds the lock
// grows with the number of accounts.
type Memory struct {
	options Options

	mu       sync.Mutex
	clock    int64 // ns, the latest instant seen
	accounts map[string]*account
	roster   roster
	swept    int // how far the sweep is in the roster, downwards

	book   book
	leases leases
	free   []*reservation // at most as many as were open at once

	reloads    successions
	expired    int64
	duplicates int64
	scratch    account // stands for one that does not exist
}

var (
	_ Store     = (*Memory)(nil)
	_ Releaser  = (*Memory)(nil)
	_ Reloader  = (*Memory)(nil)
	_ Inspector = (*Memory)(nil)
)

// New returns an empty store.
func New(o Options) *Memory {
	if o.MaxAccounts <= 0 {
		o.MaxAccounts = 1_000_000
	}
	if o.KeepIdle <= 0 {
		o.KeepIdle = 24 * time.Hour
	}
	if o.Remember <= 0 {
		o.Remember = 1 << 13
	}
	return &Memory{
		options:  o,
		clock:    math.MinInt64,
		accounts: make(map[string]*account),
		book:     newBook(o.Remember),
	}
}

// Reserve implements Store. It allocates nothing if the Request has been used before and its accounts exist.
func (m *Memory) Reserve(now time.Time, req *Request) (Decision, error) {
	if err := req.check(); err != nil {
		return Decision{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	lag := m.advance(now)
	if m.book.find(&req.ID) != nil {
		return Decision{}, fmt.Errorf("reserving %v: %w", req.ID, ErrReused)
	}
	d, missing := m.judge(req, lag)
	if d.Admitted && m.roster.n+missing > m.options.MaxAccounts {
		m.sweepSome(sweepChunk) // may drop an account of this request, so it is judged again
		d, missing = m.judge(req, lag)
	}
	switch {
	case !d.Admitted:
		m.report(req, lag)
	case m.roster.n+missing > m.options.MaxAccounts && missing > 0:
		return Decision{}, fmt.Errorf("reserving %v: %d accounts: %w", req.ID, m.roster.n, ErrTooManyAccounts)
	default:
		m.take(req, lag)
	}
	return d, nil
}

// check finds what is wrong with a request by itself.
func (r *Request) check() error {
	if r.Lease <= 0 {
		return fmt.Errorf("reserving %v: %w: lease is %v, expected a positive one", r.ID, ErrInvalid, r.Lease)
	}
	for i := range r.Holds {
		h := &r.Holds[i]
		if h.Account.Limit == nil {
			return fmt.Errorf("reserving %v: %w: hold %d has no limit", r.ID, ErrInvalid, i)
		}
		if h.Cost < 0 || (h.Account.Limit.Kind == Concurrency && h.Cost != 1) {
			return fmt.Errorf("reserving %v: %w: hold %d costs %d", r.ID, ErrInvalid, i, h.Cost)
		}
		for j := range i {
			if r.Holds[j].Account.Key == h.Account.Key {
				return fmt.Errorf("reserving %v: %w: holds %d and %d name one account", r.ID, ErrInvalid, j, i)
			}
		}
	}
	return nil
}

// advance moves the store's clock to now, settles what has expired by then, and returns how far now lies back.
func (m *Memory) advance(now time.Time) (lag int64) {
	at := now.UnixNano()
	if at < m.clock {
		return m.clock - at
	}
	m.clock = at
	for len(m.leases) > 0 && m.leases[0].deadline <= at {
		m.expire(m.leases[0])
	}
	return 0
}

// judge asks every account how the whole request is decided, and counts the accounts that do not exist yet. It changes
// nothing that a later decision could see.
func (m *Memory) judge(req *Request, lag int64) (d Decision, missing int) {
	n := len(req.Holds)
	if req.owner != m {
		req.owner, req.found = m, nil
	}
	if cap(req.found) < n {
		req.found = make([]*account, n)
	}
	req.found = req.found[:n]
	req.states = slices.Grow(req.states[:0], n)[:n]
	d.Admitted = true
	for i := range req.Holds {
		h := &req.Holds[i]
		a := m.find(h.Account, req.found[i])
		req.found[i] = a
		if a == nil {
			missing++
			a = m.untouched(h.Account)
		}
		s := &req.states[i]
		*s = HoldState{}
		a.judge(s, h.Cost, lag)
		if !s.Rejected {
			continue
		}
		d.Admitted = false
		d.Permanent = d.Permanent || s.Permanent
		if d.Reason == "" || s.Wait > d.RetryAfter {
			d.RetryAfter, d.Reason = s.Wait, a.limit.Reason
		}
	}
	if d.Permanent {
		d.RetryAfter, d.Reason = 0, ReasonTooLarge
	}
	d.Holds = req.states
	return d, missing
}

// report fills in what the accounts of a rejected request have left.
func (m *Memory) report(req *Request, lag int64) {
	for i, a := range req.found {
		if a == nil {
			a = m.untouched(req.Holds[i].Account)
		}
		a.report(&req.states[i], lag)
	}
}

// untouched returns the account as it would begin; it is valid until the next call.
func (m *Memory) untouched(of Account) *account {
	m.scratch.start(of.Key, of.Limit, m.clock)
	return &m.scratch
}

// find returns an account, brought to the store's clock and under the limit that the request names, or nil. The guess
// is the account that was found last time, which is often the same: a hot key is not looked up again.
func (m *Memory) find(of Account, guess *account) *account {
	a := guess
	if a == nil || a.slot < 0 || a.key != of.Key {
		if a = m.accounts[of.Key]; a == nil {
			return nil
		}
	}
	m.touch(a)
	if a.limit == of.Limit {
		return a
	}
	if _, old := m.reloads.of[of.Limit]; old {
		return a // the request was bound before the reload
	}
	if !a.fits(of.Limit) {
		return nil
	}
	a.adopt(of.Limit, m.clock)
	return a
}

// take makes the reservation of a request that judge has admitted, and brings the states of its holds up to date.
func (m *Memory) take(req *Request, lag int64) {
	r := m.newReservation()
	r.id, r.prompt, r.released = req.ID, req.Prompt, false
	r.since, r.deadline = m.clock, deadline(m.clock, req.Lease)
	for i := range req.Holds {
		h := &req.Holds[i]
		a := req.found[i]
		if a == nil {
			a = m.create(h.Account)
			req.found[i] = a
		}
		mark := a.take(h.Cost)
		r.holds = append(r.holds, held{account: a, cost: h.Cost, mark: mark})
		a.report(&req.states[i], lag)
	}
	m.book.add(r)
	m.leases.push(r)
}

func (m *Memory) create(of Account) *account {
	if old := m.accounts[of.Key]; old != nil { // it does not fit the limit; its reservations still settle on it
		m.roster.remove(old)
	}
	a := new(account)
	a.start(of.Key, of.Limit, m.clock)
	m.accounts[of.Key] = a
	m.roster.add(a)
	return a
}

func (m *Memory) newReservation() *reservation {
	if n := len(m.free); n > 0 {
		r := m.free[n-1]
		m.free = m.free[:n-1]
		r.holds = r.holds[:0]
		return r
	}
	r := new(reservation)
	r.holds = r.few[:0]
	return r
}

// Extend implements Store.
func (m *Memory) Extend(now time.Time, id ID, lease time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	r := m.book.find(&id)
	if r == nil || r.place < 0 {
		return fmt.Errorf("extending %v: %w", id, ErrUnknown)
	}
	if end := deadline(m.clock, lease); end > r.deadline {
		m.leases.delay(r, end)
	}
	return nil
}

// Settle implements Store. It allocates nothing for up to four holds without retroactive refunds.
func (m *Memory) Settle(now time.Time, id ID, actual []int64) (Settlement, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	r := m.book.find(&id)
	if r == nil {
		return Settlement{}, fmt.Errorf("settling %v: %w", id, ErrUnknown)
	}
	if r.place < 0 {
		m.duplicates++
		again := r.result
		again.Duplicate = true
		return again, nil
	}
	if len(actual) != len(r.holds) {
		return Settlement{}, fmt.Errorf("settling %v: %w: %d actuals for %d holds", id, ErrInvalid, len(actual), len(r.holds))
	}
	for i, n := range actual {
		if n < 0 || n > MaxAmount {
			return Settlement{}, fmt.Errorf("settling %v: %w: actual %d is %d, expected 0 to 2^53", id, ErrInvalid, i, n)
		}
	}
	m.settle(r, actual)
	return r.result, nil
}

// expire settles a reservation whose lease has ended, at its cost.
func (m *Memory) expire(r *reservation) {
	m.settle(r, nil)
	r.result.Expired = true
	m.expired++
}

// settle settles an open reservation; without actuals, at its cost.
func (m *Memory) settle(r *reservation, actual []int64) {
	r.result = NewSettlement(len(r.holds))
	results := r.result.Holds()
	for i := range r.holds {
		h := &r.holds[i]
		n := h.cost
		if actual != nil {
			n = actual[i]
		}
		if r.released && h.account.limit.Kind == Concurrency {
			continue
		}
		m.touch(h.account)
		results[i] = h.account.settle(h.cost, h.mark, n)
	}
	m.leases.remove(r)
	if old := m.book.settled(r); old != nil {
		m.free = append(m.free, old)
	}
}

// Release implements Releaser.
func (m *Memory) Release(now time.Time, id ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	r := m.book.find(&id)
	if r == nil || r.place < 0 {
		return fmt.Errorf("releasing the slots of %v: %w", id, ErrUnknown)
	}
	if r.released {
		return nil
	}
	r.released = true
	for _, h := range r.holds {
		if h.account.limit.Kind == Concurrency {
			m.touch(h.account)
			h.account.settle(h.cost, h.mark, h.cost)
		}
	}
	return nil
}

const (
	// sweepChunk is how many accounts are looked at under one hold of the lock: a few microseconds.
	sweepChunk = 128
	// sweepLeast and sweepShare bound one sweep: so many accounts, or one of so many, so that a sweep every second goes
	// over a million of them in 16 seconds and holds the lock for a few milliseconds of each.
	sweepLeast = 1 << 14
	sweepShare = 16
)

// Sweep implements Store. It goes over the accounts in small portions, lets others have the lock in between, and leaves
// what is too much for one call to the next.
func (m *Memory) Sweep(now time.Time) (Swept, error) {
	var total Swept
	for left, begun := 0, false; !begun || left > 0; left -= sweepChunk {
		m.mu.Lock()
		before := m.expired
		m.advance(now)
		if !begun {
			left, begun = min(m.roster.n, max(sweepLeast, m.roster.n/sweepShare)), true
		}
		total.Expired += int(m.expired - before)
		total.Dropped += m.sweepSome(min(left, sweepChunk))
		total.Accounts = m.roster.n
		m.mu.Unlock()
		// Without this, a request that waits would lose the race for the lock against the next portion.
		runtime.Gosched()
	}
	return total, nil
}

// sweepSome looks at the next n accounts and returns how many it dropped.
func (m *Memory) sweepSome(n int) (dropped int) {
	crowded := m.roster.n > m.options.MaxAccounts/2
	for range n {
		if m.swept <= 0 || m.swept > m.roster.n {
			m.swept = m.roster.n
			m.reloads.passed()
		}
		if m.swept == 0 {
			return dropped
		}
		m.swept--
		a := m.roster.at(m.swept)
		rested := m.clock - a.clock
		if m.reloads.stage == noReload && !crowded && rested < int64(m.options.KeepIdle) {
			continue
		}
		m.touch(a)
		if !a.idle() || !crowded && rested < int64(m.options.KeepIdle) {
			continue
		}
		m.roster.remove(a)
		delete(m.accounts, a.key)
		dropped++
	}
	return dropped
}
