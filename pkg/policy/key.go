package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// longValue is the longest key value, in bytes, that an account carries as it is. A longer one stands there by its SHA-256, so
// that a client cannot make the store keep what it likes.
const longValue = 256

// Key is who pays: the values of a rule's descriptors for one request.
type Key struct {
	parts  []part
	shared bool // one account for all: no descriptors, or on_missing_key: shared
}

type part struct {
	value  string
	secret bool
}

// String shows the key in records, logs and admin output: the values, separated by commas; credentials and long values as
// "sha256:" and the first twelve hexadecimal digits. A comma or backslash inside of a value is preceded by a backslash, so that
// two keys never look alike. The key of an account for all is "".
func (k Key) String() string {
	var b strings.Builder
	for i, p := range k.parts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(shown(p))
	}
	return b.String()
}

var escapes = strings.NewReplacer(`\`, `\\`, `,`, `\,`)

func shown(p part) string {
	if p.secret || len(p.value) > longValue {
		return Redact(p.value)
	}
	return escapes.Replace(p.value)
}

// Redact is how a credential is shown: "sha256:" and the first twelve hexadecimal digits of its hash. It is enough to recognise
// a value that one has, and nothing can be computed back from it.
func Redact(value string) string {
	sum := sha256.Sum256([]byte(value))
	return "sha256:" + hex.EncodeToString(sum[:6])
}

// appendTo appends the key as a tuple that no other key shares.
func (k Key) appendTo(b []byte) []byte {
	if k.shared {
		return append(b, '*')
	}
	for _, p := range k.parts {
		b = appendPart(b, p.value)
	}
	return b
}

// appendPart appends one entry of a tuple: its length, a colon and its bytes, so that ("a:b", "c") and ("a", "b:c") differ. A long
// value is a number sign and its hash; no length begins with one.
func appendPart(b []byte, value string) []byte {
	if len(value) > longValue {
		sum := sha256.Sum256([]byte(value))
		return hex.AppendEncode(append(b, '#'), sum[:])
	}
	b = strconv.AppendInt(b, int64(len(value)), 10)
	b = append(b, ':')
	return append(b, value...)
}

// tuple is the length-prefixed form of fixed parts.
func tuple(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = appendPart(b, p)
	}
	return string(b)
}
