package scenarios_test

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// A plain reverse proxy has no limiter: a suite that asks only for what passes
// through runs green against it, inside go test and in virtual time.
func TestHandlerInGoTest(t *testing.T) {
	target := scenarios.Handler(func(backend string, to http.RoundTripper) (http.Handler, error) {
		base, err := url.Parse(backend)
		if err != nil {
			return nil, err
		}
		return &httputil.ReverseProxy{
			Transport: to,
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(base) },
		}, nil
	})
	scenarios.RunPlan(t, plan(t, passThrough, suite.Options{}), scenarios.Options{Target: target})
}

const passThrough = `version: 1
suite: pass
target: { serve: { rules: [] } }
backend: { mock: { plan: { usage: 10/40, timing: { ttft: 30m } } } }
defaults: { request: { path: /v1/chat/completions, json: { model: mock, messages: [ { role: user, content: hello } ] } } }
scenarios:
  - id: bytes
    matrix: { stream: [ false, true ], framing: [ content-length, chunked ] }
    steps:
      - send: { json: { stream: "${matrix.stream}" }, framing: "${matrix.framing}" }
        expect: { status: 200, bytes: mock, upstream: 1, ttft: ">=30m" }
  - id: needs-more
    needs: [ ledger ]
    steps: [ { send: {}, expect: { status: 200 } } ]
`
