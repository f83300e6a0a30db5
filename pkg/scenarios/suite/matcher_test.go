package suite

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestMatchers(t *testing.T) {
	number := int64(7)
	var none *int64
	for _, c := range []struct {
		expected any
		found    any
		want     bool
	}{
		{int64(200), 200, true},
		{int64(200), "200", true}, // a header
		{int64(200), 200.0, true},
		{int64(200), 201, false},
		{int64(7), &number, true},
		{int64(7), none, false},
		{json.Number("0.50"), 0.5, true},
		{json.Number("0.1"), "0.10", true},
		{true, true, true},
		{true, "true", true},
		{"mock", "mock", true},
		{"mock", "mocks", false},
		{"1", 1, false}, // quoted in the suite: text
		{nil, nil, true},
		{nil, Absent{}, false},
		{"/^[0-9]+$/", "12", true},
		{"/^[0-9]+$/", 12, true},
		{"/^[0-9]+$/", "12s", false},
		{"/x/", Absent{}, false},
		{"~application/json", "application/json; charset=utf-8", true},
		{"~xml", "application/json", false},
		{"~", Absent{}, false},
		{"<5", 4, true},
		{"<5", 5, false},
		{"<=5", "5", true},
		{">5", "5.5", true},
		{">=5", 4.99, false},
		{">=5", "five", false},
		{">=0", Absent{}, false},
		{"<120ms", 119 * time.Millisecond, true},
		{"<120ms", 120 * time.Millisecond, false},
		{">2s", "3", true}, // a bare number on the wire counts seconds
		{">2s", "3s", true},
		{"5s", 5 * time.Second, true},
		{"5s", 6 * time.Second, false},
		{"exists", "", true},
		{"exists", nil, true},
		{"exists", Absent{}, false},
		{"absent", Absent{}, true},
		{"absent", none, true},
		{"absent", "", false},
		{[]any{int64(429), int64(413)}, 413, true},
		{[]any{int64(429), "absent"}, Absent{}, true},
		{[]any{int64(429), int64(413)}, 200, false},
		{map[string]any{"a": int64(1)}, map[string]any{"a": 1.0}, true},
		{map[string]any{"a": int64(1)}, map[string]any{"a": 1.0, "b": 2.0}, false},
		{map[string]any{"a": []any{int64(1)}}, map[string]any{"a": []any{1.0}}, true},
	} {
		m, err := newMatcher(c.expected, Pos{})
		if err != nil {
			t.Fatalf("%v: %v", c.expected, err)
		}
		ok, why := m.Match(c.found)
		if ok != c.want {
			t.Errorf("%v against %v: %v", c.expected, c.found, ok)
		}
		if ok != (why == "") {
			t.Errorf("%v against %v: explanation %q", c.expected, c.found, why)
		}
	}
}

func TestMatcherExplains(t *testing.T) {
	for _, c := range []struct {
		expected, found any
		want            string
	}{
		{int64(200), 429, "found 429, expected 200"},
		{"<120ms", 150 * time.Millisecond, "found 150ms, expected <120ms"},
		{"~json", "text", `found "text", expected text that contains "json"`},
		{"exists", Absent{}, "found nothing, expected any value"},
		{"absent", "5", `found "5", expected nothing`},
		{[]any{int64(429), "/x/"}, 200, "found 200, expected one of 429, a match of /x/"},
	} {
		m, err := newMatcher(c.expected, Pos{})
		if err != nil {
			t.Fatal(err)
		}
		if _, why := m.Match(c.found); why != c.want {
			t.Errorf("got %q, want %q", why, c.want)
		}
	}
}

func TestLiterals(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5ms": 5 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "1h30m": 90 * time.Minute, "2d": 48 * time.Hour, "0": 0, "90s": 90 * time.Second,
		"0.1ms": 100 * time.Microsecond, "3µs": 3 * time.Microsecond,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "-5ms", "5 ms", "ms", "1_0s", "1e3s", "300y", "107000d", "9223372036854775808ns", "5ms "} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	if got, err := ParseRamp("10/s..31/s"); err != nil || got.From.PerSecond() != 10 || got.To.PerSecond() != 31 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseRate("90/m"); err != nil || got.PerSecond() != 1.5 || got.String() != "90/m" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParsePercent("0.5%"); err != nil || got != 0.005 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseRange("0.25..0.5"); err != nil || got != (Range{0.25, 0.5}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"5..1", "a..b", "1..2..3", ""} {
		if got, err := ParseRange(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 1500 * time.Millisecond: "1.5s", time.Minute: "1m", 0: "0s", 10 * time.Hour: "10h", 20 * time.Minute: "20m"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}

// What comes from the wire is a number only within bounds: 1e999999999 would be a
// gigabyte of digits.
func TestParseDecimalIsBounded(t *testing.T) {
	for text, want := range map[string]bool{
		"-12.50": true, "1e30": true, strings.Repeat("9", longestNumber): true,
		strings.Repeat("9", longestNumber+1): false, "1e100": false, ".5": false, "1_000": false, "": false,
	} {
		if _, ok := parseDecimal(text); ok != want {
			t.Errorf("%.20q: found %v, expected %v", text, ok, want)
		}
	}
}
