package policy

import (
	"strings"
	"testing"
)

func TestKeyString(t *testing.T) {
	long := strings.Repeat("x", longValue+1)
	for _, tt := range []struct {
		key  Key
		want string
	}{
		{Key{shared: true}, ""},
		{Key{parts: []part{{value: "acme"}}}, "acme"},
		{Key{parts: []part{{value: "a"}, {value: "b"}}}, "a,b"},
		{Key{parts: []part{{value: `a,b\`}}}, `a\,b\\`},
		{Key{parts: []part{{value: "sk-1", secret: true}}}, Redact("sk-1")},
		{Key{parts: []part{{value: long}}}, Redact(long)},
		{Key{parts: []part{{value: long[1:]}}}, long[1:]},
	} {
		if got := tt.key.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	// printf hello | sha256sum
	if got := Redact("hello"); got != "sha256:2cf24dba5fb0" {
		t.Errorf("hash: %s", got)
	}
}

func TestLongValuesAreHashed(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	account := string(Key{parts: []part{{value: long}}}.appendTo(nil))
	if len(account) != 65 {
		t.Errorf("an account carries %d bytes of a long value", len(account))
	}
	// A client that sends the hash itself is somebody else.
	if again := string(Key{parts: []part{{value: account}}}.appendTo(nil)); again == account {
		t.Error("a value passes for the hash of another one")
	}
}

// FuzzKeys makes two keys from two cuts of the same text: they are the same account only if they are the same values.
func FuzzKeys(f *testing.F) {
	f.Add("a:b", "c", "a", "b:c")
	f.Add("1:a", "", "1", "a")
	f.Add("", "a", "a", "")
	f.Add("3:abc", "x", "abc", "3:x")
	f.Add(strings.Repeat("x", 300), "y", "#"+strings.Repeat("0", 64), "y")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		first, second := Key{parts: []part{{value: a}, {value: b}}}, Key{parts: []part{{value: c}, {value: d}}}
		same := a == c && b == d
		if got := string(first.appendTo(nil)) == string(second.appendTo(nil)); got != same {
			t.Errorf("(%q, %q) and (%q, %q): same account %v", a, b, c, d, got)
		}
		long := len(a) > longValue || len(b) > longValue || len(c) > longValue || len(d) > longValue
		if got := first.String() == second.String(); !long && got != same {
			t.Errorf("(%q, %q) and (%q, %q): shown alike %v", a, b, c, d, got)
		}
		if one := (Key{parts: []part{{value: a + b}}}); string(one.appendTo(nil)) == string(first.appendTo(nil)) {
			t.Errorf("one value %q passes for two", a+b)
		}
	})
}
