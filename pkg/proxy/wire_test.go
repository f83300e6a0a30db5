package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// TestResponseHead: what belongs to the connection to the upstream ends there.
func TestResponseHead(t *testing.T) {
	inSystem(t, tpmRules, to("http://raw:80"), func(s *system) {
		defer s.answerRaw("raw:80", "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n"+
			"Proxy-Connection: close\r\nUpgrade: h2c\r\nX-Kept: a\r\nX-Kept: b\r\nContent-Length: 2\r\n\r\n{}")()
		got := s.post(chatPath, chatBody, nil)
		fields(t, got.Header, map[string]string{
			"connection": "", "x-hop": "", "keep-alive": "", "proxy-authenticate": "", "proxy-connection": "", "upgrade": "", "x-kept": "a | b",
		})
		if got.StatusCode != http.StatusOK || string(got.body) != "{}" {
			t.Errorf("status %d, body %q", got.StatusCode, got.body)
		}
	})
}

// TestRequestHead: what belongs to the client's connection ends here, an offer of h2c included.
func TestRequestHead(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		got := s.post(chatPath, chatBody, http.Header{
			"Connection": {"Upgrade, HTTP2-Settings", "Keep-Alive"}, "Upgrade": {"h2c"}, "Http2-Settings": {"AAMAAABkAAQAAP__"},
			"Keep-Alive": {"timeout=5"}, "Proxy-Connection": {"keep-alive"}, "Proxy-Authenticate": {"Basic"},
		})
		if got.StatusCode != http.StatusOK {
			t.Errorf("status %d for an offer that may be left aside, expected 200", got.StatusCode)
		}
		fields(t, s.entry().Header, map[string]string{
			"upgrade": "", "http2-settings": "", "keep-alive": "", "proxy-connection": "", "proxy-authenticate": "", "connection": "",
		})
	})
}

// TestBackendPath: the backend's path is put before the client's, as it is written.
func TestBackendPath(t *testing.T) {
	inSystem(t, tpmRules, to("http://mock:80/p%2Fq/base/"), func(s *system) {
		s.post("/v1/chat%2fcompletions?x=%20", chatBody, nil)
		if got, want := s.entry().Path, "/p%2Fq/base/v1/chat%2fcompletions?x=%20"; got != want {
			t.Errorf("the mock received %s, expected %s", got, want)
		}
	})
}

// TestConnect: a tunnel would leave nothing to count.
func TestConnect(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		if got := s.raw("CONNECT mock:80 HTTP/1.1\r\nHost: mock:80\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 501") {
			t.Errorf("answered %.60q, expected 501", got)
		}
		if n := len(s.mock.Journal().Entries()); n != 0 {
			t.Errorf("the mock received %d requests, expected none", n)
		}
	})
}

// TestUnaskedUpgrade: an upstream that leaves HTTP although nobody asked has given no answer.
func TestUnaskedUpgrade(t *testing.T) {
	inSystem(t, tpmRules, to("http://raw:80"), func(s *system) {
		defer s.answerRaw("raw:80", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")()
		got := s.do(s.newOne(), s.request(s.t.Context(), chatPath, chatBody, nil))
		if got.StatusCode != http.StatusBadGateway {
			t.Errorf("status %d, expected 502", got.StatusCode)
		}
		s.charged(proxy.OutcomeInterimOnly, 0)
	})
}

// TestInterimResponses: 103 passes with its fields, 100 does not, and neither leaves anything in the answer.
func TestInterimResponses(t *testing.T) {
	inSystem(t, tpmRules, to("http://raw:80"), func(s *system) {
		defer s.answerRaw("raw:80", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\n"+
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")()
		got := s.raw("POST " + chatPath + " HTTP/1.1\r\nHost: proxy\r\nX-Tenant: t\r\nConnection: close\r\nContent-Length: 82\r\n\r\n" + pad(82))
		hints, rest, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(hints, "HTTP/1.1 103") || !strings.Contains(hints, "Link: </a>") {
			t.Errorf("began with %q, expected the hints", hints)
		}
		if !strings.HasPrefix(rest, "HTTP/1.1 200") || strings.Contains(rest, "Link") || strings.Contains(rest, "X-Interim") {
			t.Errorf("went on with %q, expected the answer and nothing of the hints", rest)
		}
		old := s.raw("POST " + chatPath + " HTTP/1.0\r\nX-Tenant: t\r\nContent-Length: 82\r\n\r\n" + pad(82))
		if _, status, _ := strings.Cut(old, " "); !strings.HasPrefix(status, "200") {
			t.Errorf("a client of HTTP/1.0, which knows no hints, received %q", old)
		}
	})
}

// pad is chatBody with blanks behind it.
func pad(n int) string { return (chatBody + strings.Repeat(" ", n))[:n] }

// TestNothingIsSentTwice: a provider that hangs up on a connection that was used before has perhaps begun to generate. Not even a
// key that promises that a repetition does no harm changes that.
func TestNothingIsSentTwice(t *testing.T) {
	inSystem(t, tpmRules, to("http://raw:80"), func(s *system) {
		var received atomic.Int64
		defer s.accept("raw:80", func(conn net.Conn) {
			r := bufio.NewReader(conn)
			for i := range 2 {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				received.Add(1)
				if i == 0 {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
				}
			}
		})()
		header := http.Header{"Idempotency-Key": {"x"}}
		s.post(chatPath, chatBody, header)
		if got := s.post(chatPath, chatBody, header); got.StatusCode != http.StatusBadGateway || received.Load() != 2 {
			t.Errorf("status %d after %d requests, expected 502 after two", got.StatusCode, received.Load())
		}
		if r := s.last(); r.Outcome != proxy.OutcomeNoAnswer || r.Actual != chatCost {
			t.Errorf("%s, charged %d, expected no_answer and %d", r.Outcome, r.Actual, chatCost)
		}
	})
}

// TestTrailers pass in both directions, announced, over both versions.
func TestTrailers(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		inSystem(t, tpmRules, func(c *proxy.Config) { speaking(h2)(c); to("http://trailing:80")(c) }, func(s *system) {
			var received http.Header
			server := proxy.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				received = r.Trailer
				w.Header().Set("Trailer", "X-Sum")
				_, _ = io.WriteString(w, "{}")
				w.Header().Set("X-Sum", "42")
				w.Header().Set(http.TrailerPrefix+"X-Late", "1")
			}), proxy.ServerOptions{})
			defer s.serveHTTP("trailing:80", server)()
			req := s.request(s.t.Context(), chatPath, chatBody, nil)
			req.ContentLength, req.Trailer = -1, http.Header{"X-Client-Sum": {"7"}}
			client := s.newClient(h2)
			defer client.CloseIdleConnections()
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if _, announced := resp.Trailer["X-Sum"]; !announced {
				t.Errorf("HTTP/2 %v: trailers %v before the body, expected X-Sum", h2, resp.Trailer)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			fields(t, resp.Trailer, map[string]string{"x-sum": "42", "x-late": "1"})
			fields(t, received, map[string]string{"x-client-sum": "7"})
		})
	}
}

// TestUpstreamHead: a head that is too large is no answer.
func TestUpstreamHead(t *testing.T) {
	inSystem(t, tpmRules, to("http://raw:80"), func(s *system) {
		defer s.answerRaw("raw:80", "HTTP/1.1 200 OK\r\nX-Flood: "+strings.Repeat("x", 300<<10)+"\r\nContent-Length: 2\r\n\r\n{}")()
		if got := s.post(chatPath, chatBody, nil); got.StatusCode != http.StatusBadGateway {
			t.Errorf("status %d, expected 502", got.StatusCode)
		}
		s.charged(proxy.OutcomeNoAnswer, chatCost)
	})
}

// TestSilentHandshake: an upstream that takes the connection and says nothing is given up, and has cost nothing; so has one whose
// client leaves meanwhile.
func TestSilentHandshake(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		inSystem(t, tpmRules, to("https://silent:443"), func(s *system) {
			defer s.accept("silent:443", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })()
			began, patience := time.Now(), 10*time.Minute
			if leaves {
				patience = time.Second
			}
			ctx, cancel := contextFor(s, patience)
			defer cancel()
			resp, err := s.client.Do(s.request(ctx, chatPath, chatBody, nil))
			if err == nil {
				_ = resp.Body.Close()
			}
			if took := time.Since(began); leaves == (err == nil) || !leaves && (took != 10*time.Second || resp.StatusCode != http.StatusBadGateway) {
				t.Errorf("leaves %v: %v, %v after %v, expected 502 after ten seconds", leaves, resp, err, took)
			}
			s.charged(proxy.OutcomeUnreachable, 0)
			time.Sleep(10 * time.Second) // the transport's own attempt ends
		})
	}
}

// TestSlowAnswer: the time for the request's body is over with it.
func TestSlowAnswer(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		inSystem(t, tpmRules, nil, func(s *system) {
			client := s.newClient(h2)
			defer client.CloseIdleConnections()
			got := s.do(client, s.request(s.t.Context(), chatPath, streamBody, s.plan(plan(t, `{timing: {ttft: 2m, itl: 2m}}`))))
			if got.StatusCode != http.StatusOK || got.err != nil {
				t.Errorf("HTTP/2 %v: status %d, %v, expected a whole answer", h2, got.StatusCode, got.err)
			}
			s.charged(proxy.OutcomeDone, 50)
		})
	}
}

// TestConnectionTimes: a connection that says nothing is closed, before a request and after one.
func TestConnectionTimes(t *testing.T) {
	request := "POST " + chatPath + " HTTP/1.1\r\nHost: proxy\r\nX-Tenant: t\r\nContent-Length: 82\r\n\r\n" + pad(82)
	for what, row := range map[string]struct {
		send string
		ends time.Duration
	}{
		"nothing":         {"", 10 * time.Second},
		"half a head":     {"POST / HTTP/1.1\r\nHost: proxy\r\n", 10 * time.Second},
		"half a body":     {request[:len(request)-1], time.Minute},
		"after a request": {request, 2 * time.Minute},
	} {
		inSystem(t, tpmRules, nil, func(s *system) {
			began := time.Now()
			s.raw(row.send)
			if took := time.Since(began).Truncate(time.Second); took != row.ends {
				t.Errorf("%s: closed after %v, expected %v", what, took, row.ends)
			}
		})
	}
}

// TestLongComplaint: of a 400 only a beginning is read before it is passed on.
func TestLongComplaint(t *testing.T) {
	inSystem(t, tpmRules, to("http://raw:80"), func(s *system) {
		complaint := strings.Repeat("x", 64<<10)
		defer s.accept("raw:80", func(conn net.Conn) {
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"+complaint)
				time.Sleep(time.Minute)
				_, _ = io.WriteString(conn, "stream_options")
			}
		})()
		began := time.Now()
		resp, err := s.client.Do(s.request(s.t.Context(), chatPath, streamBody, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("answered after %v, expected at once", took)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != complaint+"stream_options" {
			t.Errorf("%v after %d bytes, expected all %d", err, len(got), len(complaint)+14)
		}
		s.charged(proxy.OutcomeDone, 0)
		if open := s.account(limiter.TokenBucket).Open; open != 0 {
			t.Errorf("%d reservations are open", open)
		}
	})
}

// TestErrorsPassAtOnce: an error is no stream of events, and nothing in it is held back.
func TestErrorsPassAtOnce(t *testing.T) {
	inSystem(t, tpmRules, to("http://raw:80"), func(s *system) {
		defer s.accept("raw:80", func(conn net.Conn) {
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(conn, "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\nov")
				time.Sleep(time.Minute)
				_, _ = io.WriteString(conn, "er")
			}
		})()
		began := time.Now()
		resp, err := s.client.Do(s.request(s.t.Context(), chatPath, streamBody, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		two := make([]byte, 2)
		if _, err := io.ReadFull(resp.Body, two); err != nil || string(two) != "ov" || time.Since(began) != 0 {
			t.Errorf("%q, %v after %v, expected the beginning at once", two, err, time.Since(began))
		}
		if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "er" {
			t.Errorf("%q, %v, expected the rest", rest, err)
		}
	})
}

// TestSlowReaderIsWaitedFor: while the client does not read, the time of the upstream stands still.
func TestSlowReaderIsWaitedFor(t *testing.T) {
	inSystem(t, tpmRules, func(c *proxy.Config) { c.Timeouts.Idle = 10 * time.Second }, func(s *system) {
		resp, err := s.client.Do(s.request(s.t.Context(), chatPath, streamBody, s.plan(plan(t, `{content: {bytes: 100000}}`))))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Errorf("%v after %d bytes, expected the whole", err, len(body))
		}
		s.charged(proxy.OutcomeDone, 50)
	})
}

// TestInterimResponsesUnread: a client that takes nothing is given up for interim responses as for any other, however many come.
func TestInterimResponsesUnread(t *testing.T) {
	inSystem(t, tpmRules, to("http://raw:80"), func(s *system) {
		hints := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </"+strings.Repeat("a", 1000)+">\r\n\r\n", 100)
		defer s.accept("raw:80", func(conn net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			for err := error(nil); err == nil; {
				_, err = io.WriteString(conn, hints)
			}
		})()
		conn, err := s.net.DialContext(s.t.Context(), "tcp", "proxy:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST "+chatPath+" HTTP/1.1\r\nHost: proxy\r\nX-Tenant: t\r\nContent-Length: 82\r\n\r\n"+pad(82)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute) // the longest that an upstream may take for its headers, and a minute for the client
		if open := s.store.Stats().Open; open != 0 {
			t.Errorf("%d reservations are open", open)
		}
	})
}
