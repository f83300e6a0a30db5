package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
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

// nearest returns the known word that the given one is most likely a slip of, or "".
func nearest(word string, known []string) string {
	if utf8.RuneCountInString(word) > 64 {
		return ""
	}
	best, distance := "", 1+max(1, utf8.RuneCountInString(word)/3)
	for _, k := range known {
		if d := editDistance(strings.ToLower(word), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// editDistance is the number of characters to insert, delete or replace (Levenshtein).
func editDistance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, s := range to {
			replace := diagonal
			if r != s {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
