package proxy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llmlimit/llmlimit/internal/memnet"
	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// system is a client, the proxy and the mock on one network in memory, in virtual time.
type system struct {
	t      *testing.T
	net    *memnet.Network
	mock   *mockllm.Mock
	proxy  *proxy.Proxy
	store  *limiter.Memory
	client *http.Client

	mu      sync.Mutex
	records []proxy.Record
	settles int // calls of Config.Settle
	plans   int
}

const (
	chatPath = "/v1/chat/completions"
	// chatBody costs 6 + 1000: ceil(5 / 4) + 4 × 1 + 1000.
	chatBody   = `{"model":"mock","max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}`
	streamBody = `{"model":"mock","max_tokens":1000,"stream":true,"messages":[{"role":"user","content":"hello"}]}`
	chatCost   = 1006

	// tpmRules is a minute of 6000 tokens and a day of 100 000.
	tpmRules = `
- name: tpm
  limit_keys: ["header:x-tenant"]
  algorithm: token_bucket_llm
  algorithm_config: { tokens_per_minute: 6000, tokens_per_day: 100000 }
`
)

// bundle compiles rules as a suite carries them.
func bundle(tb testing.TB, rules string, proxies ...netip.Prefix) *policy.Bundle {
	tb.Helper()
	b, err := policy.ParseRules(policy.Source{File: "rules", Data: []byte(rules)}, policy.Options{Now: time.Now(), TrustedProxies: proxies})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// inSystem runs a test in a bubble. Whatever goroutine is left at its end fails it.
func inSystem(t *testing.T, rules string, change func(*proxy.Config), test func(s *system)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &system{t: t, net: &memnet.Network{}, store: limiter.New(limiter.Options{})}
		s.mock = mockllm.New(mockllm.Options{KeepSent: 16 << 20, Plan: mockllm.Plan{Usage: mockllm.Usage{In: mockllm.Count(10), Out: mockllm.Count(40)}}})
		transport := proxy.NewTransport(proxy.TransportOptions{DialContext: s.net.DialContext})
		cfg := proxy.Config{
			Backend: &url.URL{Scheme: "http", Host: "mock:80"}, Bundle: bundle(t, rules), Store: s.store, Transport: transport,
			Random: rand.NewChaCha8([32]byte{1}),
			Observe: func(r proxy.Record) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.records = append(s.records, r)
			},
		}
		cfg.Settle = func(ctx context.Context, store limiter.Store, now time.Time, bill *proxy.Bill) (limiter.Settlement, error) {
			s.mu.Lock()
			s.settles++
			s.mu.Unlock()
			return proxy.SettleNow(ctx, store, now, bill)
		}
		if change != nil {
			change(&cfg)
		}
		p, err := proxy.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.proxy = p
		s.client = s.newClient(false)
		stopMock := s.serve("mock:80", s.mock.Serve)
		server := proxy.NewServer(p, proxy.ServerOptions{})
		server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // one test panics on purpose
		stopProxy := s.serveHTTP("proxy:80", server)
		test(s)
		s.client.CloseIdleConnections()
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		stopProxy()
		for _, used := range []http.RoundTripper{transport, cfg.Transport} {
			if used, ok := used.(*http.Transport); ok {
				used.CloseIdleConnections()
			}
		}
		stopMock()
		time.Sleep(time.Second) // a server that closes on unread bytes lingers for half a second
	})
}

// to sends what the proxy forwards to another upstream than the mock.
func to(backend string) func(*proxy.Config) {
	return func(c *proxy.Config) { c.Backend, _ = url.Parse(backend) }
}

// speaking makes the proxy talk to its upstream in HTTP/2.
func speaking(h2 bool) func(*proxy.Config) {
	return func(c *proxy.Config) {
		if was, ok := c.Transport.(*http.Transport); ok && h2 {
			c.Transport = proxy.NewTransport(proxy.TransportOptions{DialContext: was.DialContext, H2C: true})
		}
	}
}

// serve runs a server until the returned function is called.
func (s *system) serve(addr string, run func(context.Context, net.Listener) error) (stop func()) {
	l, err := s.net.Listen(addr)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, l) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("serving %s: %v", addr, err)
		}
	}
}

// serveHTTP runs a whole server until the returned function is called.
func (s *system) serveHTTP(addr string, server *http.Server) (stop func()) {
	return s.serve(addr, func(ctx context.Context, l net.Listener) error {
		context.AfterFunc(ctx, func() { _ = server.Close() })
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// newClient has connections of its own and decodes nothing.
func (s *system) newClient(h2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	return &http.Client{Transport: &http.Transport{DialContext: s.net.DialContext, Protocols: &protocols, DisableCompression: true}}
}

// plan stores a plan and returns the header that names it.
func (s *system) plan(p mockllm.Plan) http.Header {
	s.plans++
	id := "p" + string(rune('a'+s.plans%26)) + string(rune('a'+s.plans/26))
	s.mock.SetPlan(id, p)
	return http.Header{"X-Llmlimit-Mock": {"id=" + id}}
}

// request is a POST for tenant "t".
func (s *system) request(ctx context.Context, path, body string, header http.Header) *http.Request {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://proxy:80"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	if req.Header.Get("X-Tenant") == "" {
		req.Header.Set("X-Tenant", "t")
	}
	req.Header.Set("Content-Type", "application/json")
	return req
}

// answer is a whole response, and what broke while it was read.
type answer struct {
	*http.Response
	body []byte
	err  error
}

// post sends a request and reads the answer to its end.
func (s *system) post(path, body string, header http.Header) answer {
	s.t.Helper()
	return s.do(s.client, s.request(s.t.Context(), path, body, header))
}

func (s *system) do(c *http.Client, req *http.Request) answer {
	s.t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	synctest.Wait() // the handler has ended
	return answer{resp, body, err}
}

// last is the record of the last request.
func (s *system) last() proxy.Record {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.records) == 0 {
		s.t.Fatal("no record")
	}
	return s.records[len(s.records)-1]
}

// entry is the mock's line of the last request that it received.
func (s *system) entry() mockllm.Entry {
	s.t.Helper()
	synctest.Wait()
	entries := s.mock.Journal().Entries()
	if len(entries) == 0 {
		s.t.Fatal("the mock received nothing")
	}
	return entries[len(entries)-1]
}

// account is the state of one window of tenant t's accounts, which are all there are.
func (s *system) account(kind limiter.Kind) limiter.AccountState {
	s.t.Helper()
	synctest.Wait()
	states := s.store.Inspect(time.Now(), func(a limiter.Account) bool { return a.Limit.Kind == kind })
	if len(states) != 1 {
		s.t.Fatalf("found %d accounts of kind %v, expected one", len(states), kind)
	}
	return states[0]
}

// charged checks what the last request cost: in the record, in both accounts, and that it settled once.
func (s *system) charged(outcome proxy.Outcome, want int64) {
	s.t.Helper()
	r := s.last()
	if r.Outcome != outcome || r.Actual != want {
		s.t.Errorf("outcome %s, charged %d (%s), expected %s, %d", r.Outcome, r.Actual, r.Err, outcome, want)
	}
	for _, kind := range []limiter.Kind{limiter.TokenBucket, limiter.Window} {
		l := s.account(kind).Ledger
		if l.Actual != want || l.Outstanding != 0 {
			s.t.Errorf("%v: charged %d with %d outstanding, expected %d and 0", kind, l.Actual, l.Outstanding, want)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settles != 1 {
		s.t.Errorf("settled %d times, expected once", s.settles)
	}
}

// sameBytes checks that the client received what the mock sent, less the event that the proxy caused.
func (s *system) sameBytes(got []byte) {
	s.t.Helper()
	e := s.entry()
	want := e.Sent.Body
	if r := e.Sent.UsageEvent; r != nil && s.last().Stream && e.IncludeUsage {
		want = append(bytes.Clone(want[:r.From]), want[r.To:]...)
	}
	if !bytes.Equal(got, want) {
		s.t.Errorf("the client received\n%q\nexpected\n%q", got, want)
	}
}

// accept is an upstream that does as it is told with each connection, which ends with that.
func (s *system) accept(addr string, with func(net.Conn)) (stop func()) {
	return s.serve(addr, func(ctx context.Context, l net.Listener) error {
		context.AfterFunc(ctx, func() { _ = l.Close() })
		var open sync.WaitGroup
		defer open.Wait()
		for {
			conn, err := l.Accept()
			if err != nil {
				return nil
			}
			open.Go(func() {
				defer conn.Close()
				with(conn)
			})
		}
	})
}

// answerRaw is an upstream that reads one request of each connection and answers with these bytes.
func (s *system) answerRaw(addr, raw string) (stop func()) {
	return s.accept(addr, func(conn net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(conn, raw)
	})
}

// metric is the value of a series without labels, or with them as they are written.
func (s *system) metric(series string) float64 {
	s.t.Helper()
	for line := range strings.Lines(s.admin("/metrics")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == series {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return v
		}
	}
	s.t.Fatalf("no metric %s", series)
	return 0
}

// admin is an answer of the admin handler.
func (s *system) admin(path string) string {
	s.t.Helper()
	synctest.Wait()
	w := httptest.NewRecorder()
	s.proxy.Admin().ServeHTTP(w, httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// parse compiles a whole bundle.
func parse(tb testing.TB, text string) *policy.Bundle {
	tb.Helper()
	b, err := policy.Parse("bundle", []byte(text), policy.Options{Now: time.Now()})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func gzipped(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// bomb is a few kilobytes that become 8 MiB.
func bomb(tb testing.TB) string {
	tb.Helper()
	return gzipped(tb, `{"messages":"`+strings.Repeat("x", 8<<20)+`"}`)
}

func contextFor(s *system, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.t.Context(), d)
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
