package scenarios

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

const (
	// defaultInFlight bounds an open load that names no bound.
	defaultInFlight = 10_000
	// defaultPatience is how long a load waits for what is in flight at its end.
	defaultPatience = 30 * time.Second
	// leastThink is how long a client of a closed load waits after an answer that
	// took no time.
	leastThink = time.Millisecond
	// lookEvery is how often a load is looked at while it runs.
	lookEvery = time.Second
)

// shot is one request of a load, with its times: from due and from sent, so that a
// sender that falls behind cannot hide how long its clients waited.
type shot struct {
	s      *sentRequest
	due    time.Time
	warmup bool
}

// barrage is a load while it runs.
type barrage struct {
	l    *lane
	run  *stepRun
	load *suite.Load

	begun   time.Time
	flying  sync.WaitGroup
	ctx     context.Context //nolint:containedctx // of the requests; it outlives the sending by the patience
	stopped context.CancelCauseFunc

	mu       sync.Mutex // guards what follows
	rng      *rand.Rand
	shots    []*shot
	inFlight int
	highest  int
	planned  int // without warm-up
	dropped  int // without warm-up
	failure  error
}

// load sends many requests, by arrival rate or by concurrency.
func (l *lane) load(ctx context.Context, run *stepRun) error {
	load := run.bound.Load
	if load.Paired {
		return errors.New("load.paired: a request cannot be sent to the backend directly; load.overhead compares with the mock's own time instead")
	}
	seed := l.w.draw()
	requests, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := &barrage{
		l: l, run: run, load: load, begun: time.Now(), ctx: requests, stopped: cancel,
		rng: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // reproducible on purpose
	}
	watching, done := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { b.watch(watching) })
	var err error
	if load.Model == suite.ModelClosed {
		err = b.closed(requests)
	} else {
		err = b.open(requests, rand.New(rand.NewPCG(seed, 2))) //nolint:gosec // likewise
	}
	sending := time.Since(b.begun)
	b.land()
	done()
	watcher.Wait()
	if err = errors.Join(err, b.failure); err != nil {
		return err
	}
	l.w.settled()
	run.load = b.totals(sending)
	l.w.keep(run)
	l.w.deliveredAsPlanned(run.load, l.w.cell.Virtual)
	return nil
}

// draw gives a number to seed something with.
func (w *world) draw() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.Uint64()
}

// open sends each request when it is due, whatever became of those before it.
func (b *barrage) open(ctx context.Context, rng *rand.Rand) error {
	arrivals, err := schedule(b.load, rng, b.l.w.suite.readFile)
	if err != nil {
		return err
	}
	limit := b.load.MaxInFlight
	if limit == 0 {
		limit = defaultInFlight
	}
	for _, a := range arrivals {
		if err := pause(ctx, a.due-time.Since(b.begun)); err != nil {
			return b.why(err)
		}
		if b.full(limit, a.warmup) {
			continue // dropped and counted: waiting would make the arrivals slower
		}
		if err := b.fire(b.begun.Add(a.due), a.warmup); err != nil {
			return err
		}
	}
	// The last stage lasts until its end, arrivals or not.
	var whole time.Duration
	for _, stage := range b.load.Stages {
		whole += stage.For
	}
	return b.why(pause(ctx, whole-time.Since(b.begun)))
}

// full counts a planned request and tells whether it has to be dropped.
func (b *barrage) full(limit int, warmup bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !warmup {
		b.planned++
	}
	if b.inFlight < limit {
		return false
	}
	if !warmup {
		b.dropped++
	}
	return true
}

// closed keeps a fixed number of clients busy until enough was sent or time is up.
// Clients begin at distinct instants.
func (b *barrage) closed(ctx context.Context) error {
	offsets := b.l.w.offsets(max(1, b.load.Concurrency))
	left := b.load.Requests
	var clients sync.WaitGroup
	for _, offset := range offsets {
		clients.Go(func() {
			if pause(ctx, offset) != nil {
				return
			}
			for ctx.Err() == nil && (b.load.For == 0 || time.Since(b.begun) < b.load.For) {
				b.mu.Lock()
				if b.load.Requests > 0 && left == 0 {
					b.mu.Unlock()
					return
				}
				left--
				b.planned++
				b.mu.Unlock()
				s, err := b.prepare(time.Now(), false)
				if err != nil {
					b.fail(err)
					return
				}
				b.deliver(s)
				// An answer that took no time at all exists in virtual time only.
				// Its client would ask for ever at one instant.
				if time.Since(s.due) == 0 && pause(ctx, leastThink) != nil {
					return
				}
			}
		})
	}
	clients.Wait()
	return b.why(ctx.Err())
}

// why is nil where the load was stopped by a guard, which is no error of its own.
func (b *barrage) why(err error) error {
	if err != nil && errors.Is(context.Cause(b.ctx), errAborted) {
		return nil
	}
	return err
}

var errAborted = errors.New("stopped by abort-if")

func (b *barrage) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure == nil {
		b.failure = err
		b.stopped(err)
	}
}

// fire sends one request of its own.
func (b *barrage) fire(due time.Time, warmup bool) error {
	s, err := b.prepare(due, warmup)
	if err != nil {
		return err
	}
	b.flying.Go(func() { b.deliver(s) })
	return nil
}

// prepare makes the next request: its turn in the mix, whether its client leaves.
// It is called in the order of sending, so that draws do not depend on answers.
func (b *barrage) prepare(due time.Time, warmup bool) (*shot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.run.raw.Load // as planned: each request is bound on its own
	request := asked.Request
	turn := b.rng.Float64()
	for i := range asked.Mix {
		share := &asked.Mix[i]
		if turn -= float64(share.Share); turn < 0 {
			request = share.Request
			break
		}
	}
	leave := client.Leave{}
	if c := b.load.Cancel; c != nil && b.rng.Float64() < float64(c.Share) {
		leave = client.Leave{
			AfterHeaders: c.AfterHeaders, AfterBytes: int64(c.AfterBytes), AfterEvents: c.AfterEvents, After: c.After,
		}
	}
	bound, err := request.Bind(b.l.w.runtime())
	if err != nil {
		return nil, err
	}
	s, err := b.l.w.prepare(bound, b.run.result.ID, leave)
	if err != nil {
		return nil, err
	}
	one := &shot{s: s, due: due, warmup: warmup}
	b.shots = append(b.shots, one)
	b.inFlight++
	b.highest = max(b.highest, b.inFlight)
	return one, nil
}

func (b *barrage) deliver(one *shot) {
	b.l.w.deliver(b.ctx, one.s)
	one.s.lighten()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
}

// land waits for what is in flight, for as long as the load has patience.
func (b *barrage) land() {
	patience := defaultPatience
	if b.load.Drain != nil {
		patience = *b.load.Drain
	}
	timer := time.AfterFunc(patience, func() { b.stopped(context.DeadlineExceeded) })
	defer timer.Stop()
	b.flying.Wait()
}

// watch looks at the load while it runs: it tells how far it is, and stops it when
// a guard says so.
func (b *barrage) watch(ctx context.Context) {
	for pause(ctx, lookEvery) == nil {
		totals := b.totals(time.Since(b.begun))
		b.l.w.report(b.progress(totals))
		for _, e := range b.run.bound.AbortIf {
			now := *b.run
			now.load = totals
			hit, _, err := e.Check(b.l.environment(ctx, &now, e))
			if err != nil {
				b.fail(fmt.Errorf("evaluating abort-if: %w", err))
				return
			}
			if hit {
				b.l.w.abort(e.Source)
				b.stopped(errAborted)
				return
			}
		}
	}
}

// abort notes that a guard stopped the scenario.
func (w *world) abort(guard string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.result.Aborted = guard
}

func (b *barrage) progress(totals *suite.LoadTotals) LoadProgress {
	var planned time.Duration
	for _, stage := range b.load.Stages {
		planned += stage.For
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return LoadProgress{
		Elapsed: time.Since(b.begun), Planned: planned, Sent: int64(len(b.shots)), Rate: totals.AchievedRate,
		Rejected: totals.Rejected, InFlight: int64(b.inFlight), P99: totals.Latency.P99,
	}
}
