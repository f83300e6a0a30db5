package policy_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// outcome is a binding in one line: the holds of the enforced set, then those in shadow, then the rejections.
func outcome(b policy.Binding) string {
	var out []string
	names := [...]string{"", "shadow "}
	for n, set := range []*policy.Set{&b.Enforced, &b.Shadow} {
		name := names[n]
		for i, h := range set.Holds {
			out = append(out, fmt.Sprintf("%s%s/%s[%s]=%d", name, set.Bound[i].Rule.Name, set.Bound[i].Window, set.Bound[i].Key, h.Cost))
		}
		if r := set.Reject; r != nil {
			out = append(out, fmt.Sprintf("%s%s %s", name, r.Reason, r.Rule))
		}
	}
	return strings.Join(out, ", ")
}

// small is a chat request that asks for 6 + 100 tokens.
var small = policy.Ask{Prompt: 6, Output: 100, Declared: true, N: 1, Metered: true}

func TestBind(t *testing.T) {
	const tpm = "algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000"
	undeclared := policy.Ask{Prompt: 6, N: 1, Metered: true}
	tests := []struct {
		name  string
		rules string
		edit  func(*policy.Subject)
		ask   policy.Ask
		want  string
	}{
		{"one minute", "- { name: r, limit_keys: ['header:x-tenant'], " + tpm + " } }", nil, small, "r/tpm[acme]=106"},
		{"minute and day", "- { name: r, limit_keys: ['header:x-tenant'], " + tpm + ", tokens_per_day: 9000 } }", nil, small, "r/tpm[acme]=106, r/tpd[acme]=106"},
		{"default allowance", "- { name: r, limit_keys: [], " + tpm + " } }", nil, undeclared, "r/tpm[]=1006"},
		{"default of the rule", "- { name: r, limit_keys: [], " + tpm + ", default_max_completion: 50 } }", nil, undeclared, "r/tpm[]=56"},
		{"default over the limit is the limit", "- { name: r, limit_keys: [], " + tpm + ", tokens_per_day: 500 } }", nil, undeclared, "r/tpm[]=500, r/tpd[]=500"},
		{"declared over the limit stays", "- { name: r, limit_keys: [], " + tpm + " } }", nil, policy.Ask{Prompt: 6, Output: 5000, Declared: true, Metered: true}, "r/tpm[]=5006"},
		{"n answers", "- { name: r, limit_keys: [], " + tpm + " } }", nil, policy.Ask{Prompt: 6, Output: 100, Declared: true, N: 5, Metered: true}, "r/tpm[]=506"},
		{"none produced", "- { name: r, limit_keys: [], " + tpm + " } }", nil, policy.Ask{Prompt: 6, Declared: true, Metered: true}, "r/tpm[]=6"},
		{"cap", "- { name: r, limit_keys: [], " + tpm + ", max_completion_tokens: 10 } }", nil, small, "r/tpm[]=16"},
		{
			"weights", "- { name: r, limit_keys: [], " + tpm + ", weights: { input: 500, cache_write: 1250, output: 4000 } } }", nil,
			policy.Ask{Prompt: 7, Output: 100, Declared: true, Metered: true},
			"r/tpm[]=409", // ceil(7 × 1.25) + 100 × 4
		},
		{
			"a hint raises", "- { name: r, limit_keys: [], " + tpm + ", token_source: { estimator: header_hint } } }\n- { name: s, limit_keys: [], " + tpm + " } }",
			func(s *policy.Subject) { s.Header["X-Token-Estimate"] = []string{"50"} }, small, "r/tpm[]=150, s/tpm[]=106",
		},
		{
			"a hint never lowers", "- { name: r, limit_keys: [], " + tpm + ", token_source: { estimator: header_hint } } }",
			func(s *policy.Subject) { s.Header["X-Token-Estimate"] = []string{"1"} }, small, "r/tpm[]=106",
		},
		{
			"a negative hint is none", "- { name: r, limit_keys: [], " + tpm + ", token_source: { estimator: header_hint } } }",
			func(s *policy.Subject) { s.Header["X-Token-Estimate"] = []string{"-500000"} }, small, "r/tpm[]=106",
		},
		{
			"a huge hint is none", "- { name: r, limit_keys: [], " + tpm + ", token_source: { estimator: header_hint } } }",
			func(s *policy.Subject) { s.Header["X-Token-Estimate"] = []string{"2147483649"} }, small, "r/tpm[]=106",
		},
		{"prompt too long", "- { name: r, limit_keys: [], " + tpm + ", max_prompt_tokens: 5 } }", nil, small, "r/tpm[]=106, prompt_tokens_exceeded r"},
		{"request too large", "- { name: r, limit_keys: [], " + tpm + ", max_tokens_per_request: 105 } }", nil, small, "r/tpm[]=106, max_tokens_per_request_exceeded r"},
		{"both too large", "- { name: r, limit_keys: [], " + tpm + ", max_tokens_per_request: 105 } }\n- { name: s, limit_keys: [], " + tpm + ", max_prompt_tokens: 5 } }", nil, small, "r/tpm[]=106, s/tpm[]=106, prompt_tokens_exceeded s"},
		{"just fits", "- { name: r, limit_keys: [], " + tpm + ", max_tokens_per_request: 106, max_prompt_tokens: 6 } }", nil, small, "r/tpm[]=106"},
		{"reading is free", "- { name: r, limit_keys: ['jwt:org'], " + tpm + " } }\n- { name: s, limit_keys: [], algorithm: concurrency, algorithm_config: { max_concurrent: 1 } }", nil, policy.Ask{ReadOnly: true}, "s/concurrency[]=1"},
		{"unknown endpoint is reserved", "- { name: r, limit_keys: [], " + tpm + " } }", nil, policy.Ask{Prompt: 6}, "r/tpm[]=1006"},
		{"unknown endpoint passes", "- { name: r, limit_keys: [], " + tpm + ", on_unknown_endpoint: pass } }", nil, policy.Ask{Prompt: 6}, ""},
		{"known endpoint is reserved", "- { name: r, limit_keys: [], " + tpm + ", on_unknown_endpoint: pass } }", nil, small, "r/tpm[]=106"},
		{"missing key", "- { name: r, limit_keys: ['header:x-tenant', 'header:x-team'], " + tpm + " } }", nil, small, "missing_limit_key r"},
		{"blank key is missing", "- { name: r, limit_keys: ['header:x-team'], " + tpm + " } }", func(s *policy.Subject) { s.Header["X-Team"] = []string{" \t"} }, small, "missing_limit_key r"},
		{"missing key skips", "- { name: r, limit_keys: ['header:x-team'], on_missing_key: skip, " + tpm + " } }", nil, small, ""},
		{"missing key shares", "- { name: r, limit_keys: ['header:x-team'], on_missing_key: shared, " + tpm + " } }", nil, small, "r/tpm[]=106"},
		{"keys in order", "- { name: r, limit_keys: ['body:model', 'header:x-tenant', 'ip:address'], " + tpm + " } }", nil, small, "r/tpm[mock,acme,192.0.2.7]=106"},
		{"repeated field", "- { name: r, limit_keys: ['header:x-tenant'], " + tpm + " } }", func(s *policy.Subject) { s.Header["X-Tenant"] = []string{" b", "A "} }, small, `r/tpm[b\, A]=106`},
		{"query", "- { name: r, limit_keys: ['query:team'], " + tpm + " } }", func(s *policy.Subject) { s.RawQuery = "x=%zz&team=a%20b" }, small, "r/tpm[a b]=106"},
		{"repeated parameter", "- { name: r, limit_keys: ['query:team'], " + tpm + " } }", func(s *policy.Subject) { s.RawQuery = "team=a&team=b" }, small, "r/tpm[a]=106"},
		{"user and host", "- { name: r, limit_keys: ['body:user', 'header:host'], " + tpm + " } }", func(s *policy.Subject) { s.User = "ann" }, small, "r/tpm[ann,gw.example]=106"},
		{"credentials are hidden", "- { name: r, limit_keys: ['header:authorization'], " + tpm + " } }", func(s *policy.Subject) { s.Header["Authorization"] = []string{"Bearer sk-1"} }, small, "r/tpm[" + policy.Redact("Bearer sk-1") + "]=106"},
		{"match", "- { name: r, limit_keys: [], match: { 'body:model': mock }, " + tpm + " } }\n- { name: s, limit_keys: [], match: { 'body:model': Mock }, " + tpm + " } }", nil, small, "r/tpm[]=106"},
		{"match compares text", "- { name: r, limit_keys: [], match: { 'header:x-tier': 1, 'header:x-beta': true }, " + tpm + " } }", func(s *policy.Subject) { s.Header["X-Tier"], s.Header["X-Beta"] = []string{"1"}, []string{"true"} }, small, "r/tpm[]=106"},
		{"requests", "- { name: r, limit_keys: [], algorithm: token_bucket, algorithm_config: { rps: 0.5, burst: 10 } }", nil, small, "r/requests[]=1000000"},
		{"dear requests", "- { name: r, limit_keys: [], algorithm: token_bucket, algorithm_config: { rps: 0.5, burst: 10, fixed_cost: 1.25 } }", nil, small, "r/requests[]=1250000"},
		{"slots", "- { name: r, limit_keys: [], algorithm: concurrency, algorithm_config: { max_concurrent: 4 } }", nil, small, "r/concurrency[]=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := chat("acme")
			if tt.edit != nil {
				tt.edit(s)
			}
			if got := outcome(rules(t, tt.rules).Bind(now, s, tt.ask)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestSettings shows that what a rule says reaches the request.
func TestSettings(t *testing.T) {
	b := rules(t, `
- name: all
  limit_keys: []
  algorithm: token_bucket_llm
  algorithm_config:
    tokens_per_minute: 2000
    refund: retroactive
    settle: { on_disconnect: observed, on_5xx: keep }
    token_source: { json_paths: ["$.usage.total", "meta.tokens"], max_parseable_body_bytes: 4096 }
- name: budget
  limit_keys: []
  algorithm: cost_based
  algorithm_config:
    budget: 900
    period: 7d
    cost_key: usage
    weights: { output: 2000 }
    staged_actions: [ { threshold_percent: 50, action: throttle, delay_ms: 20 }, { threshold_percent: 100, action: reject } ]
`)
	all, budget := b.Rules()[0], b.Rules()[1]
	if got := all.Tokens; got.OnDisconnect != policy.DisconnectObserved || !got.Keep5xx || strings.Join(got.JSONPaths, " ") != "$.usage.total meta.tokens" || got.MaxParseable != 4096 {
		t.Errorf("tokens %+v", got)
	}
	if got := all.Limits[0].Limit.Refund; got != limiter.Retroactive {
		t.Errorf("refund %s", got)
	}
	if got := budget.Tokens.Weights; got != (limiter.Weights{Input: 1000, CachedInput: 1000, CacheWrite: 1000, Output: 2000, Reasoning: 1000}) {
		t.Errorf("weights %+v", got)
	}
	want := limiter.Limit{
		Name: "budget/budget", Kind: limiter.Window, Reason: "budget_exceeded", Period: limiter.Week, Amount: 900,
		Stages: []limiter.Stage{{Percent: 50, Action: limiter.Throttle, Delay: 20 * time.Millisecond}, {Percent: 100, Action: limiter.Reject}},
	}
	if got := *budget.Limits[0].Limit; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	holds := b.Bind(now, chat("acme"), policy.Ask{Prompt: 6, Metered: true}).Enforced.Holds
	if holds[0].Cost != 1006 || holds[1].Cost != 900 { // 6 + 2 × 1000 is over the budget, and nobody declared it
		t.Errorf("holds %+v", holds)
	}
}

func TestOutputCap(t *testing.T) {
	const rule = "- { name: %s, limit_keys: [], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000%s } }\n"
	free := fmt.Sprintf(rule, "free", "")
	wide := fmt.Sprintf(rule, "wide", ", max_completion_tokens: 60, streaming: { enforce_mid_stream: true }")
	tight := fmt.Sprintf(rule, "tight", ", max_completion_tokens: 40")
	cut := fmt.Sprintf(rule, "cut", ", max_completion_tokens: 30, streaming: { enforce_mid_stream: true, buffer_tokens: 7 }")
	for _, tt := range []struct {
		rules  string
		output int64
		buffer int64 // 0: no stream is cut
	}{{free, 0, 0}, {free + wide, 60, 100}, {wide + tight, 40, 0}, {tight + wide, 40, 0}, {wide + tight + cut, 30, 7}} {
		set := rules(t, tt.rules).Bind(now, chat("acme"), small).Enforced
		buffer := int64(0)
		if set.MidStream != nil {
			buffer = set.MidStream.BufferTokens
		}
		if set.OutputCap != tt.output || buffer != tt.buffer {
			t.Errorf("%s\ncap %d, buffer %d", tt.rules, set.OutputCap, buffer)
		}
	}
}

func TestHintIgnored(t *testing.T) {
	b := rules(t, "- { name: r, limit_keys: [], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000, token_source: { estimator: header_hint } } }")
	for hint, ignored := range map[string]bool{"1": false, " 7 ": false, "2147483648": false, "0": true, "-1": true, "1.5": true, "": true, "7, 7": true, "2147483649": true} {
		s := chat("acme")
		s.Header["X-Token-Estimate"] = []string{hint}
		if got := b.Bind(now, s, small).Enforced.HintIgnored; got != ignored {
			t.Errorf("%q: ignored %v", hint, got)
		}
	}
	if b.Bind(now, chat("acme"), small).Enforced.HintIgnored {
		t.Error("no hint is no bad hint")
	}
}

// TestStatedCost reads costs that clients state.
func TestStatedCost(t *testing.T) {
	b := rules(t, `
- { name: requests, limit_keys: [], algorithm: token_bucket, algorithm_config: { rps: 10, burst: 100, cost_source: "header:x-cost", fixed_cost: 2, default_cost: 3 } }
- name: budget
  limit_keys: []
  algorithm: cost_based
  algorithm_config:
    { budget: 1000, period: 1h, cost_key: "header:x-cost", fixed_cost: 2, default_cost: 3, staged_actions: [ { threshold_percent: 100, action: reject } ] }
`)
	const most = 1_000_000_000_000_000
	for _, tt := range []struct {
		text             string
		requests, budget int64
	}{
		{"5", 5_000_000, 5},
		{"5.25", 5_250_000, 6},
		{"5.0", 5_000_000, 5},
		{"5.0000001", 5_000_001, 6},
		{"1", 2_000_000, 2}, // never cheaper than the fixed cost
		{"0", 3_000_000, 3}, // no cost: as good as none stated
		{"0.0000001", 2_000_000, 2},
		{"-5", 3_000_000, 3},
		{"", 3_000_000, 3},
		{"many", 3_000_000, 3},
		{"1e9", 3_000_000, 3},
		{"05", 3_000_000, 3},
		{"NaN", 3_000_000, 3},
		{"999999999", 999_999_999_000_000, 999_999_999},
		{"99999999999999999999999", most, most}, // a number, and no way to get the default
	} {
		s := chat("acme")
		s.Header["X-Cost"] = []string{tt.text}
		got := b.Bind(now, s, small).Enforced.Holds
		if got[0].Cost != tt.requests || got[1].Cost != tt.budget {
			t.Errorf("%q costs %d and %d, want %d and %d", tt.text, got[0].Cost, got[1].Cost, tt.requests, tt.budget)
		}
	}
}

// TestCompiledDefaults shows that what a request meets are the defaults, not the zeros of what is absent.
func TestCompiledDefaults(t *testing.T) {
	rule := rules(t, "- { name: r, limit_keys: [], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000 } }").Rules()[0]
	tokens := *rule.Tokens
	if got := tokens.Streaming; got != (policy.Streaming{Enabled: true, BufferTokens: 100}) {
		t.Errorf("streaming %+v", got)
	}
	if tokens.DefaultCompletion != 1000 || tokens.MaxParseable != 1<<20 || tokens.OnDisconnect != policy.DisconnectDrain || tokens.Keep5xx || tokens.PassUnknown || tokens.HeaderHint {
		t.Errorf("tokens %+v", tokens)
	}
	want := limiter.Limit{Name: "r/tpm", Reason: "tpm_exceeded", Kind: limiter.TokenBucket, TokensPerMinute: 2000, Burst: 2000}
	if got := *rule.Limits[0].Limit; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := rule.Limits[0].Limit.Validate(); err != nil {
		t.Error(err)
	}
}

const shadowed = `
bundle_version: 1
policies:
  - id: enforced
    spec:
      selector: { pathPrefix: / }
      rules: [ { name: r, limit_keys: [], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000, max_completion_tokens: 50 } } ]
  - id: tried
    spec:
      selector: { pathPrefix: / }
      mode: shadow
      rules: [ { name: r, limit_keys: [], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000, max_prompt_tokens: 5, max_completion_tokens: 20 } } ]
`

func TestShadow(t *testing.T) {
	b := parse(t, shadowed)
	got := b.Bind(now, chat("acme"), small)
	if got.Enforced.Reject != nil || len(got.Enforced.Holds) != 1 || got.Enforced.OutputCap != 50 {
		t.Errorf("enforced: %+v", got.Enforced)
	}
	if got.Shadow.Reject == nil || got.Shadow.Reject.Reason != policy.ReasonPrompt || len(got.Shadow.Holds) != 1 {
		t.Errorf("shadow: %+v", got.Shadow)
	}
	ended := now.Add(time.Hour)
	b = parse(t, shadowed+"global_shadow: { enabled: true, reason: drill, expires_at: 2030-01-02T13:00:00Z }\n")
	if o := b.GlobalShadow(ended.Add(-1)); o != (policy.Override{Active: true, Reason: "drill", Until: ended}) || b.GlobalShadow(ended).Active || b.KillSwitchOverride(now).Active {
		t.Errorf("override: %+v", o)
	}
	during, after := b.Bind(ended.Add(-1), chat("acme"), small), b.Bind(ended, chat("acme"), small)
	if len(during.Enforced.Holds) != 0 || len(during.Shadow.Holds) != 2 || during.Enforced.OutputCap != 0 {
		t.Errorf("while everything is in shadow: %s", outcome(during))
	}
	if len(after.Enforced.Holds) != 1 {
		t.Errorf("after it has ended: %s", outcome(after))
	}
	if during.Shadow.Holds[0].Account.Key == after.Enforced.Holds[0].Account.Key {
		t.Error("a shadow shares the account of what it shadows")
	}
}

func TestKillSwitches(t *testing.T) {
	const text = `
bundle_version: 1
policies: []
kill_switches:
  - { scope_key: "header:x-tenant", scope_value: evil, reason: abuse }
  - { scope_key: "header:x-tenant", scope_value: slow, route: /v1/chat/completions, expires_at: 2030-01-02T13:00:00Z }
`
	b := parse(t, text)
	check := func(b *policy.Bundle, at time.Time, tenant, path string) *policy.Rejection {
		s := chat(tenant)
		s.Path = path
		return b.Bind(at, s, small).Enforced.Reject
	}
	if r := check(b, now, "evil", "/"); r == nil || r.Reason != policy.ReasonKillSwitch || r.Wait != 0 || r.Detail != "abuse" {
		t.Errorf("evil: %+v", r)
	}
	if r := check(b, now, "good", "/"); r != nil {
		t.Errorf("good: %+v", r)
	}
	if r := check(b, now, "slow", "/v1/chat/completions"); r == nil || r.Wait != time.Hour {
		t.Errorf("slow: %+v", r)
	}
	if r := check(b, now, "slow", "/v1/chat"); r != nil {
		t.Errorf("slow on another path: %+v", r)
	}
	if r := check(b, now.Add(time.Hour), "slow", "/v1/chat/completions"); r != nil {
		t.Errorf("slow after the end: %+v", r)
	}
	b = parse(t, text+"kill_switch_override: { enabled: true, reason: drill, expires_at: 2030-01-02T12:30:00Z }\n")
	if r := check(b, now, "evil", "/"); r != nil {
		t.Errorf("overridden: %+v", r)
	}
	if r := check(b, now.Add(30*time.Minute), "evil", "/"); r == nil {
		t.Error("the override has not ended")
	}
}

func TestPoliciesBindInOrder(t *testing.T) {
	b := parse(t, `
bundle_version: 1
policies:
  - id: all
    spec:
      selector: { pathPrefix: / }
      rules: [ { name: a, limit_keys: [], match: { "body:model": other }, algorithm: concurrency, algorithm_config: { max_concurrent: 1 } } ]
      fallback_limit: { limit_keys: [], algorithm: concurrency, algorithm_config: { max_concurrent: 2 } }
  - id: exact
    spec:
      selector: { pathExact: /v1/chat/completions, methods: [POST], hosts: ["GW.example:8080"] }
      rules: [ { name: b, limit_keys: [], algorithm: concurrency, algorithm_config: { max_concurrent: 3 } } ]
      fallback_limit: { limit_keys: [], algorithm: concurrency, algorithm_config: { max_concurrent: 4 } }
  - id: prefix
    spec:
      selector: { pathPrefix: /v1/ }
      rules: [ { name: c, limit_keys: ["jwt:org"], on_missing_key: skip, algorithm: concurrency, algorithm_config: { max_concurrent: 5 } } ]
      fallback_limit: { limit_keys: [], algorithm: concurrency, algorithm_config: { max_concurrent: 6 } }
`)
	for _, tt := range []struct {
		method, host, path, want string
	}{
		{"POST", "gw.example", "/v1/chat/completions", "fallback_limit/concurrency[]=1, b/concurrency[]=1"},
		{"POST", "GW.EXAMPLE.:443", "/v1/chat/completions", "fallback_limit/concurrency[]=1, b/concurrency[]=1"},
		{"PUT", "gw.example", "/v1/chat/completions", "fallback_limit/concurrency[]=1"},
		{"POST", "other.example", "/v1/chat/completions", "fallback_limit/concurrency[]=1"},
		{"POST", "gw.example", "/v1/chat/completions/", "fallback_limit/concurrency[]=1"},
		{"POST", "gw.example", "/", "fallback_limit/concurrency[]=1"},
	} {
		s := &policy.Subject{Method: tt.method, Host: tt.host, Path: tt.path, Header: http.Header{}}
		if got := outcome(b.Bind(now, s, small)); got != tt.want {
			t.Errorf("%s %s%s\ngot  %s\nwant %s", tt.method, tt.host, tt.path, got, tt.want)
		}
	}
}

func TestClientAddress(t *testing.T) {
	opts := policy.Options{Now: now, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	b, err := policy.ParseRules(policy.Source{Data: []byte("- { name: r, limit_keys: ['ip:address'], algorithm: concurrency, algorithm_config: { max_concurrent: 1 } }")}, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.7", nil, "192.0.2.7"},
		{"192.0.2.7", []string{"198.51.100.1"}, "192.0.2.7"}, // nobody vouches for it
		{"::ffff:192.0.2.7", nil, "192.0.2.7"},
		{"10.0.0.1", nil, "10.0.0.1"},
		{"10.0.0.1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"}, // a client wrote the first one
		{"10.0.0.1", []string{"203.0.113.9", "198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"10.0.0.1", []string{"203.0.113.9, nonsense, 10.0.0.2"}, "10.0.0.2"},
		{"10.0.0.1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"fd00::1", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"fd00::1", []string{"10.0.0.3"}, "10.0.0.3"},
	} {
		s := chat("acme")
		s.Peer = netip.MustParseAddr(tt.peer)
		s.Header["X-Forwarded-For"] = tt.forwarded
		if got := b.Bind(now, s, small).Enforced.Bound[0].Key.String(); got != tt.want {
			t.Errorf("peer %s forwards %q: got %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}

func TestTrustedHeaders(t *testing.T) {
	text := []byte("- { name: r, limit_keys: ['ip:country'], algorithm: concurrency, algorithm_config: { max_concurrent: 1 } }")
	b, err := policy.ParseRules(policy.Source{Data: text}, policy.Options{Now: now, TrustedHeaders: map[string]string{"ip:country": "x-country"}})
	if err != nil {
		t.Fatal(err)
	}
	s := chat("acme")
	s.Header["X-Country"] = []string{"CH"}
	if got := b.Bind(now, s, small).Enforced.Bound[0].Key.String(); got != "CH" {
		t.Errorf("key %q", got)
	}
	if _, err := policy.ParseRules(policy.Source{Data: text}, policy.Options{TrustedHeaders: map[string]string{"jwt:org": "X-Org"}}); err == nil {
		t.Error("a claim may not come from a header")
	}
}

func TestSettlementAmounts(t *testing.T) {
	b := rules(t, `
- { name: plain, limit_keys: [], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000 } }
- { name: priced, limit_keys: [], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000, weights: { cached_input: 100, output: 4000 } } }
- { name: slots, limit_keys: [], algorithm: concurrency, algorithm_config: { max_concurrent: 4 } }
`)
	set := b.Bind(now, chat("acme"), small).Enforced
	usage := limiter.Classes{Input: 10, CachedInput: 95, Output: 20, Reasoning: 5}
	for i, want := range []struct{ actual, nothing, content, keep int64 }{
		{130, 0, 6 + 3, 106},
		{10 + 10 + 80 + 5, 0, 6 + 12, 406}, // 9.5 rounded up
		{1, 1, 1, 1},
	} {
		h, of := set.Holds[i], set.Bound[i]
		got := struct{ actual, nothing, content, keep int64 }{of.Actual(h, usage), of.Observed(h, -1), of.Observed(h, 9), of.Keep(h, 9)}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", of.Rule.Name, got, want)
		}
		if h.Cost < 1000 && of.Keep(h, 40_000) != max(h.Cost, of.Observed(h, 40_000)) {
			t.Errorf("%s: more was seen than reserved", of.Rule.Name)
		}
	}
}

// TestStoreTakesBindings reserves and settles what policies bind.
func TestStoreTakesBindings(t *testing.T) {
	b := parse(t, shadowed)
	store := limiter.New(limiter.Options{})
	for i, set := range []policy.Set{b.Bind(now, chat("acme"), small).Enforced, b.Bind(now, chat("acme"), small).Shadow} {
		id := limiter.ID{byte(i + 1)}
		d, err := store.Reserve(now, &limiter.Request{ID: id, Holds: set.Holds, Prompt: set.Prompt, Lease: time.Minute})
		if err != nil || !d.Admitted {
			t.Fatalf("reserving: %+v, %v", d, err)
		}
		if _, err := store.Settle(now, id, []int64{set.Bound[0].Actual(set.Holds[0], limiter.Classes{Input: 10})}); err != nil {
			t.Fatalf("settling: %v", err)
		}
	}
}
