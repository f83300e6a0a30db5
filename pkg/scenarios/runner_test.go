package scenarios_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/llmlimit/llmlimit/internal/bubble"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// TestMain lets the test binary be its own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "bubble" {
		bubble.Main(scenarios.Child(gateway{}))
	}
	// Under the race detector each child would sleep for a second before it exits.
	if _, set := os.LookupEnv("GORACE"); !set {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	os.Exit(m.Run()) //nolint:forbidigo // the program of this test
}

// head is what the suites of these tests have in common: a budget of 2000, 1006
// reserved for each request, 50 used.
const head = `version: 1
suite: test
backend:
  mock: { plan: { usage: 10/40 } }
target:
  serve:
    rules:
      - name: tpm
        limit_keys: ["header:x-tenant"]
        algorithm: token_bucket_llm
        algorithm_config: { tokens_per_minute: 2000 }
defaults:
  request:
    path: /v1/chat/completions
    headers: { x-tenant: "${run.id}-${scenario.id}" }
    json: { model: mock, max_tokens: 1000, messages: [ { role: user, content: hello } ] }
scenarios:
`

func plan(t *testing.T, text string, o suite.Options) *scenarios.Plan {
	t.Helper()
	p, problems := scenarios.NewPlan([]scenarios.Source{{Name: "test.yaml", Data: []byte(text)}}, o)
	if err := problems.Err(); err != nil {
		t.Fatalf("planning: %v", problems)
	}
	return p
}

// A variable is of those suites that have it; one that no selected suite has is told
// once, with the nearest that there is.
func TestVarsOfSuites(t *testing.T) {
	with := strings.Replace(head, "backend:", "vars: { model: mock }\nbackend:", 1) + "  - { id: a, steps: [ { send: { json: { model: \"${vars.model}\" } } } ] }\n"
	without := strings.Replace(head, "suite: test", "suite: other", 1) + "  - { id: a, steps: [ { send: {} } ] }\n"
	sources := []scenarios.Source{{Name: "with.yaml", Data: []byte(with)}, {Name: "without.yaml", Data: []byte(without)}}
	p, problems := scenarios.NewPlan(sources, suite.Options{Vars: map[string]any{"model": "m"}})
	if err := problems.Err(); err != nil || p.Suites[0].Program.Cells[0].Vars["model"] != "m" {
		t.Errorf("%+v %v", p, err)
	}
	_, problems = scenarios.NewPlan(sources, suite.Options{Vars: map[string]any{"modell": "m"}})
	if got := problems.Errors().String(); strings.Count(got, "no suite that was selected has a var") != 1 || !strings.Contains(got, `did you mean "model"?`) {
		t.Error(got)
	}
}

func run(t *testing.T, text string, change ...func(*scenarios.Options)) *scenarios.RunResult {
	t.Helper()
	o := scenarios.Options{Target: gateway{}, Child: []string{os.Args[0], "bubble"}, Workers: 2}
	for _, c := range change {
		c(&o)
	}
	r, err := scenarios.Execute(t.Context(), plan(t, text, suite.Options{}), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// only is the result of a run of one cell.
func only(t *testing.T, r *scenarios.RunResult) *scenarios.ScenarioResult {
	t.Helper()
	if len(r.Suites) != 1 || len(r.Suites[0].Scenarios) != 1 {
		t.Fatalf("expected one cell, found %+v", r.Counts)
	}
	return r.Suites[0].Scenarios[0]
}

const refund = head + `
  - id: refund
    requirement: what is not used comes back
    needs: [ ledger, metrics ]
    matrix: { delivery: [ length, chunked ] }
    defaults:
      request: { plan: { http: { framing: "${matrix.delivery}" } } }
    steps:
      - hold: { at: headers }
      - parallel:
          - - send: {}
              expect: { status: 200 }
          - - wait: { for: 10ms }
            - send: {}
              id: control
              expect: { status: 429, reason: tpm_exceeded, schema: openai/error }
            - release: {}
      - wait: { for: 1ms }
      - send: {}
        id: five
        repeat: 5
        expect: { status: 200, usage: 10/40, bytes: mock }
      - eventually: { within: 2s, every: 50ms }
        check:
          - sum(steps.five.results, .mock.usage.total) == 250
          - steps.five.results[4].remaining == 744
          - ledger.outstanding == 0
          - ledger.reserved == 6036
          - delta("gateway_unused_total{kind='tokens'}") == 5736
`

func TestRefundInVirtualTime(t *testing.T) {
	r := run(t, refund)
	for _, s := range r.Suites[0].Scenarios {
		if s.Outcome != scenarios.Pass {
			t.Errorf("%s: %s", s.ID, dump(s))
		}
		if s.Clock != "virtual" || s.Start.Format("2006-01-02T15:04:05") != "2030-01-02T12:00:00" {
			t.Errorf("%s began at %s by the %s clock", s.ID, s.Start, s.Clock)
		}
	}
	if r.Counts.Pass != 2 || r.Outcome != scenarios.Pass {
		t.Errorf("counts %+v, outcome %s", r.Counts, r.Outcome)
	}
}

func dump(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestFaultTurnsItRed(t *testing.T) {
	r := run(t, refund, func(o *scenarios.Options) { o.Faults = []string{"no-refund"} })
	for _, s := range r.Suites[0].Scenarios {
		if s.Outcome != scenarios.Fail {
			t.Fatalf("%s: %s, want fail: %s", s.ID, s.Outcome, dump(s))
		}
		if want := "five: status: found 429, expected 200"; s.Reason != want {
			t.Errorf("reason %q, want %q", s.Reason, want)
		}
		if rerun := strings.Join(s.Rerun, " "); rerun != "run test.yaml --id "+s.ID+" --seed 1 --fault no-refund" {
			t.Errorf("how to run it again: %s", rerun)
		}
		var failed *scenarios.Check
		for _, step := range s.Steps {
			for i := range step.Checks {
				if step.Checks[i].Outcome == scenarios.Fail && failed == nil {
					failed = &step.Checks[i]
				}
			}
		}
		if failed == nil || failed.Line != 39 || failed.Expected != "200" || failed.Found != "429" || failed.Request == nil {
			t.Fatalf("the failed check is %s", dump(failed))
		}
		for _, step := range s.Steps {
			if want := "- send: {}\n        id: five\n        repeat: 5\n        expect:"; step.ID == "five" && !strings.Contains(step.Source, want) {
				t.Errorf("source of the step: %q", step.Source)
			}
		}
		x := s.Requests[*failed.Request]
		if !strings.Contains(x.Curl, "curl -sS -i -H 'content-type: application/json'") || !strings.Contains(x.Curl, `"max_tokens":1000`) {
			t.Errorf("curl line: %s", x.Curl)
		}
		if x.Wire == nil || !strings.Contains(x.Wire.Response, "tpm_exceeded") {
			t.Errorf("what went over the wire: %s", dump(x.Wire))
		}
	}
}

// events collects what an observer hears.
type events struct {
	mu   sync.Mutex
	seen []string
}

func (e *events) hear(event scenarios.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, fmt.Sprintf("%s %s %d/%d", event.Kind, event.Cell, event.Index+1, event.Total))
}

func TestDayInVirtualTime(t *testing.T) {
	var heard events
	s := only(t, run(t, head+`
  - id: midnight
    start: 2030-06-30T23:59:59.5Z
    steps:
      - send: {}
        expect: { status: 200 }
      - wait: { for: 24h }
      - send: { plan: { timing: { ttft: 1s, itl: 100ms }, content: { chunks: 4 } }, json: { stream: true } }
        id: slow
        expect: { status: 200, ttft: "<1001ms", stream: { events: ">=4", max-gap: "<101ms", done: true } }
      - check:
          - steps.slow.results[0].duration >= 1300ms
          - steps.slow.results[0].duration < 1600ms
`, func(o *scenarios.Options) { o.Observe = heard.hear }))
	if s.Outcome != scenarios.Pass {
		t.Fatal(dump(s))
	}
	if s.Elapsed.Hours() < 24 || s.Real == 0 {
		t.Errorf("took %v of virtual and %v of real time", s.Elapsed, s.Real)
	}
	if got := fmt.Sprint(heard.seen); got != "[started midnight 1/1 finished midnight 1/1]" {
		t.Errorf("heard %s", got)
	}
}

// outcomes is a table of small scenarios and what they have to come to.
func TestOutcomes(t *testing.T) {
	for _, tc := range []struct {
		name, scenario string
		faults         []string
		want           scenarios.Outcome
		reason         string // contained in the reason
		warning, note  string
	}{
		{
			name: "missing capability", want: scenarios.Skip, reason: "cannot: jwt",
			scenario: `  - { id: a, needs: [ jwt ], steps: [ { send: {}, expect: { status: 200 } } ] }`,
		},
		{
			name: "failed check shows its values", want: scenarios.Fail, reason: "res.status == 201 does not hold",
			scenario: "  - id: a\n    steps:\n      - send: {}\n        check:\n          - res.status == 201",
		},
		{
			name: "a failed SHOULD warns", want: scenarios.Pass, warning: "SHOULD does not hold",
			scenario: `  - { id: a, strength: SHOULD, steps: [ { send: {}, expect: { status: 418 } } ] }`,
		},
		{
			name: "severity warn warns", want: scenarios.Pass, warning: "status: found 200, expected 418",
			scenario: `  - { id: a, steps: [ { send: {}, expect: { status: 418 }, severity: warn } ] }`,
		},
		{
			name: "a known failure passes", want: scenarios.Pass, note: "fails as known (https://example.com/1)",
			scenario: `  - { id: a, known-failure: "https://example.com/1", steps: [ { send: {}, expect: { status: 418 } } ] }`,
		},
		{
			name: "an unexpected pass fails", want: scenarios.Fail, reason: "passes, although",
			scenario: `  - { id: a, known-failure: "https://example.com/1", steps: [ { send: {}, expect: { status: 200 } } ] }`,
		},
		{
			name: "a broken connection without expectation", want: scenarios.Fail, reason: "no answer", faults: []string{"panics"},
			scenario: `  - { id: a, steps: [ { send: {} } ] }`,
		},
		{
			name: "one byte is not as the mock wrote it", want: scenarios.Fail, reason: "they part at byte", faults: []string{"alters"},
			scenario: `  - { id: a, steps: [ { send: {}, expect: { bytes: mock } } ] }`,
		},
		{
			name: "a schema that does not fit", want: scenarios.Fail, reason: "schema: ",
			scenario: `  - { id: a, steps: [ { send: {}, expect: { schema: openai/error } } ] }`,
		},
		{
			name: "usage that was told", want: scenarios.Fail, reason: "usage: found in 10, out 40, total 50, expected nothing",
			scenario: `  - { id: a, steps: [ { send: {}, expect: { usage: absent } } ] }`,
		},
		{
			name: "the judge finds what nobody asked for", want: scenarios.Fail, reason: "r2 was rejected for 1006 with at least 1950 left of tpm", faults: []string{"no-refund"},
			scenario: `  - { id: a, steps: [ { send: {}, repeat: 2 } ] }`,
		},
		{
			name: "what was released has happened", want: scenarios.Pass,
			scenario: `
  - id: a
    steps:
      - hold: { at: usage }
      - parallel:
          - [ { send: {} } ]
          - - wait: { for: 1ms }
            - check: [ ledger.outstanding == 1006 ]
            - release: {}
            - check: [ ledger.outstanding == 0, ledger.actual == 50 ]`,
		},
		{
			name: "a timeout with an expectation", want: scenarios.Fail, reason: "outcome: found \"timeout\"",
			scenario: `  - { id: a, steps: [ { send: { plan: { timing: { ttft: 1h } } }, timeout: 1s, expect: { outcome: complete } } ] }`,
		},
		{
			name: "a scenario's timeout", want: scenarios.Error, reason: "deadline",
			scenario: `  - { id: a, timeout: 1s, steps: [ { wait: { for: 1h } } ] }`,
		},
		{
			name: "if passes a step over", want: scenarios.Pass,
			scenario: `  - { id: a, steps: [ { send: {} }, { if: "res.status == 500", send: {}, expect: { status: 418 } } ] }`,
		},
		{
			name: "saved names reach later requests", want: scenarios.Pass,
			scenario: `
  - id: a
    steps:
      - send: {}
        save: { tenant: res.mock.id }
      - send: { headers: { x-tenant: "saved-${save.tenant}-${i}" } }
        expect: { status: 200, json: { usage.total_tokens: 50, choices.0.message.role: assistant }, headers: { content-type: "~json", x-none: absent } }`,
		},
		{
			name: "chunked request, client that leaves", want: scenarios.Pass,
			scenario: `
  - id: a
    steps:
      - send: { framing: chunked, chunk-sizes: [ 1, 2, 10 ], pace: 1ms }
        expect: { status: 200 }
      - send: { json: { stream: true }, headers: { x-tenant: other }, plan: { timing: { itl: 1s } } }
        cancel: { after-events: 2 }
        expect: { outcome: cancelled, stream: { events: 2 }, bytes: mock }
      - check: [ res.mock.end == "client_gone" ]`,
		},
		{
			name: "drain", want: scenarios.Pass,
			scenario: `
  - id: a
    steps:
      - drain: { until: res.status == 429, at-most: 10, request: { plan: { usage: 500/500 } } }
        expect: { status: 429, retry-after: 1s }
        check:
          - drain.admitted == 1
          - drain.admitted_tokens == 1000
          - drain.rejected == 1`,
		},
		{
			name: "drain that never ends", want: scenarios.Fail, reason: "did not come true within 3 requests: 3 admitted for 150 tokens, 0 rejected",
			scenario: `  - { id: a, steps: [ { drain: { until: res.status == 429, at-most: 3, request: { json: { max_tokens: 1 } } } } ] }`,
		},
		{
			name: "faults of target and mock, reload", want: scenarios.Pass,
			scenario: `
  - id: a
    steps:
      - fault: { target: panics, on: true }
      - send: {}
        expect: { outcome: truncated }
      - fault: { target: panics, on: false }
      - fault: { mock: reset, on: true }
      - send: { headers: { x-tenant: b } }
        expect: { status: 200, outcome: truncated }
      - fault: { mock: reset, on: false }
      - reload:
          rules:
            - name: tpm
              limit_keys: ["header:x-tenant"]
              algorithm: token_bucket_llm
              algorithm_config: { tokens_per_minute: 1100 }
      - send: { headers: { x-tenant: c } }
        expect: { status: 200, limit: 1100 }
      - scrape: {}
      - align: { limit: tpm }`,
		},
		{
			name: "nothing waits for a release that never comes", want: scenarios.Fail, reason: "expected 418",
			scenario: `
  - id: a
    steps:
      - hold: { at: usage }
      - parallel:
          - [ { send: {} } ]
          - [ { wait: { for: 1ms } }, { send: { json: { max_tokens: 1 } }, cancel: { after: 1s }, expect: { status: 418 } }, { release: {} } ]`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := only(t, run(t, head+tc.scenario+"\n", func(o *scenarios.Options) { o.Faults = tc.faults }))
			if s.Outcome != tc.want || !strings.Contains(s.Reason, tc.reason) {
				t.Errorf("%s (%s), want %s (%s)", s.Outcome, s.Reason, tc.want, tc.reason)
			}
			if !strings.Contains(strings.Join(s.Warnings, "\n"), tc.warning) || (tc.warning == "") != (len(s.Warnings) == 0) {
				t.Errorf("warnings %q, want %q", s.Warnings, tc.warning)
			}
			if !strings.Contains(strings.Join(s.Notes, "\n"), tc.note) {
				t.Errorf("notes %q, want %q", s.Notes, tc.note)
			}
			if t.Failed() {
				t.Log(dump(s))
			}
		})
	}
}

// loads are seen through their own totals: what was offered, what became of it.
const loads = head + `
  - id: open
    steps:
      - load:
          arrivals: constant
          stages: [ { for: 2s, rate: 10/s, warmup: true }, { for: 10s, rate: 20/s } ]
          max-in-flight: 4
          cancel: { share: 20%, after: 10ms }
          mix: [ { share: 30%, plan: { usage: 10/900 } } ]
          request: { headers: { x-tenant: "t${i}" }, plan: { timing: { ttft: 250ms } } }
        id: wave
        invariants: [ never-over-admit, refund-leak: 0, outstanding-drains: { within: 1s }, no-wrongful-reject: { slack: 0 } ]
        check:
          - load.count + load.dropped == 200   # the warm-up does not count
          - load.dropped > 0
          - load.max_in_flight == 4
          - load.cancelled > 10
          - load.goodput + load.cancelled == load.count
          - load.admitted_tokens > 50 * load.admitted
          - load.planned_rate >= 20
          - load.service.p50 >= 250ms
          - load.service.p99 < 251ms
          - load.sender_lag.max == 0s
      - check: [ steps.wave.load.rejected == 0 ]

  - id: closed
    steps:
      - load:
          model: closed
          concurrency: 4
          requests: 12
          request: { json: { max_tokens: 800, stream: true }, plan: { usage: 10/790, timing: { itl: 100ms }, content: { chunks: 5 } } }
        check:
          - load.count == 12
          - load.admitted == 2   # 2000 hold two of 806; what is rejected comes again at once
          - load.rejected == 10
          - load.statuses["4xx"] == 10
          - load.max_in_flight == 3   # the others are told no at once
          - load.duration > 4ms
          - load.gap.p50 >= 100ms
`

func TestLoads(t *testing.T) {
	for _, s := range run(t, loads).Suites[0].Scenarios {
		if s.Outcome != scenarios.Pass {
			s.Requests = nil
			t.Error(dump(s))
		}
	}
}

// Each request of a paired load goes to the mock as well, which is no part of the
// history: the target had no hand in it.
func TestPairedLoad(t *testing.T) {
	s := only(t, run(t, head+`
  - id: paired
    steps:
      - load:
          arrivals: constant
          paired: true
          stages: [ { for: 1s, rate: 10/s } ]
          request: { headers: { x-tenant: "t${i}" }, plan: { timing: { ttft: { dist: normal, mean: 40ms, sd: 10ms } } } }
        check:
          - load.count == 10
          - load.overhead.max < 1ms   # virtual time: both wait for the same draws of the mock
`))
	if m := s.Steps[0].Measured; s.Outcome != scenarios.Pass || m.Overhead.Count != 10 || m.Overhead.HDR.Histogram() == nil || len(s.Requests) != 10 {
		s.Requests = nil
		t.Errorf("%d pairs: %s", m.Overhead.Count, dump(s))
	}
}

func TestLoadStoppedByItsGuard(t *testing.T) {
	s := only(t, run(t, head+`
  - id: a
    steps:
      - load:
          stages: [ { for: 10m, rate: 10/s } ]
          request: {}
        abort-if:
          - load.statuses["4xx"] > 5
`))
	if s.Outcome != scenarios.Error || !strings.Contains(s.Aborted, "4xx") || s.Elapsed.Seconds() > 10 {
		t.Errorf("%s after %v (%s)", s.Outcome, s.Elapsed, s.Reason)
	}
}

// A leak is one also under load, where no single request shows it.
func TestInvariantsSeeALeak(t *testing.T) {
	s := only(t, run(t, head+`
  - id: a
    steps:
      - load:
          arrivals: constant
          stages: [ { for: 5s, rate: 2/s } ]
          request: { headers: { x-tenant: "t${i}" } }
        invariants: [ refund-leak: 0, outstanding-drains: { within: 1s } ]
`, func(o *scenarios.Options) { o.Faults = []string{"no-refund"} }))
	failed := map[string]bool{}
	for _, c := range s.Steps[0].Checks {
		failed[c.Text] = c.Outcome == scenarios.Fail
	}
	if !failed["refund-leak"] || !failed["outstanding-drains"] {
		t.Errorf("the leak was not seen: %v (%s)", failed, s.Reason)
	}
}

// The same seed gives the same run, instants included.
func TestSameSeedSameRun(t *testing.T) {
	once := func() string {
		r := run(t, refund)
		var all []string
		for _, s := range r.Suites[0].Scenarios {
			s.Real = 0
			all = append(all, dump(s))
		}
		return strings.Join(all, "\n")
	}
	a, b := strings.Split(once(), "\n"), strings.Split(once(), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("two runs with one seed differ after\n%s\nin\n%s\n%s", strings.Join(a[max(0, i-20):i], "\n"), a[i], b[i])
		}
	}
	if len(a) != len(b) {
		t.Errorf("two runs with one seed have %d and %d lines", len(a), len(b))
	}
}

func TestFailFastAndCancel(t *testing.T) {
	text := head + `
  - { id: a, steps: [ { send: {}, expect: { status: 418 } } ] }
  - { id: b, steps: [ { send: {}, expect: { status: 200 } } ] }
`
	r := run(t, text, func(o *scenarios.Options) { o.FailFast, o.Workers = true, 1 })
	if r.Stopped != scenarios.StoppedFailFast || r.Counts.Fail != 1 || r.Counts.Skip != 1 {
		t.Errorf("stopped %q, counts %+v", r.Stopped, r.Counts)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := scenarios.Execute(ctx, plan(t, text, suite.Options{}), scenarios.Options{Target: gateway{}, Child: []string{os.Args[0], "bubble"}})
	if err != nil || r.Stopped != scenarios.StoppedInterrupted || r.Counts.Skip != 2 {
		t.Errorf("interrupted: %v, stopped %q, counts %+v", err, r.Stopped, r.Counts)
	}
}

// Without a child every cell runs here, by the clock on the wall.
func TestRealTime(t *testing.T) {
	s := only(t, run(t, head+`
  - id: real
    steps:
      - send: {}
        expect: { status: 200, usage: 10/40, bytes: mock }
      - eventually: { within: 2s, every: 10ms }
        check: [ ledger.outstanding == 0, ledger.refunded == 956 ]
`, func(o *scenarios.Options) { o.Child = nil }))
	if s.Outcome != scenarios.Pass || s.Clock != "real" {
		t.Error(dump(s))
	}
}
