package proxy_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// raw sends bytes as they are on a connection of their own, and returns every byte that comes back until its end.
func (s *system) raw(text string) string { return s.rawBytes([]byte(text)) }

func (s *system) rawBytes(text []byte) string {
	s.t.Helper()
	conn, err := s.net.DialContext(s.t.Context(), "tcp", "proxy:80")
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = conn.Write(text) }() // the proxy may close before it has read all
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Minute))
	got, _ := io.ReadAll(conn) // a reset is an answer too
	synctest.Wait()
	return string(got)
}

func TestAttacks(t *testing.T) {
	const head = "POST " + chatPath + " HTTP/1.1\r\nHost: proxy\r\nX-Tenant: t\r\nContent-Type: application/json\r\n"
	length := strconv.Itoa(len(chatBody))
	chunked := "Transfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(int64(len(chatBody)), 16) + "\r\n" + chatBody + "\r\n0\r\n\r\n"
	for _, row := range []struct {
		name, send string
		status     string // beginning of the first answer; "" for a close without one
		reached    int    // requests that the mock may see
	}{
		{"a declared length of 10 GiB", head + "Content-Length: 10737418240\r\n\r\n{", "HTTP/1.1 413", 0},
		{"a chunk of 10 GiB", head + "Transfer-Encoding: chunked\r\n\r\n280000000\r\n" + strings.Repeat("x", 2<<20), "HTTP/1.1 413", 0},
		{"a header of 1 MiB", head + "X-Flood: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", "HTTP/1.1 431", 0},
		{"ten thousand headers", head + strings.Repeat("X-Flood: x\r\n", 10_000) + "\r\n", "HTTP/1.1 431", 0},
		{"half a head", "POST / HTTP/1.1\r\nHost: proxy\r\n", "", 0},
		{"half a body", head + "Content-Length: " + length + "\r\n\r\n{", "HTTP/1.1 408", 0},
		{"two lengths", head + "Content-Length: 5\r\nContent-Length: " + length + "\r\n\r\n" + chatBody, "HTTP/1.1 400", 0},
		{"an unknown transfer encoding", head + "Transfer-Encoding: xchunked\r\n\r\n" + chatBody, "HTTP/1.1 501", 0},
		{"a folded transfer encoding", head + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1", 0},
		{"a blank before the colon", head + "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "HTTP/1.1 400", 0},
		{"length with chunks", head + "Connection: close\r\nContent-Length: 3\r\n" + chunked, "HTTP/1.1 200", 1},
		{"length with chunks, and a request behind", head + "Content-Length: 3\r\n" + chunked + "GET /smuggled HTTP/1.1\r\nHost: proxy\r\n\r\n", "HTTP/1.1 200", 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			inSystem(t, tpmRules, func(c *proxy.Config) { c.MaxRequestBytes = 1 << 20 }, func(s *system) {
				got := s.raw(row.send)
				if !strings.HasPrefix(got, row.status) || row.status == "" && got != "" {
					t.Errorf("answered %.60q, expected %q", got, row.status)
				}
				entries := s.mock.Journal().Entries()
				if len(entries) > row.reached {
					t.Errorf("the mock received %d requests, expected at most %d", len(entries), row.reached)
				}
				// Whatever reaches the upstream was judged: no request rides inside another.
				if s.count() < len(entries) {
					t.Errorf("the mock received %d requests, and the proxy knows of %d", len(entries), s.count())
				}
				for _, e := range entries {
					if e.Header.Get("Transfer-Encoding") != "" || e.Method == http.MethodPost && e.Body != chatBody {
						t.Errorf("the mock received %s %q with %v", e.Method, e.Body, e.Header)
					}
				}
				if open := s.store.Stats().Open; open != 0 {
					t.Errorf("%d reservations are open", open)
				}
			})
		})
	}
}

// TestSlowReader: a client that does not read is left, and its response is drained as of one that has gone.
func TestSlowReader(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		header := s.plan(plan(t, `{content: {chunks: 100, bytes: 100000}, usage: 10/40}`))
		req := s.request(s.t.Context(), chatPath, streamBody, header)
		conn, err := s.net.DialContext(s.t.Context(), "tcp", "proxy:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := req.Write(conn); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if s.count() != 0 {
			t.Fatal("the client was given up before its time")
		}
		time.Sleep(2 * time.Second)
		r := s.last()
		if r.Outcome != proxy.OutcomeLeft || r.ResponseBytes > 4<<20 {
			t.Errorf("%s after %d bytes, expected left with the drain's bound", r.Outcome, r.ResponseBytes)
		}
		s.charged(proxy.OutcomeLeft, r.Actual)
		if r.Actual < chatCost {
			t.Errorf("charged %d, expected at least %d", r.Actual, chatCost)
		}
	})
}

// TestSlowReaderOverHTTP2: one that grants no more window is left in the same way, and the connection serves others.
func TestSlowReaderOverHTTP2(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		client := s.newClient(true)
		defer client.CloseIdleConnections()
		header := s.plan(plan(t, `{content: {chunks: 100, bytes: 100000}, usage: 10/40}`))
		resp, err := client.Do(s.request(s.t.Context(), chatPath, streamBody, header))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if s.count() != 0 {
			t.Fatal("the client was given up before its time")
		}
		time.Sleep(2 * time.Second)
		if r := s.last(); r.Outcome != proxy.OutcomeLeft || r.Actual < chatCost {
			t.Errorf("%s, charged %d, expected left and at least %d", r.Outcome, r.Actual, chatCost)
		}
		if got := s.do(client, s.request(s.t.Context(), chatPath, chatBody, http.Header{"X-Tenant": {"other"}})); got.StatusCode != http.StatusOK || got.err != nil {
			t.Errorf("status %d, %v for another request of the connection, expected 200", got.StatusCode, got.err)
		}
	})
}

// TestManyAtOnce: of those who come together, exactly so many are admitted as fit, and the books balance.
func TestManyAtOnce(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		const clients = 64
		s.mock.Hold("headers")
		statuses := make(chan int, clients)
		for range clients {
			go func() {
				resp, err := s.client.Do(s.request(s.t.Context(), chatPath, chatBody, nil))
				if err != nil {
					statuses <- 0
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				statuses <- resp.StatusCode
			}()
		}
		synctest.Wait()
		s.mock.Release()
		count := map[int]int{}
		for range clients {
			count[<-statuses]++
		}
		if count[200] != 5 || count[429] != clients-5 { // 5 × 1006 of 6000
			t.Errorf("answers by status: %v, expected five 200 and the rest 429", count)
		}
		l := s.account(limiter.TokenBucket).Ledger
		if l.Reserved != 5*chatCost || l.Actual != 5*50 || l.Refunded != l.Reserved-l.Actual || l.Outstanding != 0 {
			t.Errorf("ledger: %+v", l)
		}
	})
}

func TestMidStream(t *testing.T) {
	text := `{usage: 10/400, content: {chunks: 100, text: "` + strings.Repeat("abcd", 100) + `"}, timing: {itl: 1ms}}`
	capped := func(more string) string {
		return rules(`max_completion_tokens: 20, streaming: { enforce_mid_stream: true, buffer_tokens: 10, include_partial_usage: true` + more + ` }`)
	}
	inSystem(t, capped(""), nil, func(s *system) {
		got := s.post(chatPath, streamBody, s.plan(plan(t, text)))
		if got.err != nil || !bytes.Contains(got.body, []byte(`"finish_reason":"length"`)) || !bytes.HasSuffix(got.body, []byte("data: [DONE]\n\n")) {
			t.Errorf("%v, the stream ends with %q", got.err, got.body[max(len(got.body)-300, 0):])
		}
		if n := bytes.Count(got.body, []byte("abcd")); n < 20 || n > 31 {
			t.Errorf("%d tokens passed, expected 20 and at most the buffer more", n)
		}
		r := s.last()
		s.charged(proxy.OutcomeCut, r.Actual)
		if r.Actual < 6+20 || r.Actual > 6+31 {
			t.Errorf("charged %d, expected what was observed", r.Actual)
		}
	})
	inSystem(t, capped(""), nil, func(s *system) { // two answers may have twice as much
		got := s.post(chatPath, strings.Replace(streamBody, `"stream"`, `"n":2,"stream"`, 1), s.plan(plan(t, text)))
		if n := bytes.Count(got.body, []byte("abcd")); n < 40 || n > 51 {
			t.Errorf("%d tokens passed, expected 40 and at most the buffer more", n)
		}
	})
	inSystem(t, capped(", on_limit_exceeded: error_chunk"), nil, func(s *system) {
		got := s.post(chatPath, streamBody, s.plan(plan(t, text)))
		if got.err != nil || !bytes.Contains(got.body, []byte(`"error":`)) || bytes.Contains(got.body, []byte(`"finish_reason":"length"`)) {
			t.Errorf("%v, the stream ends with %q", got.err, got.body[max(len(got.body)-300, 0):])
		}
	})
	inSystem(t, capped(""), func(c *proxy.Config) {
		c.Bundle = parse(t, `
bundle_version: 1
policies:
  - id: p
    spec:
      selector: { pathPrefix: / }
      mode: shadow
      rules: [`+strings.TrimPrefix(strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(capped(""), "\n- ", "{"), "\n ", ", ")), ", ")+`}]
`)
	}, func(s *system) {
		got := s.post(chatPath, streamBody, s.plan(plan(t, text)))
		if n := bytes.Count(got.body, []byte("abcd")); n != 100 || !s.last().WouldCut {
			t.Errorf("%d tokens passed, would cut: %v; expected all 100 and a note", n, s.last().WouldCut)
		}
	})
}

func TestReload(t *testing.T) {
	version := func(v int, tpm int) string {
		return `
bundle_version: ` + strconv.Itoa(v) + `
policies:
  - id: p
    spec:
      selector: { pathPrefix: / }
      rules:
        - name: tpm
          limit_keys: ["header:x-tenant"]
          algorithm: token_bucket_llm
          algorithm_config: { tokens_per_minute: ` + strconv.Itoa(tpm) + ` }
`
	}
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Bundle = parse(t, version(1, 6000)) }, func(s *system) {
		s.post(chatPath, chatBody, s.plan(plan(t, `usage: 10/2990`)))
		if err := s.proxy.Reload(parse(t, version(1, 2000))); err == nil || !strings.Contains(err.Error(), "bundle_version") {
			t.Errorf("a version that does not grow: %v", err)
		}
		got := s.post(chatPath, chatBody, nil)
		fields(t, got.Header, map[string]string{"x-ratelimit-limit-tokens": "6000", "x-ratelimit-remaining-tokens": "1994"})
		if err := s.proxy.Reload(parse(t, version(2, 2000))); err != nil {
			t.Fatal(err)
		}
		got = s.post(chatPath, chatBody, nil) // min(2950, 2000) - 1006
		fields(t, got.Header, map[string]string{"x-ratelimit-limit-tokens": "2000", "x-ratelimit-remaining-tokens": "994"})

		// Each stretch of time counts at the rate that was in force: 600 ms at 2000 a minute, 1 s at 60000.
		time.Sleep(600 * time.Millisecond)
		if err := s.proxy.Reload(parse(t, version(3, 60000))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		got = s.post(chatPath, chatBody, nil) // 2000 - 50 + 20 + 1000 - 1006
		fields(t, got.Header, map[string]string{"x-ratelimit-limit-tokens": "60000", "x-ratelimit-remaining-tokens": "1964"})
	})
}
