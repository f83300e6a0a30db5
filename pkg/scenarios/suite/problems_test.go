package suite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// check reads and compiles a file offline, as `validate` does.
func check(t *testing.T, file string) Problems {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, problems := Read(filepath.Base(file), src, nil)
	if s != nil {
		_, more := Compile(s, Options{})
		problems = append(problems, more...)
	}
	return problems.sorted()
}

// Each bad file stands beside the exact words that it gets. After a change of
// words, run with -update and read the diff.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if files, err = filepath.Glob("testdata/[iw]*.yaml"); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, file := range files {
		bad := strings.TrimSuffix(strings.TrimSuffix(file, ".txt"), ".yaml")
		t.Run(filepath.Base(bad), func(t *testing.T) {
			got := check(t, bad+".yaml").String()
			if *update {
				if err := os.WriteFile(bad+".txt", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(bad + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
