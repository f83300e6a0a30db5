package suite

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/llmlimit/llmlimit/internal/nearest"
)

// DocsPage is where the language is explained; problems link into it.
const DocsPage = "docs/write-a-scenario.md"

// Level tells an error from a warning.
type Level string

// The levels of a problem.
const (
	Error   Level = "error"   // the suite cannot run
	Warning Level = "warning" // it runs, but look
)

// Problem is one finding in a suite file, complete enough to be understood
// without opening the file.
type Problem struct {
	Pos
	Level    Level  `json:"level"`
	Message  string `json:"message"`            // what was found
	Expected string `json:"expected,omitempty"` // what would have been right
	Nearest  string `json:"nearest,omitempty"`  // the nearest known word
	Source   string `json:"source,omitempty"`   // the line of the file
	Width    int    `json:"width,omitempty"`    // characters to underline; 0 means one
	Anchor   string `json:"anchor,omitempty"`   // section of DocsPage
}

// among is the problem with what the word found may have meant: all known words,
// and the nearest of them, which says more than the tail of a long list.
func (p Problem) among(found string, known []string) Problem {
	const most = 8
	p.Nearest, p.Expected = nearest.Word(found, known), orList(known)
	switch {
	case p.Nearest == "":
	case len(known) == 1:
		p.Expected = ""
	case len(known) > most:
		p.Expected = "one of " + strings.Join(known[:most], ", ") + ", …"
	}
	return p
}

// OneLine is the problem without its picture.
func (p Problem) OneLine() string {
	text := p.Pos.String() + ": "
	if p.Level == Warning {
		text += "warning: "
	}
	text += p.Message
	if p.Expected != "" {
		text += "; expected " + p.Expected
	}
	if p.Nearest != "" {
		text += fmt.Sprintf("; did you mean %q?", p.Nearest)
	}
	return text
}

// String is the problem with its source line, caret and link.
func (p Problem) String() string {
	text := p.OneLine() + "\n"
	if p.Source != "" {
		gutter := fmt.Sprintf("%5d | ", p.Line)
		text += gutter + p.Source + "\n"
		text += strings.Repeat(" ", len(gutter)-2) + "| " + padding(p.Source, p.Column) + strings.Repeat("^", max(1, p.Width)) + "\n"
	}
	if p.Anchor != "" {
		text += "      see " + DocsPage + "#" + p.Anchor + "\n"
	}
	return text
}

// padding is the white space that puts a caret below a column. Tabs stay tabs,
// so that the caret stands right at any tab width.
func padding(line string, column int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i >= column-1 {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// Problems is everything that was found, in the order of the files.
type Problems []Problem

// Errors are the problems that forbid a run.
func (ps Problems) Errors() Problems { return ps.of(Error) }

// Warnings are the problems that do not.
func (ps Problems) Warnings() Problems { return ps.of(Warning) }

func (ps Problems) of(level Level) Problems {
	var out Problems
	for _, p := range ps {
		if p.Level == level {
			out = append(out, p)
		}
	}
	return out
}

// Err is nil if nothing forbids a run, else an [InvalidError].
func (ps Problems) Err() error {
	if errs := ps.Errors(); len(errs) > 0 {
		return &InvalidError{Problems: errs}
	}
	return nil
}

// InvalidError says what is wrong with a suite, one line per problem.
type InvalidError struct{ Problems Problems }

// Error implements error.
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.OneLine()
	}
	return strings.Join(lines, "\n")
}

// String is every problem with source line and caret.
func (ps Problems) String() string {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// sorted puts problems into the order of the files and drops repetitions, which
// the cells of a matrix produce.
func (ps Problems) sorted() Problems {
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(out, func(a, b Problem) bool { return a.Pos == b.Pos && a.Message == b.Message })
}
