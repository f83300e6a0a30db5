package proxy_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// asks sends a request to the decision handler.
func (s *system) asks(method, target, body string, header map[string]string) *httptest.ResponseRecorder {
	s.t.Helper()
	req := httptest.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	req.Header.Set("X-Tenant", "t")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.proxy.DecisionHandler().ServeHTTP(w, req)
	return w
}

func TestDecision(t *testing.T) {
	original := map[string]string{"X-Original-Method": "POST", "X-Original-Uri": chatPath + "?x=1"}
	inSystem(t, tpmRules, nil, func(s *system) {
		w := s.asks(http.MethodGet, "/v1/decision", "", map[string]string{"X-Original-Method": "POST", "X-Original-Uri": chatPath, "X-Token-Estimate": "500"})
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		fields(t, w.Header(), map[string]string{"x-llmlimit-reserved": "1500", "x-ratelimit-remaining-tokens": "4500"})

		w = s.asks(http.MethodPost, "/v1/decision", chatBody, original)
		fields(t, w.Header(), map[string]string{"x-llmlimit-reserved": "1006", "x-ratelimit-remaining-tokens": "3494"})
		id := w.Header().Get("X-Llmlimit-Reservation")

		for i, duplicate := range []bool{false, true} {
			w = s.asks(http.MethodPost, "/v1/settle", `{"id":"`+id+`","usage":{"prompt_tokens":10,"completion_tokens":40,"total_tokens":50}}`, nil)
			var got proxy.Settled
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if want := (proxy.Settled{ID: id, Reserved: 1006, Actual: 50, Refunded: 956, Duplicate: duplicate}); got != want {
				t.Errorf("settlement %d: %+v, expected %+v", i+1, got, want)
			}
		}
		if l := s.account(limiter.TokenBucket).Ledger; l.Actual != 50 || l.Outstanding != 1500 {
			t.Errorf("ledger: %+v", l)
		}

		for range 4 { // 6000 - 1500 - 50 - 4 × 1006 = 426
			s.asks(http.MethodPost, "/v1/decision", chatBody, original)
		}
		if w = s.asks(http.MethodPost, "/v1/decision", chatBody, original); w.Code != http.StatusTooManyRequests {
			t.Errorf("status %d, expected 429", w.Code)
		}
		fields(t, w.Header(), map[string]string{"x-llmlimit-reason": "tpm_exceeded", "x-llmlimit-reservation": "", "retry-after": "6"})
		if w = s.asks(http.MethodPost, "/v1/decision?deny=403", chatBody, original); w.Code != http.StatusForbidden {
			t.Errorf("status %d, expected 403", w.Code)
		}
		w = s.asks(http.MethodPost, "/v1/decision"+chatPath, chatBody, nil) // as Envoy names the original
		if w.Code != http.StatusTooManyRequests {
			t.Errorf("status %d, expected 429", w.Code)
		}
		time.Sleep(proxy.DefaultLease)
		if err := s.proxy.Sweep(); err != nil {
			t.Fatal(err)
		}
		if l := s.account(limiter.TokenBucket).Ledger; l.Outstanding != 0 {
			t.Errorf("%d tokens are outstanding after the lease", l.Outstanding)
		}
	})
}

func TestDecisionBadInput(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		w := s.asks(http.MethodPost, "/v1/decision", chatBody, map[string]string{"X-Original-Method": "POST", "X-Original-Uri": chatPath})
		id := w.Header().Get("X-Llmlimit-Reservation")
		for _, row := range []struct {
			target, body string
			want         int
		}{
			{"/v1/decision", chatBody, 400},
			{"/v1/decision?deny=200", chatBody, 400},
			{"/v1/settle", `{`, 400},
			{"/v1/settle", `{"id":"x"}`, 400},
			{"/v1/settle", `{"id":"` + id + `"}`, 400},
			{"/v1/settle", `{"id":"` + id + `","usage":{"total_tokens":-5}}`, 400},
			{"/v1/settle", `{"id":"` + id + `","usage":{}}`, 400},
			{"/v1/settle", `{"id":"` + strings.Repeat("0", 32) + `","usage":{"total_tokens":5}}`, 404},
			{"/v1/settle", `{"id":"` + id + `","status":502}`, 200}, // last: it settles
		} {
			if w := s.asks(http.MethodPost, row.target, row.body, nil); w.Code != row.want {
				t.Errorf("%s %s: status %d (%s), expected %d", row.target, row.body, w.Code, w.Body, row.want)
			}
		}
		if l := s.account(limiter.TokenBucket).Ledger; l.Actual != 0 || l.Outstanding != 0 {
			t.Errorf("ledger: %+v", l)
		}
	})
}

// TestDecisionForgetsBodies: what waits for its settlement is small, whatever the request was that was asked about.
func TestDecisionForgetsBodies(t *testing.T) {
	const rules = `
- name: tpm
  limit_keys: ["header:x-tenant"]
  algorithm: token_bucket_llm
  algorithm_config: { tokens_per_minute: 1000000000 }
`
	inSystem(t, rules, nil, func(s *system) {
		body := strings.Replace(chatBody, "hello", strings.Repeat("x", mebi), 1)
		holds(t, "32 reservations that were asked for with a body of 1 MiB", 4*mebi, func() {
			for range 32 {
				w := s.asks(http.MethodPost, "/v1/decision", body, map[string]string{"X-Original-Uri": chatPath})
				if w.Header().Get("X-Llmlimit-Reservation") == "" {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
			}
		})
		runtime.KeepAlive(s)
	})
}
