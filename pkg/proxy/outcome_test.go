package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// rules are those of tpmRules with more configuration.
func rules(more string) string {
	return strings.Replace(tpmRules, "tokens_per_day: 100000", "tokens_per_day: 100000, "+more, 1)
}

func plan(t *testing.T, text string) mockllm.Plan {
	t.Helper()
	p, err := mockllm.ParsePlan([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestOutcomes has a row for each row of the charge table whose client reads to the end.
func TestOutcomes(t *testing.T) {
	keep := int64(chatCost)
	for _, row := range []struct {
		name    string
		rules   string // "" is tpmRules
		body    string // "" is chatBody
		plan    string
		change  func(*proxy.Config)
		status  int
		outcome proxy.Outcome
		want    int64
	}{
		{name: "usage", plan: `usage: 10/40`, status: 200, outcome: proxy.OutcomeDone, want: 50},
		{name: "usage above the reservation", plan: `usage: 10/2000`, status: 200, outcome: proxy.OutcomeDone, want: 2010},
		{name: "usage of a stream", body: streamBody, plan: `usage: 10/40`, status: 200, outcome: proxy.OutcomeDone, want: 50},
		{name: "usage with status 500", plan: `fault: usage_in_error`, status: 500, outcome: proxy.OutcomeDone, want: 50},

		{name: "no usage", plan: `usage_at: none`, status: 200, outcome: proxy.OutcomeDone, want: keep},
		{name: "usage is empty", plan: `usage_at: empty_object`, status: 200, outcome: proxy.OutcomeDone, want: keep},
		{name: "usage is null", plan: `usage_at: null_value`, status: 200, outcome: proxy.OutcomeDone, want: keep},
		{name: "usage is negative", plan: `usage_raw: '{"prompt_tokens":-5,"completion_tokens":-5,"total_tokens":-10}'`, status: 200, outcome: proxy.OutcomeDone, want: keep},
		{name: "usage is text", plan: `usage_raw: '{"total_tokens":"50"}'`, status: 200, outcome: proxy.OutcomeDone, want: keep},
		{name: "usage is zero", plan: `usage_raw: '{"total_tokens":0}'`, status: 200, outcome: proxy.OutcomeDone, want: keep},
		{name: "body over the buffer cap", rules: rules(`token_source: { max_parseable_body_bytes: 64 }`), plan: `usage: 10/40`, status: 200, outcome: proxy.OutcomeDone, want: keep},
		{name: "unknown encoding", plan: `http: { headers: { content-encoding: rot13 } }`, status: 200, outcome: proxy.OutcomeDone, want: keep},
		{name: "stream without usage", body: streamBody, plan: `usage_at: none`, status: 200, outcome: proxy.OutcomeDone, want: keep},
		{
			name: "stream without usage, observed above the reservation", body: strings.Replace(streamBody, "1000", "1", 1),
			plan: `{usage_at: none, content: {text: "` + strings.Repeat("x", 400) + `"}}`, status: 200, outcome: proxy.OutcomeDone, want: 6 + 100,
		},

		{name: "204", plan: `http: { status: 204 }`, status: 204, outcome: proxy.OutcomeDone, want: 0},
		{name: "redirect", plan: `http: { status: 307, headers: { location: /x } }`, status: 307, outcome: proxy.OutcomeDone, want: 0},
		{name: "4xx", plan: `http: { status: 404 }`, status: 404, outcome: proxy.OutcomeDone, want: 0},
		{name: "429", plan: `http: { status: 429 }`, status: 429, outcome: proxy.OutcomeDone, want: 0},
		{name: "5xx", plan: `http: { status: 503 }`, status: 503, outcome: proxy.OutcomeDone, want: 0},
		{name: "5xx kept", rules: rules(`settle: { on_5xx: keep }`), plan: `http: { status: 503 }`, status: 503, outcome: proxy.OutcomeDone, want: keep},

		{name: "stream without its end", body: streamBody, plan: `fault: truncate@3`, status: 200, outcome: proxy.OutcomeDone, want: keep},
		{name: "stream closed in the middle", body: streamBody, plan: `fault: fin@3`, status: 200, outcome: proxy.OutcomeBroken, want: keep},
		{name: "stream reset in the middle", body: streamBody, plan: `fault: reset@3`, status: 200, outcome: proxy.OutcomeBroken, want: keep},
		{
			name: "stream reset after a larger usage", body: streamBody,
			plan: `{usage: 10/4000, usage_at: every, fault: {kind: reset, after: {chunks: 7}}}`, status: 200, outcome: proxy.OutcomeBroken, want: -1,
		},
		{name: "body reset in the middle", plan: `{fault: {kind: reset, after: {bytes: 20}}}`, status: 200, outcome: proxy.OutcomeBroken, want: keep},
		{name: "error event", body: streamBody, plan: `fault: error_event@3`, status: 200, outcome: proxy.OutcomeDone, want: keep},

		{
			name: "no upstream", plan: `usage: 10/40`, change: func(c *proxy.Config) { c.Backend.Host = "nowhere:80" },
			status: 502, outcome: proxy.OutcomeUnreachable, want: 0,
		},
		{name: "upstream closes without an answer", plan: `{fault: {kind: hang_before_headers, for: 1s}}`, status: 502, outcome: proxy.OutcomeNoAnswer, want: keep},
		{
			name: "no headers in time", plan: `{fault: {kind: hang_before_headers, for: 10m}}`, change: func(c *proxy.Config) { c.Timeouts.Headers = time.Second },
			status: 504, outcome: proxy.OutcomeTimeout, want: keep,
		},
		{
			name: "stream stalls", body: streamBody, plan: `{fault: {kind: stall, after: {chunks: 3}, for: 10m}}`, change: func(c *proxy.Config) { c.Timeouts.Idle = time.Second },
			status: 200, outcome: proxy.OutcomeTimeout, want: keep,
		},
		{
			name: "stream takes too long", body: streamBody, plan: `timing: { itl: 1s }`, change: func(c *proxy.Config) { c.Timeouts.Total = 3 * time.Second },
			status: 200, outcome: proxy.OutcomeTimeout, want: keep,
		},
		{
			name: "stream cut at the limit", body: streamBody, rules: rules(`max_completion_tokens: 20, streaming: { enforce_mid_stream: true, buffer_tokens: 10 }`),
			plan: `{content: {chunks: 100, text: "` + strings.Repeat("abcd", 100) + `"}, timing: {itl: 1ms}}`, status: 200, outcome: proxy.OutcomeCut, want: -1,
		},
		{
			name: "panic in the transport", plan: `usage: 10/40`, change: func(c *proxy.Config) { c.Transport = broken{} },
			status: 0, outcome: proxy.OutcomeInternal, want: 0,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			inSystem(t, orText(row.rules, tpmRules), row.change, func(s *system) {
				body := orText(row.body, chatBody)
				req := s.request(s.t.Context(), chatPath, body, s.plan(plan(t, row.plan)))
				resp, err := s.client.Transport.RoundTrip(req)
				status := 0
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					status = resp.StatusCode
				}
				if status != row.status {
					t.Errorf("status %d (%v), expected %d", status, err, row.status)
				}
				want := row.want
				if want < 0 { // what was seen depends on the plan: it has to be more than nothing and as the record says
					want = s.last().Actual
					if want == 0 || want == keep {
						t.Errorf("charged %d, expected something between", want)
					}
				}
				s.charged(row.outcome, want)
			})
		})
	}
}

func orText(s, standIn string) string {
	if s == "" {
		return standIn
	}
	return s
}

// broken is a transport with a mistake in it.
type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { panic("a mistake") }

// TestInterimOnly is apart because the mock always sends a final response.
func TestInterimOnly(t *testing.T) {
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Backend.Host = "hints:80" }, func(s *system) {
		stop := s.answerRaw("hints:80", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
		defer stop()
		if got := s.post(chatPath, chatBody, nil); got.StatusCode != http.StatusBadGateway {
			t.Errorf("status %d, expected 502", got.StatusCode)
		}
		s.charged(proxy.OutcomeInterimOnly, 0)
	})
}

// TestClientLeaves has a row for each way in which a client leaves.
func TestClientLeaves(t *testing.T) {
	slow := `{usage: 10/40, content: {chunks: 8, text: "` + strings.Repeat("abcd", 8) + `"}, timing: {ttft: 1s, itl: 1s}}`
	for _, row := range []struct {
		name    string
		rules   string
		body    string
		plan    string
		change  func(*proxy.Config)
		after   time.Duration
		outcome proxy.Outcome
		want    int64
		ends    time.Duration // after the client has left
	}{
		{name: "before the headers", plan: slow, after: 500 * time.Millisecond, outcome: proxy.OutcomeLeftEarly, want: chatCost},
		{name: "in a stream, drained", body: streamBody, plan: slow, after: 3500 * time.Millisecond, outcome: proxy.OutcomeLeft, want: 50, ends: 5500 * time.Millisecond},
		{
			name: "in a stream, kept", rules: rules(`settle: { on_disconnect: keep }`), body: streamBody, plan: slow, after: 3500 * time.Millisecond,
			outcome: proxy.OutcomeLeft, want: chatCost,
		},
		{
			// Pieces at 1 s, 2 s and 3 s: 3 × 4 bytes are 3 tokens, and 6 of prompt.
			name: "in a stream, observed", rules: rules(`settle: { on_disconnect: observed }`), body: streamBody, plan: slow, after: 3500 * time.Millisecond,
			outcome: proxy.OutcomeLeft, want: 6 + 3,
		},
		{
			name: "in a stream that takes too long", body: streamBody, plan: strings.ReplaceAll(slow, "itl: 1s", "itl: 3s"), after: 3500 * time.Millisecond,
			outcome: proxy.OutcomeLeft, want: chatCost, ends: 10 * time.Second,
		},
		{
			name: "in a stream that is too long", body: streamBody, plan: slow, change: func(c *proxy.Config) { c.Drain.Bytes = 100 }, after: 3500 * time.Millisecond,
			outcome: proxy.OutcomeLeft, want: chatCost, ends: 500 * time.Millisecond,
		},
		{
			name: "when no more may be drained", body: streamBody, plan: slow, change: func(c *proxy.Config) { c.Drain.Most = -1 }, after: 3500 * time.Millisecond,
			outcome: proxy.OutcomeLeft, want: chatCost,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, h2 := range []bool{false, true} {
				inSystem(t, orText(row.rules, tpmRules), row.change, func(s *system) {
					client := s.newClient(h2)
					defer client.CloseIdleConnections()
					ctx, leave := context.WithCancel(s.t.Context())
					time.AfterFunc(row.after, leave)
					resp, err := client.Do(s.request(ctx, chatPath, orText(row.body, chatBody), s.plan(plan(t, row.plan))))
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
					if !errors.Is(err, context.Canceled) {
						t.Fatalf("HTTP/2 %v: the client read to the end: %v", h2, err)
					}
					left := time.Now()
					for s.count() == 0 && time.Since(left) < time.Minute {
						time.Sleep(100 * time.Millisecond)
						synctest.Wait()
					}
					if took := time.Since(left); took > row.ends+100*time.Millisecond || took < row.ends {
						t.Errorf("HTTP/2 %v: ended %v after the client, expected %v", h2, took, row.ends)
					}
					s.charged(row.outcome, row.want)
				})
			}
		})
	}
}

// count is the number of records.
func (s *system) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records)
}

// TestSlotComesBackWithTheClient: a drain holds tokens, but no slot.
func TestSlotComesBackWithTheClient(t *testing.T) {
	const both = tpmRules + `
- name: one
  limit_keys: ["header:x-tenant"]
  algorithm: concurrency
  algorithm_config: { max_concurrent: 1 }
`
	inSystem(t, both, nil, func(s *system) {
		slow := s.plan(plan(t, `timing: {ttft: 1s, itl: 1s}`))
		ctx, leave := context.WithCancel(s.t.Context())
		time.AfterFunc(2500*time.Millisecond, leave)
		resp, err := s.client.Do(s.request(ctx, chatPath, streamBody, slow))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.do(s.newOne(), s.request(s.t.Context(), chatPath, chatBody, nil)); got.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("status %d while the slot is taken, expected 429", got.StatusCode)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		synctest.Wait()
		if open := s.account(limiter.TokenBucket).Open; open != 1 {
			t.Errorf("%d reservations are open, expected the one that is drained", open)
		}
		if got := s.do(s.newOne(), s.request(s.t.Context(), chatPath, chatBody, nil)); got.StatusCode != http.StatusOK {
			t.Errorf("status %d after the client has left, expected 200", got.StatusCode)
		}
	})
}

// newOne is a client whose connection ends with its request.
func (s *system) newOne() *http.Client {
	c := s.newClient(false)
	c.Transport.(*http.Transport).DisableKeepAlives = true
	return c
}

// TestLeaseIsExtended: a stream that lasts longer than the lease keeps its reservation.
func TestLeaseIsExtended(t *testing.T) {
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Lease = 3 * time.Second }, func(s *system) {
		ctx, stop := context.WithCancel(s.t.Context())
		defer stop()
		go func() { _ = s.proxy.Run(ctx) }()
		got := s.post(chatPath, streamBody, s.plan(plan(t, `timing: {itl: 900ms}`)))
		if got.StatusCode != http.StatusOK {
			t.Fatal(got.Status)
		}
		s.charged(proxy.OutcomeDone, 50)
	})
}

// TestLeaseEnds: without a sign of life the reservation is kept, and the late settlement is a duplicate.
func TestLeaseEnds(t *testing.T) {
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Lease = 3 * time.Second }, func(s *system) {
		ctx, stop := context.WithCancel(s.t.Context())
		defer stop()
		go func() { _ = s.proxy.Run(ctx) }()
		if got := s.post(chatPath, chatBody, s.plan(plan(t, `timing: {ttft: 10s}`))); got.StatusCode != http.StatusOK {
			t.Fatal(got.Status)
		}
		for name, want := range map[string]float64{"llmlimit_reservations_expired_total": 1, "llmlimit_settle_duplicate_total": 1} {
			if got := s.metric(name); got != want {
				t.Errorf("%s is %s, expected %s", name, strconv.FormatFloat(got, 'g', -1, 64), strconv.FormatFloat(want, 'g', -1, 64))
			}
		}
		if l := s.account(limiter.TokenBucket).Ledger; l.Actual != chatCost || l.Refunded != 0 {
			t.Errorf("charged %d, refunded %d, expected %d and 0", l.Actual, l.Refunded, chatCost)
		}
	})
}

// TestDrainPlaces: with one place, of two who leave together one is drained, and the place is free again afterwards.
func TestDrainPlaces(t *testing.T) {
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Drain.Most = 1 }, func(s *system) {
		header := s.plan(plan(t, `{usage: 10/40, timing: {ttft: 1s, itl: 1s}}`))
		for round := range 2 {
			ctx, leave := context.WithCancel(s.t.Context())
			for range 2 {
				resp, err := s.client.Do(s.request(ctx, chatPath, streamBody, header))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
			}
			leave()
			time.Sleep(time.Minute)
			if got, want := s.account(limiter.Window).Ledger.Actual, int64(round+1)*(50+chatCost); got != want {
				t.Errorf("round %d: charged %d, expected %d: one drained, one kept", round+1, got, want)
			}
		}
	})
}

// TestLeavesWhileSettling: a client may leave at the very instant at which its answer is settled. What would be wrong then is seen
// by the race detector alone, so the two are brought together: by the clock, which both of them read first.
func TestLeavesWhileSettling(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var came atomic.Bool
	var asked atomic.Int64
	leaving := make(chan struct{})
	p, err := proxy.New(proxy.Config{
		Backend: &url.URL{Scheme: "http", Host: "upstream"}, Bundle: bundle(t, tpmRules), Transport: lastWord{&came},
		Now: func() time.Time {
			if came.Load() {
				switch asked.Add(1) {
				case 2: // of the settlement; the first was of the lease
					leave()
				case 3: // of the release
					close(leaving)
				}
			}
			return time.Now()
		},
		Settle: func(ctx context.Context, store limiter.Store, now time.Time, bill *proxy.Bill) (limiter.Settlement, error) {
			<-leaving
			return proxy.SettleNow(ctx, store, now, bill)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, chatPath, strings.NewReader(chatBody))
	req.Header.Set("X-Tenant", "t")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, req)
	if w.Code != http.StatusOK || w.Body.String() != "{}" {
		t.Errorf("status %d and %q, expected 200 and what the upstream said", w.Code, w.Body)
	}
}

// lastWord is an upstream whose answer comes in one piece. It notes when it was read.
type lastWord struct{ came *atomic.Bool }

func (l lastWord) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, ContentLength: 2, Header: http.Header{}, Body: io.NopCloser(l)}, nil
}

func (l lastWord) Read(p []byte) (int, error) {
	l.came.Store(true)
	return copy(p, "{}"), io.EOF
}
