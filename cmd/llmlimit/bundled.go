package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/faulty"
	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// bundled is the bundled proxy as a target: what `serve` runs, inside the process
// of the runner. It is the only place where the judge and the judged meet, and they
// meet over HTTP.
type bundled struct {
	// adjust changes the configuration before the faults are built in; nil: nothing.
	// It lets a test look at what the proxy does.
	adjust func(proxy.Config) proxy.Config
}

// capabilities are what the bundled proxy offers, in the words of `needs`.
var capabilities = []string{"ledger", "metrics", "reload", "faults", "streaming", "reserve", "refund", "cancel-refund", "retry-after", "remaining-header"}

// Start implements [scenarios.Target].
func (b bundled) Start(ctx context.Context, spec scenarios.TargetSpec) (scenarios.Conn, error) {
	bundle, err := readPolicy(spec)
	if err != nil {
		return nil, err
	}
	backend, err := url.Parse(spec.Backend)
	if err != nil {
		return nil, fmt.Errorf("the mock's URL: %w", err)
	}
	c := &bundledConn{faults: slices.Clone(spec.Faults), current: new(swapped)}
	transport := proxy.NewTransport(proxy.TransportOptions{DialContext: spec.Net.DialContext})
	c.transport = transport
	c.base = proxy.Config{Backend: backend, Bundle: bundle, Random: seeded(spec.Seed), Transport: transport}.Complete()
	if b.adjust != nil {
		c.base = b.adjust(c.base)
	}
	if err := c.build(); err != nil {
		return nil, err
	}
	return c, c.serve(ctx, spec.Net)
}

// bundledConn is one running proxy.
type bundledConn struct {
	base      proxy.Config // without faults; its store outlives a change of faults
	transport *http.Transport
	current   *swapped

	mu     sync.Mutex // guards faults
	faults []string

	url, admin string
	servers    []*http.Server
	cancel     context.CancelFunc
	running    sync.WaitGroup
}

// swapped is a proxy that may be replaced by one with other faults. Requests in
// flight end in the one in which they began.
type swapped struct {
	mu    sync.RWMutex
	proxy *proxy.Proxy
	admin http.Handler
}

func (s *swapped) get() (*proxy.Proxy, http.Handler) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.proxy, s.admin
}

func (s *swapped) set(p *proxy.Proxy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proxy, s.admin = p, p.Admin()
}

// build makes the proxy with the faults of the moment.
func (c *bundledConn) build() error {
	cfg, err := faulty.Wrap(c.base, c.faults...)
	if err != nil {
		return err
	}
	p, err := proxy.New(cfg)
	if err != nil {
		return err
	}
	c.current.set(p)
	return nil
}

func (c *bundledConn) serve(ctx context.Context, network scenarios.Net) error {
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	public := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := c.current.get()
		p.ServeHTTP(w, r)
	})
	private := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, admin := c.current.get()
		admin.ServeHTTP(w, r)
	})
	for _, at := range []struct {
		handler http.Handler
		url     *string
	}{{public, &c.url}, {private, &c.admin}} {
		l, err := network.Listen("127.0.0.1:0")
		if err != nil {
			return errors.Join(err, c.Close(ctx))
		}
		*at.url = "http://" + l.Addr().String()
		s := limiterServer(at.handler)
		c.servers = append(c.servers, s)
		c.running.Go(func() { _ = s.Serve(l) }) // ends with Close
	}
	c.running.Go(func() { c.sweep(ctx) }) // likewise
	return nil
}

// sweep does what [proxy.Proxy.Run] does, for whichever proxy is current.
func (c *bundledConn) sweep(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p, _ := c.current.get()
			_ = p.Sweep() // the store in memory does not fail
		}
	}
}

func (c *bundledConn) URL() string            { return c.url }
func (c *bundledConn) AdminURL() string       { return c.admin }
func (c *bundledConn) Capabilities() []string { return capabilities }

// Reload implements [scenarios.Conn]: what a changed policy file does to `serve`.
func (c *bundledConn) Reload(_ context.Context, spec scenarios.TargetSpec) error {
	p, _ := c.current.get()
	next, err := readReload(spec, p.Bundle(), c.base.Now())
	if err != nil {
		return err
	}
	c.base.Bundle = next
	if spec.Rules != nil { // rules of a suite have no version
		return p.Replace(next)
	}
	return p.Reload(next)
}

// SetFault implements [scenarios.Conn].
func (c *bundledConn) SetFault(name string, on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = slices.DeleteFunc(c.faults, func(f string) bool { return f == name })
	if on {
		c.faults = append(c.faults, name)
	}
	return c.build()
}

// Close implements [scenarios.Conn].
func (c *bundledConn) Close(ctx context.Context) error {
	p, _ := c.current.get()
	err := p.Shutdown(ctx)
	c.cancel()
	for _, s := range c.servers {
		err = errors.Join(err, s.Close())
	}
	c.transport.CloseIdleConnections()
	c.running.Wait()
	return err
}

// readReload reads a policy that replaces another one.
func readReload(spec scenarios.TargetSpec, previous *policy.Bundle, at time.Time) (*policy.Bundle, error) {
	if spec.Rules != nil {
		return policy.ParseRules(policy.Source{File: spec.RulesFile, Data: spec.Rules, Line: spec.RulesLine}, policy.Options{Now: at, Previous: previous})
	}
	return policy.Parse(spec.PolicyFile, spec.Policy, policy.Options{Now: at, Previous: previous})
}

// seeded gives the same ids for the same seed.
func seeded(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// checkFaults refuses names that are no fault, with the nearest that is one.
func checkFaults(names []string) error {
	if _, err := faulty.Wrap(proxy.Config{}.Complete(), names...); err != nil {
		return failWith(exitUsage, "--fault: %w", err).withHint("`llmlimit serve --fault list` shows them all")
	}
	return nil
}
