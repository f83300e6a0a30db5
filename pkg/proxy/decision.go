package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

// mostDecisions bounds the reservations that can be settled by their id. Older ones settle by their lease, at cost.
const mostDecisions = 1 << 17

// decisions are the reservations of gateways that only ask. It is safe for concurrent use.
type decisions struct {
	engine *engine

	mu    sync.Mutex
	byID  map[limiter.ID]*decided
	order []limiter.ID // oldest first
}

// decided is a reservation that waits for its settlement, or had it.
type decided struct {
	until time.Time

	mu        sync.Mutex
	admission *admission
	result    *Settled
}

// Settled is the answer of POST /v1/settle. Amounts are tokens, of the largest token hold.
type Settled struct {
	ID        string `json:"id"`
	Reserved  int64  `json:"reserved"`
	Actual    int64  `json:"actual"`
	Refunded  int64  `json:"refunded"`
	Debited   int64  `json:"debited"`
	Duplicate bool   `json:"duplicate"` // settled before; the figures are those of the first time
}

func newDecisions(e *engine) *decisions {
	return &decisions{engine: e, byID: map[limiter.ID]*decided{}}
}

// DecisionHandler answers gateways that only ask, on a listener of its own: /v1/decision decides and reserves, POST /v1/settle
// gives back. It must never be public: who reaches it can settle what others reserved, if he guesses 128 bits.
func (p *Proxy) DecisionHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/decision", p.decide)
	mux.HandleFunc("/v1/decision/", p.decide)
	mux.HandleFunc("POST /v1/settle", p.decision.settle)
	return mux
}

// decide answers 200 or a rejection, with the headers of a bound reply. The original request is named by X-Original-Method and
// X-Original-URI, or by the method and what follows /v1/decision. Its cost is that of the body, or, without one, what
// X-Token-Estimate says and the default allowance.
func (p *Proxy) decide(w http.ResponseWriter, r *http.Request) {
	deny := 0
	if want := r.URL.Query().Get("deny"); want != "" {
		status, err := strconv.Atoi(want)
		if err != nil || status < 400 || status > 599 {
			writeText(w, http.StatusBadRequest, "deny is "+strconv.Quote(want)+", expected a status from 400 to 599\n")
			return
		}
		deny = status
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, p.cfg.MaxRequestBytes))
	if err != nil {
		writeText(w, http.StatusRequestEntityTooLarge, "the body could not be read whole\n")
		return
	}
	req, err := originalRequest(r, body)
	if err != nil {
		writeText(w, http.StatusBadRequest, err.Error()+"\n")
		return
	}
	began := p.cfg.Now()
	a := p.engine.admit(began, req) //nolint:contextcheck // what a panic leaves is given back, whether or not the client waits
	p.engine.metrics.decided(a, p.cfg.Now().Sub(began))
	p.answerDecision(r.Context(), w, a, deny)
}

// originalRequest is the request that a gateway asks about.
func originalRequest(r *http.Request, body []byte) (*request, error) {
	method := orDefault(r.Header.Get("X-Original-Method"), r.Method)
	uri := r.Header.Get("X-Original-Uri")
	if uri == "" {
		uri = strings.TrimPrefix(r.URL.RequestURI(), "/v1/decision")
	}
	if uri == "" || uri[0] == '?' {
		return nil, errors.New("no original URI: expected X-Original-URI, or /v1/decision/ORIGINAL/PATH")
	}
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil, fmt.Errorf("X-Original-URI: %w", err)
	}
	return &request{
		method: method, host: r.Host, path: cleanPath(u.Path), rawQuery: u.RawQuery,
		header: r.Header, peer: peerOf(r), body: body, bodiless: len(body) == 0,
	}, nil
}

func (p *Proxy) answerDecision(ctx context.Context, w http.ResponseWriter, a *admission, deny int) {
	h := w.Header()
	announce(h, a, originLimiter)
	rateHeaders(h, p.cfg.Now(), a)
	if no := a.refusal; no != nil {
		reply := a.dialect.Reject(no.Rejection)
		maps.Copy(h, reply.Header)
		no.retryHeaders(h)
		w.WriteHeader(orDefault(deny, reply.Status))
		_, _ = w.Write(reply.Body)
		return
	}
	if a.throttle > 0 {
		timer := time.NewTimer(a.throttle)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done(): // the answer is lost; the lease settles what it announced
		}
	}
	if a.enforced.open.Load() || a.shadow.open.Load() {
		id := a.enforced.id
		if !a.enforced.open.Load() {
			id = a.shadow.id
		}
		p.decision.keep(id, a)
		h.Set("X-Llmlimit-Reservation", id.String())
	}
	w.WriteHeader(http.StatusOK)
}

// keep remembers a reservation until its lease has ended.
func (d *decisions) keep(id limiter.ID, a *admission) {
	a.forget()
	now := d.engine.cfg.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.order) > 0 {
		oldest := d.byID[d.order[0]]
		if len(d.order) < mostDecisions && now.Before(oldest.until) {
			break
		}
		delete(d.byID, d.order[0])
		d.order = d.order[1:]
	}
	d.byID[id] = &decided{until: now.Add(d.engine.cfg.Lease), admission: a}
	d.order = append(d.order, id)
}

// settleRequest is the body of POST /v1/settle: the id of a reservation, and either the usage, in the form of any provider, or
// the status with which the upstream answered without one.
type settleRequest struct {
	ID     string          `json:"id"`
	Usage  json.RawMessage `json:"usage"`
	Status int             `json:"status"`
}

// settle answers POST /v1/settle. It is idempotent: a reservation settles once, and who asks again gets the first result.
func (d *decisions) settle(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		writeText(w, http.StatusRequestEntityTooLarge, "the body could not be read whole\n")
		return
	}
	var ask settleRequest
	if err := json.Unmarshal(body, &ask); err != nil {
		writeText(w, http.StatusBadRequest, "expected {\"id\": …, \"usage\": {…}}: "+err.Error()+"\n")
		return
	}
	id, err := limiter.ParseID(ask.ID)
	if err != nil {
		writeText(w, http.StatusBadRequest, "id: "+err.Error()+"\n")
		return
	}
	end, err := ask.ending()
	if err != nil {
		writeText(w, http.StatusBadRequest, err.Error()+"\n")
		return
	}
	d.mu.Lock()
	known := d.byID[id]
	d.mu.Unlock()
	if known == nil {
		writeText(w, http.StatusNotFound, "no such reservation, or its lease has ended\n")
		return
	}
	result, err := known.settle(r.Context(), d.engine, id, end)
	if err != nil {
		writeText(w, http.StatusServiceUnavailable, "the limiter's store failed\n")
		return
	}
	writeJSON(w, http.StatusOK, result)
}

// ending is how the asked-about exchange ended.
func (s *settleRequest) ending() (*ending, error) {
	end := &ending{outcome: OutcomeDone, status: orDefault(s.Status, http.StatusOK)}
	if len(s.Usage) == 0 || string(s.Usage) == "null" {
		if s.Status == 0 {
			return nil, errors.New("found neither usage nor status")
		}
		return end, nil
	}
	m := llmapi.Generic().Meter(llmapi.MeterOptions{ContentType: "application/json"})
	_, _ = m.Write([]byte(`{"usage":`))
	_, _ = m.Write(s.Usage)
	_, _ = m.Write([]byte(`}`))
	end.reading = m.Close()
	if !end.reading.Reported {
		return nil, fmt.Errorf("usage is %s, expected an object with token counts", end.reading.Why)
	}
	return end, nil
}

func (d *decided) settle(ctx context.Context, e *engine, id limiter.ID, end *ending) (Settled, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.result != nil {
		e.metrics.duplicates.Inc()
		again := *d.result
		again.Duplicate = true
		return again, nil
	}
	enforced, shadow := e.settle(context.WithoutCancel(ctx), d.admission, end)
	if err := errors.Join(enforced.err, shadow.err); err != nil {
		return Settled{}, err
	}
	out := Settled{ID: id.String(), Actual: enforced.actual, Duplicate: enforced.duplicate}
	if i := d.admission.enforced.largest(); i >= 0 && i < len(enforced.holds) {
		out.Reserved = d.admission.enforced.set.Holds[i].Cost
		out.Refunded, out.Debited = enforced.holds[i].Refunded, enforced.holds[i].Debited
	}
	d.result = &out
	return out, nil
}
