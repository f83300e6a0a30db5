package llmapi

import "bytes"

// keptCapacity is what a splitter keeps of a buffer between two events. Most events are small and most streams are idle,
// so the buffer of a rare large event is given back.
const keptCapacity = 16 << 10

// lineSplitter cuts a text/event-stream into events by the rules of the HTML standard: lines end with LF, CRLF or CR,
// one space behind the colon belongs to it, data lines are joined, a blank line ends an event, an event without one is
// discarded.
type lineSplitter struct {
	limit int
	take  func(name string, data []byte)
	lose  func(why Missing)

	line    []byte // the beginning of a line whose end is not here yet
	long    bool   // that line is longer than may be kept
	data    []byte // the data lines so far, joined
	hasData bool
	isError bool // the event's name is "error"; no other name matters, the data says it again
	over    bool // the event is larger than may be kept: pass over it
	skipLF  bool // the last line ended with CR: a LF that follows belongs to it
}

func (s *lineSplitter) write(p []byte) {
	// Each search goes on where the one before ended, so that a stream without any LF is not searched again and again.
	lf, cr := -1, -1
	for at := 0; at < len(p); {
		if s.skipLF {
			if s.skipLF = false; p[at] == '\n' {
				at++
				continue
			}
		}
		lf, cr = nextByte(p, lf, at, '\n'), nextByte(p, cr, at, '\r')
		end := min(lf, cr)
		if end == len(p) {
			s.keep(p[at:])
			return
		}
		line := p[at:end]
		if len(s.line) > 0 || s.long || len(line) > s.limit {
			s.keep(line)
			line = s.line
		}
		s.skipLF = p[end] == '\r'
		at = end + 1
		s.field(line)
		s.line, s.long = trimmed(s.line), false
	}
}

// nextByte is the index of the first c in p from at on, or len(p); last is what it was when asked before.
func nextByte(p []byte, last, at int, c byte) int {
	if last >= at {
		return last
	}
	if i := bytes.IndexByte(p[at:], c); i >= 0 {
		return at + i
	}
	return len(p)
}

// keep adds to the line whose end is not here yet. A line that is too long makes its event too large, unless it is a
// comment, which nobody reads.
func (s *lineSplitter) keep(p []byte) {
	switch {
	case s.long:
	case len(s.line)+len(p) > s.limit:
		first := p[0]
		if len(s.line) > 0 {
			first = s.line[0]
		}
		s.line, s.long, s.over = nil, true, s.over || first != ':'
	default:
		s.line = append(s.line, p...)
	}
}

// field takes one line, without its end.
func (s *lineSplitter) field(line []byte) {
	if len(line) == 0 && !s.long {
		s.dispatch()
		return
	}
	if s.over || s.long {
		return
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		if len(s.data)+len(value) >= s.limit {
			s.over = true
			return
		}
		if s.hasData {
			s.data = append(s.data, '\n')
		}
		s.data, s.hasData = append(s.data, value...), true
	case "event":
		s.isError = string(value) == "error"
	}
}

func (s *lineSplitter) dispatch() {
	switch {
	case s.over:
		s.lose(MissingTooLarge)
	case len(s.data) == 0:
	case s.isError:
		s.take("error", s.data)
	default:
		s.take("", s.data)
	}
	s.data, s.hasData, s.isError, s.over = trimmed(s.data), false, false, false
}

// close does nothing: an event without its blank line does not count.
func (s *lineSplitter) close() bool { return true }

// trimmed empties a buffer, and gives it back if it has grown large.
func trimmed(b []byte) []byte {
	if cap(b) > keptCapacity {
		return nil
	}
	return b[:0]
}
