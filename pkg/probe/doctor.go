package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

// Examination is what a gateway does to requests and answers on the way.
type Examination struct {
	// Channels lists the control channels that arrived.
	Channels []string
	// ClientProto and UpstreamProto are the versions of HTTP on both sides.
	ClientProto, UpstreamProto string
	// Path is that of the request at the mock.
	Path string
	// Added, Removed, Changed are names of request headers.
	Added, Removed, Changed []string
	// Body says what became of the request's body; empty if it arrived byte for byte.
	Body []string
	// AsksForUsage: it adds include_usage to a stream that does not ask, and ShowsIt:
	// that event reaches the client.
	AsksForUsage, ShowsIt bool
	// Same: the answer reaches the client byte for byte, whole and as a stream.
	SameWhole, SameStream bool
	// WholeAs is the media type of a whole answer, if it is not JSON.
	WholeAs string
	// Buffers: nothing of a stream arrives before its end.
	Buffers bool
	// Compressed says what becomes of an answer that the client accepts in gzip.
	Compressed string
	// Told says what the client is told of the usage of a whole answer; empty if it is
	// what the mock said.
	Told string
	// Tries is how often the mock saw a request that it answered with 500.
	Tries int
	// Streams: the endpoint streams at all. If it does not, StreamAnswer is what a
	// request for a stream got.
	Streams      bool
	StreamAnswer string
	// Headers are the dialects of rate-limit headers that were seen.
	Headers []string
}

// Examine sends a few requests over every control channel and compares both ends.
// An error says which side is wrong if the first of them does not reach the mock.
func Examine(ctx context.Context, w *Wire) (*Examination, error) {
	d := &doctor{w: w, e: &Examination{}}
	for _, look := range []func(context.Context) error{d.first, d.stream, d.askedStream, d.compressed, d.failing, d.model} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	return d.e, nil
}

// Reach makes sure that a request passes the gateway, reaches the mock and is
// answered. An error says which side is wrong.
func Reach(ctx context.Context, w *Wire) error {
	return (&doctor{w: w, e: &Examination{}}).first(ctx)
}

type doctor struct {
	w *Wire
	e *Examination
}

// exchange is a request, as it left and as it arrived, and its answer both ways.
type exchange struct {
	sent    client.Request
	x       *client.Exchange
	entries []mockllm.Entry
}

// ask sends a chat completion whose answer follows a plan; over changes its body,
// headers its head.
func (d *doctor) ask(ctx context.Context, plan, over map[string]any, headers http.Header) (*exchange, error) {
	w := d.w
	id, err := w.spend(1)
	if err != nil {
		return nil, err
	}
	plan["usage"] = map[string]any{"in": int64(0), "out": int64(1)}
	p, err := mockllm.PlanFromValue(plan)
	if err != nil {
		return nil, fmt.Errorf("a plan of the doctor's is not valid: %w", err)
	}
	w.Mock.SetPlan(id, p)
	defer w.Mock.DropPlan(id)
	w.Mock.SetPlan(w.namespace(), p) // a gateway may have it in its configuration
	request, err := w.request(Question{Client: 1, Output: 16}, id)
	if err != nil {
		return nil, err
	}
	var body map[string]any
	if err := json.Unmarshal(request.Body, &body); err != nil {
		return nil, fmt.Errorf("reading a body of the doctor's: %w", err)
	}
	maps.Copy(body, over)
	if request.Body, err = json.Marshal(body); err != nil {
		return nil, fmt.Errorf("writing a body of the doctor's: %w", err)
	}
	maps.Copy(request.Header, headers)
	seen := len(w.Mock.Journal().Entries())
	x, err := w.do(ctx, request)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, 20*time.Millisecond); err != nil { // the mock writes its journal after the last byte
		return nil, err
	}
	entries := w.Mock.Journal().Entries()
	return &exchange{sent: request, x: x, entries: entries[min(seen, len(entries)):]}, nil
}

// first compares a whole request and its answer.
func (d *doctor) first(ctx context.Context) error {
	got, err := d.ask(ctx, map[string]any{}, nil, nil)
	if err != nil {
		return err
	}
	if len(got.entries) == 0 {
		return d.w.Way.Refused(got.x)
	}
	at := got.entries[len(got.entries)-1]
	if got.x.Status >= http.StatusMultipleChoices {
		return d.w.Way.Garbled(got.x, at.Sent.Status)
	}
	e := d.e
	e.ClientProto = got.x.Proto
	for _, rate := range judge.ReadSaid(got.x.Header, got.x.Headers.UnixNano()).Rates {
		e.Headers = append(e.Headers, rate.Source+" "+string(rate.Dimension))
	}
	for _, c := range at.Channels {
		if c != "default" {
			e.Channels = append(e.Channels, c)
		}
	}
	e.UpstreamProto, e.Path = at.Proto, at.Path
	e.Added, e.Removed, e.Changed = compareHeaders(got.sent.Header, at.Header)
	e.Body = compareBodies(got.sent.Body, []byte(at.Body))
	e.SameWhole = bytes.Equal(got.x.Raw, at.Sent.Body)
	if kind, _, _ := strings.Cut(got.x.Header.Get("Content-Type"), ";"); !strings.HasSuffix(kind, "json") {
		e.WholeAs = kind
	}
	switch told := got.x.Usage(); {
	case told == nil:
		e.Told = "not told to the client"
	case told.Total != at.Usage.Total:
		e.Told = fmt.Sprintf("changed: the mock said %d tokens, the client is told %d", at.Usage.Total, told.Total)
	}
	return nil
}

// ignored are headers that every hop writes for itself.
var ignored = []string{"Content-Length", "Connection", "Host", "Transfer-Encoding", "Te"}

func compareHeaders(sent, arrived http.Header) (added, removed, changed []string) {
	for _, name := range slices.Sorted(maps.Keys(arrived)) {
		switch {
		case slices.Contains(ignored, name):
		case sent[name] == nil:
			added = append(added, name)
		case !slices.Equal(sent[name], arrived[name]) && !strings.EqualFold(name, "Authorization"): // a journal hides credentials
			changed = append(changed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if arrived[name] == nil && !slices.Contains(ignored, name) {
			removed = append(removed, name)
		}
	}
	return added, removed, changed
}

// compareBodies says what differs between two JSON bodies.
func compareBodies(sent, arrived []byte) []string {
	if bytes.Equal(sent, arrived) {
		return nil
	}
	var a, b map[string]any
	if json.Unmarshal(sent, &a) != nil || json.Unmarshal(arrived, &b) != nil {
		return []string{"it is another body"}
	}
	var said []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		switch {
		case b[name] == nil && a[name] != nil:
			said = append(said, name+" is dropped")
		case !reflect.DeepEqual(a[name], b[name]):
			said = append(said, name+" is changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, had := a[name]; !had {
			said = append(said, name+" is added")
		}
	}
	if said == nil {
		return []string{"written again: the same fields in other bytes"}
	}
	return said
}

// slowly is a stream that takes a while, so that a buffer shows.
func slowly() map[string]any {
	return map[string]any{"content": map[string]any{"chunks": int64(6)}, "timing": map[string]any{"itl": "30ms"}}
}

// stream looks at a stream that does not ask for usage.
func (d *doctor) stream(ctx context.Context) error {
	got, err := d.ask(ctx, slowly(), map[string]any{"stream": true}, nil)
	if err != nil {
		return err
	}
	d.e.Streams = got.x.Status == http.StatusOK && len(got.x.Events) > 0
	if !d.e.Streams {
		d.e.StreamAnswer = got.x.Said()
	}
	if len(got.entries) == 0 {
		return nil
	}
	at := got.entries[len(got.entries)-1]
	d.e.AsksForUsage = at.IncludeUsage
	d.e.ShowsIt = at.IncludeUsage && got.x.Usage() != nil
	d.e.Buffers = len(got.x.Events) > 0 && !got.x.Events[0].At.Before(at.Sent.Last)
	return nil
}

// askedStream compares the bytes of a stream to which nobody has to add anything.
func (d *doctor) askedStream(ctx context.Context) error {
	got, err := d.ask(ctx, map[string]any{}, map[string]any{"stream": true, "stream_options": map[string]any{"include_usage": true}}, nil)
	if err == nil && len(got.entries) > 0 {
		d.e.SameStream = bytes.Equal(got.x.Raw, got.entries[len(got.entries)-1].Sent.Body)
	}
	return err
}

func (d *doctor) compressed(ctx context.Context) error {
	got, err := d.ask(ctx, map[string]any{"http": map[string]any{"encoding": "accepted"}}, nil, http.Header{"Accept-Encoding": {"gzip"}})
	if err != nil || len(got.entries) == 0 {
		return err
	}
	sent, arrived := got.entries[len(got.entries)-1].Plan.HTTP.Encoding, orDefault(got.x.Header.Get("Content-Encoding"), "none")
	switch {
	case sent == "none" && arrived == "none":
		d.e.Compressed = "are not asked for, and none came"
	case sent == "none":
		d.e.Compressed = "are not asked for; the gateway compresses by itself"
	case arrived == "none":
		d.e.Compressed = "are decompressed on the way"
	case arrived == sent:
		d.e.Compressed = "stay compressed"
	default:
		d.e.Compressed = fmt.Sprintf("come as %s and leave as %s", sent, arrived)
	}
	return nil
}

func (d *doctor) failing(ctx context.Context) error {
	got, err := d.ask(ctx, map[string]any{"http": map[string]any{"status": int64(500)}, "usage_at": "none"}, nil, nil)
	if err == nil {
		d.e.Tries = len(got.entries)
	}
	return err
}

// model tries the channel of last resort: the name of the model. A gateway that does
// not route by it passes it on.
func (d *doctor) model(ctx context.Context) error {
	name := orDefault(d.w.Model, "mock") + "--u1x1"
	got, err := d.ask(ctx, map[string]any{}, map[string]any{"model": name}, nil)
	if err == nil && len(got.entries) > 0 && got.entries[len(got.entries)-1].Model == name {
		d.e.Channels = append(d.e.Channels, "model")
	}
	return err
}

// channels are all control channels, those first that need least of a gateway and
// tell most. What stands behind is what a gateway has to do.
var channels = []struct{ name, missing string }{
	{"marker", "does not arrive: something rewrites the prompt"},
	{"header", "does not arrive: x-llmlimit-mock is not passed on"},
	{"model", "does not arrive: models are routed or renamed"},
	{"path", "is not configured: an upstream MOCK/p/NAME would be"},
	{"key", "is not configured: a key sk-mock-NAME for the upstream would be"},
	{"queue", ""},
}

// Control is the channel that a run uses: of those that arrive the first. The queue
// needs nothing but that the mock is reached.
func (e *Examination) Control() string {
	for _, channel := range channels {
		if slices.Contains(e.Channels, channel.name) {
			return channel.name
		}
	}
	return "queue"
}

// WriteText writes what was found, a line each. mock is the address that the
// gateway's upstream has.
func (e *Examination) WriteText(w io.Writer, mock, namespace string) {
	row := func(name, text string) { fmt.Fprintf(w, "%-20s %s\n", name, text) }
	row("mock", fmt.Sprintf("reached as %s by %s; the client speaks %s", e.Path, e.UpstreamProto, e.ClientProto))
	for _, channel := range channels {
		text := "arrives"
		if channel.name == "queue" {
			text = "needs nothing of the gateway; one request at a time"
		} else if !slices.Contains(e.Channels, channel.name) {
			text = strings.NewReplacer("MOCK", mock, "NAME", namespace).Replace(channel.missing)
		}
		if channel.name == e.Control() {
			text += "; a run uses it"
		}
		row("control: "+channel.name, text)
	}
	row("headers", fmt.Sprintf("added: %s; removed: %s; changed: %s", list(e.Added), list(e.Removed), list(e.Changed)))
	row("request body", orDefault(strings.Join(e.Body, "; "), "byte for byte"))
	switch {
	case !e.Streams:
		row("answer", e.whole())
		row("streams", "none came: a request for one gets "+e.StreamAnswer)
	default:
		row("answer", e.whole()+"; stream: "+same(e.SameStream))
		row("streams", map[bool]string{true: "buffered: nothing arrives before the end", false: "arrive as they are made"}[e.Buffers])
	}
	row("usage", orDefault(e.Told, "told as it is"))
	switch {
	case e.AsksForUsage && e.ShowsIt:
		row("include_usage", "added, and the event that it causes reaches a client that did not ask")
	case e.AsksForUsage:
		row("include_usage", "added, and the event that it causes is taken out again")
	default:
		row("include_usage", "not added: streams that do not ask have no usage to charge")
	}
	row("compressed answers", orDefault(e.Compressed, "the mock saw no request for one"))
	row("an upstream error", "is tried "+times(e.Tries))
	row("rate-limit headers", orDefault(strings.Join(e.Headers, ", "), "none"))
}

func list(names []string) string { return orDefault(strings.Join(names, " "), "none") }

func (e *Examination) whole() string {
	text := "whole: " + same(e.SameWhole)
	if e.WholeAs != "" {
		text += fmt.Sprintf(", as %s though no stream was asked for", e.WholeAs)
	}
	return text
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func same(ok bool) string {
	if ok {
		return "byte for byte"
	}
	return "written again"
}
