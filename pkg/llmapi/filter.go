package llmapi

import "bytes"

// maxHeld is the size up to which an event is held: one that is larger is more than usage.
const maxHeld = 64 << 10

// EventFilter takes whole events out of a stream of server-sent events and passes every other byte as it is, in order.
// An event is held until its blank line; comments between events are not held. It is not safe for concurrent use.
type EventFilter struct {
	drop func(data []byte) bool

	held []byte // the event so far
	line int    // bytes of the line at hand so far
	// passing tells that the line or event at hand need not be held; dropped that the last event was dropped.
	passing, comment, dropped bool
	afterCR                   bool // a LF that comes next belongs to the line before it
}

// NewEventFilter returns a filter that takes out each event whose data drop recognises: see [EventDropper]. It is for
// event streams only: in a body that is none it would wait for a blank line, up to 64 KiB.
func NewEventFilter(drop func(data []byte) bool) *EventFilter { return &EventFilter{drop: drop} }

// Filter takes the next bytes of the stream and appends to dst what may be passed on now.
func (f *EventFilter) Filter(dst, p []byte) []byte {
	for len(p) > 0 {
		if f.afterCR {
			if f.afterCR = false; p[0] == '\n' {
				dst, p = f.lineFeed(dst), p[1:]
				continue
			}
		}
		n := bytes.IndexAny(p, "\r\n")
		if n < 0 {
			return f.add(dst, p)
		}
		f.afterCR = p[n] == '\r'
		dst = f.add(dst, p[:n])
		dst = f.endLine(dst, p[n])
		p = p[n+1:]
	}
	return dst
}

// Rest returns what is still held, at the end of the stream: an event without its blank line.
func (f *EventFilter) Rest() []byte { return f.held }

// add takes a piece of a line.
func (f *EventFilter) add(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	if f.line == 0 && len(f.held) == 0 && !f.passing {
		f.comment = p[0] == ':'
	}
	f.line += len(p)
	if f.passing || f.comment {
		return append(dst, p...)
	}
	f.held = append(f.held, p...)
	if len(f.held) > maxHeld {
		dst = append(dst, f.held...)
		f.held, f.passing = nil, true
	}
	return dst
}

// endLine takes the first byte of a line's end.
func (f *EventFilter) endLine(dst []byte, c byte) []byte {
	blank := f.line == 0
	f.line, f.dropped = 0, false
	switch {
	case f.comment:
		f.comment = false
		return append(dst, c)
	case f.passing:
		f.passing = !blank
		return append(dst, c)
	}
	f.held = append(f.held, c)
	if !blank {
		return dst
	}
	if f.dropped = f.drop(dataOf(f.held)); !f.dropped {
		dst = append(dst, f.held...)
	}
	f.held = f.held[:0]
	return dst
}

// lineFeed takes the second byte of a CRLF, which goes where the first one went.
func (f *EventFilter) lineFeed(dst []byte) []byte {
	switch {
	case f.dropped:
		return dst
	case len(f.held) > 0:
		f.held = append(f.held, '\n')
		return dst
	default:
		return append(dst, '\n')
	}
}

// dataOf returns the data of a whole event.
func dataOf(raw []byte) []byte {
	var data []byte
	s := lineSplitter{
		limit: maxHeld,
		take:  func(_ string, d []byte) { data = bytes.Clone(d) },
		lose:  func(Missing) {},
	}
	s.write(raw)
	return data
}
