package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// sentRequest is one request, from the intention to what came back.
type sentRequest struct {
	id    string // correlation id
	step  string // id of the step that sent it
	index int    // in the scenario's requests
	asked *suite.Request
	wire  client.Request
	path  string // without the query
	query string

	payment payment   // who pays for it, at a target by URL
	forget  func()    // makes the mock forget its plan
	ready   time.Time // just before it was sent; zero if it could not be made

	x           *client.Exchange // nil while under way
	bytes       int64            // of the body, as they came
	document    int64            // of the body, decoded
	contentType string           // of the response
	content     int64            // of text in the answer, as the client got it
	usage       *client.Usage    // what the client was told
	streamed    bool             // it came as events
	torn        bool             // it is no JSON to anybody, although it says so
	head        string           // of a request of a load: the headers of its response, a line each
	gaps        []time.Duration  // between its events, of a request of a load
	due         time.Time        // of a request of a load: when it was to be sent
	said        judge.Said       // by headers, or of its reason by the body
	seen        *suite.Response  // cached once nothing of it can change any more
}

// send runs the step's request as often as asked, in order.
func (l *lane) send(ctx context.Context, run *stepRun) error {
	for i := range max(1, run.bound.Repeat) {
		if i > 0 {
			if err := pause(ctx, l.w.gap(run.bound)); err != nil {
				return err
			}
		}
		s, err := l.sendOnce(ctx, run, run.raw)
		if err != nil {
			return err
		}
		for _, c := range l.expectations(run, s) {
			run.add(c)
		}
		if run.result.Outcome == Fail {
			return nil
		}
	}
	return nil
}

// written waits until the mock has put a request that is over into its journal: its
// client may have the last byte a moment before.
func (w *world) written(ctx context.Context, s *sentRequest) {
	if len(w.entries(s)) == 0 {
		return // it never came there
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	w.mock.wait(ctx, s.id)
}

// tick lies between a request and what follows it in virtual time. Without it the
// next request would be due at the very instant of the settlement, and no judge
// could say which of the two came first.
const tick = time.Nanosecond

// gap is the pause between two repetitions: by default the time that the target
// needs to settle.
func (w *world) gap(step *suite.Step) time.Duration {
	if step.Gap != nil {
		return *step.Gap
	}
	return w.settle()
}

func (w *world) settle() time.Duration {
	if t := w.cell.Target; t != nil && t.Settle != nil {
		return *t.Settle
	}
	return suite.DefaultSettle
}

// sendOnce makes one exchange with the request of a step.
func (l *lane) sendOnce(ctx context.Context, run *stepRun, raw *suite.Step) (*sentRequest, error) {
	bound, err := l.bind(raw)
	if err != nil {
		return nil, err
	}
	return l.exchange(ctx, run, bound.Send, leaving(bound.Cancel))
}

func leaving(c *suite.Cancel) client.Leave {
	if c == nil {
		return client.Leave{}
	}
	return client.Leave{
		AfterHeaders: c.AfterHeaders, AfterBytes: int64(c.AfterBytes), AfterEvents: c.AfterEvents, After: c.After,
	}
}

// exchange sends a request, waits for its end and keeps everything.
func (l *lane) exchange(ctx context.Context, run *stepRun, r *suite.Request, leave client.Leave) (*sentRequest, error) {
	s, err := l.w.prepare(r, run.result.ID, leave, time.Time{})
	if err != nil {
		return nil, err
	}
	run.result.Requests = append(run.result.Requests, s.index)
	l.w.deliver(ctx, s)
	l.last = s
	switch {
	case l.w.cell.Virtual:
		time.Sleep(tick) // by then everything that was due has happened
	case s.x.Outcome == client.Complete:
		l.w.written(ctx, s)
	}
	if dial, ok := errors.AsType[*net.OpError](s.x.Err); ok && dial.Op == "dial" {
		return nil, l.w.unreachable(s.x.Err) // not its answer, but our surroundings
	}
	if err := l.w.stranger(s, run.bound.Expect); err != nil {
		return nil, err
	}
	switch {
	case ctx.Err() != nil && s.x.Outcome == client.Failed:
		return nil, context.Cause(ctx) // the run was stopped, not the request
	case s.x.Outcome == client.Timeout && run.bound.Expect == nil:
		return nil, context.Cause(ctx)
	}
	return s, nil
}

// prepare builds a request, tells the mock its plan and enters it into the cell's
// list, so that it is known even if it never ends.
func (w *world) prepare(r *suite.Request, step string, leave client.Leave, due time.Time) (*sentRequest, error) {
	w.mu.Lock()
	w.counter++
	s := &sentRequest{id: w.requestID(w.counter), step: step, asked: r, index: len(w.sent), due: due}
	w.sent = append(w.sent, s)
	w.mu.Unlock()

	plan := mockllm.Plan{}
	if r.Plan != nil {
		plan = w.plan(r.Plan, s.id)
	}
	forget := w.tell(s.id, plan)
	payment, err := w.payment(r)
	if err != nil {
		return nil, err
	}
	wire, err := w.request(r, s.id, payment)
	if err != nil {
		return nil, err
	}
	wire.Leave = leave
	u, err := url.Parse(wire.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the URL of a request: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.forget, s.payment, s.wire, s.path, s.query, s.ready = forget, payment, wire, u.EscapedPath(), u.RawQuery, time.Now()
	return s, nil
}

// deliver makes the exchange of a prepared request and keeps of it what later looks
// will need. From then on nothing of the request changes any more.
func (w *world) deliver(ctx context.Context, s *sentRequest) {
	x := w.client.Do(ctx, s.wire)
	s.forget()
	said := judge.ReadSaid(x.Header, x.Headers.UnixNano())
	said.Reason = first(said.Reason, x.Reason())
	contentType := x.Header.Get("Content-Type")
	content, usage := client.ContentBytes(x.Body, contentType), x.Usage()
	w.mu.Lock()
	defer w.mu.Unlock()
	s.x, s.said, s.usage = x, said, usage
	s.bytes, s.document, s.content = int64(len(x.Raw)), int64(len(x.Body)), content
	s.contentType, s.streamed, s.torn = contentType, len(x.Events) > 0, torn(x)
	if !s.due.IsZero() {
		s.lighten()
	}
}

// sentNow are all requests up to now, in order. Of one that is under way there is a
// copy, since it is still being written to.
func (w *world) sentNow() []*sentRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Clone(w.sent)
	for i, s := range all {
		if s.x == nil {
			now := *s
			all[i] = &now
		}
	}
	return all
}

// plan is the mock's answer with every distribution drawn, by a seed that depends
// on the request and not on the order of sending.
func (w *world) plan(p *suite.Plan, id string) mockllm.Plan {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return p.Draw(rand.New(rand.NewPCG(w.cell.Seed, h.Sum64()))) //nolint:gosec // reproducible on purpose
}

// request is what goes over the wire.
func (w *world) request(r *suite.Request, id string, p payment) (client.Request, error) {
	body, err := w.body(r, id)
	if err != nil {
		return client.Request{}, err
	}
	out := client.Request{
		Method: first(r.Method, http.MethodPost), URL: w.conn.URL() + p.path + r.Path, Header: http.Header{}, Body: body,
		Chunked: r.Framing == "chunked", ChunkSizes: r.ChunkSizes,
	}
	if r.Pace != nil {
		out.Pace = *r.Pace
	}
	if len(r.Query) > 0 {
		values := url.Values{}
		for name, value := range r.Query {
			values.Set(name, value)
		}
		separator := "?"
		if strings.Contains(out.URL, "?") {
			separator = "&"
		}
		out.URL += separator + values.Encode()
	}
	if r.JSON != nil {
		out.Header.Set("Content-Type", "application/json")
	}
	w.headers(out.Header, p.headers, r.Headers)
	if err := p.write(out.Header, r.Headers); err != nil {
		return client.Request{}, err
	}
	// The second name is for gateways that forward x-pass-* without the prefix.
	out.Header.Set("X-Llmlimit-Mock", "id="+id)
	if w.byURL() {
		out.Header.Set("X-Pass-X-Llmlimit-Mock", "id="+id)
	}
	return out, nil
}

// headers are those that every request has, with those of its limits and a request's
// own over them.
func (w *world) headers(to http.Header, own ...map[string]string) {
	for _, headers := range append([]map[string]string{w.cell.Target.Headers, w.o.Header}, own...) {
		for name, value := range headers {
			to.Set(name, value)
		}
	}
}

func (w *world) body(r *suite.Request, id string) ([]byte, error) {
	switch {
	case r.Body != nil:
		return []byte(*r.Body), nil
	case r.BodyFile != "":
		return w.suite.readFile(r.BodyFile)
	case r.JSON == nil:
		return nil, nil
	}
	value := w.lent(r.JSON.Value)
	if r.Stream != nil {
		if object, ok := value.(map[string]any); ok {
			object = maps.Clone(object)
			object["stream"] = *r.Stream
			value = object
		}
	}
	switch object, ok := value.(map[string]any); {
	case w.marks():
		value = marked(value, r.Path, id)
	case ok && w.byURL() && w.channel() == byModel: // for a gateway that passes unknown models on, and little else
		object = maps.Clone(object)
		object["model"] = id
		value = object
	}
	body, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("writing the JSON of a request: %w", err)
	}
	return body, nil
}

// lent is a JSON body with what target.body has and it has not.
func (w *world) lent(value any) any {
	object, ok := value.(map[string]any)
	if !ok || len(w.cell.Target.Body) == 0 {
		return value
	}
	body := maps.Clone(w.cell.Target.Body)
	maps.Copy(body, object)
	return body
}

// serveURL is where `llmlimit serve` listens unless told otherwise.
const serveURL = "http://127.0.0.1:8080"

// longestBody is how much of a body a shell is given.
const longestBody = 64 << 10

// curl is the request as a line for a shell, secrets masked. What a shell cannot
// do, such as leaving after two events, is said in a comment.
func (w *world) curl(s *sentRequest) string {
	var b strings.Builder
	b.WriteString("curl -sS -i")
	if s.wire.Method != http.MethodPost {
		b.WriteString(" -X " + s.wire.Method)
	}
	for _, name := range sortedKeys(s.wire.Header) {
		b.WriteString(" -H " + quote(strings.ToLower(name)+": "+strings.Join(s.wire.Header[name], ", ")))
	}
	if s.wire.Chunked {
		b.WriteString(" -H 'transfer-encoding: chunked'")
	}
	switch size := len(s.wire.Body); {
	case size > longestBody:
		fmt.Fprintf(&b, " --data-binary @- # a body of %d bytes on its standard input:", size)
	case size > 0:
		b.WriteString(" --data-binary " + quote(string(s.wire.Body)))
	}
	url := s.wire.URL
	if w.cell.Virtual { // nobody else can reach an address in memory
		url = serveURL + strings.TrimPrefix(url, w.conn.URL())
	}
	b.WriteString(" " + quote(url))
	if s.wire.Leave != (client.Leave{}) {
		b.WriteString("  # and leave early")
	}
	return w.secret(b.String())
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
