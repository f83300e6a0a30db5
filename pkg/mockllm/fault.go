package mockllm

import (
	"maps"
	"slices"
	"time"
)

// fault is one row of the catalogue. Each hook changes the answer at one stage of its making; most faults need one.
type fault struct {
	name     string
	doc      string
	request  func(*answer) // before encoding: what was asked
	events   func(*answer) // before framing: what is said
	segments func(*answer) // before compression and splitting: which bytes, and how it ends
}

// faults is the catalogue. What needs no fault is a field of the plan: line ends, spaces, comments, event lines, splits,
// encodings, framings, content types, statuses, headers, trailers, 1xx, the place and the value of the usage.
var faults = table(
	faultReset, faultFIN, faultStall, faultHang, faultTruncate, faultErrorEvent,
	faultMalformedSSE, faultMalformedJSON, faultGarbage, faultTwoDocuments,
	faultShortLength, faultLongLength, faultEmptyEncoded, faultGoAway,
	faultBOM, faultMultilineData, faultLeadingBlanks, faultUnterminated, faultDataAfterDone, faultLongLine,
	faultDuplicateUsage, faultEscapedKey, faultNestedUsage, faultUsageInText, faultDeepNesting,
	faultStreamUnasked, faultBodyForStream, faultErrorBody, faultUsageInError, faultRefuseStreamOptions,
)

func table(rows ...fault) map[string]fault {
	out := make(map[string]fault, len(rows))
	for _, f := range rows {
		out[f.name] = f
	}
	return out
}

// FaultKind is one row of the fault catalogue.
type FaultKind struct{ Name, Doc string }

// Faults lists the kinds of faults with one line each, sorted by name.
func Faults() []FaultKind {
	out := make([]FaultKind, 0, len(faults))
	for _, name := range faultNames() {
		out = append(out, FaultKind{Name: name, Doc: faults[name].doc})
	}
	return out
}

func faultNames() []string { return slices.Sorted(maps.Keys(faults)) }

// place is a position in the answer: an offset in a segment, and how long to wait there.
type place struct {
	segment, offset int
	wait            time.Duration
}

// find resolves Fault.After. A place behind the end is the end.
func (a *answer) find(after After) place {
	end := place{segment: len(a.segments)}
	switch {
	case after.Bytes != nil:
		left := *after.Bytes
		for i := range a.segments {
			if n := int64(len(a.segments[i].data)); left < n {
				return place{segment: i, offset: int(left)}
			} else { //nolint:revive // the two belong together
				left -= n
			}
		}
		return end
	case after.Chunks != nil:
		return a.findChunk(*after.Chunks)
	case after.MS != nil:
		return a.findTime(time.Duration(*after.MS) * time.Millisecond)
	default:
		return a.findUsage(after.AfterUsage)
	}
}

// findChunk is the place behind n content chunks; in a whole body, behind that share of its bytes.
func (a *answer) findChunk(n int64) place {
	if a.reply.framing == frameBody {
		for i := range a.segments {
			whole, chunks := int64(len(a.segments[i].data)), int64(len(a.x.chunks))
			return place{segment: i, offset: int(whole * min(n, chunks) / chunks)}
		}
	}
	if n == 0 {
		return place{}
	}
	last := place{segment: len(a.segments)}
	for i := range a.segments {
		if !a.segments[i].content {
			continue
		}
		last = place{segment: i + 1}
		if n--; n == 0 {
			break
		}
	}
	return last
}

// findTime is the place that is reached d after the headers.
func (a *answer) findTime(d time.Duration) place {
	for i := range a.segments {
		if w := a.segments[i].wait; w <= d {
			d -= w
			continue
		}
		return place{segment: i, wait: d}
	}
	return place{segment: len(a.segments), wait: d}
}

// findUsage is the place before the event with the final usage (in a body: before its first byte), or right behind its last
// byte. Without a usage it is before the last event, or half way through the body.
func (a *answer) findUsage(behind bool) place {
	for i := range a.segments {
		switch u := a.segments[i].usage; {
		case u.empty():
		case behind:
			return place{segment: i, offset: u.to}
		case a.reply.framing == frameBody:
			return place{segment: i, offset: u.from}
		default:
			return place{segment: i}
		}
	}
	last := max(0, len(a.segments)-1)
	if a.reply.framing == frameBody && len(a.segments) > 0 {
		return place{segment: last, offset: len(a.segments[last].data) / 2}
	}
	return place{segment: last}
}

// cut drops everything behind p and remembers how much that was. If there is something to wait for, an empty segment does.
func (a *answer) cut(p place) {
	for i := p.segment; i < len(a.segments); i++ {
		a.lost += int64(len(a.segments[i].data))
	}
	kept := slices.Clone(a.segments[:min(p.segment, len(a.segments))])
	if p.segment < len(a.segments) && p.offset > 0 {
		s := a.segments[p.segment]
		s.data = s.data[:p.offset]
		a.lost -= int64(p.offset)
		s.content = false
		s.asked = s.asked.clip(0, p.offset)
		if s.usage.to > p.offset {
			s.usage = span{}
		}
		kept = append(kept, s)
	}
	if p.wait > 0 {
		kept = append(kept, segment{wait: p.wait, index: -1})
	}
	a.segments = kept
}

// insert puts data at p, as a segment of its own.
func (a *answer) insert(p place, data []byte) {
	extra := segment{data: data, index: -1}
	if p.segment >= len(a.segments) {
		a.segments = append(a.segments, extra)
		return
	}
	s := a.segments[p.segment]
	head, tail := s, s
	head.data, tail.data = s.data[:p.offset], s.data[p.offset:]
	tail.wait, head.content = 0, false
	head.asked, tail.asked = s.asked.clip(0, p.offset), s.asked.clip(p.offset, len(s.data))
	switch {
	case s.usage.empty():
	case s.usage.to <= p.offset:
		tail.usage = span{}
	default:
		head.usage = span{}
		tail.usage = span{max(0, s.usage.from-p.offset), s.usage.to - p.offset}
	}
	parts := []segment{extra, tail}
	if p.offset > 0 {
		parts = []segment{head, extra, tail}
	} else {
		parts[0].wait, parts[1].wait = s.wait, 0
	}
	a.segments = slices.Concat(a.segments[:p.segment], parts, a.segments[p.segment+1:])
}

// usageEvent is the event with the final usage, nil if there is none. It is only marked after the events hook, so this looks
// for the last full one.
func (a *answer) usageEvent() *event {
	for i := len(a.reply.events) - 1; i >= 0; i-- {
		if e := &a.reply.events[i]; e.full && !e.usage.empty() {
			return e
		}
	}
	return nil
}

// splice replaces data[from:to] of the event by text and moves the usage along.
func (e *event) splice(from, to int, text string) {
	data := make([]byte, 0, len(e.data)+len(text))
	data = append(append(append(data, e.data[:from]...), text...), e.data[to:]...)
	if moved := len(text) - (to - from); !e.usage.empty() && from <= e.usage.from {
		e.usage.from += moved
		e.usage.to += moved
	}
	e.data = data
}
