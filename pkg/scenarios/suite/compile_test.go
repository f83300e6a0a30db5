package suite

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// program compiles a suite given in place.
func program(t *testing.T, src string, o Options) *Program {
	t.Helper()
	s, problems := Read("s.yaml", []byte(src), o.ReadFile)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p, problems := Compile(s, o)
	if len(problems.Errors()) > 0 {
		t.Fatal(problems)
	}
	return p
}

// problemsOf compiles and wants problems.
func problemsOf(t *testing.T, src string, o Options) string {
	t.Helper()
	s, problems := Read("s.yaml", []byte(src), o.ReadFile)
	if s != nil {
		_, more := Compile(s, o)
		problems = append(problems, more...)
	}
	return (&InvalidError{problems}).Error()
}

const merging = `
version: 1
suite: merging
vars: { tenant: acme, n: 3, body: { stream: true } }
backend:
  mock:
    plan: { usage: 10/40, timing: { ttft: 5ms } }
    plans: { slow: { timing: { ttft: 1s } } }
target:
  serve:
    rules:   # of the policy
      - name: tpm   # one
        algorithm_config: { tokens_per_minute: "${vars.n}", note: "n is ${vars.n}" }
      - name: "${matrix.framing}"
defaults:
  gap: 2ms
  request:
    path: /v1
    headers: { X-Tenant: "${vars.tenant}-${scenario.id}", x-gone: here, x-run: "${run.id}" }
    json: { model: mock, max_tokens: 1000, stop: [ a ], nested: { keep: 1, drop: 2 } }
scenarios:
  - id: a
    matrix: { framing: [ content-length, chunked ] }
    defaults: { request: { json: { max_tokens: 500 }, plan: { http: { framing: length } } }, timeout: 3s }
    steps:
      - send:
          framing: "${matrix.framing}"
          headers: { x-tenant: other, x-gone: null }
          json: { stop: null, nested: { drop: null, add: "${vars.n}" }, user: "n=${vars.n}" }
          plan: { usage: { out: 41 } }
      - send: { json: "${vars.body}", plan: slow }
        gap: 7ms
      - send: { body: "raw ${vars.n}" }
      - send: { stream: true }
`

func TestMerging(t *testing.T) {
	p := program(t, merging, Options{RunID: "r1"})
	if len(p.Cells) != 2 {
		t.Fatalf("%d cells", len(p.Cells))
	}
	cell := p.Cells[1]
	if cell.ID != "a[framing=chunked]" || !cell.Virtual || !cell.Start.Equal(DefaultStart) || cell.Seed == p.Cells[0].Seed {
		t.Errorf("cell %+v", cell)
	}
	first := cell.Steps[0].Send
	if first.Method != http.MethodPost || first.Path != "/v1" || first.Framing != "chunked" {
		t.Errorf("%+v", first)
	}
	if want := map[string]string{"x-tenant": "other", "x-run": "r1"}; !maps.Equal(first.Headers, want) {
		t.Errorf("headers %v, want %v", first.Headers, want)
	}
	wantJSON := map[string]any{
		"model": "mock", "max_tokens": int64(500), "nested": map[string]any{"keep": int64(1), "add": int64(3)}, "user": "n=3",
	}
	if !reflect.DeepEqual(first.JSON.Value, wantJSON) {
		t.Errorf("json %v, want %v", first.JSON.Value, wantJSON)
	}
	if got := first.Plan; got.Usage.In.Mean != 10 || got.Usage.Out.Mean != 41 || got.HTTP.Framing != "length" || time.Duration(got.Timing.TTFT.Mean) != 5*time.Millisecond {
		t.Errorf("plan %+v", got)
	}
	second := cell.Steps[1]
	if body, _ := second.Send.JSON.Value.(map[string]any); body["stream"] != true || body["model"] != "mock" {
		t.Errorf("json %v", body)
	}
	if got := second.Send.Plan; got.Name != "slow" || time.Duration(got.Timing.TTFT.Mean) != time.Second || got.Usage.Out.Mean != 40 {
		t.Errorf("plan %+v", got)
	}
	if second.Send.Headers["x-tenant"] != "acme-a[framing=chunked]" || *second.Gap != 7*time.Millisecond || *cell.Steps[0].Gap != 2*time.Millisecond || *second.Timeout != 3*time.Second {
		t.Errorf("step %+v", second)
	}
	if third := cell.Steps[2].Send; third.JSON != nil || *third.Body != "raw 3" {
		t.Errorf("a body replaces json: %+v", third)
	}
	if body, _ := cell.Steps[3].Send.JSON.Value.(map[string]any); body["stream"] != true {
		t.Errorf("stream is short for json: %v", body)
	}
	if pos := second.Pos; pos.Line != 1+strings.Count(merging[:strings.Index(merging, `- send: { json: "${vars.body}"`)], "\n") || pos.Column != 9 || pos.File != "s.yaml" {
		t.Errorf("position %v", pos)
	}
}

// The rules stay where they were: same lines, same columns, types kept.
func TestOpaque(t *testing.T) {
	p := program(t, merging, Options{})
	rules := p.Cells[0].Target.Serve.Rules
	want := `      - name: tpm   # one
        algorithm_config: { tokens_per_minute: 3, note: "n is 3" }
      - name: "content-length"
`
	if string(rules.Data) != want || rules.Pos.Line != 12 || rules.Pos.Column != 7 {
		t.Errorf("at %v:\n%s", rules.Pos, rules.Data)
	}
	for _, c := range []struct{ in, out string }{
		{"{ serve: { rules: [ { name: \"]\" } ] } }", strings.Repeat(" ", 26) + "[ { name: \"]\" } ]\n"},
		{"\n  serve:\n    rules:\n    - name: a\n# far left\n      limit_keys: [ x,\n y ]\n\n    - name: b   # last\n  # below\n", "    - name: a\n# far left\n      limit_keys: [ x,\n y ]\n\n    - name: b   # last\n  # below\n"},
	} {
		p := program(t, "version: 1\nsuite: x\ntarget: "+c.in+"\nscenarios: [ { id: a, steps: [ { send: {} } ] } ]\n", Options{})
		if got := string(p.Cells[0].Target.Serve.Rules.Data); got != c.out {
			t.Errorf("got\n%s\nwant\n%s", got, c.out)
		}
	}
	flow := program(t, "version: 1\nsuite: x\ntarget: { serve: { rules: [ { name: tpm }, # c\n  { name: b } ] } }\nscenarios: [ { id: a, steps: [ { send: {} } ] } ]\n", Options{})
	if got := string(flow.Cells[0].Target.Serve.Rules.Data); got != strings.Repeat(" ", 26)+"[ { name: tpm }, # c\n  { name: b } ]\n" {
		t.Errorf("flow:\n%q", got)
	}
}

const running = `
version: 1
suite: running
target: { serve: { rules: [ { name: tpm } ] } }
defaults: { request: { headers: { x-i: "n${i}" } } }
scenarios:
  - id: a
    steps:
      - send: {}
        save: { wait: header("retry-after"), count: res.status }
      - wait: { for: "${save.wait}s" }
      - send: { json: { n: "${save.count}", i: "${i}" } }
        check:
          - save.count == 200
          - header("x") == "${save.wait}"
      - load: { stages: [ { for: 1s, rate: 10/s } ], request: { path: "/${i}" } }
      - parallel:
          - [ { send: { path: "/p/${i}" } } ]
          - [ { wait: { for: 1ms } } ]
`

// Names of the run are bound right before a step, with their types.
func TestBind(t *testing.T) {
	steps := program(t, running, Options{}).Cells[0].Steps
	now := Runtime{Save: map[string]any{"wait": "5", "count": int64(200)}, I: 4}
	wait, err := steps[1].Bind(now)
	if err != nil || wait.Wait.For != 5*time.Second {
		t.Fatalf("%+v, %v", wait, err)
	}
	send, err := steps[2].Bind(now)
	if err != nil {
		t.Fatal(err)
	}
	if body := send.Send.JSON.Value; !reflect.DeepEqual(body, map[string]any{"n": int64(200), "i": int64(4)}) {
		t.Errorf("json %v", body)
	}
	if send.Send.Headers["x-i"] != "n4" || send.Check[1].Source != `header("x") == "5"` {
		t.Errorf("%+v", send)
	}
	env := Environment{Save: now.Save, Header: func(string) string { return "5" }}
	for _, e := range send.Check {
		if ok, tree, err := e.Check(env); !ok || err != nil {
			t.Errorf("%s: %v %v", e.Source, tree, err)
		}
	}
	if again, err := steps[2].Bind(Runtime{Save: now.Save, I: 5}); err != nil || again.Send.Headers["x-i"] != "n5" || send.Send.Headers["x-i"] != "n4" {
		t.Errorf("a step binds anew each time: %v, %v", again, err)
	}
	request, err := steps[3].Load.Request.Bind(Runtime{I: 17})
	if err != nil || request.Path != "/17" || request.Headers["x-i"] != "n17" || !steps[3].Load.Request.Open() {
		t.Errorf("%+v, %v", request, err)
	}
	parallel, err := steps[4].Bind(Runtime{I: 1})
	if err != nil || parallel.Parallel[0][0].Send.Path != "/p/${i}" {
		t.Errorf("children are bound on their own: %+v, %v", parallel, err)
	}
	if _, err := steps[1].Bind(Runtime{Save: map[string]any{"wait": "soon"}}); err == nil || !strings.Contains(err.Error(), `"soons" is not a duration`) {
		t.Errorf("a bad value: %v", err)
	}
	if _, err := steps[1].Bind(Runtime{}); err == nil {
		t.Error("a name without a value was bound")
	}
}

// Clients of a load, and branches of parallel, bind at the same time.
func TestBindConcurrently(t *testing.T) {
	steps := program(t, strings.Replace(running, "save.count == 200", "save.count == vars.n", 1)+"\nvars: { n: 200 }\n", Options{}).Cells[0].Steps
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 50 {
				bound, err := steps[2].Bind(Runtime{Save: map[string]any{"wait": "5", "count": int64(200)}, I: i})
				if err != nil || bound.Send.Headers["x-i"] != fmt.Sprint("n", i) {
					t.Errorf("%+v, %v", bound, err)
					return
				}
				if ok, tree, err := bound.Check[0].Check(Environment{Save: map[string]any{"count": int64(200)}}); !ok {
					t.Errorf("%v, %v", tree, err)
				}
			}
		})
	}
	group.Wait()
}

const environmentSuite = `
version: 1
suite: env
target:
  url: "${env.URL}"
  headers: { authorization: "Bearer ${env.KEY}" }
  metrics: { url: "${env.METRICS}", prefix: x_ }
  limits: [ { name: tpm, dimension: tokens, amount: 10000, per: 60s, burst: 20000 } ]
  settle: 5s
  tolerance: 2%
  identity: { header: x, pool: "t-${run.id}-${i}" }
scenarios:
  - id: a
    feature: refund
    steps:
      - send: { json: { max_tokens: "${target.limits.tpm.amount}" } }
        gap: "${target.settle}"
        check:
          - delta("x") == target.limits.tpm.burst
          - target.settle == 5s and target.tolerance == 0.02
  - id: b
    steps: [ { send: {} } ]
`

func TestEnvironmentAndTarget(t *testing.T) {
	lookup := func(values map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { value, ok := values[name]; return value, ok }
	}
	p := program(t, environmentSuite, Options{Env: lookup(map[string]string{"URL": "http://gw", "KEY": "sk-secret"})})
	target := p.Cells[0].Target
	if target.URL != "http://gw" || target.Headers["authorization"] != "Bearer sk-secret" || target.Metrics.URL != "" || target.Metrics.Prefix != "x_" {
		t.Errorf("target %+v", target)
	}
	if !p.External || p.Cells[0].Virtual || !p.Cells[0].Serial || p.Cells[1].Serial {
		t.Errorf("an external target runs in real time, and alone where metrics are compared: %+v", p.Cells[0])
	}
	if want := []string{"sk-secret"}; !slices.Equal(slices.Sorted(slices.Values(p.Secrets)), want) {
		t.Errorf("secrets %v", p.Secrets)
	}
	for value, want := range map[string][]string{
		"https://gw:8443/base":        nil, // where it is, everybody may know
		"https://me:pass@gw/base?k=v": {"me:pass", "k=v"},
		"sk-1234":                     {"sk-1234"},
		"gateway.internal":            {"gateway.internal"},
		"redis://:pass@store":         {"redis://:pass@store"},
		"":                            nil,
	} {
		if got := secretsIn(value); !slices.Equal(got, want) {
			t.Errorf("secrets in %q: %q, expected %q", value, got, want)
		}
	}
	step := p.Cells[0].Steps[0]
	if body, _ := step.Send.JSON.Value.(map[string]any); body["max_tokens"] != int64(10000) || *step.Gap != 5*time.Second {
		t.Errorf("%+v", step)
	}
	if got := target.Identity.Pool.Template; !strings.HasSuffix(got, "-${i}") || strings.Contains(got, "run.id") {
		t.Errorf("pool %q", got)
	}
	ok, tree, err := step.Check[1].Check(Environment{})
	if !ok || err != nil {
		t.Errorf("%v %v", tree, err)
	}
	if got := problemsOf(t, environmentSuite, Options{Env: lookup(map[string]string{"URL": "http://gw"})}); !strings.Contains(got, "the environment variable KEY is not set") || strings.Contains(got, "METRICS") {
		t.Errorf("unset variables: %s", got)
	}
	program(t, environmentSuite, Options{}) // offline
	bad := strings.Replace(environmentSuite, "settle: 5s", `settle: "${env.KEY}"`, 1)
	if got := problemsOf(t, bad, Options{Env: lookup(map[string]string{"URL": "http://gw", "KEY": "sk-secret"})}); !strings.Contains(got, `"***" is not a duration`) || strings.Contains(got, "sk-secret") {
		t.Errorf("a secret in a message: %s", got)
	}
}

func TestOptions(t *testing.T) {
	src := "version: 1\nsuite: x\nvars: { n: 1, m: \"${vars.n}x\" }\ntarget: { serve: { policy: p.yaml } }\nscenarios: [ { id: a, steps: [ { send: { path: \"/${vars.n}/${vars.m}\" } } ] } ]\n"
	p := program(t, src, Options{Vars: map[string]any{"n": int64(7)}})
	if got := p.Cells[0].Steps[0].Send.Path; got != "/7/1x" && got != "/7/7x" {
		t.Errorf("path %s", got)
	}
	if got := problemsOf(t, src, Options{Vars: map[string]any{"nn": int64(7)}}); !strings.Contains(got, `no var "nn"`) {
		t.Error(got)
	}
	seed := uint64(9)
	if one, two := program(t, src, Options{Seed: &seed}), program(t, src, Options{Seed: &seed}); one.Seed != 9 || one.RunID != two.RunID || one.Cells[0].Seed != two.Cells[0].Seed {
		t.Error("the same seed is the same run")
	}
	for text, want := range map[string]any{"a=5": int64(5), "a=true": true, `a="5"`: "5", "a=x=y": "x=y", "a=": ""} {
		if name, value, err := ParseVar(text); name != "a" || value != want || err != nil {
			t.Errorf("%s: %s %v %v", text, name, value, err)
		}
	}
	for _, text := range []string{"a", "=5", "a=010"} {
		if _, _, err := ParseVar(text); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func TestIncludeAndUse(t *testing.T) {
	files := map[string]string{
		"common.yaml": "version: 1\nvars: { unused: 1, pause: 5ms }\nsteps:\n  pause:\n    - wait: { for: \"${vars.pause}\" }\n    - parallel: [ [ { use: one } ] ]\n  one: [ { send: {} } ]\n",
		"bad.yaml":    "version: 1\nsteps: { a: [ { sned: {} } ] }\n",
	}
	readFile := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such file")
	}
	src := "version: 1\nsuite: x\ninclude: [ %s ]\ntarget: { serve: { policy: p.yaml } }\nscenarios: [ { id: a, steps: [ { use: pause }, { use: pause } ] } ]\n"
	p := program(t, fmt.Sprintf(src, "common.yaml"), Options{ReadFile: readFile})
	steps := p.Cells[0].Steps
	if len(steps) != 4 || steps[0].Wait.For != 5*time.Millisecond || steps[1].Parallel[0][0].Send == nil || steps[0].Pos.File != "common.yaml" || steps[0].Pos.Line != 5 {
		t.Errorf("%+v", steps)
	}
	if got := problemsOf(t, fmt.Sprintf(src, "bad.yaml"), Options{ReadFile: readFile}); !strings.Contains(got, `bad.yaml:2:17: unknown key "sned"`) {
		t.Error(got)
	}
	if got := problemsOf(t, fmt.Sprintf(src, "none.yaml"), Options{ReadFile: readFile}); !strings.Contains(got, "none.yaml: no such file") {
		t.Error(got)
	}
}

// Lists that use each other must not grow without bound.
func TestUseIsBounded(t *testing.T) {
	src := "version: 1\nsuite: x\ntarget: { serve: { policy: p.yaml } }\nsteps:\n  l0: [ { send: {} } ]\n"
	for i := range 40 {
		src += fmt.Sprintf("  l%d: [ { use: l%d }, { parallel: [ [ { use: l%d } ] ] } ]\n", i+1, i, i)
	}
	src += "scenarios: [ { id: a, steps: [ { use: l40 } ] } ]\n"
	if got := problemsOf(t, src, Options{}); !strings.Contains(got, "more than 4096 steps") {
		t.Errorf("%.500s", got)
	}
}

func TestLabels(t *testing.T) {
	for _, c := range []struct {
		values []any
		want   []string
	}{
		{[]any{"length", "chunked"}, []string{"length", "chunked"}},
		{[]any{false, true, nil, int64(5)}, []string{"false", "true", "null", "5"}},
		{[]any{map[string]any{}, map[string]any{"stream": true}, map[string]any{"stream": false, "n": int64(2)}}, []string{"none", "stream", "n:2+!stream"}},
		{[]any{map[string]any{"stream": true, "stream_options": map[string]any{"include_usage": true}}}, []string{"stream+include_usage"}},
		{[]any{map[string]any{"name": "a b", "n": int64(2)}, map[string]any{"name": int64(3)}}, []string{"a_b", "name:3"}},
		{[]any{"a b", "a  b", "/v1/x"}, []string{"a_b.1", "a_b.2", "/v1/x"}},
		{[]any{strings.Repeat("x", 50), []any{int64(1), int64(2)}}, []string{"1", "1+2"}},
	} {
		if got := (Axis{Values: c.values}).labels(); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
}

const selecting = `
version: 1
suite: selecting
target: { serve: { policy: p.yaml } }
scenarios:
  - { id: plain, tags: [ a, b ], steps: [ { send: {} } ] }
  - { id: group/night, tags: [ a, nightly ], steps: [ { send: {} } ] }
  - { id: group/real, clock: real, steps: [ { send: {} } ] }
  - { id: cells, matrix: { x: [ 1, 2 ] }, steps: [ { send: { path: "/${matrix.x}" } } ] }
`

func TestSelection(t *testing.T) {
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{}, "plain cells[x=1] cells[x=2]"},
		{Options{Tags: "a"}, "plain group/night"},
		{Options{Tags: "a && !nightly"}, "plain"},
		{Options{Tags: "!a && !b || (nightly)"}, "group/night group/real cells[x=1] cells[x=2]"},
		{Options{IDs: []string{"group/*"}}, "group/night group/real"},
		{Options{IDs: []string{"cells"}}, "cells[x=1] cells[x=2]"},
		{Options{IDs: []string{"cells[x=2]", "pl?in"}}, "plain cells[x=2]"},
		{Options{IDs: []string{"*night"}}, "group/night"},
		{Options{Only: []string{"cells[x=1]"}}, "cells[x=1]"},
		{Options{Profile: "p"}, ""},
	} {
		var ids []string
		p := program(t, selecting, c.options)
		for _, cell := range p.Cells {
			ids = append(ids, cell.ID)
		}
		if got := strings.Join(ids, " "); got != c.want || len(ids)+len(p.NotSelected) != 5 {
			t.Errorf("%+v: %q, want %q; not selected %v", c.options, got, c.want, p.NotSelected)
		}
	}
	for _, tags := range []string{"a &&", "a b", "(a", "a)", "&& a", "a & b", "!", strings.Repeat("!", 1000) + "a"} {
		if _, err := parseTags(tags); err == nil {
			t.Errorf("%.20q is read", tags)
		}
	}
}

func TestWorstCase(t *testing.T) {
	p := program(t, `
version: 1
suite: worst
target: { url: "http://x" }
defaults: { request: { json: { max_tokens: 1000 } } }
scenarios:
  - id: a
    steps:
      - send: {}
        repeat: 5
      - drain: { until: res.status == 429, at-most: 100, request: { json: { max_tokens: 500 } } }
      - eventually: { within: 2s, every: 500ms }
        send: {}
        check: [ res.status == 200 ]
      - parallel: [ [ { send: {} }, { send: {} } ], [ { wait: { for: 1s } } ] ]
      - load: { model: closed, concurrency: 2, requests: 64, mix: [ { share: 1%, request: { json: { max_tokens: 2000 } } } ] }
      - load: { arrivals: constant, stages: [ { for: 10s, rate: 10/s..30/s } ] }
  - id: b
    steps: [ { load: { arrivals: trace(x.csv) } } ]
`, Options{})
	estimate := func(q *Request) int64 {
		body, _ := q.JSON.Value.(map[string]any)
		n, _ := body["max_tokens"].(int64)
		return n
	}
	if got, want := p.Cells[0].WorstCase(estimate), (Cost{Requests: 5 + 100 + 5 + 2 + 64 + 200, Tokens: 5000 + 50000 + 5000 + 2000 + 128000 + 200000, Bounded: true}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if p.WorstCase(estimate).Bounded {
		t.Error("a trace is not counted beforehand")
	}
}

func TestFeaturesAndNeeds(t *testing.T) {
	p := program(t, strings.Replace(environmentSuite, "scenarios:", "features: { supported: [ streaming ], unsupported: [ refund ] }\nscenarios:", 1), Options{})
	if p.Cells[0].Skip != "the feature refund is declared unsupported" || p.Cells[1].Skip != "" {
		t.Errorf("%q, %q", p.Cells[0].Skip, p.Cells[1].Skip)
	}
	sent := func(cells ...*Cell) int64 {
		return (&Program{Cells: cells}).WorstCase(func(*Request) int64 { return 0 }).Requests
	}
	if all := sent(p.Cells[0]) + sent(p.Cells[1]); all == 0 || sent(p.Cells[0]) != 0 || sent(p.Cells...) != all {
		t.Errorf("a cell that is skipped sends %d requests, all cells %d", sent(p.Cells[0]), sent(p.Cells...))
	}
	cell := &Cell{Scenario: &Scenario{Needs: []string{"ledger", "metrics"}}}
	if cell.Missing([]string{"ledger"}) != "metrics" || cell.Missing([]string{"metrics", "ledger"}) != "" {
		t.Error("missing capabilities")
	}
}

// --target replaces the URL and nothing else; without it, a URL that is not set is an
// error only where something would run.
func TestTargetURL(t *testing.T) {
	text := strings.Replace(environmentSuite, "suite: env\n", "suite: env\nprofile: { name: p, version: v1 }\n", 1)
	env := func(name string) (string, bool) { return "sk-1234", name == "KEY" }
	p := program(t, text, Options{Env: env, URL: "http://other", Profile: "p"})
	if target := p.Cells[0].Target; target.URL != "http://other" || target.Limits[0].Amount != 10000 || target.Identity == nil {
		t.Errorf("%+v", target)
	}
	if p := program(t, text, Options{Env: env}); len(p.Cells) != 0 || len(p.NotSelected) != 2 {
		t.Errorf("without --profile: %+v", p)
	}
	if got := problemsOf(t, text, Options{Env: env, Profile: "p"}); !strings.Contains(got, "no gateway is named: env.URL is not set") || !strings.Contains(got, "--target URL") {
		t.Error(got)
	}
}

// Requests of a profile prove something at the limit that it is written for. Limits
// that it does not know are the business of whoever declares them.
func TestProfileIsWrittenForALimit(t *testing.T) {
	const text = `version: 1
suite: x
profile: { name: p, version: v1 }
target: { url: "${env.NOWHERE}", limits: [ { name: tpm, dimension: tokens, amount: 600, per: 60s } ] }
scenarios: [ { id: a, steps: [ { send: {}, expect: { status: 200 } } ] } ]
`
	for limit, want := range map[string]string{
		"{ name: tpm, dimension: tokens, amount: 600, per: 60s, burst: 600, window: calendar }":                           "",
		"{ name: tpm, dimension: tokens, amount: 300, per: 30s, burst: 600 }":                                             "", // the same rate and burst
		"{ name: tpm, dimension: tokens, amount: 600, per: 60s }, { name: other, dimension: tokens, amount: 5, per: 1s }": "",
		"{ name: other, dimension: tokens, amount: 5, per: 1s }":                                                          "no limit tpm is declared, which the profile p is about; expected limits: [ { name: tpm, … } ]",
		"{ name: tpm, dimension: tokens, amount: 500, per: 60s }":                                                         "the limit tpm is 500 tokens in 1m0s; the profile p is written for 600 tokens in 1m0s",
		"{ name: tpm, dimension: tokens, amount: 600, per: 60s, burst: 700 }":                                             "is 600 tokens in 1m0s with a burst of 700; the profile",
		"{ name: tpm, dimension: tokens, amount: 600, per: 1s }":                                                          "is 600 tokens in 1s; the profile",
		"{ name: tpm, dimension: requests, amount: 600, per: 60s }":                                                       "is 600 requests in 1m0s; the profile",
		"{ name: tpm, dimension: tokens, amount: 597, per: 60s }":                                                         "looks like a smaller limit",
	} {
		file, problems := ReadTargetFile("t.yaml", []byte("target:\n  url: http://gw\n  limits: [ "+limit+" ]\n"))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		s, problems := Read("s.yaml", []byte(text), nil)
		if problems.Err() != nil {
			t.Fatal(problems)
		}
		_, problems = Compile(s, Options{Target: file, Profile: "p", Env: func(string) (string, bool) { return "", false }})
		switch got := problems.Errors().String(); {
		case want == "" && got != "":
			t.Errorf("%s: %s", limit, got)
		case !strings.Contains(got, want):
			t.Errorf("%s: %q, want %q", limit, got, want)
		case strings.Contains(got, "smaller limit") != strings.Contains(want, "smaller limit"):
			t.Errorf("%s: %q, of a limit that is not near", limit, got)
		case want != "" && !strings.HasPrefix(got, "t.yaml:3:1"):
			t.Errorf("%s: %q is not where the limit stands", limit, got)
		}
	}
}

func TestTargetFile(t *testing.T) {
	file, problems := ReadTargetFile("t.yaml", []byte("target:\n  url: http://gw\n  limits: [ { name: other, dimension: tokens, amount: 5, per: 1s } ]\nspend: { tokens: 9 }\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p := program(t, "version: 1\nsuite: x\ntarget: { serve: { policy: p.yaml } }\nscenarios: [ { id: a, steps: [ { send: {}, check: [ target.limits.other.amount == 5 ] } ] } ]\n", Options{Target: file})
	if p.Cells[0].Target.URL != "http://gw" || p.Spend.Tokens != 9 || !p.External {
		t.Errorf("%+v", p)
	}
	if _, problems := ReadTargetFile("t.yaml", []byte("target:\n  urll: http://gw\n")); !strings.Contains(problems.String(), `did you mean "url"`) {
		t.Error(problems)
	}
}
