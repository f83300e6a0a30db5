package scenarios

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/load"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// barrage is a load while it runs: package load says when each request is due and
// measures it, this says what is sent.
type barrage struct {
	l    *lane
	run  *stepRun
	load *suite.Load
	rng  *rand.Rand      // of the mix and of who leaves; drawn from in the order of firing
	ctx  context.Context //nolint:containedctx // for what a guard reads on the looker's goroutine

	mu    sync.Mutex // guards what follows
	shots []*shot
	live  suite.LoadTotals // decisions so far, as the clients see them
}

// shot is one request of a load.
type shot struct {
	s      *sentRequest
	warmup bool
}

// load sends many requests, by arrival rate or by concurrency.
func (l *lane) load(ctx context.Context, run *stepRun) error {
	b := &barrage{l: l, run: run, load: run.bound.Load, ctx: ctx}
	seed := l.w.draw()
	b.rng = rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // reproducible on purpose
	summary, err := b.fire(ctx, seed)
	if err != nil && !errors.Is(err, errAborted) {
		return err
	}
	l.w.settled()
	run.load = b.totals(summary)
	run.result.Measured = summary
	l.w.keep(run)
	l.w.deliveredAsPlanned(summary, run)
	return nil
}

// draw gives a number to seed something with.
func (w *world) draw() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.Uint64()
}

// fire runs the whole load.
func (b *barrage) fire(ctx context.Context, seed uint64) (*load.Summary, error) {
	c := load.Config{Source: b.next, Seed: seed, Virtual: b.l.w.cell.Virtual, Look: b.look}
	if b.load.Drain != nil {
		c.Patience = max(*b.load.Drain, 1) // 0 would be the default
	}
	if b.load.Model == suite.ModelClosed {
		if _, err := b.l.w.room(b.load.Concurrency); err != nil {
			return nil, err
		}
		return load.Closed(ctx, load.ClosedConfig{
			Config: c, Concurrency: b.load.Concurrency, Requests: int64(b.load.Requests), For: b.load.For,
		})
	}
	pacer, err := b.l.w.pacer(b.load, seed)
	if err != nil {
		return nil, err
	}
	bound, err := b.l.w.room(b.load.MaxInFlight)
	if err != nil {
		return nil, err
	}
	return load.Open(ctx, load.OpenConfig{Config: c, Pacer: pacer, MaxInFlight: bound})
}

// pacer says when the requests of an open load are due.
func (w *world) pacer(l *suite.Load, seed uint64) (load.Pacer, error) {
	process := load.Poisson()
	if a := l.Arrivals; a != nil {
		switch a.Kind {
		case "constant":
			process = load.Constant()
		case "gamma":
			process = load.Gamma(a.Shape)
		case "trace":
			text, err := w.suite.readFile(a.File)
			if err != nil {
				return nil, fmt.Errorf("reading the trace of a load: %w", err)
			}
			return load.ReadTrace(a.File, text)
		}
	}
	var stages []load.Stage
	for _, s := range l.Stages {
		stages = append(stages, load.Stage{For: s.For, From: s.Rate.From.PerSecond(), To: s.Rate.To.PerSecond(), Warmup: s.Warmup})
	}
	return load.NewStages(process, seed, stages...)
}

// room is how many requests may be in flight with the file descriptors that there
// are. Who asks for more than there is room for hears it before anything is sent;
// who names no bound gets what fits.
func (w *world) room(asked int) (int, error) {
	limit, known := descriptorLimit()
	if w.cell.Virtual || !known {
		return asked, nil
	}
	need := load.Descriptors{InFlight: int64(asked), Each: 4, Besides: 64} // client, target both ways, mock
	if w.cell.Target.URL != "" {
		need.Each = 2 // client and mock
	}
	if asked == 0 {
		return int(min(load.DefaultMaxInFlight, max(1, need.Fits(limit)))), nil
	}
	if err := need.Check(limit); err != nil {
		return 0, fmt.Errorf("before the load: %w", err)
	}
	return asked, nil
}

var errAborted = errors.New("stopped by abort-if")

// next makes a request ready: its turn in the mix, whether its client leaves.
func (b *barrage) next(planned load.Shot) (load.Fire, error) {
	w := b.l.w
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
	bound, err := request.Bind(w.runtime())
	if err != nil {
		return nil, err
	}
	s, err := w.prepare(bound, b.run.result.ID, leave, planned.Due)
	if err != nil {
		return nil, err
	}
	one := &shot{s: s, warmup: planned.Warmup}
	b.mu.Lock()
	b.shots = append(b.shots, one)
	b.mu.Unlock()
	through := func(ctx context.Context) load.Result { return b.deliver(ctx, one) }
	if !b.load.Paired {
		return through, nil
	}
	direct, err := w.directly(s)
	if err != nil {
		return nil, err
	}
	return load.Pair(planned, direct, through), nil
}

// deliver makes the exchange of a shot and counts it.
func (b *barrage) deliver(ctx context.Context, one *shot) load.Result {
	b.l.w.deliver(ctx, one.s)
	result := measured(one.s.x, one.s.gaps)
	verdict := decision(one.s, false, false)
	switch {
	case one.s.x.Outcome == client.Cancelled:
		result.Outcome = load.Cancelled
	case verdict == judge.Admitted:
		result.Outcome = load.Admitted
	case verdict == judge.Rejected:
		result.Outcome = load.Rejected
	}
	if !one.warmup {
		b.mu.Lock()
		b.live.Count++
		tally(&b.live, one.s, verdict)
		if one.s.usage != nil {
			b.live.AdmittedTokens += one.s.usage.Total
		}
		b.mu.Unlock()
	}
	return result
}

// measured is an exchange as package load counts it; its outcome is not known yet.
func measured(x *client.Exchange, gaps []time.Duration) load.Result {
	r := load.Result{Outcome: load.Failed, Status: x.Status, Sent: x.Sent, Ended: x.Ended, Gaps: gaps}
	if x.Status == http.StatusOK {
		r.Good = x.Outcome == client.Complete
		r.Content = firstContent(x)
	}
	return r
}

func firstContent(x *client.Exchange) time.Time {
	if !x.Content.IsZero() {
		return x.Content
	}
	return x.Headers
}

// directly makes the same exchange with the mock itself. It is in no history: the
// target has no part in it.
func (w *world) directly(s *sentRequest) (load.Fire, error) {
	id := s.id + "-direct"
	wire, err := w.request(s.asked, id, s.payment)
	if err != nil {
		return nil, err
	}
	wire.URL = w.direct + strings.TrimPrefix(wire.URL, w.conn.URL()+s.payment.path)
	wire.Leave = s.wire.Leave
	plan := mockllm.Plan{}
	if s.asked.Plan != nil {
		plan = w.plan(s.asked.Plan, s.id) // by the id of the other one: the same draws
	}
	plan.ID = id
	return func(ctx context.Context) load.Result {
		w.mock.SetPlan(id, plan)
		defer w.mock.DropPlan(id)
		return measured(w.client.Do(ctx, wire), nil)
	}, nil
}

// look tells how far the load is, and stops it when a guard says so.
func (b *barrage) look(p load.Progress) error {
	b.l.w.report(LoadProgress{
		Elapsed: p.Elapsed, Planned: p.Planned, Sent: p.Sent, Rate: p.Rate, Rejected: p.Rejected, InFlight: p.InFlight, P99: p.P99,
	})
	if len(b.run.bound.AbortIf) == 0 {
		return nil
	}
	now := *b.run
	now.load = b.soFar(p.Summary())
	for _, e := range b.run.bound.AbortIf {
		hit, _, err := e.Check(b.l.environment(b.ctx, &now, e))
		if err != nil {
			return fmt.Errorf("evaluating abort-if: %w", err)
		}
		if hit {
			b.l.w.abort(e.Source)
			return errAborted
		}
	}
	return nil
}

// abort notes that a guard stopped the scenario.
func (w *world) abort(guard string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.result.Aborted = guard
}
