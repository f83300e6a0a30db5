package faulty

import (
	"errors"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// notAtomic looks whether the accounts have enough, waits a moment, and takes without another look: what others took meanwhile is
// not seen. It really sleeps, because in virtual time nothing else happens between two instructions.
func notAtomic(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = &checkThenTake{store: store{cfg.Store}, trigger: t, pause: t.duration(pause), now: cfg.Now}
	return cfg
}

type checkThenTake struct {
	store
	trigger *Trigger
	pause   time.Duration
	now     func() time.Time
}

func (s *checkThenTake) Reserve(now time.Time, req *limiter.Request) (limiter.Decision, error) {
	if !s.trigger.Strikes() || !s.enough(now, req) {
		return s.Store.Reserve(now, req)
	}
	time.Sleep(s.pause)
	now = s.now()
	decision, err := s.Store.Reserve(now, req)
	if err != nil || decision.Admitted {
		return decision, err
	}
	// Others were faster. What is left is taken all the same, and the settlement debits the rest.
	free := withCosts(req, func(limiter.Hold) int64 { return 0 })
	decision, err = s.Store.Reserve(now, free)
	if err == nil && !decision.Admitted { // even nothing is too much for an account in debt
		return limiter.Decision{Admitted: true, Holds: decision.Holds}, nil
	}
	return decision, err
}

// Settle forgives a reservation that was admitted without the store's knowledge.
func (s *checkThenTake) Settle(now time.Time, id limiter.ID, actual []int64) (limiter.Settlement, error) {
	result, err := s.Store.Settle(now, id, actual)
	if errors.Is(err, limiter.ErrUnknown) {
		return limiter.NewSettlement(len(actual)), nil
	}
	return result, err
}

// enough is the check: every account, one after the other.
func (s *checkThenTake) enough(now time.Time, req *limiter.Request) bool {
	for _, h := range req.Holds {
		for _, state := range s.Inspect(now, func(a limiter.Account) bool { return a.Key == h.Account.Key }) {
			cost := h.Cost
			if h.Account.Limit.Kind == limiter.RequestBucket {
				cost = (cost + limiter.Micro - 1) / limiter.Micro
			}
			if state.Remaining < cost {
				return false
			}
		}
		if h.Cost > h.Account.Limit.Capacity() {
			return false
		}
	}
	return true
}
