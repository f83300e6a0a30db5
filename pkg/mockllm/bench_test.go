package mockllm

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/internal/benchmark"
)

// The mock is compared with a handler that writes the same bytes from a constant: same client, same server, same flushes.
func BenchmarkWhole(b *testing.B) {
	m := New(Options{})
	body := reference(b, m, chatBody)
	compare(b, "mock: whole answers per CPU", m.Handler(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", jsonType)
		_, _ = w.Write(body)
	}), chatBody)
}

func BenchmarkStreamOf20(b *testing.B) {
	m := New(Options{Plan: Plan{Content: Content{Chunks: Count(16)}}}) // and an opening, a finish, a usage and [DONE]
	body := reference(b, m, streamBody)
	events := strings.SplitAfter(string(body), "\n\n")
	events = events[:len(events)-1]
	if len(events) != 20 {
		b.Fatalf("%d events", len(events))
	}
	compare(b, "mock: streams of 20 events per CPU", m.Handler(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", sseType)
		rc := http.NewResponseController(w)
		for _, e := range events {
			_, _ = io.WriteString(w, e)
			_ = rc.Flush()
		}
	}), streamBody)
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

// compare sends requests to both handlers in turn and reports the medians: how much processor time a request takes, the client's part
// included, and how many requests the mock answers where the constant answers one.
func compare(b *testing.B, what string, mock, constant http.Handler, body string) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}}
	defer client.CloseIdleConnections()
	through := func(h http.Handler) func() {
		url := listen(b, h) + chatPath
		return func() { exchangeOnce(b, client, url, body) }
	}
	took := benchmark.Rounds(b, 1000, through(mock), through(constant))
	ratio := benchmark.Median(benchmark.Each(took, func(of []float64) float64 { return of[1] / of[0] }))
	b.ReportMetric(benchmark.Median(took[0]), "mock-cpu-µs")
	b.ReportMetric(benchmark.Median(took[1]), "constant-cpu-µs")
	benchmark.AtLeast(b, what, ratio, 0.8, "x of a constant handler")
}

func exchangeOnce(b *testing.B, client *http.Client, url, body string) {
	b.Helper()
	res, err := client.Post(url, jsonType, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		b.Fatal(err)
	}
}
