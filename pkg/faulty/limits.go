package faulty

import (
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// rateFast refills 1 % too fast.
func rateFast(cfg proxy.Config, t *Trigger) proxy.Config { return scaleRate(cfg, t, 101) }

// rateSlow refills 1 % too slowly.
func rateSlow(cfg proxy.Config, t *Trigger) proxy.Config { return scaleRate(cfg, t, 99) }

func scaleRate(cfg proxy.Config, t *Trigger, percent int64) proxy.Config {
	return changeLimits(cfg, t, func(l *limiter.Limit) { l.TokensPerMinute = l.TokensPerMinute * percent / 100 })
}

// burstLarge has 2 % more burst than it says.
func burstLarge(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeLimits(cfg, t, func(l *limiter.Limit) {
		if l.Kind == limiter.TokenBucket {
			l.Burst = l.Burst * 102 / 100
		}
	})
}

// burstIsRate has no burst of its own: a minute's worth, whatever the policy says.
func burstIsRate(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeLimits(cfg, t, func(l *limiter.Limit) {
		if l.Kind == limiter.TokenBucket {
			l.Burst = l.TokensPerMinute
		}
	})
}

// secondsAsMinutes takes N a second for 60 N a minute, all of which may come at once.
func secondsAsMinutes(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeLimits(cfg, t, func(l *limiter.Limit) {
		if l.Kind == limiter.RequestBucket {
			l.Burst = max(l.Burst, 60*l.MicroPerSecond)
		}
	})
}

// windowAsBucket refills a daily budget bit by bit.
func windowAsBucket(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeLimits(cfg, t, func(l *limiter.Limit) {
		if l.Kind == limiter.Window {
			perMinute := max(int64(time.Minute)*l.Amount/int64(l.Period.Duration()), 1)
			*l = limiter.Limit{Name: l.Name, Kind: limiter.TokenBucket, Reason: l.Reason, Burst: l.Amount, TokensPerMinute: perMinute}
		}
	})
}

// windowRolling begins a day with the first request and ends it 24 hours later.
func windowRolling(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Store = &shifted{store: store{cfg.Store}, trigger: t, shift: func(first time.Time) time.Duration {
		midnight := first.UTC().Truncate(24 * time.Hour)
		return midnight.Sub(first)
	}}
	return cfg
}

// windowLocalMidnight begins a day at the midnight of the place where the limiter runs.
func windowLocalMidnight(cfg proxy.Config, t *Trigger) proxy.Config {
	const zone = 5*time.Hour + 30*time.Minute
	cfg.Store = &shifted{store: store{cfg.Store}, trigger: t, shift: func(time.Time) time.Duration { return zone }}
	return cfg
}
