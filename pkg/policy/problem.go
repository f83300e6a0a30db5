package policy

import (
	"fmt"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong, or worth saying, at one place of a policy file.
type Problem struct {
	File    string // as given to the reader
	Line    int    // from 1, in File
	Column  int    // from 1, in characters
	Path    string // where in the bundle: "policies[0].spec.rules[1].name"
	Message string // what was found and what was expected
	Nearest string // the nearest known word, if what was found looks like a slip of it
	Source  string // the source line, without its end
}

// String renders the problem on its own line, followed by the source line and a caret.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Nearest != "" {
		fmt.Fprintf(&b, " (did you mean %q?)", p.Nearest)
	}
	if p.Source == "" {
		return b.String()
	}
	number := strconv.Itoa(p.Line)
	source, caret := excerpt(p.Source, p.Column)
	fmt.Fprintf(&b, "\n  %s | %s\n  %s | %s^", number, source, strings.Repeat(" ", len(number)), caret)
	return b.String()
}

// excerpt cuts a long line around the column and returns it with the blanks that put a caret under that column. Tabs are kept
// in the blanks so that the caret stands right at any tab width.
func excerpt(line string, column int) (source, blanks string) {
	const before, most = 60, 120
	runes := []rune(line)
	at := min(max(column-1, 0), len(runes))
	from := 0
	if len(runes) > most && at > before {
		from = at - before
	}
	to := min(len(runes), from+most)
	var b strings.Builder
	for _, r := range runes[from:at] {
		if r == '\t' {
			b.WriteRune(r)
		} else {
			b.WriteByte(' ')
		}
	}
	return string(runes[from:to]), b.String()
}

// Error lists every problem of a file, in the order of their places. Nothing of the file is in force.
type Error struct {
	Problems []Problem
}

// Error renders all problems, one after the other.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}
