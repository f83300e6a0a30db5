package main

import (
	"os"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// crowd is a load in which a race has company; nothing else is wrong in it.
const crowd = `
version: 1
suite: crowd
backend:
  mock: { plan: { usage: 6/90, timing: { ttft: 20ms } } }
target:
  serve:
    rules:
      - name: tpm
        limit_keys: ["header:x-tenant"]
        algorithm: token_bucket_llm
        algorithm_config: { tokens_per_minute: 60000, burst_tokens: 300 }
defaults:
  request:
    path: /v1/chat/completions
    json: { model: mock, max_tokens: 100, messages: [ { role: user, content: hello } ] }
scenarios:
  - id: crowd
    requirement: a check and what it allows are one step
    steps:
      - load:
          stages: [ { for: 3s, rate: 60/s } ]
          request: { headers: { x-tenant: a } }
          mix:
            - { share: 40%, request: { headers: { x-tenant: b } } }
            - { share: 10%, request: { headers: { x-tenant: a }, json: { stream: true } } }
`

// planned is the plan of one suite.
func planned(t *testing.T, text string) *scenarios.Plan {
	t.Helper()
	plan, problems := scenarios.NewPlan([]scenarios.Source{{Name: "crowd.yaml", Data: []byte(text)}}, suite.Options{})
	if plan == nil {
		t.Fatalf("%s\n%s", problems.Errors(), text)
	}
	return plan
}

// A fault that only a load sees is left in a handful of requests, which pass where
// the fault is not.
func TestShrink(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	faulty := scenarios.Options{Target: bundled{}, Faults: []string{"not-atomic:pause=5ms"}, Child: []string{self, bubbleCommand}}
	plan := planned(t, crowd)
	run, err := scenarios.Execute(t.Context(), plan, faulty)
	if err != nil {
		t.Fatal(err)
	}
	m, err := scenarios.Shrink(t.Context(), plan, run.Suites[0].Scenarios[0], faulty, scenarios.Budget{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Requests > 8 || m.Requests < 2 || m.Of < 100 {
		t.Errorf("%d of %d requests are left, want a handful\n%s", m.Requests, m.Of, m.Suite)
	}
	if n := strings.Count(string(m.Suite), "send:"); n != m.Requests {
		t.Errorf("the suite sends %d requests, want %d\n%s", n, m.Requests, m.Suite)
	}
	good := scenarios.Options{Target: bundled{}, Child: faulty.Child}
	for _, tc := range []struct {
		name string
		o    scenarios.Options
		want scenarios.Outcome
	}{{"with the fault", faulty, scenarios.Fail}, {"without it", good, scenarios.Pass}} {
		again, err := scenarios.Execute(t.Context(), planned(t, string(m.Suite)), tc.o)
		if err != nil {
			t.Fatal(err)
		}
		if again.Outcome != tc.want {
			t.Errorf("%s it is %s (%s), want %s\n%s", tc.name, again.Outcome, again.Suites[0].Scenarios[0].Reason, tc.want, m.Suite)
		}
	}
}
