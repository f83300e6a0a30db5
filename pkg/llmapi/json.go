package llmapi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a document. It is the bound of encoding/json, so that nobody who reads JSON with the
// standard library disagrees about what can be read.
const maxDepth = 10_000

// jsonReader is a strict pull parser (RFC 8259) over one document in memory. It allocates nothing but for escaped keys
// and nesting beyond 64 levels, keeps no tree and does not recurse, so that no document can exhaust the stack.
//
// The way to read an object, where each turn must consume the member's value by exactly one call:
//
//	for ok := r.object(); ok && r.more(); {
//		switch string(r.key) {
//		case "usage":
//			…
//		default:
//			r.skip()
//		}
//	}
//
// The first mistake in the document is kept in err; from then on more is false and nothing has a value, so that loops
// end by themselves and the error is looked at once, behind the document (see end).
type jsonReader struct {
	data []byte
	pos  int
	err  error

	// key is the name of the member that more stepped to, unescaped; valid until the next call of more.
	key     []byte
	scratch []byte

	// blanks counts the insignificant white space passed so far: what a compact form would leave out.
	blanks int
	// fresh tells that a container was just entered, so that no comma stands before what comes.
	fresh bool
	// depth containers are open. kinds holds one bit for each of the innermost ones (1 is an object), deep the full
	// words of those further out.
	depth int
	kinds uint64
	deep  []uint64
}

var errJSON = errors.New("not valid JSON")

// fail keeps the first error and moves to the end, where nothing can be read any more.
func (r *jsonReader) fail(expected string) {
	if r.err == nil {
		found := "the end"
		if r.pos < len(r.data) {
			found = fmt.Sprintf("%q", r.data[r.pos])
		}
		r.err = fmt.Errorf("%w: byte %d: expected %s, found %s", errJSON, r.pos, expected, found)
	}
	r.pos = len(r.data)
}

// end tells whether the document was valid and nothing but white space follows it.
func (r *jsonReader) end() error {
	r.peek()
	if r.err == nil && r.pos < len(r.data) {
		r.fail("the end of the document")
	}
	return r.err
}

// peek passes white space and returns the first byte of what follows, 0 at the end. It tells a value's kind.
func (r *jsonReader) peek() byte {
	for r.pos < len(r.data) {
		c := r.data[r.pos]
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		r.pos++
		r.blanks++
	}
	return 0
}

// object enters the object at hand and tells that it did; a value of another kind is skipped.
func (r *jsonReader) object() bool { return r.enter('{') }

// array enters the array at hand, as object does.
func (r *jsonReader) array() bool { return r.enter('[') }

func (r *jsonReader) enter(kind byte) bool {
	if r.peek() != kind {
		r.skip()
		return false
	}
	return r.push()
}

// push enters the container whose bracket is at hand.
func (r *jsonReader) push() bool {
	if r.depth == maxDepth {
		r.fail("no deeper nesting")
		return false
	}
	if r.depth > 0 && r.depth%64 == 0 {
		r.deep = append(r.deep, r.kinds)
		r.kinds = 0
	}
	r.kinds <<= 1
	if r.data[r.pos] == '{' {
		r.kinds |= 1
	}
	r.depth++
	r.pos++
	r.fresh = true
	return true
}

func (r *jsonReader) pop() {
	r.pos++
	r.depth--
	r.kinds >>= 1
	r.fresh = false
	if r.depth > 0 && r.depth%64 == 0 {
		last := len(r.deep) - 1
		r.kinds, r.deep = r.deep[last], r.deep[:last]
	}
}

// more steps to the next member or element of the innermost open container. At the container's end it leaves the
// container and returns false.
func (r *jsonReader) more() bool {
	inObject := r.kinds&1 == 1
	c := r.peek()
	switch {
	case r.err != nil:
		return false
	case inObject && c == '}' || !inObject && c == ']':
		r.pop()
		return false
	case r.fresh:
		r.fresh = false
	case c == ',':
		r.pos++
	default:
		r.fail("a comma or the end of the object or array")
		return false
	}
	return !inObject || r.member()
}

// member reads a key and its colon.
func (r *jsonReader) member() bool {
	if r.peek() != '"' {
		r.fail("a key")
		return false
	}
	raw, escaped := r.rawString()
	if r.key = raw; escaped {
		r.scratch = unescape(r.scratch[:0], raw)
		r.key = r.scratch
	}
	if r.peek() != ':' {
		r.fail("a colon")
		return false
	}
	r.pos++
	return r.err == nil
}

// skip consumes a value of any kind, checking it.
func (r *jsonReader) skip() {
	base := r.depth
	for {
		switch c := r.peek(); c {
		case '{', '[':
			r.push()
		case '"':
			r.rawString()
		default:
			r.scalar(c)
		}
		for {
			if r.err != nil || r.depth == base {
				return
			}
			if r.more() {
				break
			}
		}
	}
}

// compact consumes a value of any kind and returns its bytes without insignificant white space.
func (r *jsonReader) compact() int64 {
	r.peek()
	pos, blanks := r.pos, r.blanks
	r.skip()
	return int64(r.pos - pos - (r.blanks - blanks))
}

// raw consumes a value of any kind and returns it as it stands.
func (r *jsonReader) raw() []byte {
	r.peek()
	pos := r.pos
	r.skip()
	if r.err != nil {
		return nil
	}
	return r.data[pos:r.pos]
}

// text consumes a value and returns the length of the string that it is, decoded, in bytes of UTF-8.
// If it is no string, it is skipped and ok is false.
func (r *jsonReader) text() (n int64, ok bool) {
	if r.peek() != '"' {
		r.skip()
		return 0, false
	}
	raw, escaped := r.rawString()
	if escaped {
		return decodedLen(raw), true
	}
	return int64(len(raw)), true
}

// str consumes a value and returns the string that it is, decoded, and nil if it is no string. The result is valid as
// long as the document and until the next call of str or more.
func (r *jsonReader) str() []byte {
	if r.peek() != '"' {
		r.skip()
		return nil
	}
	raw, escaped := r.rawString()
	if escaped {
		r.scratch = unescape(r.scratch[:0], raw)
		return r.scratch
	}
	return raw
}

// is consumes a value and tells whether it is the literal true.
func (r *jsonReader) isTrue() bool { return string(r.raw()) == "true" }

// isNull tells whether the value at hand is null, and consumes it if so.
func (r *jsonReader) isNull() bool {
	if r.peek() != 'n' {
		return false
	}
	r.skip()
	return true
}

// whole consumes a value and returns the integer that it is: see wholeNumber. Other kinds of values are not whole.
func (r *jsonReader) whole() (int64, bool) {
	if c := r.peek(); c != '-' && (c < '0' || c > '9') {
		r.skip()
		return 0, false
	}
	return wholeNumber(r.raw())
}

// scalar consumes a number or a literal that begins with c.
func (r *jsonReader) scalar(c byte) {
	switch {
	case c == '-' || c >= '0' && c <= '9':
		r.number()
	case c == 't':
		r.literal("true")
	case c == 'f':
		r.literal("false")
	case c == 'n':
		r.literal("null")
	default:
		r.fail("a value")
	}
}

func (r *jsonReader) literal(word string) {
	if len(r.data)-r.pos < len(word) || string(r.data[r.pos:r.pos+len(word)]) != word {
		r.fail(word)
		return
	}
	r.pos += len(word)
}

func (r *jsonReader) number() {
	if r.data[r.pos] == '-' {
		r.pos++
	}
	if r.at() == '0' {
		r.pos++
	} else {
		r.digits()
	}
	if r.at() == '.' {
		r.pos++
		r.digits()
	}
	if c := r.at(); c == 'e' || c == 'E' {
		r.pos++
		if c := r.at(); c == '+' || c == '-' {
			r.pos++
		}
		r.digits()
	}
}

func (r *jsonReader) digits() {
	from := r.pos
	for c := r.at(); c >= '0' && c <= '9'; c = r.at() {
		r.pos++
	}
	if r.pos == from {
		r.fail("a digit")
	}
}

// at returns the byte at hand, 0 at the end.
func (r *jsonReader) at() byte {
	if r.pos < len(r.data) {
		return r.data[r.pos]
	}
	return 0
}

// rawString consumes the string at hand and returns what stands between its quotes and whether that has escapes.
func (r *jsonReader) rawString() (raw []byte, escaped bool) {
	from := r.pos + 1
	for i := from; ; {
		i += plain(r.data[i:])
		switch {
		case i >= len(r.data):
			r.pos = i
			r.fail("the end of a string")
			return nil, false
		case r.data[i] == '"':
			r.pos = i + 1
			return r.data[from:i], escaped
		case r.data[i] == '\\':
			n := escapeLen(r.data[i:])
			if n == 0 {
				r.pos = i
				r.fail("a valid escape in a string")
				return nil, false
			}
			escaped = true
			i += n
		default:
			r.pos = i
			r.fail("no control character in a string")
			return nil, false
		}
	}
}

// plain returns the number of leading bytes that mean themselves inside a string: no quote, backslash or control
// character. Prompts are long, so it looks at eight bytes at a time: in each of the three terms the lowest byte that
// has its high bit set is one that stops.
func plain(b []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		stop := ((w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
		if stop != 0 {
			return n + bits.TrailingZeros64(stop)/8
		}
	}
	for ; n < len(b); n++ {
		if c := b[n]; c == '"' || c == '\\' || c < 0x20 {
			break
		}
	}
	return n
}

// escapeLen returns the length of the escape that b begins with, 0 if it is not valid.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b); ok {
			return 6
		}
	}
	return 0
}

// hex4 returns the code unit of the escape \uXXXX that b begins with.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var u rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	return u, true
}

// escapedRune returns what the valid escape that b begins with stands for, and its length. A surrogate without its
// partner is U+FFFD, and the escape behind it stands for itself.
func escapedRune(b []byte) (rune, int) {
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		u, _ := hex4(b)
		if !utf16.IsSurrogate(u) {
			return u, 6
		}
		if low, ok := hex4(b[6:]); ok {
			if pair := utf16.DecodeRune(u, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	default:
		return rune(b[1]), 2
	}
}

// decodedLen returns the length of a raw string with valid escapes after decoding, in bytes of UTF-8.
func decodedLen(raw []byte) int64 {
	var n int64
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			run := plain(raw[i:])
			n += int64(run)
			i += run
			continue
		}
		c, size := escapedRune(raw[i:])
		n += int64(utf8.RuneLen(c))
		i += size
	}
	return n
}

// unescape appends a raw string with valid escapes to dst, decoded.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			run := plain(raw[i:])
			dst = append(dst, raw[i:i+run]...)
			i += run
			continue
		}
		c, size := escapedRune(raw[i:])
		dst = utf8.AppendRune(dst, c)
		i += size
	}
	return dst
}
