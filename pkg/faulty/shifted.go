package faulty

import (
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// shifted is a store whose clock is wrong by the same time always. Waits are right on it; windows are not.
type shifted struct {
	store
	trigger *Trigger
	shift   func(first time.Time) time.Duration

	once sync.Once
	by   time.Duration
}

func (s *shifted) at(now time.Time) time.Time {
	s.once.Do(func() {
		if s.trigger.Strikes() {
			s.by = s.shift(now)
		}
	})
	return now.Add(s.by)
}

func (s *shifted) Reserve(now time.Time, req *limiter.Request) (limiter.Decision, error) {
	return s.Store.Reserve(s.at(now), req)
}

func (s *shifted) Extend(now time.Time, id limiter.ID, lease time.Duration) error {
	return s.Store.Extend(s.at(now), id, lease)
}

func (s *shifted) Settle(now time.Time, id limiter.ID, actual []int64) (limiter.Settlement, error) {
	return s.Store.Settle(s.at(now), id, actual)
}

// Sweep leaves the clock alone until somebody has set it.
func (s *shifted) Sweep(now time.Time) (limiter.Swept, error) {
	if s.by == 0 {
		return limiter.Swept{}, nil
	}
	return s.Store.Sweep(s.at(now))
}

func (s *shifted) Release(now time.Time, id limiter.ID) error {
	return s.store.Release(s.at(now), id)
}

func (s *shifted) Inspect(now time.Time, match func(limiter.Account) bool) []limiter.AccountState {
	return s.store.Inspect(now.Add(s.by), match)
}

func (s *shifted) Reload(now time.Time, changes []limiter.Change) error {
	return s.store.Reload(now.Add(s.by), changes)
}
