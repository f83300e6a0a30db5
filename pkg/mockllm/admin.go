package mockllm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	adminPrefix = "/__mock/"
	maxAdmin    = 16 << 20
	maxWait     = 5 * time.Minute
)

// Admin is the admin API under /__mock/: journal, plans, queues, barriers, clock, metrics. It has no credentials of its own:
// listen on loopback.
func (m *Mock) Admin() http.Handler {
	mux := http.NewServeMux()
	known := make([]string, 0, 16)
	for _, row := range []struct {
		pattern string
		answer  http.HandlerFunc
	}{
		{"GET /__mock/clock", m.adminClock},
		{"GET /__mock/faults", m.adminFaults},
		{"GET /__mock/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }},
		{"POST /__mock/hold", m.adminHold},
		{"GET /__mock/journal", m.adminJournal},
		{"GET /__mock/metrics", m.adminMetrics},
		{"GET /__mock/plans", m.adminPlans},
		{"DELETE /__mock/plans/{id}", m.adminDropPlan},
		{"PUT /__mock/plans/{id}", m.adminSetPlan},
		{"POST /__mock/queue", m.adminQueue},
		{"DELETE /__mock/queue", m.adminDropQueue},
		{"POST /__mock/queue/{name}", m.adminQueue},
		{"DELETE /__mock/queue/{name}", m.adminDropQueue},
		{"POST /__mock/release", m.adminRelease},
		{"POST /__mock/reset", m.adminReset},
	} {
		mux.HandleFunc(row.pattern, row.answer)
		known = append(known, row.pattern)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		asked := r.Method + " " + r.URL.Path
		err := fmt.Errorf("%s is not known%s, expected one of %s", asked, didYouMean(asked, known), strings.Join(known, ", "))
		adminError(w, http.StatusNotFound, err)
	})
	return mux
}

// adminClock tells the mock's time, for a judge in another process.
func (m *Mock) adminClock(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]int64{"now_ns": m.opts.Now().UnixNano()})
}

func (m *Mock) adminFaults(w http.ResponseWriter, _ *http.Request) {
	out := map[string]string{}
	for _, f := range Faults() {
		out[f.Name] = f.Doc
	}
	writeJSON(w, http.StatusOK, out)
}

// adminJournal answers with one entry for an id, the latest, or with a page of all. With wait it waits until no request with
// the id is unfinished; with all it answers with a page of every attempt of the id.
func (m *Mock) adminJournal(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	id := q.Get("id")
	after, err := optionalUint(q.Get("after"))
	if err != nil {
		adminError(w, http.StatusBadRequest, fmt.Errorf("after=%q: expected the seq of an entry", q.Get("after")))
		return
	}
	if wait := q.Get("wait"); wait != "" {
		if err := m.adminWait(r.Context(), id, wait); err != nil {
			status := http.StatusBadRequest
			if errors.Is(err, context.DeadlineExceeded) {
				status = http.StatusNotFound
			}
			adminError(w, status, err)
			return
		}
	}
	entries := m.journal.since(after)
	if id != "" {
		entries = m.journal.ByID(id)
		for len(entries) > 0 && entries[0].Seq <= after {
			entries = entries[1:]
		}
	}
	switch {
	case id == "" || q.Has("all"):
		writeJSON(w, http.StatusOK, journalPage{Entries: entries, Dropped: m.journal.Dropped()})
	case len(entries) == 0:
		adminError(w, http.StatusNotFound, fmt.Errorf("no request with id %q was received", id))
	default:
		writeJSON(w, http.StatusOK, entries[len(entries)-1])
	}
}

// journalPage is a list of entries, oldest first, and how many older ones are gone.
type journalPage struct {
	Entries []Entry `json:"entries"`
	Dropped uint64  `json:"dropped"`
}

func (m *Mock) adminWait(ctx context.Context, id, wait string) error {
	d, err := time.ParseDuration(wait)
	if err != nil || d < 0 || d > maxWait || id == "" {
		return fmt.Errorf("wait=%q: expected an id and a duration up to %v", wait, maxWait)
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	_, err = m.journal.wait(ctx, id)
	return err
}

func optionalUint(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

func (m *Mock) adminMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	m.metrics.write(w, m.Held(), m.journal.Dropped())
}

func (m *Mock) adminPlans(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	plans := make(map[string]Plan, len(m.plans)+1)
	maps.Copy(plans, m.plans)
	plans["default"] = m.plan
	m.mu.Unlock()
	writeJSON(w, http.StatusOK, plans)
}

func (m *Mock) adminSetPlan(w http.ResponseWriter, r *http.Request) {
	p, ok := readPlan(w, r)
	if !ok {
		return
	}
	if id := r.PathValue("id"); id == "default" {
		m.SetDefault(p)
	} else {
		m.SetPlan(id, p)
	}
	writeJSON(w, http.StatusOK, p)
}

func (m *Mock) adminDropPlan(w http.ResponseWriter, r *http.Request) {
	m.DropPlan(r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}

// adminQueue appends one plan or a list of plans.
func (m *Mock) adminQueue(w http.ResponseWriter, r *http.Request) {
	text, ok := readAdmin(w, r)
	if !ok {
		return
	}
	value, err := parseYAML(text)
	if err != nil {
		adminError(w, http.StatusBadRequest, err)
		return
	}
	items, isList := value.([]any)
	if !isList {
		items = []any{value}
	}
	plans := make([]Plan, 0, len(items))
	for i, item := range items {
		p, err := PlanFromValue(item)
		if err != nil {
			adminError(w, http.StatusBadRequest, fmt.Errorf("plan %d: %w", i+1, err))
			return
		}
		plans = append(plans, p)
	}
	m.Enqueue(r.PathValue("name"), plans...)
	writeJSON(w, http.StatusOK, map[string]int{"added": len(plans)})
}

func (m *Mock) adminDropQueue(w http.ResponseWriter, r *http.Request) {
	m.DropQueue(r.PathValue("name"))
	w.WriteHeader(http.StatusNoContent)
}

func (m *Mock) adminHold(w http.ResponseWriter, r *http.Request) {
	at := firstOf(r.URL.Query().Get("at"), "headers")
	if at != "headers" && at != "usage" {
		adminError(w, http.StatusBadRequest, fmt.Errorf("at=%q: expected headers or usage%s", at, didYouMean(at, words.hold)))
		return
	}
	m.Hold(at)
	writeJSON(w, http.StatusOK, map[string]int{"held": m.Held()})
}

func (m *Mock) adminRelease(w http.ResponseWriter, _ *http.Request) {
	held := m.Held()
	m.Release()
	writeJSON(w, http.StatusOK, map[string]int{"released": held})
}

func (m *Mock) adminReset(w http.ResponseWriter, r *http.Request) {
	switch what := firstOf(r.URL.Query().Get("what"), "all"); what {
	case "journal":
		m.journal.Reset()
	case "plans":
		m.resetPlans()
	case "queues":
		m.resetQueues()
	case "all":
		m.journal.Reset()
		m.reset()
		m.Release()
	default:
		near := didYouMean(what, []string{"journal", "plans", "queues", "all"})
		adminError(w, http.StatusBadRequest, fmt.Errorf("what=%q: expected journal, plans, queues or all%s", what, near))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func readPlan(w http.ResponseWriter, r *http.Request) (Plan, bool) {
	text, ok := readAdmin(w, r)
	if !ok {
		return Plan{}, false
	}
	p, err := ParsePlan(text)
	if err != nil {
		adminError(w, http.StatusBadRequest, err)
		return Plan{}, false
	}
	return p, true
}

func readAdmin(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAdmin))
	if err != nil {
		adminError(w, http.StatusBadRequest, fmt.Errorf("reading the request: %w", err))
		return nil, false
	}
	return text, true
}

func adminError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a client that has gone is no failure of the mock
}
