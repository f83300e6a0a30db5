package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/llmlimit/llmlimit/pkg/proxy"
)

const (
	openingEvent = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n"
	usageEvent   = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":40,\"total_tokens\":50}}\n\n"
	doneEvent    = "data: [DONE]\n\n"
)

// TestNothingIsHeldBack: a client has every byte that the upstream has written, while the upstream is silent. Where an event may have to
// be taken out because the proxy has caused it, an event is held until it is whole, and not a byte beyond it.
func TestNothingIsHeldBack(t *testing.T) {
	stream := openingEvent + ": a comment\n\n" + openingEvent + usageEvent + doneEvent
	asking := strings.Replace(streamBody, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1)
	for _, row := range []struct {
		name, kind, body, sent string
		has                    func(written string) string
	}{
		{"usage is the client's wish", "text/event-stream", asking, stream, func(written string) string { return written }},
		{"usage is the proxy's wish", "text/event-stream", streamBody, stream, wholeEvents},
		{"not a stream of events", "application/json", chatBody, benchAnswer, func(written string) string { return written }},
	} {
		t.Run(row.name, func(t *testing.T) {
			inSystem(t, tpmRules, upstreamAt("pieces:80"), func(s *system) {
				pieces := make(chan string)
				defer s.serve("pieces:80", byPieces(row.kind, pieces))()
				defer close(pieces)
				got := s.reading(s.request(s.t.Context(), chatPath, row.body, nil))
				for at := 0; at < len(row.sent); at += 5 {
					end := min(at+5, len(row.sent))
					pieces <- row.sent[at:end]
					synctest.Wait() // whatever is on its way has arrived
					if want := row.has(row.sent[:end]); got() != want {
						t.Fatalf("the upstream has written %q, and the client has %q, expected %q", row.sent[:end], got(), want)
					}
				}
			})
		})
	}
}

// wholeEvents is what may be passed on of a stream for which the proxy has asked for usage. Comments wait for nothing.
func wholeEvents(written string) string {
	end := strings.LastIndex(written, "\n\n") + 1
	if end > 0 {
		end++
	}
	whole, rest := written[:end], written[end:]
	if strings.HasPrefix(rest, ":") {
		whole += rest
	}
	return strings.Replace(whole, usageEvent, "", 1)
}

// upstreamAt is a change of a system: another backend.
func upstreamAt(host string) func(*proxy.Config) {
	return func(c *proxy.Config) { c.Backend = &url.URL{Scheme: "http", Host: host} }
}

// byPieces is a server whose only answer consists of the pieces, each of them flushed.
func byPieces(kind string, pieces <-chan string) func(context.Context, net.Listener) error {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", kind)
		for piece := range pieces {
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
	})}
	return func(ctx context.Context, l net.Listener) error {
		context.AfterFunc(ctx, func() { _ = server.Close() })
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}

// reading sends a request and reads its answer beside the test; the result tells what has come so far.
func (s *system) reading(req *http.Request) (sofar func() string) {
	var mu sync.Mutex
	var got strings.Builder
	go func() {
		resp, err := s.client.Do(req)
		if err != nil {
			s.t.Error(err)
			return
		}
		defer resp.Body.Close()
		for buffer := make([]byte, 512); err == nil; {
			var n int
			n, err = resp.Body.Read(buffer)
			mu.Lock()
			got.Write(buffer[:n])
			mu.Unlock()
		}
	}()
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return got.String()
	}
}
