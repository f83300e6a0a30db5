package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// TestStages: a budget warns, throttles and rejects as its stages say.
func TestStages(t *testing.T) {
	const staged = `
- name: hourly
  limit_keys: ["header:x-tenant"]
  algorithm: cost_based
  algorithm_config:
    budget: 4
    period: 1h
    cost_key: fixed
    fixed_cost: 1
    staged_actions:
      - { threshold_percent: 50, action: warn }
      - { threshold_percent: 75, action: throttle, delay_ms: 1500 }
      - { threshold_percent: 100, action: reject }
`
	inSystem(t, staged, nil, func(s *system) {
		for i, want := range []struct {
			status  int
			warning string
			took    time.Duration
		}{
			{200, "", 0},
			{200, "hourly: the budget is nearly spent", 0},
			{200, "hourly: throttled", 1500 * time.Millisecond},
			{200, "hourly: throttled", 1500 * time.Millisecond},
			{429, "", 0},
		} {
			began := time.Now()
			got := s.post(chatPath, chatBody, nil)
			if took := time.Since(began).Truncate(time.Millisecond); got.StatusCode != want.status || took != want.took {
				t.Errorf("request %d: status %d after %v, expected %d after %v", i+1, got.StatusCode, took, want.status, want.took)
			}
			fields(t, got.Header, map[string]string{"x-llmlimit-warning": want.warning})
		}
		if r := s.last(); r.Reason != "budget_exceeded" {
			t.Errorf("reason %q, expected budget_exceeded", r.Reason)
		}
	})
}

// TestThrottledClientLeaves: nothing was sent, so nothing is charged.
func TestThrottledClientLeaves(t *testing.T) {
	const throttled = tpmRules + `
- name: hourly
  limit_keys: ["header:x-tenant"]
  algorithm: cost_based
  algorithm_config:
    budget: 1000
    period: 1h
    cost_key: fixed
    fixed_cost: 10
    staged_actions:
      - { threshold_percent: 1, action: throttle, delay_ms: 60000 }
      - { threshold_percent: 100, action: reject }
`
	inSystem(t, throttled, nil, func(s *system) {
		ctx, leave := context.WithTimeout(s.t.Context(), time.Second)
		defer leave()
		if resp, err := s.client.Do(s.request(ctx, chatPath, chatBody, nil)); err == nil {
			_ = resp.Body.Close()
			t.Fatal("answered in spite of the delay")
		}
		if r := s.last(); r.Outcome != proxy.OutcomeUnreachable || r.Actual != 0 || len(s.mock.Journal().Entries()) != 0 {
			t.Errorf("%s, charged %d, %d requests upstream; expected unreachable, 0 and none", r.Outcome, r.Actual, len(s.mock.Journal().Entries()))
		}
	})
}

// TestKillSwitch rejects before any account is touched.
func TestKillSwitch(t *testing.T) {
	const killed = `
bundle_version: 1
policies: []
kill_switches:
  - { scope_key: "header:x-tenant", scope_value: t, reason: "abuse" }
`
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Bundle = parse(t, killed) }, func(s *system) {
		got := s.post(chatPath, chatBody, nil)
		if got.StatusCode != http.StatusTooManyRequests || !strings.Contains(string(got.body), "abuse") {
			t.Errorf("status %d: %s", got.StatusCode, got.body)
		}
		fields(t, got.Header, map[string]string{"x-llmlimit-reason": "kill_switch", "retry-after": ""})
		if got := s.post(chatPath, chatBody, http.Header{"X-Tenant": {"other"}}); got.StatusCode != http.StatusOK {
			t.Errorf("status %d for somebody else, expected 200", got.StatusCode)
		}
	})
}

// TestUnbound: a request that no rule binds passes untouched, and tells nothing of limits.
func TestUnbound(t *testing.T) {
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Bundle = parse(t, "bundle_version: 1\npolicies: []\n") }, func(s *system) {
		got := s.post(chatPath, streamBody, nil)
		if e := s.entry(); e.Body != streamBody || e.IncludeUsage {
			t.Errorf("the mock received %s", e.Body)
		}
		s.sameBytes(got.body)
		fields(t, got.Header, map[string]string{"x-llmlimit-reserved": "", "ratelimit": "", "x-ratelimit-limit-tokens": ""})
		if r := s.last(); r.Decision != proxy.Allow || r.Rule != "" || r.ID != "" || s.settles != 0 {
			t.Errorf("record: %+v", r)
		}
	})
}

// TestExpectContinue: the client is told to go on, and a body that is too large is not even asked for.
func TestExpectContinue(t *testing.T) {
	inSystem(t, tpmRules, func(c *proxy.Config) { c.MaxRequestBytes = 1000 }, func(s *system) {
		const head = "POST " + chatPath + " HTTP/1.1\r\nHost: proxy\r\nX-Tenant: t\r\nExpect: 100-continue\r\nConnection: close\r\n"
		if got := s.raw(head + "Content-Length: 1001\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 413") {
			t.Errorf("answered %.40q, expected 413 at once", got)
		}
		conn, err := s.net.DialContext(s.t.Context(), "tcp", "proxy:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, head+"Content-Length: "+"82"+"\r\n\r\n")
		r := bufio.NewReader(conn)
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
			t.Fatalf("%q, %v, expected 100", line, err)
		}
		_, _ = io.WriteString(conn, (chatBody + strings.Repeat(" ", 82))[:82])
		rest, _ := io.ReadAll(r)
		if !strings.Contains(string(rest), "HTTP/1.1 200") {
			t.Errorf("answered %.60q, expected 200", rest)
		}
		if e := s.entry(); e.Header.Get("Expect") != "" {
			t.Error("the expectation was passed on")
		}
	})
}

// failingStore is a store that cannot be reached.
type failingStore struct{ limiter.Store }

func (failingStore) Reserve(time.Time, *limiter.Request) (limiter.Decision, error) {
	return limiter.Decision{}, errors.New("no route to the store")
}

func TestStoreFails(t *testing.T) {
	for answer, want := range map[proxy.StoreError]int{proxy.StoreErrorClosed: 503, proxy.StoreErrorOpen: 200} {
		inSystem(t, tpmRules, func(c *proxy.Config) { c.Store, c.OnStoreError = failingStore{c.Store}, answer }, func(s *system) {
			got := s.post(chatPath, chatBody, nil)
			if got.StatusCode != want {
				t.Errorf("%s: status %d, expected %d", answer, got.StatusCode, want)
			}
			if want == http.StatusServiceUnavailable {
				fields(t, got.Header, map[string]string{"retry-after": "1", "x-llmlimit-reason": "store_unavailable"})
			}
		})
	}
}

func TestBadConfig(t *testing.T) {
	good := bundle(t, tpmRules)
	for name, c := range map[string]proxy.Config{
		"no backend":   {Bundle: good},
		"no scheme":    {Bundle: good, Backend: mustURL(t, "//host")},
		"no host":      {Bundle: good, Backend: mustURL(t, "http:///x")},
		"no bundle":    {Backend: mustURL(t, "http://host")},
		"store answer": {Bundle: good, Backend: mustURL(t, "http://host"), OnStoreError: "maybe"},
		"status":       {Bundle: good, Backend: mustURL(t, "http://host"), PermanentStatus: 418},
	} {
		if _, err := proxy.New(c); err == nil || !strings.HasPrefix(err.Error(), "proxy: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// torn is a dialect with a mistake in it, after the reservation.
type torn struct{ llmapi.Dialect }

func (torn) AskUsage([]byte) ([]byte, bool) { panic("a mistake") }

// TestPanicInAdmission: a reservation that nobody has heard of is given back.
func TestPanicInAdmission(t *testing.T) {
	change := func(c *proxy.Config) {
		c.Dialects = func(method, path string) llmapi.Dialect { return torn{llmapi.For(method, path)} }
	}
	inSystem(t, tpmRules, change, func(s *system) {
		if resp, err := s.client.Transport.RoundTrip(s.request(s.t.Context(), chatPath, streamBody, nil)); err == nil {
			_ = resp.Body.Close()
			t.Error("answered in spite of the panic")
		}
		if l := s.account(limiter.TokenBucket).Ledger; l.Reserved != chatCost || l.Refunded != chatCost || l.Outstanding != 0 {
			t.Errorf("ledger: %+v", l)
		}
	})
}

// TestMislabelledStream: the event that we caused does not reach the client under another Content-Type either.
func TestMislabelledStream(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		got := s.post(chatPath, streamBody, s.plan(plan(t, `http: { headers: { content-type: application/json } }`)))
		s.charged(proxy.OutcomeDone, 50)
		s.sameBytes(got.body)
		if strings.Contains(string(got.body), `"usage":{`) {
			t.Errorf("the client sees usage: %s", got.body)
		}
	})
}

// TestRefundComesBeforeTheLastByte: a client that knows by Content-Length that it has all may ask again at once.
func TestRefundComesBeforeTheLastByte(t *testing.T) {
	var store *limiter.Memory
	outstanding := int64(-1)
	change := func(c *proxy.Config) {
		store, _ = c.Store.(*limiter.Memory)
		c.Middleware = func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(&watchedWriter{w, func() {
					for _, a := range store.Inspect(time.Now(), func(limiter.Account) bool { return true }) {
						outstanding = a.Ledger.Outstanding
					}
				}}, r)
			})
		}
	}
	inSystem(t, tpmRules, change, func(s *system) {
		s.post(chatPath, chatBody, s.plan(plan(t, `http: { framing: length }`)))
		if outstanding != 0 {
			t.Errorf("%d tokens are outstanding at the last write, expected none", outstanding)
		}
	})
}

// watchedWriter calls before each write.
type watchedWriter struct {
	http.ResponseWriter
	before func()
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	w.before()
	return w.ResponseWriter.Write(p)
}

func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// guardedPolicy is tpmRules in a policy with guards.
func guardedPolicy(t *testing.T, guards string) func(*proxy.Config) {
	t.Helper()
	const head = `
bundle_version: 1
policies:
  - id: agents
    spec:
      selector: { pathPrefix: / }
      mode: enforce
      rules:
        - name: tpm
          limit_keys: ["header:x-tenant"]
          algorithm: token_bucket_llm
          algorithm_config: { tokens_per_minute: 6000, tokens_per_day: 100000 }
`
	return func(c *proxy.Config) { c.Bundle = parse(t, head+"      "+guards+"\n") }
}

// TestLoop: an agent that asks the same again and again is stopped before any account is touched, and only it.
func TestLoop(t *testing.T) {
	guards := "loop_detection: { enabled: true, window_seconds: 60, threshold_identical_requests: 3 }"
	inSystem(t, tpmRules, guardedPolicy(t, guards), func(s *system) {
		other := strings.Replace(chatBody, "hello", "howdy", 1)
		for i, want := range []struct {
			body, tenant string
			pause        time.Duration // before
			status       int
		}{
			{chatBody, "t", 0, 200},
			{chatBody, "t", time.Second, 200},
			{chatBody, "t", time.Second, 429},
			{other, "t", 0, 200},
			{chatBody, "u", 0, 200},
			{chatBody, "t", 59 * time.Second, 429}, // what was rejected counts
			{chatBody, "t", 60 * time.Second, 200}, // as long as Retry-After said
		} {
			time.Sleep(want.pause)
			before, reserved := len(s.mock.Journal().Entries()), s.reserved()
			got := s.post(chatPath, want.body, http.Header{"X-Tenant": {want.tenant}})
			if got.StatusCode != want.status {
				t.Fatalf("request %d: status %d, expected %d: %s", i+1, got.StatusCode, want.status, got.body)
			}
			if got.StatusCode == http.StatusOK {
				continue
			}
			fields(t, got.Header, map[string]string{"x-llmlimit-reason": "loop_detected", "retry-after": "60", "x-llmlimit-origin": "limiter"})
			if len(s.mock.Journal().Entries()) != before || s.reserved() != reserved {
				t.Errorf("request %d was rejected, and yet forwarded or charged", i+1)
			}
		}
	})
}

// TestLoopSlowsDown: a throttled loop waits longer with every request, and is told why.
func TestLoopSlowsDown(t *testing.T) {
	guards := "loop_detection: { enabled: true, window_seconds: 60, threshold_identical_requests: 2, action: throttle }"
	inSystem(t, tpmRules, guardedPolicy(t, guards), func(s *system) {
		for i, want := range []time.Duration{0, 200 * time.Millisecond, 300 * time.Millisecond} {
			began := time.Now()
			got := s.post(chatPath, chatBody, nil)
			if took := time.Since(began).Truncate(time.Millisecond); got.StatusCode != http.StatusOK || took != want {
				t.Errorf("request %d: status %d after %v, expected 200 after %v", i+1, got.StatusCode, took, want)
			}
			if told := got.Header.Get("X-Llmlimit-Warning"); strings.HasPrefix(told, "loop_detected") != (want > 0) {
				t.Errorf("request %d: warned of %q", i+1, told)
			}
			if r := s.last(); r.Actual != 50 || s.settles != i+1 {
				t.Errorf("request %d: charged %d after %d settlements, expected 50 after %d", i+1, r.Actual, s.settles, i+1)
			}
		}
	})
}

// TestBreaker: who spends too fast is cut off until the breaker closes, whatever their budget says, and nobody else is.
func TestBreaker(t *testing.T) {
	guards := "circuit_breaker: { enabled: true, spend_rate_threshold_per_minute: 2000, auto_reset_after_minutes: 5 }"
	inSystem(t, tpmRules, guardedPolicy(t, guards), func(s *system) {
		for i, want := range []struct {
			tenant string
			pause  time.Duration // before
			status int
			wait   string
		}{
			{"t", 0, 200, ""},
			{"t", 0, 200, ""}, // 2012 tokens in a minute
			{"t", 0, 429, "300"},
			{"u", 0, 200, ""},
			{"t", 299 * time.Second, 429, "1"},
			{"t", time.Second, 200, ""}, // closed, with nothing spent
		} {
			time.Sleep(want.pause)
			before, reserved := len(s.mock.Journal().Entries()), s.reserved()
			got := s.post(chatPath, chatBody, http.Header{"X-Tenant": {want.tenant}})
			if got.StatusCode != want.status {
				t.Fatalf("request %d: status %d, expected %d: %s", i+1, got.StatusCode, want.status, got.body)
			}
			if got.StatusCode == http.StatusOK {
				continue
			}
			fields(t, got.Header, map[string]string{"x-llmlimit-reason": "circuit_breaker_open", "retry-after": want.wait})
			if len(s.mock.Journal().Entries()) != before || s.reserved() != reserved {
				t.Errorf("request %d was rejected, and yet forwarded or charged", i+1)
			}
		}
	})
}

// reserved is what all accounts have ever reserved.
func (s *system) reserved() int64 {
	total := int64(0)
	for _, a := range s.store.Inspect(time.Now(), func(limiter.Account) bool { return true }) {
		total += a.Ledger.Reserved
	}
	return total
}
