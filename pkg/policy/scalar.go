package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// text reads text that is not empty.
func (r *reader) text(n ast.Node) value[string] {
	s, ok := "", false
	switch n := n.(type) {
	case *ast.StringNode:
		s, ok = n.Value, true
	case *ast.LiteralNode:
		s, ok = n.Value.Value, true
	}
	switch {
	case !ok:
		r.problem(n, "found "+found(n)+", expected text", "")
	case strings.TrimSpace(s) == "":
		r.problem(n, "found empty text", "")
	default:
		return value[string]{V: s, at: n}
	}
	return value[string]{}
}

// word reads one of a closed set of words.
func (r *reader) word(n ast.Node, known ...string) value[string] {
	v := r.text(n)
	if v.given() && !slices.Contains(known, v.V) {
		r.problem(n, fmt.Sprintf("found %q, expected %s", clip(v.V), oneOf(known)), nearest.Word(v.V, known))
		return value[string]{}
	}
	return v
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}

// flag reads true or false.
func (r *reader) flag(n ast.Node) value[bool] {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.problem(n, "found "+found(n)+", expected true or false", "")
		return value[bool]{}
	}
	return value[bool]{V: b.Value, at: n}
}

// instant reads an RFC 3339 instant in UTC.
func (r *reader) instant(n ast.Node) value[time.Time] {
	s := r.text(n)
	if !s.given() {
		return value[time.Time]{}
	}
	t, err := time.Parse(time.RFC3339, s.V)
	if err != nil || !strings.HasSuffix(s.V, "Z") {
		r.problem(n, fmt.Sprintf("found %q, expected an RFC 3339 instant in UTC such as 2030-01-02T15:04:05Z", clip(s.V)), "")
		return value[time.Time]{}
	}
	return value[time.Time]{V: t, at: n}
}

// maxTokens is the largest amount: what a store that counts in doubles can hold exactly.
const maxTokens = limiter.MaxAmount

// tokens reads a positive whole amount.
func (r *reader) tokens(n ast.Node) value[int64] { return r.whole(n, 1, maxTokens) }

// whole reads a plainly written whole number of a range.
func (r *reader) whole(n ast.Node, least, most int64) value[int64] {
	text, ok := r.number(n, "a whole number")
	if !ok {
		return value[int64]{}
	}
	expected := fmt.Sprintf("expected a whole number from %d to %d", least, most)
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < least || v > most {
		r.problem(n, "found "+clip(text)+", "+expected, "")
		return value[int64]{}
	}
	return value[int64]{V: v, at: n}
}

// micro reads a positive number with at most six decimals, in millionths.
func (r *reader) micro(n ast.Node) value[int64] {
	text, ok := r.number(n, "a number")
	if !ok {
		return value[int64]{}
	}
	v, ok := parseMicro(text)
	if !ok || v < 1 {
		r.problem(n, "found "+clip(text)+", expected a number from 0.000001 to 1000000000 with at most six decimals", "")
		return value[int64]{}
	}
	return value[int64]{V: v, at: n}
}

// number returns the text of a number that is plainly decimal. YAML reads 010 as eight, 1_000 as a thousand and 1e3 as text:
// none of them is what everybody who reads the file takes it for, so none is accepted.
func (r *reader) number(n ast.Node, expected string) (string, bool) {
	t := n.GetToken()
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
	case *ast.StringNode:
		if t.Type != token.StringType || !strings.ContainsAny(t.Value[:min(1, len(t.Value))], "+-.0123456789") {
			r.problem(n, "found "+found(n)+", expected "+expected, "")
			return "", false
		}
	default:
		r.problem(n, "found "+found(n)+", expected "+expected, "")
		return "", false
	}
	if !plainDecimal(t.Value) {
		r.problem(n, "found "+clip(t.Value)+", expected "+expected+" in plain decimal digits", "")
		return "", false
	}
	return t.Value, true
}

// plainDecimal reports whether s is an optional minus, digits without a leading zero, and perhaps a point with more digits.
func plainDecimal(s string) bool {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if !digits(whole) || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	return !point || digits(fraction)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

const (
	perUnit  = 1_000_000     // millionths in one
	maxUnits = 1_000_000_000 // the largest fractional amount
	maxMicro = maxUnits * perUnit
)

// parseMicro reads plain decimal text in millionths. It fails beyond six decimals and beyond maxUnits.
func parseMicro(s string) (int64, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if !plainDecimal(s) || len(fraction) > 6 || len(whole) > 10 {
		return 0, false
	}
	v, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", 6-len(fraction)), 10, 64)
	return v, err == nil && v <= maxMicro
}
