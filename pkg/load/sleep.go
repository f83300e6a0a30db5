package load

import (
	"context"
	"runtime"
	"time"
)

// sleeper waits for an instant.
type sleeper interface {
	// until returns at the instant at, or with the cause when ctx ends first.
	until(ctx context.Context, at time.Time) error
	close()
}

// plain sleeps on a timer: exact in virtual time, and up to a millisecond late on
// the clock on the wall.
type plain struct{}

func (plain) until(ctx context.Context, at time.Time) error { return pause(ctx, time.Until(at)) }
func (plain) close()                                        {}

// coarse is how long before an instant a timer is no longer trusted: an idle
// process rounds up to a millisecond, a busy one comes later still.
const coarse = 2 * time.Millisecond

// exact sleeps on a timer while the instant is far, and then on something finer:
// nap, or where there is none it yields to whoever wants to run until it is time.
type exact struct {
	// nap sleeps about so long and holds no processor meanwhile.
	nap interface {
		sleep(d time.Duration) error
		close()
	}
}

func (e *exact) until(ctx context.Context, at time.Time) error {
	if err := pause(ctx, time.Until(at)-coarse); err != nil {
		return err
	}
	for {
		left := time.Until(at)
		if left <= 0 {
			return nil
		}
		if e.nap == nil || e.nap.sleep(left) != nil {
			runtime.Gosched()
		}
	}
}

func (e *exact) close() {
	if e.nap != nil {
		e.nap.close()
	}
}

// pause sleeps on a timer unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
