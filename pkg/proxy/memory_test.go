package proxy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/proxy"
)

const mebi = 1 << 20

// flood is size bytes of letters between head and tail, in gzip.
func flood(tb testing.TB, head string, size int, tail string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		tb.Fatal(err)
	}
	_, _ = io.WriteString(w, head) // errors come back from Close
	for letters := bytes.Repeat([]byte("x"), mebi); size > 0; size -= mebi {
		_, _ = w.Write(letters)
	}
	_, _ = io.WriteString(w, tail)
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// spends checks how much is allocated while f runs, by everybody and whether it lives or not.
func spends(t *testing.T, what string, most int64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if spent := int64(after.TotalAlloc - before.TotalAlloc); spent > most {
		t.Errorf("%s: %d KiB were allocated, expected at most %d", what, spent>>10, most>>10)
	}
}

// holds checks how much more lives after f than before it.
func holds(t *testing.T, what string, most int64, f func()) {
	t.Helper()
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what a pool held in the first is gone after the second
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := live()
	f()
	if more := live() - before; more > most {
		t.Errorf("%s: %d KiB more live, expected at most %d", what, more>>10, most>>10)
	}
}

// TestMemoryForRequests: what a client promises, packs or piles up takes no memory before it is known to be acceptable.
func TestMemoryForRequests(t *testing.T) {
	bomb := string(flood(t, `{"x":"`, 32*mebi, `"}`))
	const head = "POST " + chatPath + " HTTP/1.1\r\nHost: proxy\r\nX-Tenant: t\r\n"
	small := func(c *proxy.Config) { c.MaxRequestBytes = mebi }
	for _, row := range []struct {
		name, send, status string
		most               int64
		change             func(*proxy.Config)
	}{
		{"a length of 10 GiB", head + "Content-Length: 10737418240\r\n\r\n{", "HTTP/1.1 413", 3 * mebi, nil},
		{"a length that is allowed, and a byte", head + "Content-Length: 10485760\r\n\r\n{", "HTTP/1.1 408", 3 * mebi, nil},
		{"a chunk of 10 GiB", head + "Transfer-Encoding: chunked\r\n\r\n280000000\r\n{", "HTTP/1.1 408", 3 * mebi, nil},
		{"a body of 32 MiB in gzip", head + fmt.Sprintf("Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", len(bomb)) + bomb, "HTTP/1.1 413", 12 * mebi, small},
		{"a field of 32 MiB", head + "X-Flood: " + strings.Repeat("x", 32*mebi) + "\r\n\r\n", "HTTP/1.1 431", 3 * mebi, nil},
		{"two million fields", head + strings.Repeat("X-Flood: x\r\n", 2<<20) + "\r\n", "HTTP/1.1 431", 3 * mebi, nil},
	} {
		send := []byte(row.send)
		inSystem(t, tpmRules, row.change, func(s *system) {
			spends(t, row.name, row.most, func() { // the buffer of a decoded body doubles up to its limit
				if got := s.rawBytes(send); !strings.HasPrefix(got, row.status) {
					t.Errorf("%s: answered %.60q, expected %q", row.name, got, row.status)
				}
			})
			if open := s.store.Stats().Open; open != 0 || len(s.mock.Journal().Entries()) != 0 {
				t.Errorf("%s: %d reservations are open, %d requests went upstream", row.name, open, len(s.mock.Journal().Entries()))
			}
		})
	}
}

// TestMemoryForResponses: what an upstream promises or packs takes as much memory as may be read for its usage, and earns nothing.
func TestMemoryForResponses(t *testing.T) {
	const told = "data: {\"choices\":[],\"usage\":{\"total_tokens\":50}}\n\ndata: [DONE]\n\n"
	const events = "Content-Encoding: gzip\r\nContent-Type: text/event-stream\r\n"
	for _, row := range []struct {
		name, head, body string
		most             int64
		outcome          proxy.Outcome
		charge           int64
	}{
		{"a length of 10 GiB", "Content-Length: 10737418240\r\n", `{"usage":{"total_to`, mebi, proxy.OutcomeBroken, chatCost},
		{"a document of 16 MiB in gzip", "Content-Encoding: gzip\r\n", string(flood(t, `{"x":"`, 16*mebi, `","usage":{"total_tokens":50}}`)), 8 * mebi, proxy.OutcomeDone, chatCost},
		{"a line of 40 MiB in gzip", events, string(flood(t, `data: {"x":"`, 40*mebi, "\"}\n\n"+told)), 72 * mebi, proxy.OutcomeDone, 50},
		{"a comment of 72 MiB in gzip", events, string(flood(t, `: `, 72*mebi, "\n"+told)), 72 * mebi, proxy.OutcomeDone, chatCost},
	} {
		inSystem(t, tpmRules, to("http://raw:80"), func(s *system) {
			defer s.answerRaw("raw:80", "HTTP/1.1 200 OK\r\nConnection: close\r\n"+row.head+"\r\n"+row.body)()
			spends(t, row.name, row.most, func() {
				resp, err := s.client.Do(s.request(s.t.Context(), chatPath, chatBody, nil))
				if err != nil {
					t.Fatal(err)
				}
				n, _ := io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if n != int64(len(row.body)) {
					t.Errorf("%s: the client received %d bytes of %d", row.name, n, len(row.body))
				}
			})
			s.charged(row.outcome, row.charge)
		})
	}
}

// TestMemoryForLines: of a stream no more lives than the event at hand, however long its lines are and whether or not they end.
func TestMemoryForLines(t *testing.T) {
	letters := strings.Repeat("x", mebi)
	for _, row := range []struct {
		name, piece string
		most        int64
	}{
		{"lines of a mebibyte", `data: {"x":"` + letters + `"}` + "\n\n", 12 * mebi},
		{"comments of a mebibyte", ": " + letters + "\n", 12 * mebi},
		{"one line without an end", letters, 30 * mebi},
		{"one event of many lines", "data: " + letters + "\n", 30 * mebi},
	} {
		inSystem(t, tpmRules, to("http://raw:80"), func(s *system) {
			before, most := live(), int64(0)
			defer s.accept("raw:80", func(conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n")
				for range 40 {
					_, _ = io.WriteString(conn, row.piece)
					most = max(most, live()-before)
				}
			})()
			resp, err := s.client.Do(s.request(s.t.Context(), chatPath, streamBody, nil))
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if want := int64(10 + 40*len(row.piece)); err != nil || n != want {
				t.Errorf("%s: the client received %d bytes of %d, %v", row.name, n, want, err)
			}
			if most > row.most {
				t.Errorf("%s: up to %d KiB lived, expected at most %d", row.name, most>>10, row.most>>10)
			}
			s.charged(proxy.OutcomeDone, chatCost)
		})
	}
}

// live is how much memory is in use.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
