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
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// BenchmarkJSON compares a whole request through the proxy with one through a bare ReverseProxy on the same kind of transport.
// The figure of interest is cpu-µs/op, which includes client and backend: subtract those of "none".
func BenchmarkJSON(b *testing.B) {
	backend := listen(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, benchAnswer)
	}))
	for _, row := range []struct {
		name, addr string
	}{{"none", backend}, {"reverseproxy", listen(b, bare(backend))}, {"llmlimit", listen(b, limited(b, backend))}} {
		b.Run(row.name, func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, DisableCompression: true}}
			defer client.CloseIdleConnections()
			target := "http://" + row.addr + chatPath
			before := cpu(b)
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, target, strings.NewReader(chatBody))
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
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpu is the processor time that this process has used.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
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

// BenchmarkFirstByte is the time to the first event of a stream, directly and through the proxy: the median is reported.
func BenchmarkFirstByte(b *testing.B) {
	start := make(chan struct{})
	close(start)
	backend := listen(b, streaming(start))
	for _, row := range []struct {
		name, addr string
	}{{"none", backend}, {"reverseproxy", listen(b, bare(backend))}, {"llmlimit", listen(b, limited(b, backend))}} {
		b.Run(row.name, func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
			defer client.CloseIdleConnections()
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				resp := openStream(b, client, row.addr, streamBody)
				took = append(took, time.Since(began))
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
		})
	}
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

// TestIdleStreams measures what an idle stream costs the proxy: the memory of a process with client, proxy and backend, less that of
// one without the proxy. Most of it is net/http's: the stacks of four goroutines, and 16 KB of buffers that no option of a server or
// transport makes smaller without a system call more for each request. A prompt does not stay in memory, however long it is.
func TestIdleStreams(t *testing.T) {
	if os.Getenv("LLMLIMIT_SOAK") == "" {
		t.Skip("it opens thousands of connections: set LLMLIMIT_SOAK=1")
	}
	const (
		streams = 2000
		most    = 60_000 // bytes for each
	)
	prompt := strings.Replace(streamBody, `"content":"`, `"content":"`+strings.Repeat("long ", 4000), 1)
	if len(prompt) < 20_000 {
		t.Fatalf("the prompt is short: %s", prompt)
	}
	start := make(chan struct{})
	backend := listen(t, streaming(start))
	through, plain := listen(t, limited(t, backend)), listen(t, bare(backend))
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	var open sync.WaitGroup
	cost := func(addr string) int64 {
		before := memory()
		for range streams {
			resp := openStream(t, client, addr, prompt)
			open.Go(func() {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			})
		}
		return (memory() - before) / streams
	}
	direct := cost(backend)
	ours, theirs := cost(through)-direct, cost(plain)-direct
	close(start)
	open.Wait()
	client.CloseIdleConnections()
	t.Logf("an idle stream costs %d bytes, with a bare ReverseProxy %d, and %d in client and backend", ours, theirs, direct)
	if ours > theirs || ours > most {
		t.Errorf("that is more than %d, or more than a bare ReverseProxy takes", most)
	}
}

// memory is what is in use: heap and stacks.
func memory() int64 {
	runtime.GC()
	debug.FreeOSMemory() // once more, with its sweep complete
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
