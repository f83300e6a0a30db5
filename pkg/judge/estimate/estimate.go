// Package estimate is the judge's own reading of what a request asks for: the
// prompt estimate P, the output allowance C and the number of answers n of
// semantics.md 1, for every dialect.
//
// It shares no code with the system's estimator, only test vectors, so that a
// mistake has to be made twice, by two people, to stay unseen. It parses the
// JSON; it never scans text.
package estimate

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of the arithmetic (semantics.md 1).
const (
	maxNumber  = 1 << 31 // above it a number counts as this
	maxProduct = 1 << 53 // where n x C and sums saturate
	otherPart  = 1000    // tokens of a part that is not known to be text
	perMessage = 4       // tokens per message
)

// Facts are what a request asks for. Amounts are tokens, at most 2^53.
type Facts struct {
	// Prompt is P.
	Prompt int64
	// Output is C, zero if the request declares none.
	Output int64
	// Declared: C is the client's (or the endpoint has no output at all), so that no
	// default allowance applies.
	Declared bool
	// N is n, at least 1.
	N int64
	// Twice: a key of Output or N is there more than once in its object. Output and N have
	// the largest values; of foreign readers many take the last one, and some the first.
	Twice bool
	// TextBytes, Messages and Others are what P was computed from: bytes of text,
	// messages, and parts that are not text. Foreign estimators are bounded by them.
	TextBytes, Messages, Others int64
}

// ErrInvalidBody is the class of bodies that cannot be read: no UTF-8, no JSON, or
// no JSON object.
var ErrInvalidBody = errors.New("invalid request body")

// Of estimates a request from its path and its decoded body. Known is false for
// a path that belongs to no dialect; then only Facts.TextBytes, the size of the
// body, is set, and nothing is parsed. hint is the value of X-Token-Estimate
// where the rule reads it, else empty. The error wraps [ErrInvalidBody].
func Of(path string, body []byte, hint string) (f Facts, known bool, err error) {
	d := dialectOf(path)
	if d == nil {
		return Facts{TextBytes: int64(len(body)), N: 1}, false, nil
	}
	if !utf8.Valid(body) {
		return Facts{}, true, fmt.Errorf("%w: not UTF-8", ErrInvalidBody)
	}
	root, err := parse(body)
	if err != nil {
		return Facts{}, true, fmt.Errorf("%w: %w", ErrInvalidBody, err)
	}
	if root.kind != object {
		return Facts{}, true, fmt.Errorf("%w: found %s, expected a JSON object", ErrInvalidBody, root.kind)
	}
	var t tally
	d.prompt(&t, root)
	t.schemas(root)
	f = Facts{
		Prompt: t.tokens(), N: copies(root, t.prompts),
		TextBytes: t.bytes, Messages: t.messages, Others: t.others,
	}
	f.Output, f.Twice = allowance(root), root.repeats(allowanceKeys...)
	f.Declared = f.Output > 0
	if d.noOutput {
		f.Output, f.Declared = 0, true
	}
	if h := Hint(hint); h > f.Prompt {
		f.Prompt = h
	}
	return f, true, nil
}

// Hint reads X-Token-Estimate: an integer from 1 to 2^31, else zero.
func Hint(s string) int64 {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 10 {
		return 0
	}
	var v int64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0
		}
		v = v*10 + int64(c-'0')
	}
	if v > maxNumber {
		return 0
	}
	return v
}

// allowanceKeys are those that allowance and copies read, and the objects that they are in.
var allowanceKeys = []string{
	"max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of", "candidateCount",
	"generationConfig", "maxOutputTokens", "inferenceConfig", "maxTokens",
}

// allowance is C: the largest of the keys that any dialect uses.
func allowance(root *value) int64 {
	c := max(root.largest("max_tokens"), root.largest("max_completion_tokens"), root.largest("max_output_tokens"))
	for _, g := range root.all("generationConfig") {
		c = max(c, g.largest("maxOutputTokens"))
	}
	for _, g := range root.all("inferenceConfig") {
		c = max(c, g.largest("maxTokens"))
	}
	return c
}

// copies is n, times the number of prompts of a completion.
func copies(root *value, prompts int64) int64 {
	n := max(1, root.largest("n"), root.largest("best_of"), root.largest("candidateCount"))
	for _, g := range root.all("generationConfig") {
		n = max(n, g.largest("candidateCount"))
	}
	return Times(n, max(1, prompts))
}

// Times multiplies two amounts that are not negative, and saturates at 2^53.
func Times(a, b int64) int64 {
	if a != 0 && b > maxProduct/a {
		return maxProduct
	}
	return a * b
}

// Plus adds two amounts that are not negative, and saturates at 2^53.
func Plus(a, b int64) int64 { return min(a+b, maxProduct) }
