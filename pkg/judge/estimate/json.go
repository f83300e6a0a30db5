package estimate

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

type kind string

const (
	object  kind = "an object"
	array   kind = "an array"
	text    kind = "a string"
	number  kind = "a number"
	literal kind = "a literal"
)

// value is a parsed JSON value that still knows its bytes: encoding/json's maps
// would lose repeated keys and the text of tool schemas.
type value struct {
	kind  kind
	raw   []byte // as sent, without insignificant white space
	text  string // of strings decoded, of numbers as sent
	keys  []string
	items []*value // of an array, or the values of keys
}

// reader builds values out of the tokens of compacted JSON.
type reader struct {
	buf []byte
	d   *json.Decoder
}

// parse reads exactly one JSON value.
func parse(body []byte) (*value, error) {
	if !json.Valid(body) {
		return nil, errors.New("not JSON")
	}
	var c bytes.Buffer
	if err := json.Compact(&c, body); err != nil {
		return nil, err
	}
	r := &reader{buf: c.Bytes(), d: json.NewDecoder(bytes.NewReader(c.Bytes()))}
	r.d.UseNumber()
	return r.next()
}

// next reads one value. Between two tokens of compacted JSON there is at most one
// comma or colon, so the decoder's offsets give the value's own bytes.
func (r *reader) next() (*value, error) {
	start := r.d.InputOffset()
	tok, err := r.d.Token()
	if err != nil {
		return nil, err
	}
	v := &value{}
	switch t := tok.(type) {
	case json.Delim:
		v.kind = array
		if t == '{' {
			v.kind = object
		}
		err = r.fill(v)
	case string:
		v.kind, v.text = text, t
	case json.Number:
		v.kind, v.text = number, t.String()
	default:
		v.kind = literal
	}
	if err != nil {
		return nil, err
	}
	if c := r.buf[start]; c == ',' || c == ':' {
		start++
	}
	v.raw = r.buf[start:r.d.InputOffset()]
	return v, nil
}

// fill reads what is inside an object or array, and its end.
func (r *reader) fill(v *value) error {
	for r.d.More() {
		if v.kind == object {
			k, err := r.d.Token()
			if err != nil {
				return err
			}
			name, ok := k.(string)
			if !ok {
				return io.ErrUnexpectedEOF
			}
			v.keys = append(v.keys, name)
		}
		item, err := r.next()
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	_, err := r.d.Token()
	return err
}

// last is the value of a key, of the last one if it is repeated; nil if absent.
func (v *value) last(key string) *value {
	if v == nil || v.kind != object {
		return nil
	}
	for i, k := range slices.Backward(v.keys) {
		if k == key {
			return v.items[i]
		}
	}
	return nil
}

// all are the values of every occurrence of a key.
func (v *value) all(key string) []*value {
	var found []*value
	if v != nil && v.kind == object {
		for i, k := range v.keys {
			if k == key {
				found = append(found, v.items[i])
			}
		}
	}
	return found
}

// repeats tells whether one of the keys is there more than once, in the object itself or
// in one that stands below such a key.
func (v *value) repeats(keys ...string) bool {
	for _, key := range keys {
		found := v.all(key)
		if len(found) > 1 || len(found) == 1 && found[0].repeats(keys...) {
			return true
		}
	}
	return false
}

// largest is the largest positive integer among the values of a key; else zero.
func (v *value) largest(key string) int64 {
	var n int64
	for _, x := range v.all(key) {
		n = max(n, x.integer())
	}
	return n
}

// integer is a positive number that is mathematically whole, at most 2^31; zero
// for anything else. It works on the digits: no float, and no big exponent is
// ever expanded.
func (v *value) integer() int64 {
	if v.kind != number || strings.HasPrefix(v.text, "-") {
		return 0
	}
	mantissa, exp, _ := strings.Cut(strings.ToLower(v.text), "e")
	whole, frac, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+frac, "0")
	if digits == "" {
		return 0
	}
	shift := int64(0)
	if exp != "" {
		e, err := strconv.ParseInt(exp, 10, 32)
		if err != nil {
			if strings.HasPrefix(exp, "-") {
				return 0
			}
			return maxNumber
		}
		shift = e
	}
	shift -= int64(len(frac))
	short := strings.TrimRight(digits, "0")
	shift += int64(len(digits) - len(short))
	if shift < 0 {
		return 0
	}
	if int64(len(short))+shift > 10 {
		return maxNumber
	}
	n, err := strconv.ParseInt(short+strings.Repeat("0", int(shift)), 10, 64)
	if err != nil {
		return maxNumber
	}
	return min(n, maxNumber)
}
