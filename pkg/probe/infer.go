package probe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
)

// Result is what is known of a gateway. What could not be found out is nil or empty,
// and Notes says why.
type Result struct {
	// Enforced: some request was rejected.
	Enforced bool
	// Reserves: a request is rejected for what it declares, before it is sent.
	Reserves bool
	// Burst is the most that one request may cost, in tokens.
	Burst *Interval
	// PerChar, PerMessage: the estimator, in tokens; PerWide for characters of three
	// bytes, per byte.
	PerChar, PerWide, PerMessage *Interval
	// Shapes is what is reserved for content of other kinds.
	Shapes []ShapeCost
	// Rate is the refill in tokens per second.
	Rate *Interval
	// Window is bucket, calendar, first-hit or unknown; Per is its length, 0 for a
	// bucket; Phase says how it lies on the clock.
	Window string
	Per    time.Duration
	Phase  string
	// Refunds says for each ending how long the unused part took to come back.
	Refunds []Refund
	// Endpoints are the further APIs that are served, by their features.
	Endpoints []string
	// Silence is what becomes of a reservation whose provider never answers; nil if
	// nobody looked.
	Silence *Silence
	// Headers are the dialects of rate-limit headers; SaidLimit is the limit by them.
	Headers   []string
	SaidLimit *int64
	// RetryAfter: rejections say how long to wait.
	RetryAfter bool
	// NoKey is the status for a client without identity, 0 if it was not asked.
	NoKey int
	// Identities: another client has an account of its own.
	Identities bool
	// Stopped is the stage at which the budget ended; empty if it was enough.
	Stopped string
	Notes   []string
}

// ShapeCost is what is reserved for content of one kind: tokens per character, or for
// the whole of it.
type ShapeCost struct {
	Name  string
	Per   string // character; empty: the whole
	Costs Interval
}

// Silence is what becomes of the reservation of a request whose provider never answers.
type Silence struct {
	// Watched is how long it was looked at.
	Watched time.Duration
	// GaveUp is when the gateway answered in the provider's place, with Status; 0: not
	// while it was watched.
	GaveUp time.Duration
	Status int
	// Back is when the reservation came back, at the earliest and at the latest, in
	// seconds since the request; nil: never while it was watched.
	Back *Interval
}

// Refund is how long the unused part of a reservation took to come back.
type Refund struct {
	Ending Ending
	// Back: it came back within the horizon, After at the latest. Not back, it may
	// be kept.
	Back  bool
	After time.Duration
}

// Settings bound a probe in time. The zero value takes the defaults.
type Settings struct {
	// Horizon is how long a window or a refill is watched; default 20 s.
	Horizon time.Duration
	// Patience is how long a refund is waited for; default 3 s.
	Patience time.Duration
	// Silence is how long a provider that never answers is watched; default 10 s.
	Silence time.Duration
	// Precision is the width of the rate's interval, as a share, that is narrow
	// enough; default 1 %.
	Precision float64
	// Identities: the gateway can tell clients apart.
	Identities bool
	// Most is the largest allowance that is asked for; default 1 << 30.
	Most int64
}

func (s Settings) withDefaults() Settings {
	if s.Horizon == 0 {
		s.Horizon = 20 * time.Second
	}
	if s.Patience == 0 {
		s.Patience = 3 * time.Second
	}
	if s.Silence == 0 {
		s.Silence = 10 * time.Second
	}
	if s.Precision == 0 {
		s.Precision = 0.01
	}
	if s.Most == 0 {
		s.Most = 1 << 30
	}
	return s
}

// Infer probes a gateway, stage by stage. When the budget ends or ctx does, what is
// known by then is returned with a note; an error means that nothing is known.
func Infer(ctx context.Context, g Gateway, s Settings) (*Result, error) {
	p := &prober{g: g, s: s.withDefaults(), r: &Result{Window: "unknown"}}
	for _, stage := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"first contact", p.contact},
		{"limit", p.burst},
		{"estimator", p.estimator},
		{"shapes of prompts", p.shapes},
		{"refunds", p.refunds},
		{"refill", p.refill},
		{"silence", p.silence},
		{"missing key", p.missingKey},
		{"other endpoints", p.others},
	} {
		err := stage.run(ctx)
		switch {
		case errors.Is(err, ErrBudget), ctx.Err() != nil && err != nil:
			p.note("stopped at the stage %q: %v", stage.name, err)
			if errors.Is(err, ErrBudget) {
				p.r.Stopped = stage.name
			}
			return p.r, nil
		case err != nil && stage.name == "first contact":
			return nil, err
		case err != nil:
			return p.r, fmt.Errorf("probing the %s: %w", stage.name, err)
		}
	}
	return p.r, nil
}

// prober is one probe while it runs.
type prober struct {
	g      Gateway
	s      Settings
	r      *Result
	client int   // of the last question
	edge   int64 // the largest allowance that passes with the plain prompt
	settle time.Duration
}

func (p *prober) note(format string, args ...any) {
	p.r.Notes = append(p.r.Notes, fmt.Sprintf(format, args...))
}

// fresh is a client that nobody has been, where the gateway tells clients apart.
func (p *prober) fresh() int {
	if p.s.Identities {
		p.client++
	} else {
		p.client = 1
	}
	return p.client
}

func (p *prober) ask(ctx context.Context, q Question) (Answer, error) {
	a, err := p.g.Ask(ctx, q)
	if err != nil {
		return a, err
	}
	if !a.Admitted && a.Status >= 400 && a.Status < 500 {
		p.r.RetryAfter = p.r.RetryAfter || a.Said.Retry != nil
	}
	return a, nil
}

// contact makes sure that an ordinary request passes, and reads what is said.
func (p *prober) contact(ctx context.Context) error {
	a, err := p.ask(ctx, Question{Client: p.fresh(), Output: 1})
	if err != nil {
		return err
	}
	if !a.Admitted {
		return fmt.Errorf("the smallest request does not reach the mock: status %d; `llmlimit doctor URL` looks closer", a.Status)
	}
	for _, rate := range a.Said.Rates {
		p.r.Headers = append(p.r.Headers, rate.Source+" "+string(rate.Dimension))
		if rate.Dimension == judge.Tokens && rate.Limit != nil && p.r.SaidLimit == nil {
			p.r.SaidLimit = rate.Limit
		}
	}
	return nil
}

// fits tells whether a request passes, as a client with a full account.
func (p *prober) fits(ctx context.Context, q Question) (bool, error) {
	q.Client = p.fresh()
	a, err := p.ask(ctx, q)
	if err == nil && a.Admitted && !p.s.Identities {
		err = sleep(ctx, max(p.settle, 50*time.Millisecond)) // the same account: let it come back
	}
	return a.Admitted, err
}

// largest is the largest allowance with which a question passes, below most; -1 if
// not even the smallest does, most if all do.
func (p *prober) largest(ctx context.Context, q Question, guess int64) (int64, error) {
	lo, hi := int64(0), p.s.Most // lo passes, hi does not
	if guess > 0 {
		for _, at := range []int64{guess, guess + 1} {
			q.Output = at
			ok, err := p.fits(ctx, q)
			if err != nil {
				return 0, err
			}
			if ok {
				lo = max(lo, at)
			} else {
				hi = min(hi, at)
			}
		}
	}
	for step := int64(1024); hi == p.s.Most; step *= 4 {
		q.Output = min(max(lo, 1)*4+step, p.s.Most)
		ok, err := p.fits(ctx, q)
		if err != nil {
			return 0, err
		}
		if !ok {
			hi = q.Output
			break
		}
		if lo = q.Output; lo == p.s.Most {
			return lo, nil
		}
	}
	for hi-lo > 1 {
		q.Output = lo + (hi-lo)/2
		ok, err := p.fits(ctx, q)
		if err != nil {
			return 0, err
		}
		if ok {
			lo = q.Output
		} else {
			hi = q.Output
		}
	}
	return lo, nil
}

// plain is the prompt of most questions: its length is that of a marker with its
// filling.
const plain = ""

// plainBytes is how long the plain prompt is on the wire.
const plainBytes = 64

// burst finds the largest allowance that passes.
func (p *prober) burst(ctx context.Context) error {
	var err error
	if p.edge, err = p.largest(ctx, Question{Text: plain}, 0); err != nil {
		return err
	}
	if p.edge >= p.s.Most {
		p.note("a request may declare any output: nothing is reserved, or nothing is limited")
		return p.afterwards(ctx)
	}
	p.r.Enforced, p.r.Reserves = true, true
	return nil
}

// afterwards looks whether usage is limited where declarations are not: one client
// uses more and more at once until its next request is rejected.
func (p *prober) afterwards(ctx context.Context) error {
	least := int64(0)
	for used := int64(1000); used <= p.s.Most; used *= 2 {
		client := p.fresh()
		if _, err := p.ask(ctx, Question{Client: client, Output: 1, Used: used}); err != nil {
			return err
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		a, err := p.ask(ctx, Question{Client: client, Output: 1})
		if err != nil {
			return err
		}
		if !a.Admitted {
			p.r.Enforced = true
			p.r.Burst = &Interval{float64(least), float64(used)}
			p.note("it charges after the response: what is in flight is not counted")
			return nil
		}
		least = used
	}
	return nil
}

// The prompts that the estimator is asked about: so long that a token or two of
// rounding does not matter.
const (
	longPrompt   = 6000 // characters, or bytes of wide ones
	manyMessages = 100
)

// estimator compares what still fits beside prompts of several kinds. The edge falls
// by exactly what the prompt is reserved for.
func (p *prober) estimator(ctx context.Context) error {
	if !p.r.Reserves {
		return nil
	}
	length := int64(longPrompt)
	for length > 100 && length > p.edge { // so that it fits beside
		length /= 2
	}
	for _, kind := range []struct {
		q     Question
		extra int64 // bytes or messages more than in the plain question
		at    **Interval
	}{
		{Question{Text: strings.Repeat("a", int(length))}, length + 1, &p.r.PerChar},
		{Question{Text: strings.Repeat("語", int(length/3))}, length/3*3 + 1, &p.r.PerWide},
		{Question{Text: plain, Messages: manyMessages}, manyMessages, &p.r.PerMessage},
	} {
		guess := int64(0)
		if kind.at != &p.r.PerMessage {
			guess = p.edge - (kind.extra+3)/4
		}
		edge, err := p.largest(ctx, kind.q, max(guess, 0))
		if err != nil {
			return err
		}
		if edge <= 0 {
			p.note("the limit is too small to measure the estimator beside it")
			continue
		}
		fell := float64(p.edge - edge) // each of both edges is rounded up by less than one token
		if fell < -1 {
			p.note("a longer prompt left more room than a shorter one: what prompts are reserved for cannot be told")
			continue
		}
		*kind.at = &Interval{max(0, fell-1) / float64(kind.extra), (fell + 1) / float64(kind.extra)}
	}
	return p.wholeBurst()
}

// wholeBurst adds to the edge what the plain prompt costs.
func (p *prober) wholeBurst() error {
	burst := exactly(float64(p.edge))
	if p.r.PerChar != nil && p.r.PerMessage != nil {
		burst.Lo += math.Ceil(plainBytes*p.r.PerChar.Lo-1e-9) + math.Round(p.r.PerMessage.Lo)
		burst.Hi += math.Ceil(plainBytes*p.r.PerChar.Hi-1e-9) + math.Round(p.r.PerMessage.Hi)
		// Simple fractions and whole tokens are what estimators are made of.
		if quarter := math.Round(p.r.PerChar.Mid() * 100); quarter > 0 {
			c, m := quarter/100, math.Round(p.r.PerMessage.Mid())
			if p.r.PerChar.Contains(c) && p.r.PerMessage.Contains(m) {
				burst = exactly(float64(p.edge) + math.Ceil(plainBytes*c-1e-9) + m)
			}
		}
	}
	p.r.Burst = &burst
	if said := p.r.SaidLimit; said != nil && !burst.Contains(float64(*said)) {
		p.note("the headers speak of a limit of %d, and a request of %.0f is the most that passes", *said, burst.Mid())
	}
	return nil
}

// missingKey asks as nobody.
func (p *prober) missingKey(ctx context.Context) error {
	if !p.s.Identities {
		return nil
	}
	a, err := p.ask(ctx, Question{Client: 0, Output: 1})
	p.r.NoKey = a.Status
	return err
}

// sleep waits unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
