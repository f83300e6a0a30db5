package faulty

import (
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// store is what a faulty store embeds: everything goes to the good one, optional abilities included.
type store struct{ limiter.Store }

// Release implements [limiter.Releaser].
func (s store) Release(now time.Time, id limiter.ID) error {
	if r, ok := s.Store.(limiter.Releaser); ok {
		return r.Release(now, id)
	}
	return nil
}

// Reload implements [limiter.Reloader].
func (s store) Reload(now time.Time, changes []limiter.Change) error {
	if r, ok := s.Store.(limiter.Reloader); ok {
		return r.Reload(now, changes)
	}
	return nil
}

// Inspect implements [limiter.Inspector].
func (s store) Inspect(now time.Time, match func(limiter.Account) bool) []limiter.AccountState {
	if i, ok := s.Store.(limiter.Inspector); ok {
		return i.Inspect(now, match)
	}
	return nil
}

// Find implements [limiter.Inspector].
func (s store) Find(id limiter.ID) (limiter.Reservation, bool) {
	if i, ok := s.Store.(limiter.Inspector); ok {
		return i.Find(id)
	}
	return limiter.Reservation{}, false
}

// Stats implements [limiter.Inspector].
func (s store) Stats() limiter.Stats {
	if i, ok := s.Store.(limiter.Inspector); ok {
		return i.Stats()
	}
	return limiter.Stats{}
}

// countsTokens reports whether an account counts tokens.
func countsTokens(a limiter.Account) bool {
	return a.Limit.Kind == limiter.TokenBucket || a.Limit.Kind == limiter.Window
}

// withCosts is a copy of a request with other costs for its token holds.
func withCosts(req *limiter.Request, cost func(h limiter.Hold) int64) *limiter.Request {
	out := *req
	out.Holds = make([]limiter.Hold, len(req.Holds))
	for i, h := range req.Holds {
		if countsTokens(h.Account) {
			h.Cost = cost(h)
		}
		out.Holds[i] = h
	}
	return &out
}
