package faulty

import (
	"strconv"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// reloadIgnored goes on with the first policy.
func reloadIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	next, first := cfg.Bind, cfg.Bundle
	cfg.Store = constant{store{cfg.Store}, t}
	cfg.Bind = func(b *policy.Bundle, now time.Time, s *policy.Subject, ask policy.Ask) policy.Binding {
		if b != first && t.Strikes() {
			b = first
		}
		return next(b, now, s, ask)
	}
	return cfg
}

// constant is a store that does not hear of new limits.
type constant struct {
	store
	trigger *Trigger
}

func (s constant) Reload(now time.Time, changes []limiter.Change) error {
	if s.trigger.Strikes() {
		return nil
	}
	return s.store.Reload(now, changes)
}

// reloadRefills makes all accounts new when a policy comes into force.
func reloadRefills(cfg proxy.Config, t *Trigger) proxy.Config {
	var mu sync.Mutex
	last, generation := cfg.Bundle, 0
	next := cfg.Bind
	cfg.Bind = func(b *policy.Bundle, now time.Time, s *policy.Subject, ask policy.Ask) policy.Binding {
		binding := next(b, now, s, ask)
		mu.Lock()
		defer mu.Unlock()
		if b != last && t.Strikes() {
			last = b
			generation++
		}
		if generation > 0 {
			for i := range binding.Enforced.Holds {
				binding.Enforced.Holds[i].Account.Key += "@" + strconv.Itoa(generation)
			}
		}
		return binding
	}
	return cfg
}

// idleForgotten takes an account that nobody has used for a minute for one that is full.
func idleForgotten(cfg proxy.Config, t *Trigger) proxy.Config {
	type life struct {
		last       time.Time
		generation int
	}
	var mu sync.Mutex
	lives := map[string]life{}
	next := cfg.Bind
	cfg.Bind = func(b *policy.Bundle, now time.Time, s *policy.Subject, ask policy.Ask) policy.Binding {
		binding := next(b, now, s, ask)
		mu.Lock()
		defer mu.Unlock()
		for i := range binding.Enforced.Holds {
			key := &binding.Enforced.Holds[i].Account.Key
			l := lives[*key]
			if !l.last.IsZero() && now.Sub(l.last) >= time.Minute && t.Strikes() {
				l.generation++
			}
			l.last = now
			lives[*key] = l
			if l.generation > 0 {
				*key += "@" + strconv.Itoa(l.generation)
			}
		}
		return binding
	}
	return cfg
}
