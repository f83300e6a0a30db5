package scenarios_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/llmlimit/llmlimit/internal/freeport"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// A gateway that runs already, strips every header of ours and knows one address of
// the mock: the marker in the prompt still names each request, and each cell comes
// as somebody else.
func TestTargetByURL(t *testing.T) {
	mock := freeport.Addr(t)
	var mu sync.Mutex
	seen := map[string]bool{}
	gateway := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: mock})
		mu.Lock()
		seen[r.In.Header.Get("X-Tenant")] = true
		mu.Unlock()
		for name := range r.Out.Header {
			if strings.Contains(strings.ToLower(name), "llmlimit") {
				r.Out.Header.Del(name)
			}
		}
	}})
	defer gateway.Close()
	text := fmt.Sprintf(`version: 1
suite: outside
backend: { mock: { listen: %q, plan: { usage: 10/490 } } }
target:
  url: %q
  identity: { header: x-tenant, pool: "t-${run.id}-${i}" }
  settle: 1ms
features: { supported: [ refund ] }
defaults: { request: { path: /v1/chat/completions, json: { model: mock, max_tokens: 500 } } }
scenarios:
  - id: answer
    needs: [ refund ]
    matrix: { stream: [ false, true ] }
    steps:
      - send: { json: { stream: "${matrix.stream}" }, plan: { usage: 10/77 } }
        expect: { status: 200, bytes: mock, upstream: 1 }
        check: [ res.mock.usage.total == 87, res.mock.max_tokens == 500 ]
  - id: ledger
    needs: [ ledger ]
    steps: [ { send: {}, expect: { status: 200 } } ]
`, mock, gateway.URL)
	r, err := scenarios.Execute(t.Context(), plan(t, text, suite.Options{RunID: "abcd1234"}), scenarios.Options{Workers: 4})
	if err != nil {
		t.Fatal(err)
	}
	if r.Counts.Pass != 2 || r.Counts.Skip != 1 || r.Environment.Target != gateway.URL {
		t.Error(dump(r))
	}
	if len(seen) != 3 || !seen["t-abcd1234-0"] || !seen["t-abcd1234-1"] || !seen["t-abcd1234-2"] {
		t.Errorf("came as %v", seen)
	}
	for _, s := range r.Suites[0].Scenarios[:2] {
		if len(s.Requests) != 1 || !strings.Contains(s.Requests[0].Curl, "[[llmlimit q") || s.Clock != "real" {
			t.Errorf("%s: %s", s.ID, dump(s.Requests))
		}
	}
}

// Nobody listens: that is the environment's error and no failure of the target.
func TestUnreachable(t *testing.T) {
	text := `version: 1
suite: outside
target: { url: "http://127.0.0.1:1" }
scenarios:
  - { id: a, steps: [ { send: { path: /v1/chat/completions }, expect: { status: 200 } } ] }
`
	r, err := scenarios.Execute(t.Context(), plan(t, text, suite.Options{}), scenarios.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := only(t, r); s.Outcome != scenarios.Error || !strings.Contains(s.Reason, "connection refused") {
		t.Error(dump(s))
	}
}

// A scenario that asks to be alone comes last at a target by URL: behind it this gateway
// turns away for a while, as many do after their provider's 429.
func TestAloneAndLast(t *testing.T) {
	t.Parallel()
	for _, pool := range []string{`"t-${run.id}-${i}"`, `[ a ]`} { // side by side, and one after the other
		mock := freeport.Addr(t)
		var mu sync.Mutex
		cooling := false
		proxy := &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: mock}) },
			ModifyResponse: func(resp *http.Response) error {
				mu.Lock()
				defer mu.Unlock()
				cooling = cooling || resp.StatusCode == http.StatusTooManyRequests
				return nil
			},
		}
		gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			cools := cooling
			mu.Unlock()
			if cools {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			proxy.ServeHTTP(w, r)
		}))
		text := fmt.Sprintf(`version: 1
suite: cooling
backend: { mock: { listen: %q, plan: { usage: 1/1 } } }
target: { url: %q, identity: { header: x-tenant, pool: %s } }
defaults: { request: { path: /v1/chat/completions, json: { model: mock, max_tokens: 5 } } }
scenarios:
  - id: provider
    serial: true
    steps: [ { send: { plan: { http: { status: 429 }, usage_at: none } }, expect: { status: 429 } } ]
  - id: others
    matrix: { n: [ 1, 2, 3 ] }
    steps: [ { send: {}, expect: { status: 200 } } ]
`, mock, gateway.URL, pool)
		r, err := scenarios.Execute(t.Context(), plan(t, text, suite.Options{}), scenarios.Options{Gateways: 4})
		if err != nil {
			t.Fatal(err)
		}
		if r.Counts.Pass != 4 {
			t.Errorf("pool %s: %s", pool, dump(r.Counts))
		}
		gateway.Close()
	}
}
