package policy_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// now is the instant of every test that does not say another one.
var now = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// parse reads a bundle that must be valid.
func parse(tb testing.TB, text string) *policy.Bundle {
	tb.Helper()
	b, err := policy.Parse("policy.yaml", []byte(text), policy.Options{Now: now})
	if err != nil {
		tb.Fatalf("parsing:\n%v", err)
	}
	return b
}

// rules reads a list of rules that must be valid.
func rules(tb testing.TB, text string) *policy.Bundle {
	tb.Helper()
	b, err := policy.ParseRules(policy.Source{File: "suite.yaml", Data: []byte(text)}, policy.Options{Now: now})
	if err != nil {
		tb.Fatalf("parsing:\n%v", err)
	}
	return b
}

// chat is a chat request of a tenant.
func chat(tenant string) *policy.Subject {
	return &policy.Subject{
		Method: http.MethodPost, Host: "gw.example", Path: "/v1/chat/completions",
		Header: http.Header{"X-Tenant": {tenant}}, Peer: netip.MustParseAddr("192.0.2.7"), Model: "mock",
	}
}

func TestBindMinimal(t *testing.T) {
	b := rules(t, `
- name: tpm
  limit_keys: ["header:x-tenant"]
  algorithm: token_bucket_llm
  algorithm_config: { tokens_per_minute: 2000, tokens_per_day: 100000 }
`)
	got := b.Bind(now, chat("acme"), policy.Ask{Prompt: 6, Output: 1000, Declared: true, N: 1, Metered: true})
	if got.Enforced.Reject != nil || len(got.Enforced.Holds) != 2 {
		t.Fatalf("got %+v", got)
	}
	store := limiter.New(limiter.Options{})
	d, err := store.Reserve(now, &limiter.Request{ID: limiter.ID{1}, Holds: got.Enforced.Holds, Lease: time.Minute})
	if err != nil || !d.Admitted {
		t.Logf("store: %v %+v", err, d)
	}
	if h := got.Enforced.Holds[0]; h.Cost != 1006 || h.Account.Key != "5:rules3:tpm3:tpm4:acme" {
		t.Errorf("hold: %+v", h)
	}
	if w := got.Enforced.Bound[1].Window; w != "tpd" {
		t.Errorf("window %q", w)
	}
}
