package llmapi

import (
	"bytes"
	"strings"
	"sync"
)

// responseReader is how a dialect reads responses: one table row of what differs, and a function for what is inside.
type responseReader struct {
	// read reads one event or document into e. It consumes the whole value at hand.
	read func(e *event)
	// merges: the usages of a stream complete each other, field by field. Elsewhere the last one replaces the others.
	merges bool
	// doneEnds: the stream ends with [DONE], or with an event of usage and nothing else once every choice has finished.
	doneEnds bool
	// bodyEnds: the end of the body is the end, once every choice has finished.
	bodyEnds bool
	// end writes the end of a stream for a client, if the dialect can.
	end func(m *meter, e StreamEnd) []byte
}

// newMeter is the Meter of every dialect.
func newMeter(spec *responseReader, o MeterOptions) Meter {
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.MaxEvent <= 0 {
		o.MaxEvent = DefaultMaxEvent
	}
	if o.MaxDecoded <= 0 {
		o.MaxDecoded = DefaultMaxDecoded
	}
	m := &meter{spec: spec, o: o}
	if o.Encoding == "" {
		return m
	}
	return decoded(o.Encoding, m, o.MaxDecoded)
}

// meter reads one response. The first bytes decide what it is, because providers send event streams as JSON and JSON as
// event streams; then a splitter cuts it into events, or the whole is kept (capped) and read at the end.
type meter struct {
	spec *responseReader
	o    MeterOptions

	bom    int      // bytes of a byte order mark seen so far
	stream splitter // nil until the form is decided, and for a document
	doc    bool     // the form is decided and it is one document
	body   []byte
	over   bool // the body is larger than its cap

	t tally

	closed  bool
	reading Reading
}

// splitter cuts a stream into events.
type splitter interface {
	// write takes the next bytes.
	write(p []byte)
	// close tells whether the stream ended where it may, in its outer form.
	close() bool
}

// tally is what the events so far have said together.
type tally struct {
	usage Usage
	some  bool // a usage was given, valid or not
	valid bool // the last one given was valid
	sum   apart
	// provisional: the usage so far still needs the event that completes it.
	provisional bool
	// lost is why an event could not be read that may have held the usage.
	lost    Missing
	content int64
	// ended: the terminal event was seen; failed: an error event was.
	ended, failed     bool
	choices, finished choiceSet
	open              int64 // index of the open content block, plus 1
}

func (m *meter) Write(p []byte) (int, error) {
	rest := p
	if m.stream == nil && !m.doc {
		rest = m.decide(p)
	}
	switch {
	case len(rest) == 0 || m.over || m.closed:
	case m.stream != nil:
		m.stream.write(rest)
	case len(m.body)+len(rest) > m.o.MaxBody:
		m.over, m.body = true, nil
	default:
		m.body = append(m.body, rest...)
	}
	return len(p), nil
}

var (
	byteOrderMark = []byte("\xEF\xBB\xBF")
	fieldStarts   = []byte(":deir") // a comment, data, event, id, retry: no JSON that is a response begins so
)

// decide passes white space and a byte order mark in front of the response, and chooses its form by the first byte
// that says something. It returns what is left of p.
func (m *meter) decide(p []byte) []byte {
	for i, c := range p {
		switch {
		case m.bom < len(byteOrderMark) && c == byteOrderMark[m.bom]:
			m.bom++
			continue
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			continue
		case c == 0:
			// A length below 16 MiB, the most that a frame may have: its first byte is always 0.
			m.stream = &frameSplitter{limit: m.o.MaxEvent, take: m.take, lose: m.lose}
		case c == '[':
			m.stream = &arraySplitter{limit: m.o.MaxEvent, take: m.take, lose: m.lose}
		case c == '{':
			m.doc = true
		case bytes.IndexByte(fieldStarts, c) >= 0 || strings.HasPrefix(m.o.ContentType, "text/event-stream"):
			m.stream = &lineSplitter{limit: m.o.MaxEvent, take: m.take, lose: m.lose}
		default:
			m.doc = true // and not a readable one
		}
		return p[i:]
	}
	return nil
}

var doneMark = []byte("[DONE]")

// take reads one whole event. Nothing of it counts if it is not valid to its end.
func (m *meter) take(name string, data []byte) {
	if bytes.HasPrefix(data, doneMark) {
		m.t.ended = m.t.ended || m.spec.doneEnds
		return
	}
	if name == "error" {
		m.t.failed = true
	}
	e, _ := events.Get().(*event)
	defer events.Put(e)
	*e = event{jsonReader: jsonReader{data: data, scratch: e.scratch, deep: e.deep[:0]}, name: name, document: m.doc}
	m.spec.read(e)
	if e.end() == nil {
		m.t.add(e, m.spec, m.o.JSONPaths)
	} else {
		m.lose(MissingUnreadable)
	}
	*e = event{jsonReader: jsonReader{scratch: e.scratch, deep: e.deep}} // the caller's bytes are not ours to keep
}

// events are used by one event at a time: most streams wait for one most of the time, and need no memory for it.
var events = sync.Pool{New: func() any { return new(event) }}

// lose notes that an event could not be read. Behind the end of a stream, or an error, nothing can be lost.
func (m *meter) lose(why Missing) {
	if !m.t.ended && !m.t.failed {
		m.t.lost = why
	}
}

// add takes over what a valid event said.
func (t *tally) add(e *event, spec *responseReader, paths []string) {
	t.content = max(t.content+e.content, e.repeated)
	t.choices.merge(e.choices)
	t.finished.merge(e.finished)
	t.failed = t.failed || e.failed
	switch {
	case e.opens:
		t.open = e.block + 1
	case e.closes:
		t.open = 0
	}
	given := t.take(e, spec, paths)
	usageOnly := given && t.valid && e.choices.empty()
	trailing := e.trailing || spec.doneEnds && usageOnly && !t.choices.empty()
	if e.terminal || trailing && t.finished.covers(t.choices) {
		t.ended = true
	}
}

// take takes over the usage of an event and tells whether it gave one. Null and {} are none.
func (t *tally) take(e *event, spec *responseReader, paths []string) bool {
	c := e.counts
	switch {
	case len(paths) > 0:
		c = fromPaths(e.data, paths)
	case spec.merges:
		if e.apart.some || e.apart.bad {
			t.sum.merge(e.apart.counts)
			c = t.sum.together()
			t.provisional = e.provisional && (t.provisional || !t.some)
		} else {
			c = counts{}
		}
	}
	if !c.some && !c.bad {
		return false
	}
	u, valid := c.usage()
	t.some, t.valid = true, valid
	if valid {
		t.usage = u
		if !spec.merges {
			t.lost = "" // this usage is of now: whatever was lost before it could not have said more
		}
	}
	return true
}

func (m *meter) Content() int64 { return m.t.content }

func (m *meter) Close() Reading {
	if m.closed {
		return m.reading
	}
	m.closed = true
	byBody := false
	switch {
	case m.stream != nil:
		whole := m.stream.close()
		if m.spec.bodyEnds && whole && !m.t.choices.empty() && m.t.finished.covers(m.t.choices) {
			byBody = !m.t.ended && !m.t.failed
			m.t.ended = true
		}
	case m.over:
		m.t.lost = MissingTooLarge
	case m.doc:
		if m.take("", m.body); m.t.lost == "" {
			m.t.ended = true
		}
	}
	m.body = nil
	m.reading = m.t.reading()
	m.reading.Streamed, m.reading.ByBody = m.stream != nil, byBody
	return m.reading
}

// reading says what may be charged. An error event is an end too: the usage so far is then the final one.
func (t *tally) reading() Reading {
	g := Reading{Usage: t.usage, ContentBytes: t.content, Complete: t.ended || t.failed, Failed: t.failed}
	switch {
	case t.lost != "":
		g.Why = t.lost
	case !g.Complete:
		g.Why = MissingTruncated
	case t.some && !t.valid:
		g.Why = MissingInvalid
	case !t.some || t.provisional && !t.failed:
		g.Why = MissingAbsent
	default:
		g.Reported = true
	}
	return g
}

// EndStream implements [StreamEnder].
func (m *meter) EndStream(e StreamEnd) []byte {
	if _, sse := m.stream.(*lineSplitter); !sse || m.spec.end == nil {
		return nil
	}
	return m.spec.end(m, e)
}
