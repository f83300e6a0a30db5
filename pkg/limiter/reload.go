package limiter

import (
	"fmt"
	"time"
)

// succession is the limit that follows another one.
type succession struct {
	limit *Limit
	since int64 // ns
}

// successions are the reloads that some account may not have heard of. A reload visits no account: each one is brought to
// the instant of the reload under its old limit, and on under the new one, when it is next touched. Once a sweep has been
// over all of them, from the top of the roster to the bottom, nobody is left to tell.
type successions struct {
	of    map[*Limit]succession
	stage reloadStage
}

type reloadStage uint8

const (
	noReload reloadStage = iota
	reloaded             // the sweep is somewhere in the roster
	telling              // it has begun at the top since
)

// Reload implements Reloader.
func (m *Memory) Reload(now time.Time, changes []Change) error {
	for i, c := range changes {
		if c.Old == nil || c.New == nil || c.Old.Kind != c.New.Kind || c.Old.Period != c.New.Period {
			return fmt.Errorf("reloading limits: %w: change %d is not between limits of one kind and period", ErrInvalid, i)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	for _, c := range changes {
		if c.Old == c.New {
			continue
		}
		if m.reloads.of == nil {
			m.reloads.of = make(map[*Limit]succession)
		}
		m.reloads.of[c.Old] = succession{limit: c.New, since: m.clock}
		delete(m.reloads.of, c.New) // or a change and its reversal would go round in circles
		m.reloads.stage = reloaded
	}
	return nil
}

// passed is called when the sweep begins at the top of the roster.
func (s *successions) passed() {
	switch s.stage {
	case noReload:
	case reloaded:
		s.stage = telling
	case telling:
		s.stage = noReload
		clear(s.of)
	}
}

// touch brings an account to the store's clock, through the reloads that it has not heard of.
func (m *Memory) touch(a *account) {
	if m.reloads.stage != noReload {
		for s, ok := m.reloads.of[a.limit]; ok; s, ok = m.reloads.of[a.limit] {
			a.adopt(s.limit, max(s.since, a.clock))
		}
	}
	a.touch(m.clock)
}

// adopt puts the account under another limit that fits, at an instant not before its clock: what it has stays, but for a
// level over the new burst or below the new floor.
func (a *account) adopt(l *Limit, now int64) {
	a.touch(now)
	if l.Kind == TokenBucket || l.Kind == RequestBucket {
		a.ledger.WrittenOff = a.ledger.WrittenOff.plus(a.clamp(l.flow()))
		if l.Refund != Retroactive {
			a.replay.end()
		} else if a.replay.running() {
			a.replay.add(event{at: now, adopt: l})
		}
	}
	a.limit = l
	if l.Refund == Retroactive && !a.replay.running() {
		a.replay = a.replay.begin(a)
	}
}

// fits says whether the account's state means anything under another limit.
func (a *account) fits(l *Limit) bool {
	return a.limit.Kind == l.Kind && a.limit.Period == l.Period
}
