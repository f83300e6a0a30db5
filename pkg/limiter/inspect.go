package limiter

import (
	"slices"
	"time"
)

// Inspect implements Inspector. It looks at a portion of the accounts at a time, so that requests can pass in between.
func (m *Memory) Inspect(now time.Time, match func(Account) bool) []AccountState {
	var states []AccountState
	shown := make(map[string]bool) // an account that moved meanwhile is met twice
	for next := -1; ; {
		m.mu.Lock()
		m.advance(now)
		if next < 0 || next > m.roster.n {
			next = m.roster.n
		}
		stop := max(next-sweepChunk, 0)
		for next > stop {
			next--
			a := m.roster.at(next)
			of := Account{Key: a.key, Limit: a.limit}
			if shown[a.key] || !match(of) {
				continue
			}
			shown[a.key] = true
			m.touch(a)
			states = append(states, a.state())
		}
		m.mu.Unlock()
		if next == 0 {
			return states
		}
	}
}

func (a *account) state() AccountState {
	var h HoldState
	a.report(&h, 0)
	s := AccountState{
		Account:   Account{Key: a.key, Limit: a.limit},
		Level:     a.level,
		Remaining: h.Remaining,
		Open:      int(a.open),
		Ledger:    a.ledger,
	}
	if a.limit.Kind != Window {
		return s
	}
	s.Windows = append(s.Windows, a.limit.windowState(a.end, a.level, a.open, a.ledger))
	for w := a.past; w != nil; w = w.older {
		s.Open += int(w.open)
		s.Windows = append(s.Windows, a.limit.windowState(w.end, w.used, w.open, w.ledger))
	}
	slices.Reverse(s.Windows)
	return s
}

func (l *Limit) windowState(end, used int64, open int32, ledger Ledger) WindowState {
	at := time.Unix(0, end).UTC()
	return WindowState{Start: at.Add(-l.Period.Duration()), End: at, Used: used, Open: int(open), Ledger: ledger}
}

// Find implements Inspector.
func (m *Memory) Find(id ID) (Reservation, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.book.find(&id)
	if r == nil {
		return Reservation{}, false
	}
	found := Reservation{
		Prompt:   r.prompt,
		Since:    time.Unix(0, r.since).UTC(),
		Deadline: time.Unix(0, r.deadline).UTC(),
		Settled:  r.place < 0,
	}
	for _, h := range r.holds {
		found.Holds = append(found.Holds, Hold{Account: Account{Key: h.account.key, Limit: h.account.limit}, Cost: h.cost})
	}
	return found, true
}

// Stats implements Inspector.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Stats{
		Accounts:   m.roster.n,
		Open:       len(m.leases),
		Expired:    m.expired,
		Duplicates: m.duplicates,
	}
}
