package scenarios

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// expectations compares the step's own response with what it expects.
func (l *lane) expectations(run *stepRun, s *sentRequest) []Check {
	e := run.bound.Expect
	v := &verifier{w: l.w, run: run, s: s, r: l.w.response(s)}
	if e == nil {
		// Nothing is said of the answer, but there has to be one, unless the mock
		// itself gave none.
		if s.x.Status == 0 && s.x.Err != nil && !l.w.cutByMock(s) {
			v.add("send", run.raw.Pos, "an answer", s.x.Err.Error(), "no answer: "+s.x.Err.Error())
		}
		return v.checks
	}
	v.expect(e)
	return v.checks
}

// cutByMock tells whether the mock was told not to answer in full.
func (w *world) cutByMock(s *sentRequest) bool {
	entries := w.entries(s)
	return len(entries) > 0 && entries[len(entries)-1].End != "complete"
}

// verifier collects the checks of one expect.
type verifier struct {
	w      *world
	run    *stepRun
	s      *sentRequest
	r      *suite.Response
	checks []Check
}

// add enters a check; an empty message means that it holds.
func (v *verifier) add(text string, pos suite.Pos, expected, found, message string) {
	index := v.s.index
	c := Check{
		Kind: KindExpect, Text: text, File: pos.File, Line: pos.Line, Column: pos.Column, Outcome: Pass,
		Expected: v.w.secret(expected), Found: v.w.secret(shorten(found, 2000)), At: v.w.since(v.s.x.Ended), Request: &index,
	}
	if message != "" {
		c.Outcome, c.Message = Fail, v.w.secret(shorten(message, 2000))
	}
	v.checks = append(v.checks, c)
}

// match compares one value; a nil matcher expects nothing.
func (v *verifier) match(text string, m *suite.Matcher, found any) {
	if m == nil {
		return
	}
	ok, why := m.Match(found)
	message := ""
	if !ok {
		message = text + ": " + why
	}
	v.add(text+": "+m.Source, m.Pos, m.String(), fmt.Sprint(shown(found)), message)
}

// status compares the status, and says who gave one that was not expected.
func (v *verifier) status(m *suite.Matcher) {
	before := len(v.checks)
	v.match("status", m, v.r.Status)
	if len(v.checks) > before && v.checks[before].Outcome == Fail {
		v.checks[before].Message += v.w.secret(v.w.behind(v.s))
	}
}

func shown(found any) any {
	switch f := found.(type) {
	case suite.Absent:
		return "nothing"
	case *int64:
		if f == nil {
			return "nothing"
		}
		return *f
	case *time.Duration:
		if f == nil {
			return "nothing"
		}
		return *f
	}
	return found
}

// orAbsent is the value, or nothing where the text is empty.
func orAbsent(text string) any {
	if text == "" {
		return suite.Absent{}
	}
	return text
}

func (v *verifier) expect(e *suite.Expect) {
	r := v.r
	v.status(e.Status)
	v.match("reason", e.Reason, orAbsent(r.Reason))
	v.match("outcome", e.Outcome, r.Outcome)
	for _, name := range sortedKeys(e.Headers) {
		v.match("header "+strings.ToLower(name), e.Headers[name], headerValue(v.s.x.Header.Values(name)))
	}
	for _, name := range sortedKeys(e.Trailers) {
		v.match("trailer "+strings.ToLower(name), e.Trailers[name], headerValue(v.s.x.Trailer.Values(name)))
	}
	v.usage(e.Usage)
	if e.Bytes == "mock" {
		v.bytes(e)
	}
	for _, path := range sortedKeys(e.JSON) {
		v.match("json "+path, e.JSON[path], jsonValue(v.s.x.Body, path))
	}
	v.match("body", e.Body, r.Body)
	if e.Schema != nil {
		found, message := "", ""
		if err := e.Schema.Check(v.s.x.Body); err != nil {
			found, message = string(v.s.x.Body), "schema: "+err.Error()
		}
		v.add("schema: "+first(e.Schema.Name, "in place"), e.Schema.Pos, "", found, message)
	}
	v.match("limit", e.Limit, r.Limit)
	v.match("remaining", e.Remaining, r.Remaining)
	v.match("reset", e.Reset, r.Reset)
	v.match("retry-after", e.RetryAfter, r.RetryAfter)
	v.match("reserved", e.Reserved, r.Reserved)
	v.match("ttft", e.TTFT, r.TTFT)
	v.match("duration", e.Duration, r.Duration)
	v.match("upstream", e.Upstream, r.Upstream)
	if e.Stream != nil {
		v.stream(e.Stream)
	}
}

func headerValue(values []string) any {
	if len(values) == 0 {
		return suite.Absent{}
	}
	return strings.Join(values, ", ")
}

// jsonValue reads a gjson path. A body that is cut or is no JSON has no values:
// gjson would make a wrong number out of half a number.
func jsonValue(body []byte, path string) any {
	if !gjson.ValidBytes(body) {
		return suite.Absent{}
	}
	found := gjson.GetBytes(body, path)
	if !found.Exists() {
		return suite.Absent{}
	}
	if found.Type == gjson.Number {
		if n := found.Int(); found.Raw == fmt.Sprint(n) {
			return n
		}
		return found.Num
	}
	return found.Value()
}

func (v *verifier) usage(e *suite.UsageExpect) {
	if e == nil {
		return
	}
	told := v.r.Usage
	text := "nothing"
	if told != nil {
		text = fmt.Sprintf("in %d, out %d, total %d", told.In, told.Out, told.Total)
	}
	switch {
	case e.Absent:
		message := ""
		if told != nil {
			message = "usage: found " + text + ", expected nothing"
		}
		v.add("usage: absent", e.Pos, "nothing", text, message)
		return
	case e.Exists || told == nil:
		message := ""
		if told == nil {
			message = "usage: found nothing"
		}
		v.add("usage: exists", e.Pos, "any usage", text, message)
		if told == nil {
			return
		}
	}
	v.match("usage.in", e.In, told.In)
	v.match("usage.out", e.Out, told.Out)
	v.match("usage.total", e.Total, told.Total)
}

// bytes compares what the client got with what the mock wrote, byte for byte. The
// event that tells usage may be missing only if this client did not ask for it,
// and has to be then: the target asked.
func (v *verifier) bytes(e *suite.Expect) {
	const text = "bytes: mock"
	entries := v.w.entries(v.s)
	if len(entries) == 0 {
		v.add(text, e.Pos, "what the mock wrote", "", "bytes: the mock never saw this request")
		return
	}
	entry := &entries[len(entries)-1]
	wrote, whole := mockBytes(entry, v.s)
	got := v.s.x.Raw
	switch {
	case v.s.x.Outcome == client.Cancelled && bytes.HasPrefix(wrote, got):
		v.add(text, e.Pos, "", "", "")
	case whole && bytes.Equal(wrote, got):
		v.add(text, e.Pos, "", "", "")
	case !whole && digestOf(got) == entry.Sent.SHA256:
		v.add(text, e.Pos, "", "", "")
	default:
		at := commonPrefix(wrote, got)
		v.add(text, e.Pos, around(wrote, at), around(got, at), fmt.Sprintf(
			"bytes: the mock wrote %d, the client got %d; they part at byte %d: the mock wrote %s, the client got %s",
			len(wrote), len(got), at, around(wrote, at), around(got, at)))
	}
}

// mockBytes is what the client should have got of what the mock wrote, and whether
// the journal has all of it.
func mockBytes(entry *mockllm.Entry, s *sentRequest) (wrote []byte, whole bool) {
	wrote = entry.Sent.Body
	whole = int64(len(wrote)) == entry.Sent.Bytes
	asked := gjson.GetBytes(s.wire.Body, "stream_options.include_usage").Bool()
	if cut := entry.Sent.UsageEvent; cut != nil && !asked && whole {
		wrote = append(append([]byte(nil), wrote[:cut.From]...), wrote[cut.To:]...)
	}
	return wrote, whole
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// around shows a few bytes about a place.
func around(b []byte, at int) string {
	if at >= len(b) {
		return "its end"
	}
	return fmt.Sprintf("%q", b[at:min(len(b), at+40)])
}

// stream looks at the events and at their instants.
func (v *verifier) stream(e *suite.StreamExpect) {
	x := v.s.x
	v.match("stream.events", e.Events, int64(len(x.Events)))
	v.order(e.Order)
	if e.First != nil {
		v.match("stream.first", e.First, instant(x.Sent, x.Headers))
	}
	var widest, last time.Duration
	for i := 1; i < len(x.Events); i++ {
		last = x.Events[i].At.Sub(x.Events[i-1].At)
		widest = max(widest, last)
	}
	v.match("stream.max-gap", e.MaxGap, widest)
	v.match("stream.last-gap", e.LastGap, last)
	v.match("stream.done", e.Done, finished(x))
	if e.Dropped != nil || e.BeforeEnd != nil {
		v.againstMock(e)
	}
	for _, path := range sortedKeys(e.JSON) {
		v.anyEvent(path, e.JSON[path])
	}
}

func instant(from, at time.Time) any {
	if at.IsZero() {
		return suite.Absent{}
	}
	return at.Sub(from)
}

// finished tells whether the terminal event of one of the dialects came.
func finished(x *client.Exchange) bool {
	for _, event := range x.Events {
		if strings.TrimSpace(event.Data) == "[DONE]" {
			return true
		}
		switch gjson.Get(event.Data, "type").String() {
		case "message_stop", "response.completed", "response.incomplete", "response.failed":
			return true
		}
		if gjson.Get(event.Data, "candidates.0.finishReason").String() != "" {
			return true
		}
	}
	return false
}

// order finds events in the given order, others between them allowed.
func (v *verifier) order(expected []*suite.Matcher) {
	at := 0
	for _, m := range expected {
		found := false
		for ; at < len(v.s.x.Events) && !found; at++ {
			event := v.s.x.Events[at]
			byName, _ := m.Match(orAbsent(event.Name))
			byData, _ := m.Match(event.Data)
			found = byName || byData
		}
		message := ""
		if !found {
			message = fmt.Sprintf("stream.order: no event after those before it is %s", m)
		}
		v.add("stream.order: "+m.Source, m.Pos, m.String(), "", message)
	}
}

// againstMock compares with the journal: events that were lost on the way, and
// whether anything came before the mock was done.
func (v *verifier) againstMock(e *suite.StreamExpect) {
	entries := v.w.entries(v.s)
	if len(entries) == 0 {
		v.match("stream.dropped", e.Dropped, suite.Absent{})
		v.match("stream.before-end", e.BeforeEnd, suite.Absent{})
		return
	}
	entry := &entries[len(entries)-1]
	wrote, _ := mockBytes(entry, v.s)
	v.match("stream.dropped", e.Dropped, int64(client.CountEvents(wrote)-len(v.s.x.Events)))
	early := int64(0)
	for _, event := range v.s.x.Events {
		if event.At.Before(entry.Sent.Last) {
			early++
		}
	}
	v.match("stream.before-end", e.BeforeEnd, early)
}

// anyEvent holds if one event has the value; absent holds if none has any.
func (v *verifier) anyEvent(path string, m *suite.Matcher) {
	var found any = suite.Absent{}
	for _, event := range v.s.x.Events {
		value := jsonValue([]byte(event.Data), path)
		if _, absent := value.(suite.Absent); absent {
			continue
		}
		found = value
		if ok, _ := m.Match(value); ok {
			break
		}
	}
	v.match("stream.json "+path, m, found)
}
