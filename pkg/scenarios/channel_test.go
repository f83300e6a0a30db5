package scenarios_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/llmlimit/llmlimit/internal/freeport"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// rewriting is a gateway that leaves nothing of a request as it was but its model: it
// writes the prompt anew and passes on no header that it does not know. prefix and key
// are what its configuration has for the upstream; a model of its own replaces that of
// the client.
func rewriting(mock, prefix, key string, model ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		name := gjson.GetBytes(body, "model").String()
		if len(model) > 0 {
			name = model[0]
		}
		text := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hello"}]}`, name)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		r.Header = http.Header{"Content-Type": {"application/json"}}
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		r.URL.Path = prefix + r.URL.Path
		forward(mock).ServeHTTP(w, r)
	})
}

// Every control channel drives the mock: each request gets the answer that was meant
// for it, and the journal's line about it.
func TestControlChannels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, block string
		apart       bool // requests that are under way together can be told apart
		gateway     func(mock string) http.Handler
	}{
		{"auto, all pass", "", true, forward},
		{"header", "control: header", true, forward},
		{"marker", "control: marker", true, forward},
		{"model", "control: model", true, forward},
		{"auto by model", "", true, func(mock string) http.Handler { return rewriting(mock, "", "") }},
		{"path", "control: path", false, func(mock string) http.Handler { return rewriting(mock, "/p/llmlimit", "", "own") }},
		{"path of a namespace", "{ control: path, namespace: ci-7 }", false, func(mock string) http.Handler { return rewriting(mock, "/p/ci-7", "", "own") }},
		{"auto by path", "", false, func(mock string) http.Handler { return rewriting(mock, "/p/llmlimit", "", "own") }},
		{"key", "{ control: key, namespace: ci-7 }", false, func(mock string) http.Handler { return rewriting(mock, "", "sk-mock-ci-7", "own") }},
		{"auto by key", "", false, func(mock string) http.Handler { return rewriting(mock, "", "sk-mock-llmlimit", "own") }},
		{"queue", "control: queue", false, func(mock string) http.Handler { return rewriting(mock, "", "", "own") }},
		{"auto by queue", "", false, func(mock string) http.Handler { return rewriting(mock, "", "", "own") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mock := freeport.Addr(t)
			server := httptest.NewServer(c.gateway(mock))
			defer server.Close()
			block := "  " + strings.Join(strings.Split(strings.Trim(c.block, "{} "), ", "), "\n  ") + "\n"
			r, err := scenarios.Execute(t.Context(), plan(t, channelSuite(mock, server.URL, block), suite.Options{}), scenarios.Options{Gateways: 4})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range r.Suites[0].Scenarios[:3] {
				if s.Outcome != scenarios.Pass {
					t.Errorf("%s: %s", s.ID, dump(s))
				}
			}
			together := r.Suites[0].Scenarios[3]
			switch {
			case c.apart && together.Outcome != scenarios.Pass:
				t.Errorf("%s: %s", together.ID, dump(together))
			case !c.apart && (together.Outcome != scenarios.Skip || !strings.Contains(together.Reason, "tells no two requests apart")):
				t.Errorf("%s: %s %q", together.ID, together.Outcome, together.Reason)
			}
		})
	}
}

// channelSuite has three cells, which may run side by side, each with answers that no
// other has, and one whose requests are under way together.
func channelSuite(mock, gateway, block string) string {
	return fmt.Sprintf(`version: 1
suite: channels
backend: { mock: { listen: %q, plan: { usage: 1/1 } } }
target:
  url: %q
  identity: { header: x-tenant, pool: "t-${run.id}-${i}" }
%s
defaults: { request: { path: /v1/chat/completions, json: { model: mock, max_tokens: 500 } } }
scenarios:
  - id: one-after-the-other
    matrix: { n: [ 10, 20, 30 ] }
    steps:
      - send: { plan: { usage: { in: 7, out: "${matrix.n}" }, timing: { ttft: 30ms } } }
        id: first
        repeat: 3
        expect: { status: 200, usage: { in: 7, out: "${matrix.n}" }, upstream: 1 }
      - send: { plan: { http: { status: 500 }, usage_at: none } }
        expect: { status: 500, upstream: 1 }
      - send: { plan: { usage: { in: 8, out: "${matrix.n}" } } }
        expect: { status: 200, usage: { in: 8, out: "${matrix.n}" }, upstream: 1 }
        check:
          - res.mock.usage.in == 8
          - steps.first.results[2].mock.usage.in == 7
  - id: together
    steps:
      - load: { model: closed, concurrency: 3, requests: 9, request: { plan: { usage: 3/4, timing: { ttft: 20ms } } } }
        check: [ load.admitted_tokens == 63 ]
`, mock, gateway, block)
}
