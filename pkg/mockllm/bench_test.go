package mockllm

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The mock is compared with a handler that writes the same bytes from a constant: same client, same server, same flushes.
func BenchmarkWhole(b *testing.B) {
	m := New(Options{})
	body := reference(b, m, chatBody)
	compare(b, m.Handler(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	compare(b, m.Handler(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

// compare sends batches of requests to both handlers in turn, so that a busy machine is busy for both, and reports the medians: how
// much processor time a request takes, the client's part included, and how many requests the mock answers where the constant
// answers one.
func compare(b *testing.B, mock, constant http.Handler, body string) {
	b.Helper()
	const batch = 250
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}}
	defer client.CloseIdleConnections()
	urls := []string{listen(b, mock) + chatPath, listen(b, constant) + chatPath}
	var took [2][]float64
	var ratios []float64
	for i := 0; b.Loop(); i++ {
		var now [2]float64
		for k := range 2 {
			side := (i + k) % 2 // who is first changes
			before := processorTime(b)
			for range batch {
				exchangeOnce(b, client, urls[side], body)
			}
			now[side] = float64((processorTime(b) - before).Nanoseconds()) / 1e3 / batch
			took[side] = append(took[side], now[side])
		}
		ratios = append(ratios, now[1]/now[0])
	}
	b.ReportMetric(median(took[0]), "mock-cpu-µs")
	b.ReportMetric(median(took[1]), "constant-cpu-µs")
	b.ReportMetric(median(ratios), "ratio")
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
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

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
