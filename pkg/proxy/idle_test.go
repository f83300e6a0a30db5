package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/llmlimit/llmlimit/internal/benchmark"
)

// footprint is the memory of a process, in bytes.
type footprint struct {
	Heap, Stacks int64 // in use after a collection
	Resident     int64 // what the system has given, with the headroom that the collector takes
}

func (f footprint) inUse() int64 { return f.Heap + f.Stacks }

// proxyProcess is a proxy in a process of its own, so that neither client nor backend counts.
type proxyProcess struct {
	addr   string
	ask    io.WriteCloser
	answer *bufio.Reader
}

// The roles of a child of the test binary, in the environment.
const (
	envRole    = "LLMLIMIT_TEST_PROXY"
	envBackend = "LLMLIMIT_TEST_BACKEND"
)

// startProxy starts TestProxyProcess in a child: "llmlimit", or "bare" for a ReverseProxy.
func startProxy(tb testing.TB, role, backend string) *proxyProcess {
	tb.Helper()
	cmd := exec.CommandContext(context.Background(), os.Args[0], "-test.run=^TestProxyProcess$")
	cmd.Env = append(os.Environ(), envRole+"="+role, envBackend+"="+backend)
	cmd.Stderr = io.Discard // a ReverseProxy complains there of clients that leave
	ask, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	answer, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = ask.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			tb.Error(err)
		}
	})
	p := &proxyProcess{ask: ask, answer: bufio.NewReader(answer)}
	p.addr = strings.TrimSpace(p.line(tb))
	return p
}

func (p *proxyProcess) line(tb testing.TB) string {
	tb.Helper()
	line, err := p.answer.ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	return line
}

// memory asks the child what it uses.
func (p *proxyProcess) memory(tb testing.TB) footprint {
	tb.Helper()
	if _, err := io.WriteString(p.ask, "memory\n"); err != nil {
		tb.Fatal(err)
	}
	var f footprint
	if err := json.Unmarshal([]byte(p.line(tb)), &f); err != nil {
		tb.Fatal(err)
	}
	return f
}

// TestProxyProcess is not a test but the child of startProxy.
func TestProxyProcess(t *testing.T) {
	backend := os.Getenv(envBackend)
	if backend == "" {
		t.Skip("it is the child of TestIdleStreams")
	}
	h := bare(backend)
	if os.Getenv(envRole) == "llmlimit" {
		h = limited(t, backend)
	}
	fmt.Println(listen(t, h))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		text, err := json.Marshal(measure())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(string(text))
	}
}

// measure is the memory of this process. What is resident is taken first, before it is collected and given back.
func measure() footprint {
	f := footprint{Resident: resident()}
	runtime.GC()
	debug.FreeOSMemory() // once more, with its sweep complete
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.Heap, f.Stacks = int64(m.HeapInuse), int64(m.StackInuse)
	return f
}

// resident is VmRSS, where there is such a thing.
func resident() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kilobytes int64
	_, _ = fmt.Sscan(rest, &kilobytes)
	return kilobytes << 10
}

// idleStreams opens so many streams through a proxy and tells what its process uses then.
func idleStreams(tb testing.TB, role string, streams int) footprint {
	tb.Helper()
	start := make(chan struct{})
	p := startProxy(tb, role, listen(tb, streaming(start)))
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	prompt := strings.Replace(streamBody, `"content":"`, `"content":"`+strings.Repeat("long ", 4000), 1)
	if len(prompt) < 20_000 {
		tb.Fatalf("the prompt is short: %s", prompt)
	}
	var open sync.WaitGroup
	for range streams {
		resp := openStream(tb, client, p.addr, prompt)
		open.Go(func() {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		})
	}
	uses := p.memory(tb)
	close(start)
	open.Wait()
	return uses
}

// tenThousand is how many streams the bound speaks of, and fits how many of them the limit of open files lets us measure: the proxy
// needs two for each.
const tenThousand = 10_000

func fits(tb testing.TB) int {
	tb.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		tb.Fatal(err)
	}
	return int(min(tenThousand, (limit.Cur-100)/2))
}

const megabyte = 1_000_000

// TestIdleStreams holds 10 000 idle streams to 500 MB. Most of it is net/http's: the stacks of four goroutines, and 12 KB of buffers
// that no option of a server or transport makes smaller without a system call more for each request. A prompt does not stay in
// memory, however long it is.
func TestIdleStreams(t *testing.T) {
	if os.Getenv("LLMLIMIT_SOAK") == "" {
		t.Skip("it opens thousands of connections: set LLMLIMIT_SOAK=1")
	}
	streams := fits(t)
	uses := idleStreams(t, "llmlimit", streams)
	scaled := uses.inUse() * tenThousand / int64(streams)
	t.Logf("%d idle streams: %d in heap, %d in stacks, %d resident", streams, uses.Heap, uses.Stacks, uses.Resident)
	if scaled > 500*megabyte {
		t.Errorf("10 000 idle streams take %d bytes, expected at most 500 MB", scaled)
	}
}

// BenchmarkIdleStreams is the same beside a bare ReverseProxy.
func BenchmarkIdleStreams(b *testing.B) {
	streams := fits(b)
	scale := func(bytes int64) float64 { return float64(bytes) / megabyte * tenThousand / float64(streams) }
	var ours, theirs footprint
	for b.Loop() {
		ours, theirs = idleStreams(b, "llmlimit", streams), idleStreams(b, "bare", streams)
	}
	b.ReportMetric(scale(ours.Stacks), "stack-MB")
	b.ReportMetric(scale(ours.Resident), "resident-MB")
	b.ReportMetric(scale(theirs.inUse()), "reverseproxy-MB")
	b.ReportMetric(scale(theirs.Resident), "reverseproxy-resident-MB")
	benchmark.AtMost(b, "proxy: 10 000 idle streams, heap and stacks", scale(ours.inUse()), 500, " MB")
}
