package scenarios

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/llmlimit/llmlimit/internal/memnet"
	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// world is everything that one cell has of its own: network, mock, target, client,
// clock and what was seen. It lives for one call of runCell. In virtual time all
// of it is made inside the bubble.
type world struct {
	suite  *PlannedSuite
	cell   *suite.Cell
	o      *Options
	secret func(string) string // masks secrets
	report func(LoadProgress)

	net      Net
	mock     backend
	standard mockllm.Plan // the mock's answer to whoever says nothing else
	direct   string       // base URL of the mock for this process
	conn     Conn
	client   *client.Client
	backend  string   // base URL of the mock, as the target reaches it
	payers   *payers  // who the cell is, at a target by URL; nil in-process
	channels []string // control channels that survive a target by URL
	step     func()   // makes its mock the one for requests that name nobody

	clockError time.Duration // of the mock's clock, if it is in another process
	start      time.Time
	turn       chan struct{} // holds one token: who may wait for the bubble

	mu       sync.Mutex // guards what follows
	rng      *rand.Rand
	sent     []*sentRequest
	acts     []sending // steps that changed target or mock
	steps    map[string]*suite.StepResult
	saved    map[string]any
	counter  int
	rules    []*judge.Rules // as at the start, then after each reload
	reloaded []time.Time
	baseline metrics
	result   *ScenarioResult
}

// runCell runs one cell from an empty world to its judgement. report hears of
// loads. It never fails: what goes wrong is in the result.
func runCell(ctx context.Context, s *PlannedSuite, cell *suite.Cell, o *Options, report func(LoadProgress)) *ScenarioResult {
	w := &world{
		suite: s, cell: cell, o: o, report: report,
		secret: masker(slices.Concat(s.Program.Secrets, o.Secrets)),
		turn:   make(chan struct{}, 1),
		rng:    rand.New(rand.NewPCG(cell.Seed, 0x5ce7a710)), //nolint:gosec // reproducible on purpose
		steps:  map[string]*suite.StepResult{},
		saved:  map[string]any{},
		result: describe(cell),
	}
	w.turn <- struct{}{}
	if cell.Skip != "" {
		w.result.Outcome, w.result.Reason = Skip, cell.Skip
		return w.result
	}
	if cell.Virtual {
		time.Sleep(time.Until(cell.Start))
	}
	w.start = time.Now()
	w.result.Start = w.start.UTC()
	if cell.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cell.Timeout)
		defer cancel()
	}
	w.live(ctx)
	w.result.ClockError = w.clockError
	w.verdict()
	return w.result
}

// live opens the world, runs the steps, judges and closes the world.
func (w *world) live(ctx context.Context) {
	shut, err := w.open(ctx)
	defer func() {
		// How long a server takes to close is no part of the run: net/http waits for
		// connections in steps of random length.
		w.result.Elapsed = time.Since(w.start)
		if err := shut(); err != nil {
			w.fault(fmt.Errorf("closing: %w", err))
		}
	}()
	if err != nil {
		w.fault(err)
		return
	}
	if err := w.meet(ctx); err != nil {
		w.fault(err)
		return
	}
	if reason := w.oneAtATime(); reason != "" {
		w.result.Outcome, w.result.Reason = Skip, reason
		return
	}
	defer w.takeTheStage()()
	if missing := w.cell.Missing(w.conn.Capabilities()); missing != "" {
		w.result.Outcome, w.result.Reason = Skip, "the target cannot: "+missing
		w.result.Aside = strings.HasPrefix(missing, "hook:")
		return
	}
	if err := w.firstScrape(ctx); err != nil {
		w.fault(err)
		return
	}
	w.result.Steps = newLane(w).run(ctx, w.cell.Steps)
	w.judge(ctx)
}

// fault makes the cell an error: something of ours, or of its surroundings.
func (w *world) fault(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.result.Outcome = Error
	if w.result.Reason == "" {
		w.result.Reason = w.secret(err.Error())
	}
}

// open makes network, mock, target and client. shut is never nil and closes what
// was opened, in the reverse order.
func (w *world) open(ctx context.Context) (shut func() error, err error) {
	var closers []func() error
	shut = func() error {
		var errs []error
		for _, closer := range slices.Backward(closers) {
			errs = append(errs, closer())
		}
		return errors.Join(errs...)
	}
	w.net = &loopback{}
	if w.cell.Virtual {
		w.net = &memnet.Network{}
	}
	backend, closeMock, err := w.openMock(ctx)
	if err != nil {
		return shut, err
	}
	closers = append(closers, closeMock)

	w.backend = backend
	w.conn, err = w.openTarget(ctx, backend)
	if err != nil {
		return shut, fmt.Errorf("starting the target: %w", err)
	}
	closers = append(closers, func() error {
		// It may take its time to settle what is open, but not for ever.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := w.conn.Close(ctx); err != nil {
			return fmt.Errorf("stopping the target: %w", err)
		}
		return nil
	})

	tlsConfig, err := w.tlsConfig()
	if err != nil {
		return shut, err
	}
	w.client = client.New(w.net.DialContext, tlsConfig, w.proxy())
	closers = append(closers, func() error { w.client.Close(); return nil })
	return shut, nil
}

// journalSize holds every request of a long load.
const journalSize = 1 << 20

// openMock starts the mock and gives its base URL for the target.
func (w *world) openMock(ctx context.Context) (backend string, shut func() error, err error) {
	// In virtual time nobody else can ask the mock for headers, and we do not.
	opts := mockllm.Options{Seed: w.cell.Seed, JournalSize: journalSize, KeepSent: 1 << 20, OmitHeaders: w.cell.Virtual, Admin: true}
	listen, advertise := "127.0.0.1:0", ""
	if m := w.cell.Mock; m != nil {
		if m.Plan != nil {
			opts.Plan = w.plan(m.Plan, "default")
		}
		opts.Plans = map[string]mockllm.Plan{}
		for name, p := range m.Plans {
			opts.Plans[name] = w.plan(p, name)
		}
		listen = first(m.Listen, listen)
		advertise = m.Advertise
	}
	if !w.cell.Virtual { // the options are for a target that reaches the mock over a real network
		listen, advertise = first(w.o.MockListen, listen), first(w.o.MockAdvertise, advertise)
	}
	w.standard = opts.Plan
	if at := w.mockURL(); at != "" {
		return w.findMock(ctx, at, advertise)
	}
	mock := mockllm.New(opts)
	w.mock = ownMock{mock}
	if w.byURL() && w.o.known != nil {
		return w.goOnStage(ctx, mock, listen, advertise)
	}
	l, err := w.net.Listen(listen)
	if err != nil {
		return "", nil, mockCannotListen(listen, err)
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- mock.Serve(serving, l) }()
	w.direct = "http://" + l.Addr().String()
	return first(advertise, w.direct), func() error {
		w.mock.Release()
		cancel()
		if err := <-done; err != nil {
			return fmt.Errorf("stopping the mock: %w", err)
		}
		return nil
	}, nil
}

func mockCannotListen(addr string, err error) error {
	return fmt.Errorf("the mock cannot listen on %s: the port is taken, or the address is not of this machine; "+
		"correct --mock-listen or backend.mock.listen: %w", addr, err)
}

// byURL tells whether the target runs already.
func (w *world) byURL() bool { return w.cell.Target != nil && w.cell.Target.URL != "" }

// mockURL is that of a mock that runs already; empty if this cell has its own.
func (w *world) mockURL() string {
	if w.o.MockURL != "" {
		return w.o.MockURL
	}
	if w.cell.Mock != nil {
		return w.cell.Mock.URL
	}
	return ""
}

// findMock uses a mock that runs already. Its own default plan counts where the
// suite says nothing.
func (w *world) findMock(ctx context.Context, at, advertise string) (backend string, shut func() error, err error) {
	transport := &http.Transport{DialContext: w.net.DialContext}
	m, err := newRemoteMock(ctx, transport, at, w.standard)
	if err != nil {
		transport.CloseIdleConnections()
		return "", nil, err
	}
	w.mock, w.clockError = m, m.within
	return first(advertise, m.url), func() error {
		m.Release()
		transport.CloseIdleConnections()
		return m.broken()
	}, nil
}

// goOnStage makes the mock of this cell answer at the address that the target
// knows.
func (w *world) goOnStage(ctx context.Context, mock *mockllm.Mock, listen, advertise string) (backend string, shut func() error, err error) {
	s, err := w.o.known.stage(w.net, listen)
	if err != nil {
		return "", nil, mockCannotListen(listen, err)
	}
	if advertise == "" {
		advertise = "http://" + s.addr
	}
	end, step := s.play(ctx, w.requestName()+"-", mock.Handler())
	w.step = step
	return advertise, func() error {
		w.mock.Release()
		end()
		return nil
	}, nil
}

func (w *world) openTarget(ctx context.Context, backend string) (Conn, error) {
	t := w.cell.Target
	if t == nil || t.Serve == nil && t.URL == "" {
		return nil, errors.New("the suite names no target: neither target.serve nor target.url, and no --target was given")
	}
	if t.URL != "" {
		var err error
		if w.payers, err = w.newPayers(ctx); err != nil {
			return nil, err
		}
		w.readRules(nil)
		return newExternal(t, w.suite.Program.Features), nil
	}
	if w.o.Target == nil {
		return nil, errors.New("no in-process target is at hand")
	}
	spec := w.suite.policySpec(t.Serve.Rules, t.Serve.Policy)
	w.readRules(&spec)
	return w.o.Target.Start(ctx, w.complete(spec, backend))
}

// complete adds to a policy what every spec of this cell has.
func (w *world) complete(spec TargetSpec, backend string) TargetSpec {
	spec.Backend, spec.Faults, spec.Net, spec.Seed = backend, w.o.Faults, w.net, w.cell.Seed
	return spec
}

// settled waits until everything that is due at this instant has happened: the
// target has settled what ended, the mock has written its journal. Outside
// virtual time nobody can know that, and checks have to use eventually.
func (w *world) settled() {
	if !w.cell.Virtual {
		return
	}
	<-w.turn // one at a time, and waiting for the turn is itself durable
	synctest.Wait()
	w.turn <- struct{}{}
}

// apart lies between things that are due at the same instant: enough ticks for a
// few requests in each.
const apart = 101 * time.Nanosecond

// offsets draws distinct few nanoseconds for each of n things that are due at the
// same instant, so that their order is the seed's and not the scheduler's.
func (w *world) offsets(n int) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	order := w.rng.Perm(n)
	offsets := make([]time.Duration, n)
	for i, place := range order {
		offsets[i] = time.Duration(place+1) * apart
	}
	return offsets
}

// since is an instant as the result gives it.
func (w *world) since(at time.Time) time.Duration {
	if at.IsZero() {
		return -1
	}
	return at.Sub(w.start)
}

// pause sleeps unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
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
