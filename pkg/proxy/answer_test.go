package proxy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llmlimit/llmlimit/internal/memnet"
	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// fields checks response fields; an empty value means that the field must be absent.
func fields(t *testing.T, h http.Header, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := strings.Join(h.Values(name), " | "); got != value {
			t.Errorf("%s is %q, expected %q", name, got, value)
		}
	}
}

func TestAllowHeaders(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		got := s.post(chatPath, chatBody, s.plan(plan(t, `http: { headers: { x-ratelimit-limit-requests: "500", anthropic-ratelimit-tokens-limit: "7" } }`)))
		fields(t, got.Header, map[string]string{
			"anthropic-ratelimit-tokens-limit": "", "x-ratelimit-limit-tokens": "6000", "x-ratelimit-remaining-tokens": "4994", "x-ratelimit-reset-tokens": "10.06s",
			"x-ratelimit-limit-requests": "", // no rule counts requests, and the upstream's own fields are not ours
			"ratelimit-policy":           `"tpm/tpm";q=6000;qu="tokens";w=60, "tpm/tpd";q=100000;qu="tokens";w=86400`,
			"ratelimit":                  `"tpm/tpm";r=4994;t=1, "tpm/tpd";r=98994;t=86400`,
			"x-llmlimit-reserved":        "1006", "x-llmlimit-origin": "upstream", "x-llmlimit-reason": "", "retry-after": "",
		})
		r := s.last()
		if r.Decision != proxy.Allow || r.Rule != "tpm" || r.Key != "t" || r.Window != "tpm" {
			t.Errorf("the record names %s %s/%s for %s, expected allow tpm/tpm for t", r.Decision, r.Rule, r.Window, r.Key)
		}
	})
}

func TestRejection(t *testing.T) {
	const small = `
- name: tpm
  limit_keys: ["header:x-tenant"]
  algorithm: token_bucket_llm
  algorithm_config: { tokens_per_minute: 2000 }
`
	inSystem(t, small, nil, func(s *system) {
		s.post(chatPath, chatBody, s.plan(plan(t, `usage: 10/1500`)))
		got := s.post(chatPath, chatBody, nil)
		if got.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("status %d, expected 429", got.StatusCode)
		}
		// 490 are left, 516 are missing: 516 × 30 ms.
		fields(t, got.Header, map[string]string{
			"retry-after": "16", "retry-after-ms": "15480", "x-llmlimit-reason": "tpm_exceeded", "x-llmlimit-origin": "limiter",
			"x-llmlimit-reserved": "", "x-should-retry": "", "x-ratelimit-remaining-tokens": "490", "content-type": "application/json",
		})
		var body struct {
			Error struct{ Message, Type, Code string }
		}
		if err := json.Unmarshal(got.body, &body); err != nil || body.Error.Type != "rate_limit_error" || body.Error.Code != "tpm_exceeded" {
			t.Errorf("%v: %s", err, got.body)
		}
		r := s.last()
		if r.Decision != proxy.Reject || r.Rule != "tpm" || r.Key != "t" || r.Reason != "tpm_exceeded" || r.Outcome != proxy.OutcomeRejected {
			t.Errorf("record: %+v", r)
		}
		if n := len(s.mock.Journal().Entries()); n != 1 {
			t.Errorf("the mock received %d requests, expected one", n)
		}
		time.Sleep(15480*time.Millisecond - 1)
		if got := s.post(chatPath, chatBody, nil); got.StatusCode != http.StatusTooManyRequests {
			t.Errorf("status %d a nanosecond too early, expected 429", got.StatusCode)
		}
		time.Sleep(time.Nanosecond)
		if got := s.post(chatPath, chatBody, nil); got.StatusCode != http.StatusOK {
			t.Errorf("status %d after the wait, expected 200", got.StatusCode)
		}
	})
}

func TestPermanentRejection(t *testing.T) {
	for status, want := range map[int]int{0: 429, 413: 413, 400: 400} {
		inSystem(t, tpmRules, func(c *proxy.Config) { c.PermanentStatus = status }, func(s *system) {
			got := s.post(chatPath, strings.Replace(chatBody, "1000", "6000", 1), nil)
			if got.StatusCode != want {
				t.Errorf("status %d, expected %d", got.StatusCode, want)
			}
			fields(t, got.Header, map[string]string{
				"retry-after": "", "retry-after-ms": "", "x-should-retry": "false", "x-llmlimit-reason": "request_too_large",
			})
		})
	}
}

// TestPermanentGoesFirst: of a limit that needs a wait and one that no wait can cure, the client hears of the latter.
func TestPermanentGoesFirst(t *testing.T) {
	const two = `
- { name: a, limit_keys: ["header:x-tenant"], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 1500 } }
- { name: b, limit_keys: ["header:x-tenant"], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 1000 } }
`
	inSystem(t, two, nil, func(s *system) {
		s.post(chatPath, strings.Replace(chatBody, "1000", "900", 1), s.plan(plan(t, `usage: 10/900`)))
		got := s.post(chatPath, chatBody, nil)
		fields(t, got.Header, map[string]string{"x-llmlimit-reason": "request_too_large", "retry-after": "", "x-should-retry": "false"})
		if r := s.last(); r.Rule != "b" || !strings.Contains(string(got.body), "Limit 1000") {
			t.Errorf("rejected by %s: %s", r.Rule, got.body)
		}
	})
}

// TestPathEndsInSlash: whole segments stay whole.
func TestPathEndsInSlash(t *testing.T) {
	const under = `
bundle_version: 1
policies:
  - id: p
    spec:
      selector: { pathPrefix: /v1/ }
      rules:
        - { name: a, limit_keys: [], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 6000 } }
`
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Bundle = parse(t, under) }, func(s *system) {
		for path, reserved := range map[string]string{"/v1/": "1001", "/v1": ""} {
			got := s.post(path, "x", nil)
			fields(t, got.Header, map[string]string{"x-llmlimit-reserved": reserved})
		}
	})
}

func TestRefusals(t *testing.T) {
	for _, row := range []struct {
		name, path, body string
		header           http.Header
		status           int
		reason           string
	}{
		{name: "no JSON", body: `{"model":`, status: 400, reason: "invalid_request_body"},
		{name: "no object", body: `[1]`, status: 400, reason: "invalid_request_body"},
		{name: "no UTF-8", body: "{\"model\":\"\xff\"}", status: 400, reason: "invalid_request_body"},
		{name: "no key", body: `{"model":`, header: http.Header{"X-Tenant": {" "}}, status: 401, reason: "missing_limit_key"},
		{name: "unknown encoding", body: chatBody, header: http.Header{"Content-Encoding": {"rot13"}}, status: 415, reason: "unsupported_encoding"},
		{name: "not what the encoding says", body: chatBody, header: http.Header{"Content-Encoding": {"gzip"}}, status: 400, reason: "invalid_request_body"},
		{name: "too large", body: strings.Repeat(" ", 1<<20+1), status: 413, reason: "request_body_too_large"},
		{name: "a bomb", body: bomb(t), header: http.Header{"Content-Encoding": {"gzip"}}, status: 413, reason: "request_body_too_large"},
		{name: "upgrade", body: chatBody, header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, status: 501, reason: "upgrade_not_supported"},
		{name: "in Anthropic's form", path: "/v1/messages", body: `{`, status: 400, reason: "invalid_request_body"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inSystem(t, tpmRules, func(c *proxy.Config) { c.MaxRequestBytes = 1 << 20 }, func(s *system) {
				got := s.do(s.newOne(), s.request(s.t.Context(), orText(row.path, chatPath), row.body, row.header))
				if got.StatusCode != row.status || got.Header.Get("X-Llmlimit-Reason") != row.reason {
					t.Errorf("status %d for %q, expected %d for %q", got.StatusCode, got.Header.Get("X-Llmlimit-Reason"), row.status, row.reason)
				}
				if anthropic := bytes.Contains(got.body, []byte(`"type":"error"`)); anthropic != (row.path != "") || !json.Valid(got.body) {
					t.Errorf("body %s", got.body)
				}
				if n := len(s.mock.Journal().Entries()); n != 0 {
					t.Errorf("the mock received %d requests, expected none", n)
				}
				if n := s.store.Stats().Open; n != 0 {
					t.Errorf("%d reservations are open", n)
				}
			})
		})
	}
}

func TestShadow(t *testing.T) {
	const shadowed = `
bundle_version: 1
policies:
  - id: p
    spec:
      selector: { pathPrefix: / }
      mode: shadow
      rules:
        - name: tpm
          limit_keys: ["header:x-tenant"]
          algorithm: token_bucket_llm
          algorithm_config: { tokens_per_minute: 2000 }
`
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Bundle = parse(t, shadowed) }, func(s *system) {
		s.post(chatPath, chatBody, s.plan(plan(t, `usage: 10/1500`)))
		if r := s.last(); r.Shadow.Decision != proxy.Allow || r.Shadow.Actual != 1510 || r.Shadow.Reserved != chatCost {
			t.Errorf("record: %+v", r.Shadow)
		}
		got := s.post(chatPath, chatBody, nil)
		if got.StatusCode != http.StatusOK {
			t.Errorf("status %d, expected 200", got.StatusCode)
		}
		fields(t, got.Header, map[string]string{"x-llmlimit-shadow": "would-reject", "x-ratelimit-limit-tokens": ""})
		if r := s.last(); r.Decision != proxy.Allow || r.Shadow.Decision != proxy.Reject || r.Shadow.Reason != "tpm_exceeded" {
			t.Errorf("record: %+v", r)
		}
	})
}

func TestUpstreamRejectionKeepsItsHeaders(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		for status, want := range map[string]string{"200": "4994", "429": "7"} {
			s.proxy.Replace(bundle(t, strings.Replace(tpmRules, "tpm\n", "r"+status+"\n", 1)))
			got := s.post(chatPath, chatBody, s.plan(plan(t, `http: { status: `+status+`, headers: { x-ratelimit-remaining-tokens: "7", retry-after: "3" } }`)))
			fields(t, got.Header, map[string]string{"x-ratelimit-remaining-tokens": want, "x-llmlimit-origin": "upstream", "retry-after": "3"})
		}
	})
}

func TestRetryWithoutStreamOptions(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		got := s.post(chatPath, streamBody, s.plan(plan(t, `fault: refuse_stream_options`)))
		if got.StatusCode != http.StatusOK {
			t.Fatalf("status %d: %s", got.StatusCode, got.body)
		}
		entries := s.mock.Journal().Entries()
		if len(entries) != 2 || entries[1].Body != streamBody {
			t.Fatalf("the mock received %d requests, the last one %q", len(entries), entries[len(entries)-1].Body)
		}
		s.charged(proxy.OutcomeDone, chatCost)
		s.sameBytes(got.body)
		if !s.last().Retried {
			t.Error("the record does not say that the request was sent again")
		}
	})
	inSystem(t, tpmRules, nil, func(s *system) { // usage that nobody asked for is not ours to take out
		got := s.post(chatPath, streamBody, s.plan(plan(t, `{fault: refuse_stream_options, usage_at: final}`)))
		if !bytes.Contains(got.body, []byte(`"usage":{`)) || !bytes.Equal(got.body, s.entry().Sent.Body) {
			t.Errorf("the client received %q, expected %q", got.body, s.entry().Sent.Body)
		}
		s.charged(proxy.OutcomeDone, 50)
	})
	inSystem(t, tpmRules, nil, func(s *system) {
		got := s.post(chatPath, streamBody, s.plan(plan(t, `http: { status: 400 }`)))
		if n := len(s.mock.Journal().Entries()); n != 1 || got.StatusCode != http.StatusBadRequest {
			t.Errorf("%d requests and status %d after another 400, expected one and 400", n, got.StatusCode)
		}
		s.sameBytes(got.body)
	})
}

func TestForwardedHead(t *testing.T) {
	trusted := netip.MustParsePrefix("127.0.0.1/32")
	for _, row := range []struct {
		name  string
		trust []netip.Prefix
		want  map[string]string
	}{
		{"strangers are not believed", nil, map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "proxy:80", "Forwarded": ""}},
		{"trusted proxies are", []netip.Prefix{trusted}, map[string]string{"X-Forwarded-For": "203.0.113.9, 127.0.0.1", "X-Forwarded-Proto": "https", "Forwarded": "for=x"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			inSystem(t, tpmRules, func(c *proxy.Config) { c.TrustedProxies = row.trust }, func(s *system) {
				s.post(chatPath+"?a=1&a=2", chatBody, http.Header{
					"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=x"}, "Connection": {"X-Hop"}, "X-Hop": {"1"},
					"Te": {"gzip"}, "Proxy-Authorization": {"secret"}, "Accept-Encoding": {"br"}, "X-Kept": {"a", "b"}, "User-Agent": {""},
				})
				e := s.entry()
				fields(t, e.Header, row.want)
				fields(t, e.Header, map[string]string{
					"X-Hop": "", "Connection": "", "Te": "", "Proxy-Authorization": "", "Accept-Encoding": "br", "X-Kept": "a | b", "User-Agent": "",
				})
				if e.Path != chatPath+"?a=1&a=2" || e.Body != chatBody {
					t.Errorf("the mock received %s %q", e.Path, e.Body)
				}
			})
		})
	}
}

// TestOutputCap: the allowance that is sent is the one that is reserved, and not a byte else changes.
func TestOutputCap(t *testing.T) {
	capped := rules(`max_completion_tokens: 100`)
	inSystem(t, capped, nil, func(s *system) {
		got := s.post(chatPath, chatBody, nil)
		fields(t, got.Header, map[string]string{"x-llmlimit-reserved": "106"})
		if want := strings.Replace(chatBody, "1000", "100", 1); s.entry().Body != want {
			t.Errorf("the mock received %s, expected %s", s.entry().Body, want)
		}
	})
	inSystem(t, capped, nil, func(s *system) { // a compressed body must not slip through
		s.post(chatPath, gzipped(t, chatBody), http.Header{"Content-Encoding": {"gzip"}})
		if e := s.entry(); e.MaxTokens != 100 || e.Header.Get("Content-Encoding") != "" {
			t.Errorf("the mock received %s in %q", e.Body, e.Header.Get("Content-Encoding"))
		}
	})
	inSystem(t, tpmRules, nil, func(s *system) { // without a cap it stays as it came
		body := gzipped(t, chatBody)
		got := s.post(chatPath, body, http.Header{"Content-Encoding": {"gzip"}})
		fields(t, got.Header, map[string]string{"x-llmlimit-reserved": "1006"})
		if e := s.entry(); e.Body != body || e.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("the mock received %q in %q", e.Body, e.Header.Get("Content-Encoding"))
		}
	})
}

// TestHiddenPaths: a path that an upstream may take for a limited one is limited.
func TestHiddenPaths(t *testing.T) {
	for _, path := range []string{"//v1/chat/completions", "/v1/./chat/completions", "/x/../v1/chat/completions", "/v1/chat%2fcompletions", "/v1/%63hat/completions"} {
		inSystem(t, tpmRules, nil, func(s *system) {
			got := s.post(path, chatBody, nil)
			fields(t, got.Header, map[string]string{"x-llmlimit-reserved": "1006"})
			if e := s.entry(); e.Path != path {
				t.Errorf("the mock received %s, expected %s", e.Path, path)
			}
		})
	}
}

func TestUnknownEndpoint(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		got := s.post("/v2/new", strings.Repeat("x", 40), nil)
		fields(t, got.Header, map[string]string{"x-llmlimit-reserved": "1010"})
	})
	inSystem(t, rules(`on_unknown_endpoint: pass`), nil, func(s *system) {
		got := s.post("/v2/new", strings.Repeat("x", 40), nil)
		fields(t, got.Header, map[string]string{"x-llmlimit-reserved": ""})
	})
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
		inSystem(t, tpmRules, nil, func(s *system) {
			req := s.request(s.t.Context(), "/v1/models", "", nil)
			req.Method = method
			got := s.do(s.client, req)
			fields(t, got.Header, map[string]string{"x-llmlimit-reserved": ""})
			if s.last().Decision != proxy.Allow || s.store.Stats().Accounts != 0 {
				t.Errorf("%s holds something", method)
			}
		})
	}
}

func TestTrailersAndHints(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		inSystem(t, tpmRules, nil, func(s *system) {
			got := s.do(s.newClient(h2), s.request(s.t.Context(), chatPath, chatBody,
				s.plan(plan(t, `http: { framing: chunked, trailers: { x-sum: "42" }, informational: [103] }`))))
			if got.StatusCode != http.StatusOK || got.Trailer.Get("X-Sum") != "42" {
				t.Errorf("status %d, trailers %v, expected 200 and x-sum", got.StatusCode, got.Trailer)
			}
			s.charged(proxy.OutcomeDone, 50)
			s.sameBytes(got.body)
		})
	}
}

// TestFirstByteIsNotDelayed: every event reaches the client at the instant at which the mock wrote it.
func TestFirstByteIsNotDelayed(t *testing.T) {
	for _, encoding := range []string{"none", "gzip-flush"} {
		inSystem(t, tpmRules, nil, func(s *system) {
			began := time.Now()
			resp, err := s.client.Do(s.request(s.t.Context(), chatPath, streamBody, s.plan(plan(t, `{timing: {ttft: 1s, itl: 1s}, http: {encoding: `+encoding+`}}`))))
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began).Truncate(time.Millisecond); took != time.Second { // the mock's timers have nanosecond offsets
				t.Errorf("%s: headers after %v, expected 1s", encoding, took)
			}
			var at []time.Duration
			buffer := make([]byte, 4096)
			for err == nil {
				var n int
				if n, err = resp.Body.Read(buffer); n > 0 {
					at = append(at, time.Since(began).Truncate(time.Millisecond))
				}
			}
			_ = resp.Body.Close()
			for i, want := 0, time.Second; i < 8; i, want = i+1, want+time.Second {
				if i >= len(at) || at[i] != want {
					t.Fatalf("reads at %v, expected the %dth at %v", at, i+1, want)
				}
			}
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
}

func TestLedgerAndMetrics(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		s.post(chatPath, chatBody, nil)
		s.post(chatPath, chatBody, s.plan(plan(t, `usage: 10/2000`)))
		s.post(chatPath, chatBody, s.plan(plan(t, `usage_at: none`)))
		var books proxy.Ledger
		if err := json.Unmarshal([]byte(s.admin("/debug/ledger?rule=tpm&key=t")), &books); err != nil {
			t.Fatal(err)
		}
		if len(books.Accounts) != 2 || books.Accounts[0].Window != "tpd" || books.Accounts[1].Window != "tpm" {
			t.Fatalf("found %+v", books.Accounts)
		}
		want := proxy.Amounts{Reserved: 3018, Actual: 50 + 2010 + 1006, Refunded: 956, Debited: 1004}
		for _, a := range books.Accounts {
			if a.Amounts != want || a.Key != "t" || a.Rule != "tpm" {
				t.Errorf("%s of %s: %+v, expected %+v", a.Window, a.Key, a.Amounts, want)
			}
		}
		for series, want := range map[string]float64{
			`llmlimit_decisions_total{reason="",result="allow"}`: 3,
			`llmlimit_tokens_consumed_total{type="reserved"}`:    3018,
			`llmlimit_tokens_consumed_total{type="actual"}`:      3066,
			`llmlimit_token_reservation_unused_total`:            956,
			`llmlimit_tokens_overage_total`:                      1004,
			`llmlimit_tokens_written_off_total`:                  0,
			`llmlimit_usage_missing_total{why="absent"}`:         1,
			`llmlimit_reservations_active`:                       0,
			`llmlimit_limiter_accounts`:                          2,
			`llmlimit_token_estimation_accuracy_ratio_count`:     3,
			`llmlimit_proxy_overhead_seconds_count`:              3,
		} {
			if got := s.metric(series); got != want {
				t.Errorf("%s is %v, expected %v", series, got, want)
			}
		}
	})
}

// TestCredentialsAreNotShown: not in records, books or figures, nor in what a client is told, whatever becomes of the request.
func TestCredentialsAreNotShown(t *testing.T) {
	const keyed = `
- name: header
  limit_keys: ["header:x-api-key"]
  algorithm: token_bucket_llm
  algorithm_config: { tokens_per_minute: 2000 }
- name: bearer
  limit_keys: ["header:authorization", "query:key"]
  algorithm: token_bucket_llm
  algorithm_config: { tokens_per_minute: 2000 }
`
	secrets := http.Header{"X-Api-Key": {"sk-secret"}, "Authorization": {"Bearer sk-secret"}, "Cookie": {"s=sk-secret"}}
	inSystem(t, keyed, nil, func(s *system) {
		shown := func(what string, got answer) {
			record, err := json.Marshal(s.last())
			if err != nil {
				t.Fatal(err)
			}
			for where, text := range map[string]string{
				"record": string(record), "ledger": s.admin("/debug/ledger"), "metrics": s.admin("/metrics"), "answer": fmt.Sprint(got.Header, string(got.body)),
			} {
				if strings.Contains(text, "sk-secret") {
					t.Errorf("%s: the %s shows the key: %s", what, where, text)
				}
			}
		}
		const path = chatPath + "?key=sk-secret"
		header := s.plan(plan(t, `usage: 10/990`))
		maps.Copy(header, secrets)
		shown("admitted", s.post(path, chatBody, header))
		shown("rejected", s.post(path, chatBody, header))
		shown("unreadable", s.post(path, `{"sk-secret`, header))
		shown("upgrade", s.post(path, chatBody, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "X-Api-Key": {"sk-secret"}}))
		time.Sleep(time.Minute)
		header = s.plan(plan(t, `fault: {kind: hang_before_headers, for: 1s}`))
		maps.Copy(header, secrets)
		shown("lost", s.post(path, chatBody, header))
		if !strings.Contains(s.admin("/debug/ledger?key=sk-secret"), `"sha256:`) {
			t.Error("the ledger does not find the account by its key")
		}
	})
}

// TestShutdownSettles: what is in flight when patience ends is broken off and settled.
func TestShutdownSettles(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		resp, err := s.client.Do(s.request(s.t.Context(), chatPath, streamBody, s.plan(plan(t, `timing: { ttft: 1s, itl: 1s }`))))
		if err != nil {
			t.Fatal(err)
		}
		s.proxy.Drain()
		if s.proxy.Ready() {
			t.Error("ready while draining")
		}
		ctx, cancel := contextFor(s, 2*time.Second)
		defer cancel()
		if err := s.proxy.Shutdown(ctx); err == nil {
			t.Error("Shutdown did not say that it ran out of time")
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err == nil {
			t.Error("the client believes that the stream is whole")
		}
		s.charged(proxy.OutcomeBroken, chatCost)
		if got := s.do(s.newOne(), s.request(s.t.Context(), chatPath, chatBody, nil)); got.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("status %d after Shutdown, expected 503", got.StatusCode)
		}
	})
}

// TestPeerAddress: limits by address see the peer's.
func TestPeerAddress(t *testing.T) {
	const byAddress = `
- name: one
  limit_keys: ["ip:address"]
  algorithm: token_bucket
  algorithm_config: { tokens_per_second: 1, burst: 1 }
`
	inSystem(t, byAddress, nil, func(s *system) {
		for _, row := range []struct {
			from string
			want int
		}{{"192.0.2.1", 200}, {"192.0.2.1", 429}, {"192.0.2.2", 200}} {
			got := s.do(s.newOne(), s.request(memnet.WithSource(s.t.Context(), row.from), chatPath, chatBody, nil))
			if got.StatusCode != row.want {
				t.Errorf("status %d from %s, expected %d", got.StatusCode, row.from, row.want)
			}
		}
		synctest.Wait()
	})
}

// TestStoreIsFull: beyond the accounts that may exist, new keys are rejected.
func TestStoreIsFull(t *testing.T) {
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Store = limiter.New(limiter.Options{MaxAccounts: 2}) }, func(s *system) {
		_ = s.plan(mockllm.Plan{})
		s.post(chatPath, chatBody, s.plan(plan(t, `usage: 10/500`)))
		got := s.post(chatPath, chatBody, http.Header{"X-Tenant": {"other"}})
		if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("X-Llmlimit-Reason") != "too_many_accounts" {
			t.Errorf("status %d, %q", got.StatusCode, got.Header.Get("X-Llmlimit-Reason"))
		}
	})
}

// TestAskingForUsage: the one wish is added, nothing else changes, and no compression hides the answer to it.
func TestAskingForUsage(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		s.post(chatPath, streamBody, http.Header{"Accept-Encoding": {"gzip"}})
		e := s.entry()
		fields(t, e.Header, map[string]string{"Accept-Encoding": "identity"})
		if !e.IncludeUsage || len(e.Body) != len(streamBody)+len(`,"stream_options":{"include_usage":true}`) {
			t.Errorf("the mock received %s", e.Body)
		}
	})
	inSystem(t, tpmRules, nil, func(s *system) { // compressed all the same: the event stays, for taking it out would mean decoding
		got := s.post(chatPath, streamBody, s.plan(plan(t, `http: { encoding: gzip }`)))
		if !bytes.Equal(got.body, s.entry().Sent.Body) || got.Header.Get("Content-Encoding") != "gzip" {
			t.Error("the client did not receive what the mock sent")
		}
		s.charged(proxy.OutcomeDone, 50)
	})
}

// TestShutdownOfSlowClients: who sends slowly, or takes nothing, is not waited for any longer than the others.
func TestShutdownOfSlowClients(t *testing.T) {
	patient := func(c *proxy.Config) { c.Timeouts.Body, c.Timeouts.Write = -1, -1 }
	for _, row := range []struct {
		name, send string
		reads      int // bytes of the answer
	}{
		{"a body that does not come", "POST " + chatPath + " HTTP/1.1\r\nHost: proxy\r\nX-Tenant: t\r\nContent-Length: 82\r\n\r\n{", 0},
		{"an answer that is not taken", "POST " + chatPath + " HTTP/1.1\r\nHost: proxy\r\nX-Tenant: t\r\nX-Llmlimit-Mock: id=pba\r\nContent-Length: 95\r\n\r\n" + streamBody, 1},
	} {
		inSystem(t, tpmRules, patient, func(s *system) {
			s.plan(plan(t, `{content: {chunks: 100, bytes: 100000}, usage: 10/40}`)) // pba
			conn, err := s.net.DialContext(s.t.Context(), "tcp", "proxy:80")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, row.send); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, row.reads)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			ctx, cancel := contextFor(s, 2*time.Second)
			defer cancel()
			before := time.Now()
			if err := s.proxy.Shutdown(ctx); err == nil {
				t.Errorf("%s: Shutdown did not say that it ran out of time", row.name)
			}
			if took := time.Since(before); took != 2*time.Second {
				t.Errorf("%s: Shutdown took %v, expected 2s", row.name, took)
			}
			if n := s.store.Stats().Open; n != 0 {
				t.Errorf("%s: %d reservations are open", row.name, n)
			}
		})
	}
}
