package suite

import (
	"os"
	"path/filepath"
	"testing"
)

// load reads and compiles a suite file, failing on any problem, warnings too.
func load(t *testing.T, file string, o Options) *Program {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, problems := Read(filepath.Base(file), src, nil)
	if len(problems) > 0 {
		t.Fatalf("reading:\n%s", problems)
	}
	p, problems := Compile(s, o)
	if len(problems) > 0 {
		t.Fatalf("compiling:\n%s", problems)
	}
	return p
}

// The three suites of the language's own reference are correct.
func TestExamplesOfTheReference(t *testing.T) {
	for _, c := range []struct {
		file        string
		options     Options
		cells, left int
	}{
		{"../../../scenarios/refunds.yaml", Options{}, 8 + 1 + 2 + 4, 0},
		{"testdata/storm.yaml", Options{}, 0, 9},
		{"testdata/storm.yaml", Options{Tags: "nightly"}, 9, 0},
		{"testdata/token-limit.yaml", Options{}, 0, 6},
		{"testdata/token-limit.yaml", Options{Profile: "token-limit"}, 6, 0},
	} {
		p := load(t, c.file, c.options)
		if len(p.Cells) != c.cells || len(p.NotSelected) != c.left {
			t.Errorf("%s: %d cells and %d not selected, want %d and %d", c.file, len(p.Cells), len(p.NotSelected), c.cells, c.left)
		}
		for _, cell := range p.Cells {
			t.Log(cell.ID)
		}
	}
}
