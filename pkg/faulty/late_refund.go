package faulty

import (
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// lateRefund puts settlements on a list, and works it off when they are late enough.
func lateRefund(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = &lateStore{store: store{cfg.Store}, trigger: t, delay: t.duration(delay)}
	return cfg
}

// lateStore needs no goroutine: nobody can see an account between two calls of its store, so what is due is settled at the
// beginning of the next one, at the instant at which it was due.
type lateStore struct {
	store
	trigger *Trigger
	delay   time.Duration

	mu    sync.Mutex
	queue []lateBill // by due
}

type lateBill struct {
	due    time.Time
	id     limiter.ID
	actual []int64
}

// Settle promises what the settlement will be.
func (s *lateStore) Settle(now time.Time, id limiter.ID, actual []int64) (limiter.Settlement, error) {
	s.catchUp(now)
	r, known := s.Find(id)
	if !s.trigger.Strikes() || !known || r.Settled {
		return s.Store.Settle(now, id, actual)
	}
	s.mu.Lock()
	s.queue = append(s.queue, lateBill{now.Add(s.delay), id, append([]int64(nil), actual...)})
	s.mu.Unlock()
	promise := limiter.NewSettlement(len(actual))
	for i, h := range r.Holds {
		if countsTokens(h.Account) {
			promise.Holds()[i] = limiter.HoldSettlement{Refunded: max(h.Cost-actual[i], 0), Debited: max(actual[i]-h.Cost, 0)}
		}
	}
	return promise, nil
}

// catchUp settles what is due.
func (s *lateStore) catchUp(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 && !now.Before(s.queue[0].due) {
		b := s.queue[0]
		s.queue = s.queue[1:]
		_, _ = s.Store.Settle(b.due, b.id, b.actual) // its lease may have ended before
	}
}

func (s *lateStore) Reserve(now time.Time, req *limiter.Request) (limiter.Decision, error) {
	s.catchUp(now)
	return s.Store.Reserve(now, req)
}

func (s *lateStore) Sweep(now time.Time) (limiter.Swept, error) {
	s.catchUp(now)
	return s.Store.Sweep(now)
}

func (s *lateStore) Inspect(now time.Time, match func(limiter.Account) bool) []limiter.AccountState {
	s.catchUp(now)
	return s.store.Inspect(now, match)
}
