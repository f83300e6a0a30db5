package llmapi

import (
	"encoding/binary"
	"hash/crc32"
)

// A frame of application/vnd.amazon.eventstream: length, length of the headers and a checksum of the two; headers;
// payload; a checksum of everything before it. All numbers are big-endian.
const (
	preludeLen  = 12
	checksumLen = 4
)

// frameSplitter cuts a binary event stream into frames. A frame counts only if both of its checksums are right.
type frameSplitter struct {
	limit int
	take  func(name string, data []byte)
	lose  func(why Missing)

	frame  []byte
	skip   int // bytes of a frame that is larger than may be kept
	broken bool
}

func (s *frameSplitter) write(p []byte) {
	for len(p) > 0 && !s.broken {
		if s.skip > 0 {
			n := min(s.skip, len(p))
			s.skip, p = s.skip-n, p[n:]
			continue
		}
		n := min(s.missing(), len(p))
		s.frame, p = append(s.frame, p[:n]...), p[n:]
		switch {
		case len(s.frame) == preludeLen:
			s.prelude()
		case s.missing() == 0:
			s.dispatch()
			s.frame = trimmed(s.frame)
		}
	}
}

// missing is the number of bytes until the prelude or, once that is checked, the frame is whole.
func (s *frameSplitter) missing() int {
	if len(s.frame) < preludeLen {
		return preludeLen - len(s.frame)
	}
	return int(binary.BigEndian.Uint32(s.frame)) - len(s.frame)
}

// prelude checks the lengths of a frame before anything is done by them. After a wrong one nobody knows where the next
// frame begins.
func (s *frameSplitter) prelude() {
	total, headers := binary.BigEndian.Uint32(s.frame), binary.BigEndian.Uint32(s.frame[4:])
	switch {
	case crc32.ChecksumIEEE(s.frame[:8]) != binary.BigEndian.Uint32(s.frame[8:]),
		uint64(headers)+preludeLen+checksumLen > uint64(total):
		s.broken = true
		s.lose(MissingUnreadable)
	case uint64(total) > uint64(s.limit):
		s.skip = int(total) - len(s.frame)
		s.frame = s.frame[:0]
		s.lose(MissingTooLarge)
	}
}

// dispatch reads a whole frame, whose prelude is right.
func (s *frameSplitter) dispatch() {
	body := s.frame[:len(s.frame)-checksumLen]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(s.frame[len(body):]) {
		s.lose(MissingUnreadable)
		return
	}
	headers := binary.BigEndian.Uint32(body[4:])
	name, ok := frameName(body[preludeLen : preludeLen+headers])
	if !ok {
		s.lose(MissingUnreadable)
		return
	}
	s.take(name, body[preludeLen+headers:])
}

// frameName returns the event type of a frame, "error" for an exception.
func frameName(headers []byte) (name string, ok bool) {
	for len(headers) > 0 {
		key, rest, found := prefixed(headers, 1)
		if !found || len(rest) == 0 {
			return "", false
		}
		kind := rest[0]
		value, rest, found := headerValue(kind, rest[1:])
		if !found {
			return "", false
		}
		switch {
		case string(key) == ":message-type" && string(value) != "event":
			return "error", true
		case string(key) == ":event-type":
			name = string(value)
		}
		headers = rest
	}
	return name, true
}

// fixedLen is the length of header values by their type; the types 6 and 7 (bytes, text) carry their length.
var fixedLen = map[byte]int{0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}

func headerValue(kind byte, b []byte) (value, rest []byte, ok bool) {
	if kind == 6 || kind == 7 {
		return prefixed(b, 2)
	}
	n, known := fixedLen[kind]
	if !known || n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// prefixed cuts off a value behind its length, which has one or two bytes.
func prefixed(b []byte, size int) (value, rest []byte, ok bool) {
	if len(b) < size {
		return nil, nil, false
	}
	n := int(b[0])
	if size == 2 {
		n = int(binary.BigEndian.Uint16(b))
	}
	if b = b[size:]; len(b) < n {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// close tells whether the stream ended between two frames.
func (s *frameSplitter) close() bool { return len(s.frame) == 0 && s.skip == 0 && !s.broken }
