package faulty_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/llmlimit/llmlimit/internal/memnet"
	"github.com/llmlimit/llmlimit/pkg/faulty"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

const (
	chatBody   = `{"model":"mock","max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}` // costs 1006
	streamBody = `{"model":"mock","max_tokens":1000,"stream":true,"messages":[{"role":"user","content":"hello"}]}`

	rules = `
- name: tpm
  limit_keys: ["header:x-tenant"]
  algorithm: token_bucket_llm
  algorithm_config: { tokens_per_minute: 2000, tokens_per_day: 100000 }
`
)

// system is a client, a limiter with faults and the mock, on one network in memory and in virtual time.
type system struct {
	t        *testing.T
	mock     *mockllm.Mock
	proxy    *proxy.Proxy
	switches *faulty.Switches
	client   *http.Client
}

// inSystem runs a test against a limiter with these faults.
func inSystem(t *testing.T, specs []string, test func(s *system)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := &memnet.Network{}
		bundle, err := policy.ParseRules(policy.Source{File: "rules", Data: []byte(rules)}, policy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		transport := proxy.NewTransport(proxy.TransportOptions{DialContext: network.DialContext})
		cfg, switches, err := faulty.WrapSwitched(proxy.Config{
			Backend: &url.URL{Scheme: "http", Host: "mock:80"}, Bundle: bundle, Transport: transport, Random: rand.NewChaCha8([32]byte{1}),
		}, specs...)
		if err != nil {
			t.Fatal(err)
		}
		p, err := proxy.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s := &system{
			t: t, proxy: p, switches: switches,
			mock: mockllm.New(mockllm.Options{Plan: mockllm.Plan{Usage: mockllm.Usage{In: mockllm.Count(10), Out: mockllm.Count(40)}}}),
			client: &http.Client{Transport: &http.Transport{
				DialContext: network.DialContext, DisableCompression: true, DisableKeepAlives: true,
			}},
		}
		server := proxy.NewServer(p, proxy.ServerOptions{})
		stopMock := serve(t, network, "mock:80", s.mock.Serve)
		stopProxy := serve(t, network, "proxy:80", func(ctx context.Context, l net.Listener) error {
			context.AfterFunc(ctx, func() { _ = server.Close() })
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		test(s)
		stopProxy()
		transport.CloseIdleConnections()
		stopMock()
	})
}

func serve(t *testing.T, network *memnet.Network, addr string, run func(context.Context, net.Listener) error) (stop func()) {
	t.Helper()
	l, err := network.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, l) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving %s: %v", addr, err)
		}
	}
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request whose answer follows the plan, "" for a faithful one.
func (s *system) send(body, plan string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://proxy:80/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Tenant", "t")
	if plan != "" {
		p, err := mockllm.ParsePlan([]byte(plan))
		if err != nil {
			s.t.Fatal(err)
		}
		s.mock.SetPlan("p", p)
		req.Header.Set("X-Llmlimit-Mock", "id=p")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Error(err)
		return answer{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// books are the amounts of one window's account: tpm or tpd.
func (s *system) books(window string) proxy.LedgerAccount {
	s.t.Helper()
	synctest.Wait()
	w := httptest.NewRecorder()
	s.proxy.Admin().ServeHTTP(w, httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, "/debug/ledger", nil))
	var all proxy.Ledger
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		s.t.Fatal(err)
	}
	for _, a := range all.Accounts {
		if a.Window == window {
			return a
		}
	}
	s.t.Fatalf("no account for %s", window)
	return proxy.LedgerAccount{}
}

// sent is what the mock wrote last.
func (s *system) sent() string {
	s.t.Helper()
	synctest.Wait()
	entries := s.mock.Journal().Entries()
	return string(entries[len(entries)-1].Sent.Body)
}
