package scenarios_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/internal/freeport"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// Expressions look at all that was sent while a load is sending. What is wrong with
// that is mostly for the race detector to see.
func TestLookWhileSending(t *testing.T) {
	mock := freeport.Addr(t)
	gateway := httptest.NewServer(forward(mock))
	defer gateway.Close()
	r, err := scenarios.Execute(t.Context(), plan(t, fmt.Sprintf(`version: 1
suite: outside
backend: { mock: { listen: %q, plan: { usage: 10/20 } } }
target:
  url: %q
  identity: { header: x-tenant, pool: "t-${run.id}-${i}" }
  limits: [ { name: tpm, dimension: tokens, amount: 60000000, per: 60s, burst: 60000000, window: bucket } ]
  settle: 1ms
defaults: { request: { path: /v1/chat/completions, json: { model: mock, max_tokens: 100, messages: [ { role: user, content: hello } ] } } }
scenarios:
  - id: together
    steps:
      - parallel:
          - - id: crowd
              load: { model: closed, concurrency: 4, requests: 500, request: { json: { stream: true } } }
          - - id: looks
              send: {}
              expect: { status: 200 }
%s`, mock, gateway.URL, strings.Repeat("            - check: [ judge.over_admitted == 0, len(steps.looks.results) == 1 ]\n", 40)), suite.Options{}), scenarios.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := only(t, r); s.Outcome != scenarios.Pass {
		s.Requests = nil
		t.Error(dump(s))
	}
}

// A gateway that says in the body alone that its limiter said no, in a status that is
// none of a limiter, is understood in a load as it is in a single request.
func TestReasonInTheBody(t *testing.T) {
	mock := freeport.Addr(t)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("X-Big"), "yes") {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			fmt.Fprint(w, `{"error":{"code":"request_too_large"}}`)
			return
		}
		forward(mock).ServeHTTP(w, r)
	}))
	defer gateway.Close()
	r, err := scenarios.Execute(t.Context(), plan(t, fmt.Sprintf(`version: 1
suite: outside
backend: { mock: { listen: %q, plan: { usage: 10/20 } } }
target:
  url: %q
  identity: { header: x-tenant, pool: "t-${run.id}-${i}" }
  settle: 1ms
defaults: { request: { path: /v1/chat/completions, json: { model: mock, max_tokens: 100, messages: [ { role: user, content: hello } ] } } }
scenarios:
  - id: big
    steps:
      - send: {}
      - send: { headers: { x-big: "yes" } }
        expect: { status: 413 }
      - load: { model: closed, concurrency: 1, requests: 2, request: { headers: { x-big: "yes" } } }
        check: [ load.rejected == 2 ]
`, mock, gateway.URL), suite.Options{}), scenarios.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := only(t, r)
	if s.Outcome != scenarios.Pass {
		t.Error(dump(s))
	}
	for _, x := range s.Requests[1:] {
		if x.Decision != "rejected" || x.Reason != "request_too_large" {
			t.Errorf("%s of %s is %s for %q, expected a rejection as request_too_large", x.ID, x.Step, x.Decision, x.Reason)
		}
	}
}

// What is under way is judged as what it is: nobody knows yet what it will cost, and
// what it has reserved is not there for others.
func TestJudgedUnderWay(t *testing.T) {
	s := only(t, run(t, head+`
  - id: under-way
    steps:
      - parallel:
          - - send: { json: { max_tokens: 1500 }, plan: { usage: 6/4, timing: { ttft: 2s } } }
          - - wait: { for: 1s }
            - send: { json: { max_tokens: 1000 } }
              expect: { status: 429 }
            - check: [ judge.wrongly_rejected == 0, judge.over_admitted == 0, judge.reserved > 1500 ]
`))
	if s.Outcome != scenarios.Pass {
		t.Error(dump(s))
	}
}
