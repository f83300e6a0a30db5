package policy_test

import (
	"fmt"
	"strings"
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
	var changes []string
	for _, c := range policy.Changes(first, second) {
		changes = append(changes, fmt.Sprintf("%s/%s/%s old %v new %v", c.Policy, c.Rule, c.Window, c.Old != nil, c.New != nil))
	}
	want := "chat/tpm/tpm old true new true, chat/v2/concurrency old false new true, chat/v1/concurrency old true new false"
	if got := strings.Join(changes, ", "); got != want {
		t.Errorf("changes\ngot  %s\nwant %s", got, want)
	}
	if list := policy.Successions(policy.Changes(first, second)); len(list) != 1 || list[0].New.Burst != 1000 {
		t.Errorf("successions: %+v", list)
	}
	if list := policy.Changes(second, second); len(list) != 0 {
		t.Errorf("a bundle differs from itself: %v", list)
	}
}

// TestOtherPeriod: a budget of another period is another budget, and nothing is carried over.
func TestOtherPeriod(t *testing.T) {
	budget := func(period string, amount int) *policy.Bundle {
		return rules(t, fmt.Sprintf("- { name: r, limit_keys: [], algorithm: cost_based, algorithm_config: { budget: %d, period: %s, staged_actions: [ { threshold_percent: 100, action: reject } ] } }", amount, period))
	}
	hour, day, more := budget("1h", 50), budget("1d", 50), budget("1d", 60)
	if list := policy.Successions(policy.Changes(hour, day)); len(list) != 0 {
		t.Errorf("from hours to days: %+v", list)
	}
	if list := policy.Successions(policy.Changes(day, more)); len(list) != 1 {
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
	if err := store.Reload(now, policy.Successions(policy.Changes(first, second))); err != nil {
		t.Fatal(err)
	}
	third, err := policy.Parse("p.yaml", []byte(version(3, 1000)), policy.Options{Now: now, Previous: second})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Reload(now, policy.Successions(policy.Changes(second, third))); err != nil {
		t.Fatal(err)
	}
	if got := take(third, now, 3); got != 894 {
		t.Errorf("after a reload with a smaller burst: remaining %d", got)
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
