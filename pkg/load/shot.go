package load

import (
	"context"
	"time"
)

// Shot is one request of a load, before it is fired.
type Shot struct {
	Number int64 // from 0, in the order of firing; dropped shots have none
	Due    time.Time
	Warmup bool
}

// Source makes the next shot ready. It is called in the order of firing and never
// twice at once, so that what it draws does not depend on answers. An error stops
// the load.
type Source func(Shot) (Fire, error)

// Fire sends the request, waits for its end and tells what came of it. It runs on
// a goroutine of the load's own and returns soon after ctx has ended.
type Fire func(ctx context.Context) Result

// Result is what came of a shot.
type Result struct {
	Outcome Outcome
	Status  int  // HTTP's, or 0: no answer
	Good    bool // a whole answer of the kind that was asked for: goodput

	Sent    time.Time // just before the first byte; zero if it was never sent
	Content time.Time // the first event of content, of an answer that has some; else zero
	Ended   time.Time // the last byte, the error, or the leaving
	Gaps    []time.Duration

	// Overhead is what the target adds to the same exchange made directly; it counts
	// if Paired. It may be negative, by noise.
	Overhead time.Duration
	Paired   bool
}

// Outcome is how a shot ended for its client.
type Outcome int

// The outcomes of a shot that was fired.
const (
	Admitted  Outcome = iota // answered by whoever is behind the target
	Rejected                 // by the limiter
	Failed                   // neither: an error, or no answer
	Cancelled                // the client left, as told
)

const outcomeCount = 4

// String gives the name that reports use.
func (o Outcome) String() string {
	return [outcomeCount]string{"admitted", "rejected", "failed", "cancelled"}[o]
}

// Pair fires the same exchange directly and through the target, one after the
// other, and reports the one through the target with the difference as its
// overhead. Who goes first alternates with the shot's number: whatever the second
// one gains from warm caches favours both sides alike.
func Pair(s Shot, direct, through Fire) Fire {
	return func(ctx context.Context) Result {
		var base, r Result
		if s.Number%2 == 0 {
			base = direct(ctx)
			r = through(ctx)
		} else {
			r = through(ctx)
			base = direct(ctx)
		}
		if base.Good && r.Good {
			r.Overhead, r.Paired = r.service()-base.service(), true
		}
		return r
	}
}

func (r *Result) service() time.Duration { return r.Ended.Sub(r.Sent) }
