package mockllm

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// serve answers one request: read, understand, choose, compile, play, note.
func (m *Mock) serve(w http.ResponseWriter, r *http.Request) {
	if m.opts.Admin && strings.HasPrefix(r.URL.Path, adminPrefix) {
		m.Admin().ServeHTTP(w, r)
		return
	}
	recv := m.opts.Now()
	body, sum, err := readBody(w, r)
	_, _, path := splitPrefix(r.URL.EscapedPath())
	a := readAsk(r.Method, r.URL, path, body)
	key := apiKey(r.Header)
	c := m.choose(r.Header, r.URL.Path, key, a, body)
	e := &Entry{
		ID: c.id, Channel: c.channel, Channels: c.channels, Queue: c.queue, QueueIndex: c.queueIndex,
		Recv: recv, RecvNS: recv.UnixNano(), Proto: r.Proto, Method: r.Method, Path: r.URL.RequestURI(),
		Header: redact(r.Header), BodyBytes: int64(len(body)), BodySHA256: sum,
		Body: beginning(body), Dialect: a.dialect.name, Model: a.model, Stream: a.stream,
		IncludeUsage: a.includeUsage, MaxTokens: a.maxTokens,
	}
	var ans *answer
	if err == nil {
		ans = m.answer(r.Method, path, a, &c, len(body), key)
		e.Plan, e.Usage = ans.x.plan, ans.x.told
	} else {
		e.Plan = c.plan
	}
	m.journal.open(e)
	m.metrics.begin()
	abort := false
	defer func() {
		m.metrics.done(e)
		if abort {
			panic(http.ErrAbortHandler)
		}
	}()
	if err != nil {
		m.journal.complete(e, result{end: "client_gone", at: m.opts.Now(), gone: &Place{}})
		abort = true
		return
	}
	abort = m.playOn(w, r, ans, e, c.name)
}

// buffers are what bodies are read into.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readBody reads all of a body, as far as it comes, and sums it up.
func readBody(w http.ResponseWriter, r *http.Request) (body, sum string, err error) {
	const kept = 1 << 20
	buffer, _ := buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	_, err = buffer.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	body, sum = buffer.String(), sumOf(buffer.Bytes())
	if buffer.Cap() <= kept {
		buffers.Put(buffer)
	}
	return body, sum, err
}

// answer compiles the plan, unless the request is refused.
func (m *Mock) answer(method, path string, a ask, c *choice, bodyBytes int, key string) *answer {
	fresh := func() *exchange { return newExchange(a, c.plan, m.opts.Seed, c.name, m.opts.Created, bodyBytes) }
	switch {
	case c.problem != nil:
		return refuse(fresh(), http.StatusBadRequest, "mockllm: "+c.problem.Error(), nil)
	case a.dialect == unknownDialect && c.plan.BodyRaw == "": // a plan that brings its own body needs no dialect
		return refuse(fresh(), http.StatusNotFound, nobody(method, path), nil)
	}
	ans := m.compiled(a, c, bodyBytes, fresh)
	verdict := m.limits.take(key, ans.told.Total, m.opts.Now)
	if verdict.rejected != "" {
		return refuse(fresh(), http.StatusTooManyRequests, verdict.rejected, verdict.headers(a.dialect.name))
	}
	if own := verdict.headers(a.dialect.name); len(own) > 0 {
		limited := *ans
		limited.header = ans.header.Clone()
		for name, value := range own {
			if _, given := ans.x.plan.HTTP.Headers[name]; !given {
				limited.header.Set(name, value)
			}
		}
		ans = &limited
	}
	return ans
}

// compiled is the plan's answer, from the cache if the same request was answered before.
func (m *Mock) compiled(a ask, c *choice, bodyBytes int, fresh func() *exchange) *answer {
	if !c.stored {
		return compile(fresh())
	}
	key := answerKey{ask: a, plan: c.name, version: c.version}
	if c.plan.Usage.Estimate != nil {
		key.body = bodyBytes
	}
	ans := m.answers.get(key)
	if ans == nil {
		ans = compile(fresh())
		m.answers.put(key, ans)
	}
	return ans
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
	a.seal()
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
			m.journal.complete(e, result{end: "error: " + err.Error(), at: m.opts.Now()})
			return true
		}
		defer raw.close()
		out, ctx = raw, rawCtx
	}
	p := &player{m: m, a: ans, out: out, recv: e.Recv, name: name}
	end := p.play(ctx)
	m.journal.complete(e, result{end: end, at: m.opts.Now(), sent: p.finish(), gone: p.gone})
	left := end == "client_gone" || end == "shutdown"
	return out == plain && (plain.aborted || left)
}

// needsRaw reports whether net/http would refuse or repair this answer.
func (a *answer) needsRaw() bool {
	return a.x.plan.HTTP.Proto == "1.0" || a.declared >= 0
}

// beginning is what the journal keeps of a request's body. A part must not keep the whole in memory.
func beginning(body string) string {
	if len(body) > keepBody {
		return strings.Clone(body[:keepBody])
	}
	return body
}

// secretHeaders are kept in the journal by name only.
var secretHeaders = []string{"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "X-Amz-Security-Token"}

// redact returns h without its secrets: h itself if it has none.
func redact(h http.Header) http.Header {
	if !slices.ContainsFunc(secretHeaders, func(name string) bool { return len(h[name]) > 0 }) {
		return h
	}
	out := maps.Clone(h)
	for _, name := range secretHeaders {
		if n := len(h[name]); n > 0 {
			out[name] = slices.Repeat([]string{"[redacted]"}, n)
		}
	}
	return out
}
