package suite

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// Matcher is an expected value: equal, /pattern/, ~substring, a comparison,
// exists, absent, or any of a list.
type Matcher struct {
	Pos    Pos
	Source string // as written

	kind    matcherKind
	value   any // equal: bool, int64, json.Number, string, nil, []any, map[string]any
	pattern *regexp.Regexp
	op      string
	number  *big.Rat      // comparison with a number
	bound   time.Duration // comparison with a duration
	timed   bool
	anyOf   []*Matcher
}

type matcherKind int

const (
	matchEqual matcherKind = iota
	matchPattern
	matchSubstring
	matchCompare
	matchExists
	matchAbsent
	matchAnyOf
)

var comparisonPattern = regexp.MustCompile(`^(<=|>=|<|>)\s*(.+)$`)

// newMatcher compiles an expected value. Text that is quoted in the file is
// compiled all the same: "/re/" has to be quoted in YAML.
func newMatcher(value any, pos Pos) (*Matcher, error) {
	m := &Matcher{Pos: pos, Source: display(value), value: value}
	if list, ok := value.([]any); ok {
		m.kind = matchAnyOf
		for _, item := range list {
			one, err := newMatcher(item, pos)
			if err != nil {
				return nil, err
			}
			m.anyOf = append(m.anyOf, one)
		}
		if len(m.anyOf) == 0 {
			return nil, fmt.Errorf("an empty list matches nothing")
		}
		return m, nil
	}
	text, ok := value.(string)
	if !ok {
		return m, nil
	}
	m.Source = text
	switch {
	case text == "exists":
		m.kind = matchExists
	case text == "absent":
		m.kind = matchAbsent
	case len(text) > 1 && text[0] == '/' && text[len(text)-1] == '/':
		pattern, err := regexp.Compile(text[1 : len(text)-1])
		if err != nil {
			return nil, fmt.Errorf("bad pattern %s: %w", text, err)
		}
		m.kind, m.pattern = matchPattern, pattern
	case strings.HasPrefix(text, "~"):
		m.kind, m.value = matchSubstring, text[1:]
	case comparisonPattern.MatchString(text):
		return m, m.compileComparison(text)
	}
	return m, nil
}

func (m *Matcher) compileComparison(text string) error {
	parts := comparisonPattern.FindStringSubmatch(text)
	m.kind, m.op = matchCompare, parts[1]
	if number, ok := parseDecimal(parts[2]); ok {
		m.number = number
		return nil
	}
	bound, err := ParseDuration(parts[2])
	if err != nil {
		return fmt.Errorf("%q compares with neither a number nor a duration", text)
	}
	m.bound, m.timed = bound, true
	return nil
}

// Absent is the value to pass to [Matcher.Match] for what is not there; a nil
// pointer is as good.
type Absent struct{}

// Match tells whether a value is as expected. If not, the explanation says
// what was found and what was expected.
func (m *Matcher) Match(found any) (ok bool, explanation string) {
	found = plain(found)
	if m.match(found) {
		return true, ""
	}
	if _, absent := found.(Absent); absent {
		return false, "found nothing, expected " + m.String()
	}
	return false, fmt.Sprintf("found %s, expected %s", display(found), m.String())
}

// String is the expectation in words.
func (m *Matcher) String() string {
	switch m.kind {
	case matchExists:
		return "any value"
	case matchAbsent:
		return "nothing"
	case matchPattern:
		return "a match of " + m.Source
	case matchSubstring:
		return fmt.Sprintf("text that contains %q", m.value)
	case matchAnyOf:
		each := make([]string, len(m.anyOf))
		for i, one := range m.anyOf {
			each[i] = one.String()
		}
		return "one of " + strings.Join(each, ", ")
	case matchCompare:
		return m.Source
	case matchEqual:
	}
	return display(m.value)
}

func (m *Matcher) match(found any) bool {
	_, absent := found.(Absent)
	switch m.kind {
	case matchExists:
		return !absent
	case matchAbsent:
		return absent
	case matchAnyOf:
		for _, one := range m.anyOf {
			if one.match(found) {
				return true
			}
		}
		return false
	case matchPattern:
		return !absent && m.pattern.MatchString(asText(found))
	case matchSubstring:
		part, ok := m.value.(string)
		return ok && !absent && strings.Contains(asText(found), part)
	case matchCompare:
		return m.compare(found)
	case matchEqual:
	}
	return !absent && equalValues(found, m.value)
}

func (m *Matcher) compare(found any) bool {
	if m.timed {
		duration, ok := asDuration(found)
		return ok && holds(m.op, big.NewRat(int64(duration), 1).Cmp(big.NewRat(int64(m.bound), 1)))
	}
	number, ok := asNumber(found)
	return ok && holds(m.op, number.Cmp(m.number))
}

func holds(op string, order int) bool {
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// equalValues compares loosely where the wire has only text: the header "50"
// equals 50. Numbers compare exactly, as fractions.
func equalValues(found, expected any) bool {
	if duration, ok := found.(time.Duration); ok {
		bound, known := asDuration(expected)
		return known && bound == duration
	}
	switch want := expected.(type) {
	case nil:
		return found == nil
	case bool:
		if text, ok := found.(string); ok {
			return text == fmt.Sprint(want)
		}
		return found == want
	case string:
		text, ok := found.(string)
		return ok && text == want
	case int64, json.Number:
		a, fine := asNumber(found)
		b, known := asNumber(want)
		return fine && known && a.Cmp(b) == 0
	case []any:
		return equalLists(found, want)
	case map[string]any:
		have, ok := found.(map[string]any)
		if !ok || len(have) != len(want) {
			return false
		}
		for key, value := range want {
			if other, there := have[key]; !there || !equalValues(other, value) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(found, expected)
}

func equalLists(found any, want []any) bool {
	have, ok := found.([]any)
	if !ok || len(have) != len(want) {
		return false
	}
	for i := range want {
		if !equalValues(have[i], want[i]) {
			return false
		}
	}
	return true
}

// plain reduces pointers and named kinds to what matchers compare.
func plain(v any) any {
	switch v.(type) {
	case nil, Absent, time.Duration, json.Number, []any, map[string]any:
		return v
	}
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Pointer {
		if r.IsNil() {
			return Absent{}
		}
		return plain(r.Elem().Interface())
	}
	switch {
	case r.CanInt():
		return r.Int()
	case r.CanUint():
		return int64(r.Uint())
	case r.Kind() == reflect.String:
		return r.String()
	}
	return v
}

// asNumber reads a number, also from text.
func asNumber(v any) (*big.Rat, bool) {
	switch n := v.(type) {
	case int64:
		return big.NewRat(n, 1), true
	case float64:
		r := new(big.Rat).SetFloat64(n)
		return r, r != nil
	case json.Number:
		return parseDecimal(string(n))
	case string:
		return parseDecimal(n)
	}
	return nil, false
}

var decimalNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$`)

// longestNumber is the length in bytes beyond which no number is read: the text may
// come from the wire.
const longestNumber = 80

// parseDecimal reads a decimal number exactly.
func parseDecimal(text string) (*big.Rat, bool) {
	if len(text) > longestNumber || !decimalNumber.MatchString(text) {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

// asDuration reads a duration; a bare number on the wire counts seconds, as in
// Retry-After.
func asDuration(v any) (time.Duration, bool) {
	switch d := v.(type) {
	case time.Duration:
		return d, true
	case string:
		if bound, err := ParseDuration(d); err == nil {
			return bound, true
		}
	}
	seconds, ok := asNumber(v)
	if !ok {
		return 0, false
	}
	nanos, _ := new(big.Rat).Mul(seconds, big.NewRat(int64(time.Second), 1)).Float64()
	return time.Duration(nanos), true
}

func asText(v any) string {
	switch t := v.(type) {
	case string:
		return t
	case time.Duration:
		return FormatDuration(t)
	}
	return display(v)
}

// display writes a value for people: text quoted, durations as literals, the
// rest as JSON.
func display(v any) string {
	switch t := v.(type) {
	case nil:
		return "null"
	case Absent:
		return "nothing"
	case time.Duration:
		return FormatDuration(t)
	case error:
		return t.Error()
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%v", v)
	}
	return string(text)
}
