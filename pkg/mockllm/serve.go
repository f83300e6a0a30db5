package mockllm

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
)

// serve answers one request: read, understand, choose, compile, play, note.
func (m *Mock) serve(w http.ResponseWriter, r *http.Request) {
	if m.opts.Admin && strings.HasPrefix(r.URL.Path, adminPrefix) {
		m.Admin().ServeHTTP(w, r)
		return
	}
	recv := m.opts.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_, _, path := splitPrefix(r.URL.EscapedPath())
	a := readAsk(r.Method, r.URL, path, body)
	c := m.choose(r.Header, r.URL.Path, a, body)
	x := newExchange(a, c.plan, m.opts.Seed, c.name, m.opts.Created, len(body))

	sum := sha256.Sum256(body)
	e := Entry{
		ID: c.id, Channel: c.channel, Channels: c.channels, Queue: c.queue, QueueIndex: c.queueIndex,
		Recv: recv, RecvNS: recv.UnixNano(), Proto: r.Proto, Method: r.Method, Path: r.URL.RequestURI(),
		Header: redact(r.Header), BodyBytes: int64(len(body)), BodySHA256: hex.EncodeToString(sum[:]),
		Body: string(body[:min(len(body), keepBody)]), Dialect: a.dialect.name, Model: a.model, Stream: a.stream,
		IncludeUsage: a.includeUsage, MaxTokens: a.maxTokens, Plan: x.plan, Usage: x.told,
	}
	m.journal.open(&e)
	m.metrics.begin()
	abort := false
	defer func() {
		m.metrics.done(&e)
		if abort {
			panic(http.ErrAbortHandler)
		}
	}()
	if err != nil {
		e.End, e.ClientGoneAt = "client_gone", &Place{}
		m.complete(&e)
		abort = true
		return
	}
	ans := m.answer(x, c.problem, apiKey(r.Header))
	e.Usage, e.Plan = x.told, x.plan
	abort = m.playOn(w, r, ans, &e, c.name)
}

// answer compiles the plan, unless the request is refused before it.
func (m *Mock) answer(x *exchange, problem error, key string) *answer {
	switch {
	case problem != nil:
		return refuse(x, http.StatusBadRequest, "mockllm: "+problem.Error(), nil)
	case x.ask.dialect == unknownDialect:
		return refuse(x, http.StatusNotFound, "mockllm: no provider answers at this path", nil)
	}
	verdict := m.limits.take(key, x.told.Total, m.opts.Now())
	if verdict.rejected != "" {
		return refuse(x, http.StatusTooManyRequests, verdict.rejected, verdict.headers(x.ask.dialect.name))
	}
	a := compile(x)
	for name, value := range verdict.headers(x.ask.dialect.name) {
		if _, given := x.plan.HTTP.Headers[name]; !given {
			a.header.Set(name, value)
		}
	}
	return a
}

// refuse is an error that no plan asked for.
func refuse(x *exchange, status int, message string, header map[string]string) *answer {
	x.plan = Plan{ID: x.plan.ID}
	a := &answer{x: x, declared: -1, status: status, header: http.Header{}}
	a.fail(message)
	a.segments = frame(&a.reply, &x.plan)
	a.headers()
	for name, value := range header {
		a.header.Set(name, value)
	}
	return a
}

// playOn plays the answer on the connection it needs and completes the journal's entry. It reports whether the handler must
// abort the connection.
func (m *Mock) playOn(w http.ResponseWriter, r *http.Request, ans *answer, e *Entry, name string) (abort bool) {
	rc := http.NewResponseController(w)
	ctx := r.Context()
	plain := &httpOutput{w: w, rc: rc, h2: r.ProtoMajor >= 2}
	var out output = plain
	if ans.needsRaw() && !plain.h2 {
		raw, rawCtx, err := openRaw(ctx, rc)
		if err != nil {
			e.End = "error: " + err.Error()
			m.complete(e)
			return true
		}
		defer raw.close()
		out, ctx = raw, rawCtx
	}
	p := newPlayer(m, ans, out, e.Recv, name)
	e.End = p.play(ctx)
	e.Sent, e.ClientGoneAt = p.finish(), p.gone
	m.complete(e)
	left := e.End == "client_gone" || e.End == "shutdown"
	return out == plain && (plain.aborted || left)
}

// complete stamps the end and hands the entry to the journal.
func (m *Mock) complete(e *Entry) {
	e.EndAt = m.opts.Now()
	e.EndNS = e.EndAt.UnixNano()
	m.journal.complete(*e)
}

// needsRaw reports whether net/http would refuse or repair this answer.
func (a *answer) needsRaw() bool {
	return a.x.plan.HTTP.Proto == "1.0" || a.declared >= 0
}

// secretHeaders are kept in the journal by name only.
var secretHeaders = []string{"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "X-Amz-Security-Token"}

func redact(h http.Header) http.Header {
	out := h.Clone()
	for name, values := range out {
		if slices.Contains(secretHeaders, name) {
			for i := range values {
				values[i] = "[redacted]"
			}
		}
	}
	return out
}
