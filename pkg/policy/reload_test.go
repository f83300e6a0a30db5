package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// version is a bundle of two rules with a number of tokens per minute.
func version(number, perMinute int) string {
	return fmt.Sprintf(`
bundle_version: %d
policies:
  - id: chat
    spec:
      selector: { pathPrefix: / }
      rules:
        - { name: tpm, limit_keys: ["header:x-tenant"], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: %d, tokens_per_day: 100000 } }
        - { name: v%d, limit_keys: [], algorithm: concurrency, algorithm_config: { max_concurrent: 4 } }
`, number, perMinute, number)
}

func TestReload(t *testing.T) {
	first := parse(t, version(1, 2000))
	later := now.Add(time.Hour)
	second, err := policy.Parse("p.yaml", []byte(version(2, 1000)), policy.Options{Now: later, Previous: first})
	if err != nil {
		t.Fatal(err)
	}
	before, after := first.Bind(later, chat("a"), small).Enforced.Holds, second.Bind(later, chat("a"), small).Enforced.Holds
	for i, name := range []string{"tpm", "tpd"} {
		if before[i].Account.Key != after[i].Account.Key {
			t.Errorf("%s: the state would be lost: %q became %q", name, before[i].Account.Key, after[i].Account.Key)
		}
	}
	if before[1].Account.Limit != after[1].Account.Limit {
		t.Error("tpd did not change and is another limit")
	}
	if l := after[0].Account.Limit; l == before[0].Account.Limit || l.Burst != 1000 {
		t.Errorf("tpm: %+v", l)
	}
	var lineage policy.Lineage
	if list := lineage.Succeed(first); len(list) != 0 {
		t.Errorf("the first one succeeds %+v", list)
	}
	if list := lineage.Succeed(second); len(list) != 1 || list[0].Old != before[0].Account.Limit || list[0].New != after[0].Account.Limit {
		t.Errorf("the second one succeeds %+v", list)
	}
	if list := lineage.Succeed(second); len(list) != 0 {
		t.Errorf("a bundle succeeds itself: %v", list)
	}
}

// TestOtherPeriod: a budget of another period is another budget, and nothing is carried over.
func TestOtherPeriod(t *testing.T) {
	budget := func(period string, amount int) *policy.Bundle {
		return rules(t, fmt.Sprintf("- { name: r, limit_keys: [], algorithm: cost_based, algorithm_config: { budget: %d, period: %s, staged_actions: [ { threshold_percent: 100, action: reject } ] } }", amount, period))
	}
	hour, day, more := budget("1h", 50), budget("1d", 50), budget("1d", 60)
	var lineage policy.Lineage
	lineage.Succeed(hour)
	if list := lineage.Succeed(day); len(list) != 0 {
		t.Errorf("from hours to days: %+v", list)
	}
	if list := lineage.Succeed(more); len(list) != 1 {
		t.Errorf("from 50 to 60: %+v", list)
	}
}

// TestReloadKeepsLevels reloads in the middle of traffic: a smaller burst cuts the level, the same one does not refill it.
func TestReloadKeepsLevels(t *testing.T) {
	store := limiter.New(limiter.Options{})
	take := func(b *policy.Bundle, at time.Time, id byte) int64 {
		set := b.Bind(at, chat("a"), small).Enforced
		d, err := store.Reserve(at, &limiter.Request{ID: limiter.ID{id}, Holds: set.Holds[:1], Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return d.Holds[0].Remaining
	}
	first := parse(t, version(1, 2000))
	if got := take(first, now, 1); got != 1894 {
		t.Fatalf("remaining %d", got)
	}
	second, err := policy.Parse("p.yaml", []byte(version(2, 2000)), policy.Options{Now: now, Previous: first})
	if err != nil {
		t.Fatal(err)
	}
	if got := take(second, now, 2); got != 1788 {
		t.Errorf("after a reload without a change: remaining %d", got)
	}
	var lineage policy.Lineage
	lineage.Succeed(first)
	if err := store.Reload(now, lineage.Succeed(second)); err != nil {
		t.Fatal(err)
	}
	third, err := policy.Parse("p.yaml", []byte(version(3, 1000)), policy.Options{Now: now, Previous: second})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Reload(now, lineage.Succeed(third)); err != nil {
		t.Fatal(err)
	}
	if got := take(third, now, 3); got != 894 {
		t.Errorf("after a reload with a smaller burst: remaining %d", got)
	}
}

// TestReloadAfterAnAbsence: what a rule has left goes on from the reload that brings it back, not from the next request.
func TestReloadAfterAnAbsence(t *testing.T) {
	bucket := func(burst int) string {
		return fmt.Sprintf("- { name: r, limit_keys: [], algorithm: token_bucket, algorithm_config: { tokens_per_second: 1, burst: %d } }", burst)
	}
	for name, absence := range map[string]string{
		"gone":            "- { name: other, limit_keys: [], algorithm: token_bucket, algorithm_config: { tokens_per_second: 1, burst: 5 } }",
		"of another kind": "- { name: r, limit_keys: [], algorithm: concurrency, algorithm_config: { max_concurrent: 4 } }",
	} {
		store := limiter.New(limiter.Options{})
		var lineage policy.Lineage
		take := func(b *policy.Bundle, at time.Time, id byte) int64 {
			d, err := store.Reserve(at, &limiter.Request{ID: limiter.ID{id}, Holds: b.Bind(at, chat("a"), small).Enforced.Holds, Lease: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			return d.Holds[0].Remaining
		}
		at := now
		last := rules(t, bucket(10))
		for i, b := range []*policy.Bundle{last, rules(t, absence), rules(t, bucket(100))} {
			if err := store.Reload(at, lineage.Succeed(b)); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				take(b, at, 1)
			}
			last, at = b, at.Add(20*time.Second)
			if _, err := store.Sweep(at); err != nil {
				t.Fatal(err)
			}
		}
		if got := take(last, at, 2); got != 29 { // 10, 20 more, less one
			t.Errorf("%s: remaining %d, want 29", name, got)
		}
	}
}

// TestAccessors: what a process tells at start.
func TestAccessors(t *testing.T) {
	b := parse(t, version(7, 2000))
	if b.Version() != 7 || b.ReadsJWT() || b.Verifies() {
		t.Errorf("version %d, reads tokens %v, verifies %v", b.Version(), b.ReadsJWT(), b.Verifies())
	}
	verifier, err := policy.VerifyHMAC([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	text := "rules: [ { name: r, limit_keys: ['jwt:org'], algorithm: concurrency, algorithm_config: { max_concurrent: 4 } } ]"
	for i := range int64(2) {
		opts := policy.Options{Now: now, Verifier: verifier}
		if i > 0 {
			opts.Previous = b
		}
		if b, err = policy.ParseRules(policy.Source{Data: []byte(text)}, opts); err != nil {
			t.Fatal(err)
		}
		if b.Version() != 1+i || !b.ReadsJWT() || !b.Verifies() || b.Rules()[0].Algorithm.String() != "concurrency" {
			t.Errorf("version %d, reads tokens %v, verifies %v", b.Version(), b.ReadsJWT(), b.Verifies())
		}
	}
	for tenant, want := range map[string]bool{"acme": true, "": false} {
		bound := parse(t, version(1, 2000)).Bind(now, chat(tenant), policy.Ask{ReadOnly: tenant == ""})
		if bound.Enforced.Holds = bound.Enforced.Holds[:len(bound.Enforced.Holds)-1]; bound.Bound() != want {
			t.Errorf("%q: bound %v", tenant, bound.Bound())
		}
	}
}

func TestExpiry(t *testing.T) {
	b := parse(t, "bundle_version: 1\nexpires_at: 2030-01-02T13:00:00Z\npolicies: []\n")
	if ends := now.Add(time.Hour); b.Expired(ends.Add(-1)) || !b.Expired(ends) || !b.Expires().Equal(ends) {
		t.Errorf("expires %s", b.Expires())
	}
	if b := parse(t, "bundle_version: 1\npolicies: []\n"); b.Expired(now.AddDate(1000, 0, 0)) {
		t.Error("a bundle without expires_at expires")
	}
}
