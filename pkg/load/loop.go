package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// ErrImpatient is the cause of contexts of shots that were still in flight when the
// load had no patience left. It wraps [context.DeadlineExceeded].
var ErrImpatient = fmt.Errorf("load: in flight for too long after the last shot: %w", context.DeadlineExceeded)

var (
	errNoSource = errors.New("load: no source of shots")
	errNoPacer  = errors.New("load: no pacer")
	errEndless  = errors.New("load: a closed load needs a number of requests or a duration")
)

// Open fires each shot when it is due, whatever became of those before it. It
// returns when the last one has ended. The summary is there also when an error cut
// the load short: of the source, of a look, or the cause of ctx.
func Open(ctx context.Context, c OpenConfig) (*Summary, error) {
	switch {
	case c.Source == nil:
		return nil, errNoSource
	case c.Pacer == nil:
		return nil, errNoPacer
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	span := c.Pacer.Span()
	l := begin(ctx, c.Config, span, int64(c.MaxInFlight))
	return l.end(l.walk(c.Pacer, span))
}

// Closed keeps a number of clients busy until enough was sent or time is up. Its
// shots are due when their client is free.
func Closed(ctx context.Context, c ClosedConfig) (*Summary, error) {
	switch {
	case c.Source == nil:
		return nil, errNoSource
	case c.Requests <= 0 && c.For <= 0:
		return nil, errEndless
	}
	c.Concurrency = max(1, c.Concurrency)
	l := begin(ctx, c.Config, Span{Whole: c.For}, int64(c.Concurrency))
	l.recorder.closed = true
	return l.end(l.circle(c))
}

// loop is a load while it runs. The goroutine that called Open or Closed owns it;
// it awaits the crew and the looker.
type loop struct {
	c        Config
	recorder *recorder
	begun    time.Time
	sleeper  sleeper
	ctx      context.Context         //nolint:containedctx // of the shots: it outlives the firing by the patience
	stop     context.CancelCauseFunc // ends it
	crew     sync.WaitGroup
	flying   atomic.Int64
	number   int64 // of the next shot; touched in the order of firing only

	looker  sync.WaitGroup
	stopped context.CancelFunc // of the looker
}

func begin(ctx context.Context, c Config, span Span, bound int64) *loop {
	l := &loop{c: c, begun: time.Now(), sleeper: plain{}}
	if !c.Virtual {
		l.sleeper = newSleeper()
	}
	l.recorder = newRecorder(l.begun, span, bound)
	l.ctx, l.stop = context.WithCancelCause(ctx)
	var looking context.Context
	looking, l.stopped = context.WithCancel(ctx)
	if c.Look != nil {
		l.looker.Go(func() { l.look(looking, span) })
	}
	return l
}

// end waits for what is in flight and sums up.
func (l *loop) end(err error) (*Summary, error) {
	sending := time.Since(l.begun)
	if err != nil {
		l.stop(err)
	}
	patience := l.c.Patience
	if patience <= 0 {
		patience = DefaultPatience
	}
	timer := time.AfterFunc(patience, func() { l.stop(ErrImpatient) })
	l.crew.Wait()
	timer.Stop()
	l.stopped()
	l.looker.Wait()
	l.sleeper.close()
	// A look may have stopped the load when nothing was left to fire.
	if cause := context.Cause(l.ctx); err == nil && cause != nil && !errors.Is(cause, ErrImpatient) {
		err = cause
	}
	l.stop(nil)
	return l.recorder.finish(sending), err
}

// walk goes along the arrivals. A shot that cannot be fired when it is due is
// dropped: to wait for room would make the arrivals slower, as no stranger would.
func (l *loop) walk(pacer Pacer, span Span) error {
	arrivals := pacer.Arrivals()
	if l.c.Virtual {
		arrivals = spread(arrivals, l.c.Seed)
	}
	jobs := make(chan job)
	defer close(jobs)
	workers := int64(0)
	for a := range arrivals {
		due := l.begun.Add(a.Due)
		if err := l.sleeper.until(l.ctx, due); err != nil {
			return err
		}
		if l.flying.Load() >= l.recorder.bound {
			l.recorder.drop(a)
			continue
		}
		j, err := l.load(due, a.Warmup)
		if err != nil {
			return err
		}
		select {
		case jobs <- j:
			continue
		default:
		}
		// Nobody waits. Somebody may be about to: then all that the bound allows are
		// hired already, and this send waits for no answer.
		if workers < l.recorder.bound {
			workers++
			l.crew.Go(func() { l.serve(jobs) })
		}
		jobs <- j
	}
	// The last stage lasts until its end, arrivals or not.
	return l.sleeper.until(l.ctx, l.begun.Add(span.Whole))
}

// job is a shot that is in flight from now on.
type job struct {
	shot Shot
	fire Fire
}

// load makes a shot ready and counts it as in flight.
func (l *loop) load(due time.Time, warmup bool) (job, error) {
	shot := Shot{Number: l.number, Due: due, Warmup: warmup}
	fire, err := l.c.Source(shot)
	if err != nil {
		return job{}, err
	}
	l.number++
	l.recorder.fire(shot, time.Now(), l.flying.Add(1))
	return job{shot, fire}, nil
}

// serve fires what it is given.
func (l *loop) serve(jobs <-chan job) {
	for j := range jobs {
		l.discharge(j)
	}
}

func (l *loop) discharge(j job) {
	result := j.fire(l.ctx)
	l.recorder.record(j.shot, &result)
	l.flying.Add(-1)
}

// circle keeps the clients of a closed load busy. It returns when the last shot
// was fired, or time is up: from then on patience counts.
func (l *loop) circle(c ClosedConfig) error {
	t := &turns{l: l, c: c, over: make(chan struct{})}
	ranks := make([]int, c.Concurrency)
	if l.c.Virtual {
		ranks = rand.New(rand.NewPCG(l.c.Seed, rankStream)).Perm(c.Concurrency) //nolint:gosec // reproducible on purpose
	}
	for _, rank := range ranks {
		l.crew.Go(func() {
			for l.ownInstant(rank, c.Concurrency) == nil {
				j, ok := t.next()
				if !ok {
					return
				}
				l.discharge(j)
			}
		})
	}
	var timeUp <-chan time.Time
	if c.For > 0 {
		timer := time.NewTimer(c.For - time.Since(l.begun))
		defer timer.Stop()
		timeUp = timer.C
	}
	select {
	case <-t.over:
	case <-timeUp:
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
	return nil
}

// ownInstant waits for the next instant that belongs to a client of a closed load.
// In virtual time each has a nanosecond of its own in every n: so no two fire at
// once, however long or short their answers took, and the scheduler has no say.
func (l *loop) ownInstant(rank, n int) error {
	if !l.c.Virtual {
		return pause(l.ctx, 0)
	}
	wait := (rank-int(time.Since(l.begun)))%n + n
	return pause(l.ctx, time.Duration((wait-1)%n+1))
}

// turns hands out the shots of a closed load, one client at a time.
type turns struct {
	l *loop
	c ClosedConfig

	mu   sync.Mutex
	over chan struct{} // closed once no further shot will be handed out
	done bool          // it is
}

func (t *turns) next() (job, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.done || t.c.For > 0 && now.Sub(t.l.begun) >= t.c.For {
		return job{}, false
	}
	j, err := t.l.load(now, false)
	if err != nil {
		t.l.stop(err)
		return job{}, false
	}
	if t.l.number == t.c.Requests {
		t.done = true
		close(t.over)
	}
	return j, true
}

// look tells from time to time how far the load is.
func (l *loop) look(ctx context.Context, span Span) {
	every := l.c.LookEvery
	if every <= 0 {
		every = max(defaultLookEvery, span.Whole/1000)
	}
	before, at := int64(0), l.begun
	for pause(ctx, every) == nil {
		p := l.recorder.progress(l.flying.Load())
		now := time.Now()
		p.Rate = float64(p.Sent-before) / now.Sub(at).Seconds()
		before, at = p.Sent, now
		if err := l.c.Look(p); err != nil {
			l.stop(err)
			return
		}
	}
}
