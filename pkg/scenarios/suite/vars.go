package suite

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ParseVar reads an argument of --var: k=v, where v is read as a scalar of the
// language is: 5 is a number, true a truth value, "5" in quotes is text.
func ParseVar(text string) (name string, value any, err error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || !stepIDPattern.MatchString(name) {
		return "", nil, fmt.Errorf("--var %s: expected name=value", text)
	}
	n := &node{text: rest}
	if len(rest) > 1 && (rest[0] == '"' || rest[0] == '\'') && rest[len(rest)-1] == rest[0] {
		n.text, n.quoted = rest[1:len(rest)-1], true
	}
	if rest == "" {
		n.quoted = true
	}
	if value, err = n.value(); err != nil {
		return "", nil, fmt.Errorf("--var %s: %w", text, err)
	}
	return name, value, nil
}

// ReadVars reads a file for --var-file: a mapping of names to values.
func ReadVars(file string, src []byte) (map[string]any, Problems) {
	r := newReader(file, src)
	root := r.parse(src)
	if root == nil {
		return nil, r.problems.sorted()
	}
	if root.kind != mapNode {
		r.report(Problem{Pos: root.pos, Message: "found " + describe(root), Expected: "a mapping of names to values"})
		return nil, r.problems.sorted()
	}
	vars := make(map[string]any, len(root.fields))
	for _, f := range root.fields {
		value, err := f.value.value()
		if err != nil {
			at := f.value
			if unclear, ok := errors.AsType[*valueError](err); ok {
				at = unclear.at
			}
			r.report(Problem{Pos: at.pos, Width: utf8.RuneCountInString(at.text), Message: err.Error()})
			continue
		}
		vars[f.key] = value
	}
	return vars, r.problems.sorted()
}
