package policy_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/policy"
)

// BenchmarkBind binds a chat request to four holds of three rules, among forty policies.
func BenchmarkBind(b *testing.B) {
	text := `
bundle_version: 1
policies:
  - id: chat
    spec:
      selector: { pathPrefix: /v1/, methods: [POST] }
      rules:
        - { name: tokens, limit_keys: ["header:x-tenant"], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 90000, tokens_per_day: 1000000 } }
        - { name: requests, limit_keys: ["header:x-tenant", "body:model"], algorithm: token_bucket, algorithm_config: { rps: 10, burst: 20 } }
        - { name: slots, limit_keys: ["ip:address"], algorithm: concurrency, algorithm_config: { max_concurrent: 8 } }
`
	for i := range 39 {
		text += "  - { id: other-" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + ", spec: { selector: { pathExact: /other }, rules: [] } }\n"
	}
	bundle := parse(b, text)
	s := &policy.Subject{
		Method: http.MethodPost, Host: "gw.example", Path: "/v1/chat/completions", Model: "mock",
		Header: http.Header{"X-Tenant": {"acme"}, "Content-Type": {"application/json"}}, Peer: netip.MustParseAddr("192.0.2.7"),
	}
	b.ReportAllocs()
	for b.Loop() {
		if bound := bundle.Bind(now, s, small); len(bound.Enforced.Holds) != 4 {
			b.Fatal("not bound")
		}
	}
}

// BenchmarkParse reads the largest of the example bundles.
func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		parse(b, shadowed)
	}
}
