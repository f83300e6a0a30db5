package limiter

import (
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	// Micro is one request in the unit of a [RequestBucket], and one token in the unit in which a [TokenBucket] keeps
	// its level.
	Micro = 1_000_000

	// MaxBurst is the largest burst of a [TokenBucket], in tokens: a level between -MaxBurst and MaxBurst, in
	// micro-tokens, leaves room for one refund of that size in 64 bits.
	MaxBurst = 1 << 42

	// MaxAmount is the largest amount of a [Window] and the largest cost or actual of any hold: the last integer up to
	// which a double counts every token, and so the largest that every store can keep.
	MaxAmount = 1 << 53
)

// Kind is how a limit counts.
type Kind uint8

const (
	// TokenBucket refills with TokensPerMinute up to Burst. Costs are tokens. An overshoot becomes debt: the level may
	// fall to -Burst; what lies below is written off.
	TokenBucket Kind = iota + 1
	// RequestBucket refills with MicroPerSecond up to Burst. Costs are micro-requests, and are never given back.
	RequestBucket
	// Window allows Amount tokens in each Period of UTC. A reservation stays with the window that it was made in.
	Window
	// Concurrency allows MaxConcurrent reservations at the same time. A slot comes back with Settle or Release.
	Concurrency
)

// String returns the kind in one word, as it appears in messages.
func (k Kind) String() string {
	switch k {
	case TokenBucket:
		return "token bucket"
	case RequestBucket:
		return "request bucket"
	case Window:
		return "window"
	case Concurrency:
		return "concurrency"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Period is the length of a window. All windows are aligned in UTC; weeks begin on Monday.
type Period uint8

const (
	// FiveMinutes is the period written 5m.
	FiveMinutes Period = iota + 1
	// Hour is the period written 1h.
	Hour
	// Day is the UTC day, written 1d.
	Day
	// Week begins on Monday at 00:00 UTC, written 7d.
	Week
)

// String returns the period as a policy writes it: 5m, 1h, 1d, 7d.
func (p Period) String() string {
	switch p {
	case FiveMinutes:
		return "5m"
	case Hour:
		return "1h"
	case Day:
		return "1d"
	case Week:
		return "7d"
	}
	return fmt.Sprintf("period %d", uint8(p))
}

// Duration returns the length of the period, or 0 for a value that is none.
func (p Period) Duration() time.Duration {
	switch p {
	case FiveMinutes:
		return 5 * time.Minute
	case Hour:
		return time.Hour
	case Day:
		return 24 * time.Hour
	case Week:
		return 7 * 24 * time.Hour
	}
	return 0
}

// RefundMode says when a refund of a [TokenBucket] counts.
type RefundMode uint8

const (
	// Capped adds a refund when it arrives; what does not fit under the burst is lost.
	Capped RefundMode = iota
	// Retroactive sets the level to what it would be had every settled reservation been taken at its actual cost, by
	// replaying the account since its oldest open reservation, at most 4096 events back.
	Retroactive
)

// String returns the mode as a policy writes it.
func (m RefundMode) String() string {
	switch m {
	case Capped:
		return "capped"
	case Retroactive:
		return "retroactive"
	}
	return fmt.Sprintf("refund mode %d", uint8(m))
}

// Action is what a stage of a budget asks for.
type Action uint8

const (
	// None is the action below the first stage.
	None Action = iota
	// Warn admits and says so.
	Warn
	// Throttle admits after a delay.
	Throttle
	// Reject does not admit.
	Reject
)

// String returns the action as a policy writes it, and "none" below the first stage.
func (a Action) String() string {
	switch a {
	case None:
		return "none"
	case Warn:
		return "warn"
	case Throttle:
		return "throttle"
	case Reject:
		return "reject"
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// Stage is an action that begins at a share of a window's amount. Warn and Throttle begin when that share is reached,
// Reject when it would be exceeded: a budget can be spent to the last token.
type Stage struct {
	Percent int64 // of Limit.Amount, 1 to 100
	Action  Action
	Delay   time.Duration // of Throttle
}

// Limit is one promise, compiled. It is immutable once a store has seen it and is shared by all its accounts.
// Fields that its Kind does not name stay zero.
type Limit struct {
	Name   string // of the rule and the limit in it, for the ledger and for messages
	Kind   Kind
	Reason string // of a rejection by this limit, such as tpm_exceeded

	Burst           int64 // TokenBucket: tokens; RequestBucket: micro-requests
	TokensPerMinute int64 // TokenBucket
	MicroPerSecond  int64 // RequestBucket: micro-requests per second
	Refund          RefundMode

	Period Period  // Window
	Amount int64   // Window: tokens per period
	Stages []Stage // Window: ascending; none means Reject at 100

	MaxConcurrent int64 // Concurrency: slots
}

// Validate reports every way in which the limit cannot be kept, with the value that was found and what was expected.
// A store may only be given limits that are valid.
func (l *Limit) Validate() error {
	var errs []error
	within := func(field string, v, low, high int64) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("limit %q: %s is %d, expected %d to %d", l.Name, field, v, low, high))
		}
	}
	switch l.Kind {
	case TokenBucket:
		within("Burst", l.Burst, 1, MaxBurst)
		within("TokensPerMinute", l.TokensPerMinute, 1, MaxBurst)
		within("Refund", int64(l.Refund), int64(Capped), int64(Retroactive))
	case RequestBucket:
		within("Burst", l.Burst, 1, MaxBurst*Micro)
		within("MicroPerSecond", l.MicroPerSecond, 1, MaxBurst*Micro)
	case Window:
		within("Amount", l.Amount, 1, MaxAmount)
		if l.Period.Duration() == 0 {
			errs = append(errs, fmt.Errorf("limit %q: Period is %d, expected 5m, 1h, 1d or 7d", l.Name, l.Period))
		}
		errs = append(errs, l.validateStages()...)
	case Concurrency:
		within("MaxConcurrent", l.MaxConcurrent, 1, math.MaxInt32)
	default:
		errs = append(errs, fmt.Errorf("limit %q: Kind is %d, expected a token bucket, request bucket, window or concurrency", l.Name, l.Kind))
	}
	return errors.Join(errs...)
}

func (l *Limit) validateStages() []error {
	var errs []error
	last := int64(0)
	for i, s := range l.Stages {
		if s.Percent <= last || s.Percent > 100 {
			errs = append(errs, fmt.Errorf("limit %q: stage %d begins at %d%%, expected %d to 100", l.Name, i, s.Percent, last+1))
		}
		last = s.Percent
		if s.Action < Warn || s.Action > Reject {
			errs = append(errs, fmt.Errorf("limit %q: stage %d has the action %d, expected warn, throttle or reject", l.Name, i, s.Action))
		}
		if (s.Action == Throttle) != (s.Delay > 0) {
			errs = append(errs, fmt.Errorf("limit %q: stage %d has a delay of %v: throttle needs one, the others have none", l.Name, i, s.Delay))
		}
	}
	if n := len(l.Stages); n > 0 && (l.Stages[n-1].Action != Reject || last != 100) {
		errs = append(errs, fmt.Errorf("limit %q: the last stage is %s at %d%%, expected reject at 100", l.Name, l.Stages[n-1].Action, last))
	}
	return errs
}

// Capacity is the largest cost that the limit can ever admit, in the unit of a hold's cost. A hold above it is rejected
// for good.
func (l *Limit) Capacity() int64 {
	switch l.Kind {
	case TokenBucket, RequestBucket:
		return l.Burst
	case Window:
		for _, s := range l.Stages {
			if s.Action == Reject {
				return percent(l.Amount, s.Percent)
			}
		}
		return l.Amount
	case Concurrency:
		return l.MaxConcurrent
	}
	return 0
}

// stage returns the action of a window in which used tokens are taken.
func (l *Limit) stage(used int64) Stage {
	current := Stage{}
	for _, s := range l.Stages {
		// A share that is not whole is reached by the next whole token.
		if s.Action != Reject && used*100 >= l.Amount*s.Percent {
			current = s
		}
	}
	return current
}

// percent is p % of amount, rounded down: for whole tokens, used > share and used > floor(share) are the same.
func percent(amount, p int64) int64 {
	return amount/100*p + amount%100*p/100
}
