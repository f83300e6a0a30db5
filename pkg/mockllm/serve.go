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
	q, err := m.read(w, r)
	a := &q.ask
	key := apiKey(r.Header)
	c := m.choose(r.Header, r.URL.Path, key, *a, q.body)
	e := Entry{
		ID: c.id, Channel: c.channel, Channels: c.channels, Queue: c.queue, QueueIndex: c.queueIndex,
		Recv: recv, RecvNS: recv.UnixNano(), Proto: r.Proto, Method: r.Method, Path: q.uri,
		Header: q.header, BodyBytes: int64(len(q.body)), BodySHA256: q.sum,
		Body: beginning(q.body), Dialect: a.dialect.name, Model: a.model, Stream: a.stream,
		IncludeUsage: a.includeUsage, MaxTokens: a.maxTokens,
	}
	var ans *answer
	if err == nil {
		ans = m.answer(r.Method, q.path, *a, &c, len(q.body), key)
		e.Plan, e.Usage = ans.x.plan, ans.x.told
	} else {
		e.Plan = c.plan
	}
	m.journal.open(&e)
	m.metrics.begin()
	var ended result
	abort := false
	defer func() {
		m.metrics.done(&e, &ended)
		if abort {
			panic(http.ErrAbortHandler)
		}
	}()
	if err != nil {
		ended = result{end: "client_gone", at: m.opts.Now(), gone: &Place{}}
		m.journal.complete(e.Seq, &ended)
		abort = true
		return
	}
	abort = m.playOn(w, r, ans, &e, c.name, &ended)
}

// buffers are what bodies are read into.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// request is what was received, as the journal keeps it, and what was understood of it. It never changes.
type request struct {
	method, uri string // the URI with its query
	path        string // without query and prefix
	header      http.Header
	body, sum   string // and its SHA-256, in hex
	ask         ask
}

// read reads all of a request, as far as it comes. One that is the same as the last one, as in a load test, is not understood once
// more, and takes no memory of its own in the journal.
func (m *Mock) read(w http.ResponseWriter, r *http.Request) (*request, error) {
	const kept = 1 << 20
	buffer, _ := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= kept {
			buffers.Put(buffer)
		}
	}()
	buffer.Reset()
	source := r.Body
	if r.ContentLength < 0 || r.ContentLength > maxBody { // else it ends where it says
		source = http.MaxBytesReader(w, source, maxBody)
	}
	_, err := buffer.ReadFrom(source)
	raw := buffer.Bytes()
	uri := redactURI(r.URL.RequestURI())
	var header http.Header
	if !m.opts.OmitHeaders {
		header = redact(r.Header)
	}
	last, coding := m.last.Load(), acceptedCoding(r.Header)
	if last != nil && last.method == r.Method && last.uri == uri && last.body == string(raw) && last.ask.coding == coding &&
		maps.EqualFunc(last.header, header, slices.Equal) {
		return last, err
	}
	q := &request{method: r.Method, uri: uri, header: header, body: string(raw), sum: sumOf(raw)}
	_, _, q.path = splitPrefix(r.URL.EscapedPath())
	q.ask = readAsk(r.Method, r.URL, q.path, q.body)
	q.ask.coding = coding
	if len(q.body) <= keepBody { // of a larger one the journal keeps less
		m.last.Store(q)
	}
	return q, err
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
func (m *Mock) playOn(w http.ResponseWriter, r *http.Request, ans *answer, e *Entry, name string, ended *result) (abort bool) {
	ctx := r.Context()
	plain := &httpOutput{w: w, rc: *http.NewResponseController(w), h2: r.ProtoMajor >= 2}
	var out output = plain
	if ans.needsRaw() && !plain.h2 {
		raw, rawCtx, err := openRaw(ctx, &plain.rc)
		if err != nil {
			*ended = result{end: "error: " + err.Error(), at: m.opts.Now()}
			m.journal.complete(e.Seq, ended)
			return true
		}
		defer raw.close()
		out, ctx = raw, rawCtx
	}
	p := &player{m: m, a: ans, out: out, recv: e.Recv, name: name}
	end := p.play(ctx)
	*ended = result{end: end, at: m.opts.Now(), sent: p.finish(), gone: p.gone}
	m.journal.complete(e.Seq, ended)
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

// redactURI returns a URI without the credential that some providers take in its query, as in ?key=SECRET.
func redactURI(uri string) string {
	path, query, found := strings.Cut(uri, "?")
	if !found || !strings.Contains(query, "key=") {
		return uri
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		if name, _, _ := strings.Cut(part, "="); name == "key" || name == "api_key" || name == "api-key" {
			parts[i] = name + "=[redacted]"
		}
	}
	return path + "?" + strings.Join(parts, "&")
}

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
