package mockllm

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Each pair compares the mock with a handler that writes the same bytes from a constant: same client, same server, same flushes.
func BenchmarkWhole(b *testing.B) {
	m := New(Options{})
	body := reference(b, m, chatBody)
	b.Run("mock", func(b *testing.B) { drive(b, m.Handler(), chatBody) })
	b.Run("constant", func(b *testing.B) {
		drive(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", jsonType)
			_, _ = w.Write(body)
		}), chatBody)
	})
}

func BenchmarkStreamOf20(b *testing.B) {
	m := New(Options{Plan: Plan{Content: Content{Chunks: Count(16)}}}) // and an opening, a finish, a usage and [DONE]
	body := reference(b, m, streamBody)
	events := strings.SplitAfter(string(body), "\n\n")
	events = events[:len(events)-1]
	if len(events) != 20 {
		b.Fatalf("%d events", len(events))
	}
	b.Run("mock", func(b *testing.B) { drive(b, m.Handler(), streamBody) })
	b.Run("constant", func(b *testing.B) {
		drive(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", sseType)
			rc := http.NewResponseController(w)
			for _, e := range events {
				_, _ = io.WriteString(w, e)
				_ = rc.Flush()
			}
		}), streamBody)
	})
}

// reference is the mock's answer.
func reference(b *testing.B, m *Mock, body string) []byte {
	b.Helper()
	s := listen(b, m.Handler())
	res, err := http.Post(s+chatPath, jsonType, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func listen(b *testing.B, h http.Handler) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	b.Cleanup(func() { srv.Close(); <-done })
	return "http://" + l.Addr().String()
}

func drive(b *testing.B, h http.Handler, body string) {
	b.Helper()
	url := listen(b, h) + chatPath
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}}
	defer client.CloseIdleConnections()
	b.ReportAllocs()
	for b.Loop() {
		res, err := client.Post(url, jsonType, strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			b.Fatal(err)
		}
		res.Body.Close()
	}
}
