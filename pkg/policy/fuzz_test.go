package policy

import (
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// FuzzParse reads any text: it gives a bundle whose limits can be kept, or problems with places inside of the text.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/*.json", "testdata/fairvisor/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: found %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data))
		}
	}
	for _, seed := range []string{
		"", "\x00", "\xff", "{", "[", "- - - -", "a: &a [*a]", "a: *a", "<<: {}", "? a\n: b", "%YAML 1.2\n---\n{}", "!!binary x", "bundle_version: |\n  1",
		"{\"bundle_version\": 1, \"policies\": [{}]}", strings.Repeat("[", 3000), strings.Repeat("- ", 3000), "\ufeffbundle_version: 1\npolicies: []",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 64<<10 {
			return // the parser's time grows with the square of some inputs
		}
		b, err := Parse("fuzz.yaml", []byte(text), Options{Now: at})
		var bad *Error
		switch {
		case err == nil:
			for _, rule := range b.Rules() {
				for _, l := range rule.Limits {
					if err := l.Limit.Validate(); err != nil {
						t.Errorf("a limit that cannot be kept: %v", err)
					}
				}
			}
			b.Bind(at, &Subject{Path: "/v1/x", Header: map[string][]string{}}, Ask{Prompt: 1, Metered: true})
		case !errors.As(err, &bad) || len(bad.Problems) == 0:
			t.Errorf("error without a problem: %v", err)
		default:
			for _, p := range bad.Problems {
				if p.Line < 1 || p.Line > strings.Count(text, "\n")+1 || p.Column < 1 || p.Message == "" {
					t.Errorf("a problem without a place: %+v", p)
				}
			}
		}
	})
}

// FuzzNumber compares numbers that are accepted with what an exact reader takes them for.
func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"1", "0.5", "010", "1_000", "1e3", "NaN", "-1", "0.000001", "0.0000001", "1000000000", "1000000001", ".5", "5.", "", "+1", "00", "0", "-0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, ok := parseMicro(text)
		exact, isNumber := new(big.Rat).SetString(text)
		if !ok {
			return
		}
		if !isNumber || strings.ContainsAny(text, "_eExXpP/+") {
			t.Fatalf("%q is accepted as a number", text)
		}
		if want := exact.Mul(exact, big.NewRat(perUnit, 1)); !want.IsInt() || want.Num().Int64() != v {
			t.Errorf("%q is read as %d millionths, and is %s", text, v, want)
		}
		if v > 0 {
			if again, ok := parseMicro(micro(v)); !ok || again != v {
				t.Errorf("%d is written as %s", v, micro(v))
			}
		}
	})
}

// FuzzPeriod accepts the four periods and nothing that resembles them.
func FuzzPeriod(f *testing.F) {
	for _, seed := range []string{"5m", "1h", "1d", "7d", "05m", "5M", "300s", "5m0s", " 5m", "60m", "24h", "1w", "-1h", "1 h", "", "5", "1e1h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := newReader(Source{File: "fuzz.yaml"}, nil)
		v := r.word(ast.String(token.New(text, text, &token.Position{Line: 1, Column: 1})), "5m", "1h", "1d", "7d")
		_, known := periods[text]
		if v.given() != known || known == (len(r.problems) > 0) {
			t.Errorf("%q: accepted %v, problems %v", text, v.given(), r.problems)
		}
		if known && periods[text].String() != text {
			t.Errorf("%q is %s", text, periods[text])
		}
	})
}
