package faulty

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// changeQuestion wraps the policy: change may alter what it sees of a request. The header is a copy.
func changeQuestion(cfg proxy.Config, t *Trigger, change func(s *policy.Subject, ask *policy.Ask)) proxy.Config {
	next := cfg.Bind
	cfg.Bind = func(b *policy.Bundle, now time.Time, s *policy.Subject, ask policy.Ask) policy.Binding {
		if t.Strikes() {
			seen := *s
			seen.Header = maps.Clone(s.Header)
			s = &seen
			change(s, &ask)
		}
		return next(b, now, s, ask)
	}
	return cfg
}

// changeBinding wraps the policy: change may alter what it says of a request.
func changeBinding(cfg proxy.Config, t *Trigger, change func(b *policy.Binding, s *policy.Subject, ask *policy.Ask)) proxy.Config {
	next := cfg.Bind
	cfg.Bind = func(b *policy.Bundle, now time.Time, s *policy.Subject, ask policy.Ask) policy.Binding {
		binding := next(b, now, s, ask)
		if t.Strikes() {
			change(&binding, s, &ask)
		}
		return binding
	}
	return cfg
}

// changeHolds wraps the policy: change gets every hold of the rules in force.
func changeHolds(cfg proxy.Config, t *Trigger, change func(hold *limiter.Hold, bound *policy.Bound, ask *policy.Ask)) proxy.Config {
	return changeBinding(cfg, t, func(b *policy.Binding, _ *policy.Subject, ask *policy.Ask) {
		for i := range b.Enforced.Holds {
			change(&b.Enforced.Holds[i], &b.Enforced.Bound[i], ask)
		}
	})
}

// dropHolds wraps the policy: limits that the fault is about bind nobody.
func dropHolds(cfg proxy.Config, t *Trigger, about func(*policy.Bound) bool) proxy.Config {
	return changeBinding(cfg, t, func(b *policy.Binding, _ *policy.Subject, _ *policy.Ask) {
		keep(&b.Enforced, func(i int) bool { return !about(&b.Enforced.Bound[i]) })
	})
}

// keep drops the holds of a set that are not wanted.
func keep(s *policy.Set, wanted func(i int) bool) {
	var holds []limiter.Hold
	var bound []policy.Bound
	for i := range s.Holds {
		if wanted(i) {
			holds, bound = append(holds, s.Holds[i]), append(bound, s.Bound[i])
		}
	}
	s.Holds, s.Bound = holds, bound
}

// forgive wraps the policy: rejections for these reasons are not made.
func forgive(cfg proxy.Config, t *Trigger, reasons ...policy.Reason) proxy.Config {
	return changeBinding(cfg, t, func(b *policy.Binding, _ *policy.Subject, _ *policy.Ask) {
		if r := b.Enforced.Reject; r != nil && slices.Contains(reasons, r.Reason) {
			b.Enforced.Reject = nil
		}
	})
}

// changeLimits wraps the policy: accounts are kept under wrong copies of their limits, always the same copy of one limit.
func changeLimits(cfg proxy.Config, t *Trigger, change func(l *limiter.Limit)) proxy.Config {
	var mu sync.Mutex
	wrong := map[*limiter.Limit]*limiter.Limit{}
	return changeHolds(cfg, t, func(hold *limiter.Hold, _ *policy.Bound, _ *policy.Ask) {
		mu.Lock()
		defer mu.Unlock()
		l := hold.Account.Limit
		if wrong[l] == nil {
			copied := *l
			change(&copied)
			wrong[l] = &copied
		}
		hold.Account.Limit = wrong[l]
	})
}
