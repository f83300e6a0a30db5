package proxy

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// Proxy is the limiting reverse proxy, an [http.Handler] for the public listener. It is safe for concurrent use. The owner calls
// [Proxy.Run] beside it and [Proxy.Shutdown] at the end.
type Proxy struct {
	cfg     Config
	engine  *engine
	handler http.Handler // the front inside the middleware

	reload  sync.Mutex // held while a bundle replaces another
	lineage policy.Lineage

	mu       sync.Mutex
	draining bool
	running  map[*exchange]struct{} // inside the front
	idle     chan struct{}          // made by Shutdown, closed when none is running

	drains   atomic.Int64 // responses that are read for clients that have left
	buffers  sync.Pool    // of *[]byte, for whole responses
	small    sync.Pool    // likewise, for streams
	decision *decisions
}

var errForced = errors.New("the proxy was stopped")

// New returns a proxy that is ready to serve.
func New(cfg Config) (*Proxy, error) {
	cfg = cfg.Complete()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &Proxy{cfg: cfg, running: make(map[*exchange]struct{})}
	p.engine = &engine{
		cfg: &p.cfg, guards: policy.NewGuards(0), metrics: newMetrics(cfg.Store),
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}
	p.engine.bundle.Store(cfg.Bundle)
	p.lineage.Succeed(cfg.Bundle) // nothing came before it
	p.buffers.New = func() any { b := make([]byte, 32<<10); return &b }
	p.small.New = func() any { b := make([]byte, 2<<10); return &b }
	p.decision = newDecisions(p.engine)
	p.handler = cfg.Middleware(http.HandlerFunc(p.serve))
	return p, nil
}

// ServeHTTP answers one request of a client.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// Run sweeps the store every second until ctx ends: it settles what nobody settled and drops what nobody needs. A store that fails
// is counted and asked again a second later. The error is nil.
func (p *Proxy) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			_ = p.Sweep() // it is counted
		}
	}
}

// Sweep settles reservations whose lease has ended and drops idle accounts, once. [Proxy.Run] does it every second.
func (p *Proxy) Sweep() error {
	swept, err := p.cfg.Store.Sweep(p.cfg.Now())
	if err != nil {
		p.engine.metrics.failed("sweep")
		return fmt.Errorf("sweeping the store: %w", err)
	}
	p.engine.metrics.swept(swept)
	return nil
}

// Bundle is the policy in force.
func (p *Proxy) Bundle() *policy.Bundle { return p.engine.bundle.Load() }

// Reload puts another policy in force, at once and for every request that comes after. Accounts keep what they hold, by rule and
// key. The version of the bundle must grow; if not, the old bundle stays.
func (p *Proxy) Reload(next *policy.Bundle) error {
	p.reload.Lock()
	defer p.reload.Unlock()
	if next == nil {
		return errors.New("reloading the policy: no bundle")
	}
	old := p.engine.bundle.Load()
	if next.Version() <= old.Version() {
		return fmt.Errorf("reloading the policy: bundle_version is %d, expected more than %d", next.Version(), old.Version())
	}
	return p.succeed(next)
}

// Replace puts a bundle in force without a look at its version: rules that a suite carries have none.
func (p *Proxy) Replace(next *policy.Bundle) error {
	p.reload.Lock()
	defer p.reload.Unlock()
	return p.succeed(next)
}

// succeed requires that p.reload is held. A store that can puts the accounts under the new limits at this instant; otherwise each
// goes over with the first request that names its new limit.
func (p *Proxy) succeed(next *policy.Bundle) error {
	changes := p.lineage.Succeed(next)
	if store, ok := p.cfg.Store.(limiter.Reloader); ok {
		if err := store.Reload(p.cfg.Now(), changes); err != nil {
			return fmt.Errorf("reloading the policy: %w", err)
		}
	}
	p.engine.bundle.Store(next)
	return nil
}

// Drain makes /readyz fail, so that nobody sends new requests here, and goes on serving.
func (p *Proxy) Drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draining = true
}

// Ready reports whether the proxy takes requests and means to go on.
func (p *Proxy) Ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.draining
}

// Shutdown refuses new requests and waits until those in flight have ended and are settled. When ctx ends first, it breaks them
// off, which settles them too, and returns the cause. Close the listeners before, and the server after it.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.draining = true
	if p.idle == nil {
		p.idle = make(chan struct{})
		if len(p.running) == 0 {
			close(p.idle)
		}
	}
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	p.force()
	<-idle
	return context.Cause(ctx)
}

// force breaks off what is running.
func (p *Proxy) force() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for x := range p.running {
		x.watch.force(x.control)
	}
}

// enter notes a request that begins; it fails after Shutdown.
func (p *Proxy) enter(x *exchange) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle != nil {
		return false
	}
	p.running[x] = struct{}{}
	return true
}

func (p *Proxy) leave(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delete(p.running, x); len(p.running) == 0 && p.idle != nil {
		close(p.idle)
	}
}
