package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/llmlimit/llmlimit/internal/nearest"
)

const (
	maxFileBytes = 4 << 20 // of a policy file; a bundle of thousands of rules has some hundred kilobytes
	maxNesting   = 2000    // levels of a policy file; a bundle has nine, so that the count may be coarse
)

// Source is policy text and where it stands: a whole file, or a part of one.
type Source struct {
	File string // named in every problem
	Data []byte
	Line int // the line of File on which Data begins; 0 and 1 mean the first
}

// A reader walks the syntax tree of one source against field tables. It collects every problem instead of stopping at the first.
type reader struct {
	src      Source
	lines    []string
	path     []string // where the walk stands; joined for a problem
	problems []Problem
	warnings []Problem
	ours     []Problem // fields that are not part of Fairvisor's format

	incomplete map[ast.Node]bool // objects with problems: what they lack is not a problem of its own
	trusted    map[string]string // Options.TrustedHeaders
}

// value is something read, with its place, so that checks which need several fields can point at the right one.
type value[T any] struct {
	V  T
	at ast.Node // nil: the field is absent
}

func (v value[T]) given() bool { return v.at != nil }

// or returns the value, or the default when the field is absent.
func (v value[T]) or(d T) T {
	if v.at == nil {
		return d
	}
	return v.V
}

// field is one row of a table: what a field is called and how it is read into a T.
type field[T any] struct {
	name     string
	read     func(r *reader, n ast.Node, into *T)
	required bool
	own      bool // not part of Fairvisor's format: its loader ignores the field
}

func newReader(src Source, trusted map[string]string) *reader {
	src.Line = max(src.Line, 1)
	src.Data = bytes.TrimPrefix(src.Data, []byte("\ufeff")) // some editors begin a file with it
	return &reader{src: src, lines: strings.Split(string(src.Data), "\n"), incomplete: map[ast.Node]bool{}, trusted: trusted}
}

// parse turns the source into the tree of its only document, or nil after a problem.
func (r *reader) parse() ast.Node {
	if len(r.src.Data) > maxFileBytes {
		r.problemAt(1, 1, "", fmt.Sprintf("found %d bytes, expected at most %d", len(r.src.Data), maxFileBytes))
		return nil
	}
	if line, column, deep := nesting(r.src.Data); deep {
		r.problemAt(line, column, "", fmt.Sprintf("found more than %d levels of nesting", maxNesting))
		return nil
	}
	file, err := parser.ParseBytes(untab(r.src.Data), 0, parser.AllowDuplicateMapKey())
	var syntax *yaml.SyntaxError
	switch {
	case errors.As(err, &syntax) && syntax.Token != nil && syntax.Token.Position != nil:
		r.problemAt(syntax.Token.Position.Line, syntax.Token.Position.Column, "", "not valid YAML or JSON: "+syntax.Message)
		return nil
	case err != nil:
		r.problemAt(1, 1, "", "not valid YAML or JSON: "+err.Error())
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		_, directive := doc.Body.(*ast.DirectiveNode)
		switch {
		case doc.Body == nil, directive:
		case body != nil:
			r.problem(doc.Body, "found a second document, expected one", "")
			return nil
		default:
			body = doc.Body
		}
	}
	if body == nil {
		r.problemAt(1, 1, "", "found an empty file")
	}
	return body
}

// untab replaces tabs between the tokens of JSON by blanks: YAML's columns do not count them, ours do.
func untab(data []byte) []byte {
	text := strings.TrimLeft(string(data), " \t\r\n")
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return data
	}
	out := slices.Clone(data)
	quoted := false
	for i := 0; i < len(out); i++ {
		switch {
		case quoted && out[i] == '\\':
			i++
		case out[i] == '"':
			quoted = !quoted
		case out[i] == '\t' && !quoted:
			out[i] = ' '
		}
	}
	return out
}

// nesting finds text that would drive the recursive parser deep. It counts brackets in strings and comments too, and never fewer levels
// than there are.
func nesting(data []byte) (line, column int, deep bool) {
	open := 0
	for i, text := range strings.Split(string(data), "\n") {
		run := 0 // of block indicators on this line, each perhaps a level
		for j := range len(text) {
			switch text[j] {
			case '[', '{':
				open++
			case ']', '}':
				open = max(0, open-1)
			case '-', '?':
				if j+1 == len(text) || text[j+1] == ' ' || text[j+1] == '\t' {
					run++
				}
			}
			if open+run > maxNesting {
				return i + 1, j + 1, true
			}
		}
		if indent := len(text) - len(strings.TrimLeft(text, " ")); indent > maxNesting && indent < len(text) {
			return i + 1, indent + 1, true
		}
	}
	return 0, 0, false
}

// problemAt records a problem at a place of the data.
func (r *reader) problemAt(line, column int, near, message string) {
	r.problems = append(r.problems, r.note(line, column, near, message))
}

// problem records a problem at a node.
func (r *reader) problem(n ast.Node, message, near string) {
	pos := place(n)
	r.problemAt(pos.Line, pos.Column, near, message)
}

// problemIn records a problem of a field of the object that is being read.
func (r *reader) problemIn(name string, n ast.Node, message string) {
	r.in(name, func() { r.problem(n, message, "") })
}

// warn records something that is allowed and probably not meant.
func (r *reader) warn(name string, n ast.Node, message string) {
	r.in(name, func() {
		pos := place(n)
		r.warnings = append(r.warnings, r.note(pos.Line, pos.Column, "", message))
	})
}

func (r *reader) note(line, column int, near, message string) Problem {
	p := Problem{
		File: r.src.File, Line: r.src.Line + line - 1, Column: column,
		Path: strings.ReplaceAll(strings.Join(r.path, "."), ".[", "["), Message: message, Nearest: near,
	}
	if line >= 1 && line <= len(r.lines) {
		p.Source = strings.TrimRight(r.lines[line-1], "\r")
	}
	return p
}

// err returns all problems in the order of their places, or nil.
func (r *reader) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	byPlace(r.problems)
	return &Error{Problems: r.problems}
}

func byPlace(list []Problem) {
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
}

// in runs read one step deeper in the path.
func (r *reader) in(step string, read func()) {
	if step != "" {
		r.path = append(r.path, step)
		defer func() { r.path = r.path[:len(r.path)-1] }()
	}
	read()
}

// place is where a node begins. A block mapping begins at its first key, not at the colon that the parser names.
func place(n ast.Node) token.Position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return place(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return place(n.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return *t.Position
	}
	return token.Position{Line: 1, Column: 1}
}

// found says what a node is, in the words of a message.
func found(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "an object"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "null"
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value
	case *ast.StringNode:
		return "text " + strconv.Quote(clip(n.Value))
	case *ast.LiteralNode:
		return "text " + strconv.Quote(clip(n.Value.Value))
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		return "a YAML anchor, alias or tag"
	}
	return strings.ToLower(n.Type().String())
}

// clip keeps a message readable when a value is not.
func clip(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

func isObject(n ast.Node) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// pairs returns the fields of an object node.
func (r *reader) pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	r.problem(n, "found "+found(n)+", expected an object", "")
	return nil, false
}

// object reads an object against its table: unknown, repeated and missing fields are problems.
func object[T any](r *reader, n ast.Node, table []field[T], into *T) bool {
	pairs, ok := r.pairs(n)
	if !ok {
		return false
	}
	before := len(r.problems)
	seen := make(map[string]bool, len(pairs))
	for _, pair := range pairs {
		name, ok := r.key(pair)
		if !ok {
			continue
		}
		i := slices.IndexFunc(table, func(f field[T]) bool { return f.name == name })
		switch {
		case i < 0:
			r.problem(pair.Key, fmt.Sprintf("unknown field %q", name), nearest.Word(name, names(table)))
			if nearest.Word(name, names(table)) == "" {
				last := &r.problems[len(r.problems)-1]
				last.Message += ", expected one of " + strings.Join(names(table), ", ")
			}
		case seen[name]:
			r.problem(pair.Key, fmt.Sprintf("field %q is given twice", name), "")
		default:
			r.in(name, func() {
				if table[i].own {
					pos := place(pair.Key)
					r.ours = append(r.ours, r.note(pos.Line, pos.Column, "", "Fairvisor Edge ignores this field"))
				}
				table[i].read(r, pair.Value, into)
			})
		}
		seen[name] = true
	}
	for _, f := range table {
		if f.required && !seen[f.name] {
			r.problem(n, fmt.Sprintf("field %q is missing", f.name), "")
		}
	}
	return len(r.problems) == before
}

// key is the name of a field as text.
func (r *reader) key(pair *ast.MappingValueNode) (string, bool) {
	switch k := pair.Key.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.MergeKeyNode:
		r.problem(k, "found a YAML merge key, expected a field", "")
	default:
		r.problem(k, "found "+found(k)+", expected the name of a field", "")
	}
	return "", false
}

func names[T any](table []field[T]) []string {
	list := make([]string, len(table))
	for i, f := range table {
		list[i] = f.name
	}
	return list
}

// each reads the entries of a list; with the index in the path.
func (r *reader) each(n ast.Node, read func(i int, n ast.Node)) int {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		r.problem(n, "found "+found(n)+", expected a list", "")
		return 0
	}
	for i, entry := range list.Values {
		r.in("["+strconv.Itoa(i)+"]", func() { read(i, entry) })
	}
	return len(list.Values)
}
