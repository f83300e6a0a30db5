package faulty

import (
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// reserveNothing reserves no tokens: an account that has anything left admits any request. Settlement takes what was used.
func reserveNothing(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = settleAfter{store{cfg.Store}, t}
	return cfg
}

type settleAfter struct {
	store
	trigger *Trigger
}

func (s settleAfter) Reserve(now time.Time, req *limiter.Request) (limiter.Decision, error) {
	if s.trigger.Strikes() {
		req = withCosts(req, func(limiter.Hold) int64 { return 0 })
	}
	return s.Store.Reserve(now, req)
}
