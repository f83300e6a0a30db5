package suite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the bytes, the reader answers with a suite or with problems at
// places that exist, and never panics.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	more, err := filepath.Glob("../../../scenarios/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, more...) {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	for _, src := range []string{"", "-", "a", "[", "{", "&a *a", "? a : b", "a: |\n b", "\xff", "scenarios: [ { steps: [ { check: \"${\" } ] } ]", "target: { serve: { rules: [", "version: 1\nscenarios: { id: a, steps: { send: {} } }"} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		s, problems := Read("f.yaml", src, nil)
		if s != nil {
			_, compiled := Compile(s, Options{})
			problems = append(problems, compiled...)
		}
		lines := strings.Count(string(src), "\n") + 1
		for _, p := range problems {
			if p.Message == "" || p.Line < 1 || p.Line > lines+1 || p.Column < 1 {
				t.Errorf("%d lines, but %+v", lines, p)
			}
			_ = p.String()
		}
	})
}

// Rewriting keeps what it does not touch, for any text.
func FuzzRewriteDurations(f *testing.F) {
	for _, seed := range []string{"a < 5ms", "'5ms", "1..2", "5ms5s", "/*", "é\"\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		source = strings.ToValidUTF8(source, "?")
		got := rewriteDurations(source)
		if len(got.back) != len([]rune(got.text))+1 {
			t.Fatalf("%q: %d places", source, len(got.back))
		}
		last := 0
		for _, at := range got.back {
			if at < last || at > len([]rune(source)) {
				t.Fatalf("%q: places %v", source, got.back)
			}
			last = at
		}
	})
}
