package mockllm

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// segment is what is written and flushed at once, and how long before it to wait.
type segment struct {
	data    []byte
	wait    time.Duration
	usage   span // of the final usage in data; empty if it is elsewhere
	asked   span // of the event that is there only because usage was asked for, without the comments around it
	content bool // carries a piece of the text
	index   int  // of the event it came from
}

// frame turns the events of a reply into segments, each with its event's own range, which is forgotten where nobody asked for it.
func frame(r *reply, p *Plan) []segment {
	segments := make([]segment, 0, len(r.events))
	f := newSSEFrame(r, p)
	for i := range r.events {
		e := &r.events[i]
		var s segment
		switch r.framing {
		case frameBody:
			s = segment{data: e.data, usage: e.usage, asked: span{0, len(e.data)}}
		case frameSSE:
			s = f.event(e, i, len(r.events))
		case frameArray:
			s = arrayItem(e, i, len(r.events))
		case frameAWS:
			if r.wrapped {
				e = wrapped(e)
			}
			s = awsFrame(e, "event")
		}
		if !e.final {
			s.usage = span{}
		}
		if !e.asked || !tellsUsage(e.data) {
			s.asked = span{}
		}
		s.content, s.index = e.content, i
		segments = append(segments, s)
	}
	return segments
}

// tellsUsage reports whether anybody can see that data is usage and nothing else. A chunk of null, or one that a fault has
// disguised, could be there for another reason: nobody may take it out.
func tellsUsage(data []byte) bool {
	return gjson.ValidBytes(data) && gjson.GetBytes(data, "usage").IsObject() && gjson.GetBytes(data, "choices.#").Int() == 0
}

// sseFrame writes events as lines.
type sseFrame struct {
	eol, colon, comment       string
	comments                  string
	commentEvery              int
	eventLine, idLine, retryL bool
	autoEvent                 bool
}

func newSSEFrame(r *reply, p *Plan) sseFrame {
	f := sseFrame{eol: "\n", colon: ": ", comments: p.SSE.Comments, autoEvent: true}
	if r.eol != "" {
		f.eol = r.eol
	}
	switch p.SSE.EOL {
	case "lf":
		f.eol = "\n"
	case "crlf":
		f.eol = "\r\n"
	case "cr":
		f.eol = "\r"
	}
	if p.SSE.Space != nil && !*p.SSE.Space {
		f.colon = ":"
	}
	f.comment = ": keep-alive" + f.eol
	if n, ok := strings.CutPrefix(p.SSE.Comments, "every:"); ok {
		f.commentEvery, _ = strconv.Atoi(n)
	} else if p.SSE.Comments == "between" {
		f.commentEvery = 1
	}
	switch p.SSE.EventLines {
	case "never":
		f.autoEvent = false
	case "always":
		f.eventLine = true
	case "id":
		f.idLine = true
	case "retry":
		f.retryL = true
	case "all":
		f.eventLine, f.idLine, f.retryL = true, true, true
	}
	return f
}

func (f *sseFrame) event(e *event, i, n int) segment {
	b := builder{buf: make([]byte, 0, len(e.data)+len(e.name)+48)}
	line := func(field, value string) { b.add(field).add(f.colon).add(value).add(f.eol) }
	if f.comments == "first" && i == 0 || f.commentEvery > 0 && i%f.commentEvery == 0 {
		b.add(f.comment).add(f.eol)
	}
	start := len(b.buf)
	switch {
	case e.name != "" && f.autoEvent:
		line("event", e.name)
	case f.eventLine:
		line("event", "message")
	}
	if f.idLine {
		line("id", strconv.Itoa(i))
	}
	if f.retryL && i == 0 {
		line("retry", "3000")
	}
	if f.comments == "inside" {
		alone := len(b.buf) == start
		if b.add(f.comment); alone { // before the first line of the event it is none of it
			start = len(b.buf)
		}
	}
	// A line feed in the data starts another data line; the usage never contains one unless it was told raw.
	var usage span
	rest, offset := e.data, 0
	for more := true; more; {
		var text []byte
		text, rest, more = bytes.Cut(rest, []byte("\n"))
		b.add("data").add(f.colon)
		at := len(b.buf)
		if e.usage.from >= offset && e.usage.from <= offset+len(text) {
			usage.from = at + e.usage.from - offset
		}
		if e.usage.to > offset && e.usage.to <= offset+len(text) {
			usage.to = at + e.usage.to - offset
		}
		b.buf = append(b.buf, text...)
		b.add(f.eol)
		offset += len(text) + 1
	}
	b.add(f.eol)
	end := len(b.buf)
	if f.comments == "last" && i == n-1 {
		b.add(f.comment).add(f.eol)
	}
	return segment{data: b.buf, usage: usage, asked: span{start, end}}
}

// arrayItem is one element of a JSON array that is sent piece by piece, with its bracket or comma.
func arrayItem(e *event, i, n int) segment {
	before, after := ",\n", "\n"
	if i == 0 {
		before = "["
	}
	if i == n-1 {
		after = "]\n"
	}
	data := make([]byte, 0, len(e.data)+4)
	data = append(append(append(data, before...), e.data...), after...)
	s := segment{data: data, asked: span{0, len(data)}}
	if !e.usage.empty() {
		s.usage = span{e.usage.from + len(before), e.usage.to + len(before)}
	}
	return s
}

// awsFrame is one message of application/vnd.amazon.eventstream: lengths, a checksum of them, headers, payload, and a
// checksum of everything before it, all big endian.
func awsFrame(e *event, kind string) segment {
	var headers []byte
	header := func(name, value string) {
		const stringType = 7
		headers = append(append(headers, byte(len(name))), name...)
		headers = binary.BigEndian.AppendUint16(append(headers, stringType), uint16(len(value)))
		headers = append(headers, value...)
	}
	header(":"+kind+"-type", e.name)
	header(":content-type", jsonType)
	header(":message-type", kind)
	const prelude, checksum = 12, 4
	total := prelude + len(headers) + len(e.data) + checksum
	data := make([]byte, 0, total)
	data = binary.BigEndian.AppendUint32(data, uint32(total))
	data = binary.BigEndian.AppendUint32(data, uint32(len(headers)))
	data = binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(data))
	data = append(data, headers...)
	payload := len(data)
	data = append(data, e.data...)
	data = binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(data))
	s := segment{data: data, asked: span{0, len(data)}}
	if !e.usage.empty() {
		s.usage = span{e.usage.from + payload, e.usage.to + payload}
	}
	return s
}
