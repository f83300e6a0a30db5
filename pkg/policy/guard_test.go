package policy_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/policy"
)

// agents is a bundle with guards of one policy.
func agents(t *testing.T, mode, guards string) *policy.Bundle {
	t.Helper()
	return parse(t, fmt.Sprintf(`
bundle_version: 1
policies:
  - id: agents
    spec:
      selector: { pathPrefix: / }
      mode: %s
      rules: [ { name: tpm, limit_keys: ["header:x-tenant"], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000, max_prompt_tokens: 900 } } ]
      %s
`, mode, guards))
}

// same is a request with a fingerprint.
func same(what byte) policy.Ask {
	ask := small
	ask.Fingerprint = func() [32]byte { return [32]byte{what} }
	return ask
}

func TestLoopDetection(t *testing.T) {
	b := agents(t, "enforce", "loop_detection: { enabled: true, window_seconds: 60, threshold_identical_requests: 3 }")
	g := policy.NewGuards(0)
	check := func(at time.Duration, tenant string, what byte) *policy.Rejection {
		bound := b.Bind(now.Add(at), chat(tenant), same(what))
		g.Check(now.Add(at), &bound)
		return bound.Enforced.Reject
	}
	for i, tt := range []struct {
		at     time.Duration
		tenant string
		what   byte
		loop   bool
	}{
		{0, "a", 1, false},
		{1 * time.Second, "a", 1, false},
		{2 * time.Second, "a", 2, false}, // another request
		{3 * time.Second, "b", 1, false}, // another payer
		{4 * time.Second, "a", 1, true},
		{5 * time.Second, "a", 1, true}, // what is rejected counts as well
		{64 * time.Second, "a", 1, true},
		{124*time.Second - 1, "a", 1, true},
		{184*time.Second - 1, "a", 1, false}, // Retry-After obeyed: a whole window without it
		{0, "a", 1, false},                   // a clock that runs backwards starts nothing anew
		{184 * time.Second, "a", 1, true},
	} {
		r := check(tt.at, tt.tenant, tt.what)
		if (r != nil) != tt.loop {
			t.Fatalf("step %d: %+v", i, r)
		}
		if r != nil && (r.Reason != policy.ReasonLoop || r.Wait != time.Minute || r.Policy != "agents" || r.Permanent) {
			t.Errorf("step %d: %+v", i, r)
		}
	}
}

func TestLoopActions(t *testing.T) {
	for _, tt := range []struct {
		action   string
		throttle time.Duration
	}{{"warn", 0}, {"throttle", 200 * time.Millisecond}} {
		b := agents(t, "enforce", "loop_detection: { enabled: true, window_seconds: 60, threshold_identical_requests: 2, action: "+tt.action+" }")
		g := policy.NewGuards(0)
		var bound policy.Binding
		for range 2 {
			bound = b.Bind(now, chat("a"), same(1))
			g.Check(now, &bound)
		}
		if bound.Enforced.Reject != nil || bound.Enforced.Throttle != tt.throttle || len(bound.Enforced.Warnings) != 1 {
			t.Errorf("%s: %+v", tt.action, bound.Enforced)
		}
		for range 1000 {
			bound = b.Bind(now, chat("a"), same(1))
			g.Check(now, &bound)
		}
		if tt.throttle > 0 && bound.Enforced.Throttle != 30*time.Second {
			t.Errorf("throttled by %s", bound.Enforced.Throttle)
		}
	}
}

func TestCircuitBreaker(t *testing.T) {
	b := agents(t, "enforce", "circuit_breaker: { enabled: true, spend_rate_threshold_per_minute: 212, auto_reset_after_minutes: 5, alert: true }")
	g := policy.NewGuards(0)
	// send asks at an offset, and spends 106 tokens if it may.
	send := func(at time.Duration, tenant string) *policy.Rejection {
		bound := b.Bind(now.Add(at), chat(tenant), small)
		if g.Check(now.Add(at), &bound); bound.Enforced.Reject == nil {
			g.Spent(now.Add(at), &bound)
		}
		return bound.Enforced.Reject
	}
	for i, tt := range []struct {
		at     time.Duration
		tenant string
		open   bool
		alert  bool
		wait   time.Duration
	}{
		{0, "a", false, false, 0},
		{30 * time.Second, "a", false, false, 0},
		{40 * time.Second, "b", false, false, 0}, // another payer
		{40 * time.Second, "a", true, true, 5 * time.Minute},
		{100 * time.Second, "a", true, false, 4 * time.Minute},
		{40*time.Second + 5*time.Minute - 1, "a", true, false, 1},
		{40*time.Second + 5*time.Minute, "a", false, false, 0},
		{45*time.Second + 5*time.Minute, "a", false, false, 0},
		{6*time.Minute + 30*time.Second, "a", false, false, 0}, // half of the minute before: 106, and now 106 more
		{6*time.Minute + 30*time.Second, "a", true, true, 5 * time.Minute},
	} {
		r := send(tt.at, tt.tenant)
		if (r != nil) != tt.open {
			t.Fatalf("step %d: %+v", i, r)
		}
		if r != nil && (r.Reason != policy.ReasonBreaker || r.Wait != tt.wait || r.Alert != tt.alert) {
			t.Errorf("step %d: %+v", i, r)
		}
	}
}

// TestBreakerStartsAnew: what opened it does not open it again, and neither does a clock that runs backwards.
func TestBreakerStartsAnew(t *testing.T) {
	b := agents(t, "enforce", "circuit_breaker: { enabled: true, spend_rate_threshold_per_minute: 100, auto_reset_after_minutes: 1 }")
	g := policy.NewGuards(0)
	open := func(at time.Time) bool {
		bound := b.Bind(at, chat("a"), small)
		g.Check(at, &bound)
		return bound.Enforced.Reject != nil
	}
	begin := now // of a minute, so that all of its spending still counts one minute later
	bound := b.Bind(begin, chat("a"), small)
	g.Spent(begin, &bound)
	if !open(begin) || !open(begin.Add(time.Minute-1)) || open(begin.Add(time.Minute)) {
		t.Error("it is open for a minute")
	}
	g = policy.NewGuards(0)
	g.Spent(begin, &bound)
	if open(begin.Add(-time.Hour)); !open(begin) {
		t.Error("a look from an earlier minute makes it forget")
	}
}

func TestBreakerStaysOpen(t *testing.T) {
	b := agents(t, "enforce", "circuit_breaker: { enabled: true, spend_rate_threshold_per_minute: 100 }")
	g := policy.NewGuards(0)
	bound := b.Bind(now, chat("a"), small)
	g.Spent(now, &bound)
	for _, later := range []time.Duration{0, time.Hour, 1000 * time.Hour} {
		bound = b.Bind(now.Add(later), chat("a"), small)
		g.Check(now.Add(later), &bound)
		if r := bound.Enforced.Reject; r == nil || r.Wait != 0 {
			t.Errorf("after %s: %+v", later, r)
		}
	}
}

// TestGuardsAreInOrder: a kill switch and a missing key come before the guards, which do not see the request then; the token checks come
// after them.
func TestGuardsAreInOrder(t *testing.T) {
	b := agents(t, "enforce", "loop_detection: { enabled: true, window_seconds: 60, threshold_identical_requests: 2 }")
	g := policy.NewGuards(0)
	for range 3 {
		s := chat("a")
		delete(s.Header, "X-Tenant")
		bound := b.Bind(now, s, same(1))
		g.Check(now, &bound)
		if r := bound.Enforced.Reject; r == nil || r.Reason != policy.ReasonMissingKey {
			t.Errorf("got %+v", r)
		}
	}
	for i, want := range []policy.Reason{policy.ReasonPrompt, policy.ReasonLoop} {
		ask := same(1)
		ask.Prompt = 901
		bound := b.Bind(now, chat("a"), ask)
		g.Check(now, &bound)
		if r := bound.Enforced.Reject; r == nil || r.Reason != want {
			t.Errorf("request %d: %+v", i, r)
		}
	}
}

func TestShadowGuards(t *testing.T) {
	b := agents(t, "shadow", "loop_detection: { enabled: true, window_seconds: 60, threshold_identical_requests: 2 }")
	g := policy.NewGuards(0)
	var bound policy.Binding
	for range 2 {
		bound = b.Bind(now, chat("a"), same(1))
		g.Check(now, &bound)
	}
	if bound.Enforced.Reject != nil || bound.Shadow.Reject == nil {
		t.Errorf("enforced %+v, shadow %+v", bound.Enforced.Reject, bound.Shadow.Reject)
	}
}

// TestGuardsForget bounds what clients can make the guards remember, from many goroutines at once.
func TestGuardsForget(t *testing.T) {
	b := agents(t, "enforce", "loop_detection: { enabled: true, window_seconds: 60, threshold_identical_requests: 2 }\n"+
		"      circuit_breaker: { enabled: true, spend_rate_threshold_per_minute: 100000 }")
	g := policy.NewGuards(50)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 500 {
				at := now.Add(time.Duration(i) * time.Second)
				bound := b.Bind(at, chat(fmt.Sprintf("%d-%d", worker, i)), small)
				g.Check(at, &bound)
				g.Spent(at, &bound)
			}
		})
	}
	wg.Wait()
	if loops, payers := g.Remembered(); loops > 50 || payers > 50 {
		t.Errorf("remembers %d loops and %d payers", loops, payers)
	}
}
