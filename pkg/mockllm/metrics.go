package mockllm

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// metrics are a few counters in the Prometheus text format. They are written by hand: a registry would be the largest part of
// the mock.
type metrics struct {
	mu       sync.Mutex
	requests map[requestLabels]int64
	in, out  int64 // tokens in usages that were wholly written
	bytes    int64
	inFlight int64
}

type requestLabels struct {
	dialect, end string
	status       int
}

func (m *metrics) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight++
}

func (m *metrics) done(e *Entry, r *result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests == nil {
		m.requests = map[requestLabels]int64{}
	}
	m.inFlight--
	m.requests[requestLabels{e.Dialect, r.end, r.sent.Status}]++
	if r.sent.UsageNS != 0 {
		m.in += e.Usage.In
		m.out += e.Usage.Out
	}
	m.bytes += r.sent.Bytes
}

func (m *metrics) write(w io.Writer, held int, dropped uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	family(w, "mockllm_requests_total", "counter", "Answered requests by dialect, status and end.")
	keys := slices.SortedFunc(maps.Keys(m.requests), func(a, b requestLabels) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	for _, k := range keys {
		fmt.Fprintf(w, "mockllm_requests_total{dialect=%q,status=\"%d\",end=%q} %d\n", k.dialect, k.status, k.end, m.requests[k])
	}
	family(w, "mockllm_tokens_total", "counter", "Tokens in usages that were wholly written.")
	fmt.Fprintf(w, "mockllm_tokens_total{kind=\"in\"} %d\nmockllm_tokens_total{kind=\"out\"} %d\n", m.in, m.out)
	for _, g := range []struct {
		name, kind, help string
		value            int64
	}{
		{"mockllm_sent_bytes_total", "counter", "Body bytes written.", m.bytes},
		{"mockllm_in_flight", "gauge", "Requests being answered.", m.inFlight},
		{"mockllm_held", "gauge", "Answers that wait at a barrier.", int64(held)},
		{"mockllm_journal_dropped_total", "counter", "Entries pushed out of the journal.", int64(dropped)},
	} {
		family(w, g.name, g.kind, g.help)
		fmt.Fprintf(w, "%s %d\n", g.name, g.value)
	}
}

func family(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}
