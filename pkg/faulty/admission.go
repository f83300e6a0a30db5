package faulty

import (
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// admission is a store whose rejections are reconsidered.
type admission struct {
	store
	trigger *Trigger
	// again sees a rejection that waiting would cure, and returns the decision that is made in its place.
	again func(s store, now time.Time, req *limiter.Request, d limiter.Decision) limiter.Decision
}

func (a admission) Reserve(now time.Time, req *limiter.Request) (limiter.Decision, error) {
	d, err := a.Store.Reserve(now, req)
	if err == nil && !d.Admitted && !d.Permanent && a.trigger.Strikes() {
		d = a.again(a.store, now, req, d)
	}
	return d, err
}

// take makes a reservation on the quiet and charges it at once.
func take(s store, now time.Time, req *limiter.Request, holds []limiter.Hold) {
	if len(holds) == 0 {
		return
	}
	other := limiter.Request{ID: req.ID, Holds: holds, Prompt: req.Prompt, Lease: req.Lease}
	other.ID[0] ^= 0xff // the id of the request itself stays free
	if d, err := s.Reserve(now, &other); err != nil || !d.Admitted {
		return
	}
	actual := make([]int64, len(holds))
	for i := range holds {
		actual[i] = holds[i].Cost
	}
	_, _ = s.Settle(now, other.ID, actual) // it was made right now
}

// rejectedIsCharged counts first and looks afterwards: who is rejected has paid.
func rejectedIsCharged(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = admission{store{cfg.Store}, t, func(s store, now time.Time, req *limiter.Request, d limiter.Decision) limiter.Decision {
		for i, h := range req.Holds {
			if !countsTokens(h.Account) {
				continue
			}
			h.Cost = min(h.Cost, d.Holds[i].Remaining)
			take(s, now, req, []limiter.Hold{h})
		}
		return d
	}}
	return cfg
}

// rollbackPartial takes from one account after the other, and forgets to give back when a later one has too little.
func rollbackPartial(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = admission{store{cfg.Store}, t, func(s store, now time.Time, req *limiter.Request, d limiter.Decision) limiter.Decision {
		for i, h := range req.Holds {
			if d.Holds[i].Rejected {
				break
			}
			if h.Account.Limit.Kind != limiter.Concurrency {
				take(s, now, req, []limiter.Hold{h})
			}
		}
		return d
	}}
	return cfg
}

// rejectedKeepsRequest counts a request that another limit rejects.
func rejectedKeepsRequest(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = admission{store{cfg.Store}, t, func(s store, now time.Time, req *limiter.Request, d limiter.Decision) limiter.Decision {
		for i, h := range req.Holds {
			if h.Account.Limit.Kind == limiter.RequestBucket && !d.Holds[i].Rejected {
				take(s, now, req, []limiter.Hold{h})
			}
		}
		return d
	}}
	return cfg
}

// overAdmits50 admits who lacks up to 50 tokens.
func overAdmits50(cfg proxy.Config, t *Trigger) proxy.Config {
	const much = 50
	cfg.Store = admission{store{cfg.Store}, t, func(s store, now time.Time, req *limiter.Request, d limiter.Decision) limiter.Decision {
		return squeeze(s, now, req, d, func(h limiter.Hold, left int64) bool { return countsTokens(h.Account) && h.Cost-left <= much })
	}}
	return cfg
}

// oneRequestTooMany compares with "more than": a window that is spent to the last token lets one more request pass.
func oneRequestTooMany(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = admission{store{cfg.Store}, t, func(s store, now time.Time, req *limiter.Request, d limiter.Decision) limiter.Decision {
		return squeeze(s, now, req, d, func(h limiter.Hold, left int64) bool {
			return h.Account.Limit.Kind == limiter.Window && left == 0
		})
	}}
	return cfg
}

// squeeze admits a request all the same if every account that rejects it is near enough.
func squeeze(
	s store, now time.Time, req *limiter.Request, d limiter.Decision, near func(h limiter.Hold, left int64) bool,
) limiter.Decision {
	smaller := *req
	smaller.Holds = nil
	for i, h := range req.Holds {
		if d.Holds[i].Rejected {
			left := d.Holds[i].Remaining
			if !near(h, left) {
				return d
			}
			h.Cost = min(h.Cost, left)
		}
		smaller.Holds = append(smaller.Holds, h)
	}
	if better, err := s.Reserve(now, &smaller); err == nil && better.Admitted {
		return better
	}
	return d
}

// exactFitRejected compares with "less than": who needs all that is left is rejected.
func exactFitRejected(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = exactFit{store{cfg.Store}, t}
	return cfg
}

type exactFit struct {
	store
	trigger *Trigger
}

func (s exactFit) Reserve(now time.Time, req *limiter.Request) (limiter.Decision, error) {
	if s.trigger.Strikes() {
		req = withCosts(req, func(h limiter.Hold) int64 { return h.Cost + 1 })
	}
	return s.Store.Reserve(now, req)
}

// leaseEndless never ends what nobody settled.
func leaseEndless(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = &endless{store{cfg.Store}, t}
	return cfg
}

type endless struct {
	store
	trigger *Trigger
}

func (s *endless) Reserve(now time.Time, req *limiter.Request) (limiter.Decision, error) {
	if s.trigger.Strikes() {
		longer := *req
		longer.Lease = 10_000 * time.Hour
		req = &longer
	}
	return s.Store.Reserve(now, req)
}
