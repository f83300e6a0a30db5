package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/internal/benchmark"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

const benchAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"mock","choices":[{"index":0,"message":{"role":"assistant",` +
	`"content":"Hello there, how may I help you today?"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":40,"total_tokens":50}}`

const benchRules = `
- name: tpm
  limit_keys: ["header:x-tenant"]
  algorithm: token_bucket_llm
  algorithm_config: { tokens_per_minute: 4000000000, tokens_per_day: 9000000000000 }
`

// listen serves h on a real loopback port until the test ends.
func listen(tb testing.TB, h http.Handler) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := proxy.NewServer(h, proxy.ServerOptions{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	tb.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			tb.Error(err)
		}
	})
	return l.Addr().String()
}

func limited(tb testing.TB, backend string) http.Handler {
	tb.Helper()
	p, err := proxy.New(proxy.Config{Backend: &url.URL{Scheme: "http", Host: backend}, Bundle: bundle(tb, benchRules)})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func bare(backend string) http.Handler {
	target := &url.URL{Scheme: "http", Host: backend}
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport: proxy.NewTransport(proxy.TransportOptions{}),
	}
}

// BenchmarkJSON compares a whole request through the proxy with one through a bare ReverseProxy on the same kind of transport, in
// processor time. What client and backend take is measured too, without a proxy between them, and subtracted from both.
func BenchmarkJSON(b *testing.B) {
	backend := listen(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, benchAnswer)
	}))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, DisableCompression: true}}
	defer client.CloseIdleConnections()
	through := func(addr string) func() { return func() { exchangeJSON(b, client, addr) } }
	took := benchmark.Rounds(b, 500, through(backend), through(listen(b, bare(backend))), through(listen(b, limited(b, backend))))
	strict := benchmark.Median(benchmark.Each(took, func(of []float64) float64 { return (of[2] - of[0]) / (of[1] - of[0]) }))
	whole := benchmark.Median(benchmark.Each(took, func(of []float64) float64 { return of[2] / of[1] }))
	b.ReportMetric(benchmark.Median(took[0]), "direct-cpu-µs")
	b.ReportMetric(benchmark.Median(took[1]), "reverseproxy-cpu-µs")
	b.ReportMetric(benchmark.Median(took[2]), "llmlimit-cpu-µs")
	benchmark.AtMost(b, "proxy: CPU per JSON request", whole, 1.25, "x of ReverseProxy")
	benchmark.AtMost(b, "proxy: the same without client and backend", strict, 1.25, "x of ReverseProxy")
}

// exchangeJSON sends one request and reads its answer.
func exchangeJSON(b *testing.B, client *http.Client, addr string) {
	b.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+addr+chatPath, strings.NewReader(chatBody))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("X-Tenant", "t")
	resp, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status)
	}
}

// streaming is a backend that sends one event at once and the rest after go is closed.
func streaming(start <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-start
		_, _ = io.WriteString(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":40,\"total_tokens\":50}}\n\ndata: [DONE]\n\n")
	})
}

// BenchmarkFirstByte is the time to the first event of a stream, through the proxy and directly, by turns: the difference of the medians
// is what the proxy delays it by.
func BenchmarkFirstByte(b *testing.B) {
	start := make(chan struct{})
	close(start)
	backend := listen(b, streaming(start))
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	addrs := []string{backend, listen(b, bare(backend)), listen(b, limited(b, backend))}
	took := make([][]float64, len(addrs))
	for b.Loop() {
		for i, addr := range addrs {
			began := time.Now()
			resp := openStream(b, client, addr, streamBody)
			took[i] = append(took[i], float64(time.Since(began).Nanoseconds())/1e3)
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
	direct := benchmark.Median(took[0])
	b.ReportMetric(direct, "direct-µs")
	b.ReportMetric(benchmark.Median(took[1])-direct, "reverseproxy-delay-µs")
	benchmark.AtMost(b, "proxy: delay of a stream's first byte, median", benchmark.Median(took[2])-direct, 200, " µs")
}

// openStream sends a request and reads the first event.
func openStream(tb testing.TB, client *http.Client, addr, body string) *http.Response {
	tb.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+addr+chatPath, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("X-Tenant", "t")
	resp, err := client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := bufio.NewReaderSize(resp.Body, 16).ReadString('\n'); err != nil {
		tb.Fatal(err)
	}
	return resp
}
