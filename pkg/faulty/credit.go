package faulty

import (
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// refundUncapped lets refunds lift a level over its burst.
func refundUncapped(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = newCredit(cfg.Store, t, func(c *credit, now time.Time, r limiter.Reservation, actual []int64) []int64 {
		for i, h := range r.Holds {
			if h.Account.Limit.Kind != limiter.TokenBucket {
				continue
			}
			for _, state := range c.Inspect(now, func(a limiter.Account) bool { return a.Key == h.Account.Key }) {
				room := h.Account.Limit.Burst - state.Level/limiter.Micro
				c.give(h.Account.Key, h.Cost-actual[i]-room)
			}
		}
		return actual
	})
	return cfg
}

// refundIntoToday gives what was reserved yesterday back to today's budget.
func refundIntoToday(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = newCredit(cfg.Store, t, func(c *credit, now time.Time, r limiter.Reservation, actual []int64) []int64 {
		changed := append([]int64(nil), actual...)
		for i, h := range r.Holds {
			l := h.Account.Limit
			if l.Kind == limiter.Window && !now.Truncate(l.Period.Duration()).Equal(r.Since.Truncate(l.Period.Duration())) {
				c.give(h.Account.Key, h.Cost-actual[i])
				changed[i] = max(actual[i], h.Cost)
			}
		}
		return changed
	})
	return cfg
}

// errorGivesRequestBack does not count a request that failed, so that failing is free.
func errorGivesRequestBack(cfg proxy.Config, t *Trigger) proxy.Config {
	c := newCredit(cfg.Store, t, func(_ *credit, _ time.Time, _ limiter.Reservation, actual []int64) []int64 { return actual })
	cfg.Store = c
	return changeBill(cfg, t, func(bill *proxy.Bill) bool { return bill.Status >= 400 }, func(bill *proxy.Bill) {
		for _, h := range bill.Holds {
			if h.Account.Limit.Kind == limiter.RequestBucket {
				c.give(h.Account.Key, h.Cost)
			}
		}
	})
}

// credit is a store that hands out more than there is: what it was given for an account helps out where the account is short.
type credit struct {
	store
	trigger *Trigger
	// settle sees a reservation before it is settled, and returns what is charged.
	settle func(c *credit, now time.Time, r limiter.Reservation, actual []int64) []int64

	mu    sync.Mutex
	extra map[string]int64 // by account, in the unit of its costs
}

func newCredit(
	next limiter.Store, t *Trigger, settle func(c *credit, now time.Time, r limiter.Reservation, actual []int64) []int64,
) *credit {
	return &credit{store: store{next}, trigger: t, settle: settle, extra: map[string]int64{}}
}

// give adds to what an account has beside its level.
func (c *credit) give(key string, amount int64) {
	if amount <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.extra[key] += amount
}

func (c *credit) Settle(now time.Time, id limiter.ID, actual []int64) (limiter.Settlement, error) {
	if r, known := c.Find(id); known && !r.Settled && c.trigger.Strikes() {
		actual = c.settle(c, now, r, actual)
	}
	return c.Store.Settle(now, id, actual)
}

func (c *credit) Reserve(now time.Time, req *limiter.Request) (limiter.Decision, error) {
	d, err := c.Store.Reserve(now, req)
	if err != nil || d.Admitted || d.Permanent {
		return d, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	smaller, missing := *req, make([]int64, len(req.Holds))
	smaller.Holds = append([]limiter.Hold(nil), req.Holds...)
	for i := range d.Holds {
		if !d.Holds[i].Rejected {
			continue
		}
		left := d.Holds[i].Remaining
		if req.Holds[i].Account.Limit.Kind == limiter.RequestBucket {
			left *= limiter.Micro
		}
		missing[i] = req.Holds[i].Cost - left
		if missing[i] > c.extra[req.Holds[i].Account.Key] {
			return d, nil
		}
		smaller.Holds[i].Cost = left
	}
	better, err := c.Store.Reserve(now, &smaller)
	if err != nil || !better.Admitted {
		return d, err
	}
	for i := range missing {
		c.extra[req.Holds[i].Account.Key] -= missing[i]
	}
	return better, nil
}
