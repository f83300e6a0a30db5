package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// node is a YAML node reduced to what the language knows: scalars, lists and
// mappings. Its text is kept as written, because the meaning of a scalar
// depends on the field that it is for.
type node struct {
	kind   nodeKind
	pos    Pos
	text   string // scalar: the value
	quoted bool   // scalar: text whatever it looks like
	block  bool   // scalar: a | or > block, whose text begins on a later line
	items  []*node
	fields []field
	end    Pos    // flow collections: place of the closing bracket
	origin string // not empty: came out of this interpolation
}

type field struct {
	key   string
	pos   Pos
	value *node
}

type nodeKind int

const (
	scalarNode nodeKind = iota
	listNode
	mapNode
)

// get is the value of a key, nil if there is none.
func (n *node) get(key string) *node {
	if n == nil || n.kind != mapNode {
		return nil
	}
	for _, f := range n.fields {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// with is a copy of a mapping with one key replaced or added.
func (n *node) with(key string, value *node) *node {
	out := *n
	out.fields = make([]field, 0, len(n.fields)+1)
	found := false
	for _, f := range n.fields {
		if f.key == key {
			f.value, found = value, true
		}
		out.fields = append(out.fields, f)
	}
	if !found {
		out.fields = append(out.fields, field{key: key, pos: value.pos, value: value})
	}
	return &out
}

// without is a copy of a mapping without some keys.
func (n *node) without(keys ...string) *node {
	out := *n
	out.fields = nil
	for _, f := range n.fields {
		if !contains(keys, f.key) {
			out.fields = append(out.fields, f)
		}
	}
	return &out
}

// null tells an empty scalar, which a key without a value is.
func (n *node) null() bool {
	return n.kind == scalarNode && !n.quoted && (n.text == "" || n.text == "null" || n.text == "~")
}

// maxDepth bounds nesting, so that no file can exhaust the stack.
const maxDepth = 64

// reader turns a file into nodes.
type reader struct {
	file     string
	lines    []string
	problems Problems
}

func newReader(file string, src []byte) *reader {
	return &reader{file: file, lines: strings.Split(strings.ReplaceAll(string(src), "\r\n", "\n"), "\n")}
}

// report adds a problem and fills in its source line.
func (r *reader) report(p Problem) {
	if p.Level == "" {
		p.Level = Error
	}
	if p.Source == "" && p.File == r.file && p.Line >= 1 && p.Line <= len(r.lines) {
		p.Source = r.lines[p.Line-1]
	}
	r.problems = append(r.problems, p)
}

// parse reads the document; nil if there is none, or if it is no YAML at all.
func (r *reader) parse(src []byte) *node {
	if !utf8.Valid(src) {
		r.report(Problem{Pos: Pos{File: r.file, Line: 1, Column: 1}, Message: "the file is not valid UTF-8"})
		return nil
	}
	file, err := parseYAML(src)
	if err != nil {
		r.syntax(err)
		return nil
	}
	var root *node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			r.report(Problem{Pos: r.pos(doc.Body.GetToken()), Message: "a second document", Expected: "one suite per file"})
			break
		}
		root = r.node(doc.Body, 0)
	}
	if root == nil && len(r.problems) == 0 {
		r.report(Problem{Pos: Pos{File: r.file, Line: 1, Column: 1}, Message: "the file is empty", Expected: "a suite", Anchor: "shape"})
	}
	return root
}

// parseYAML shields us from a library that may panic on what no author wrote.
func parseYAML(src []byte) (file *ast.File, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("unreadable YAML: %v", cause)
		}
	}()
	return parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
}

func (r *reader) syntax(err error) {
	problem := Problem{Pos: Pos{File: r.file, Line: 1, Column: 1}, Message: err.Error()}
	if known, ok := errors.AsType[yaml.Error](err); ok {
		problem.Message = known.GetMessage()
		if at := known.GetToken(); at != nil {
			problem.Pos = r.pos(at)
		}
	}
	problem.Message = "not YAML: " + problem.Message
	r.report(problem)
}

func (r *reader) pos(t *token.Token) Pos {
	if t == nil || t.Position == nil {
		return Pos{File: r.file, Line: 1, Column: 1}
	}
	return Pos{File: r.file, Line: t.Position.Line, Column: t.Position.Column}
}

func (r *reader) node(n ast.Node, depth int) *node {
	if depth > maxDepth {
		r.report(Problem{Pos: r.pos(n.GetToken()), Message: fmt.Sprintf("nested more than %d deep", maxDepth)})
		return &node{pos: r.pos(n.GetToken())}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.mapping(n, depth)
	case *ast.MappingValueNode:
		out := &node{kind: mapNode, pos: r.pos(n.Key.GetToken())}
		r.entry(out, n, depth)
		return out
	case *ast.SequenceNode:
		out := &node{kind: listNode, pos: r.pos(n.Start)}
		if n.End != nil {
			out.end = r.pos(n.End)
		}
		for _, item := range n.Values {
			out.items = append(out.items, r.node(item, depth+1))
		}
		return out
	case *ast.StringNode:
		quoted := n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
		return &node{pos: r.pos(n.Token), text: n.Value, quoted: quoted}
	case *ast.LiteralNode:
		return &node{pos: r.pos(n.Start), text: n.Value.Value, quoted: true, block: true}
	case *ast.NullNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return &node{pos: r.pos(n.GetToken()), text: strings.TrimSpace(n.GetToken().Value)}
	case *ast.AnchorNode:
		r.refuse(n)
		return r.node(n.Value, depth+1)
	case *ast.TagNode:
		r.refuse(n)
		return r.node(n.Value, depth+1)
	case nil:
		return &node{pos: Pos{File: r.file, Line: 1, Column: 1}}
	}
	r.refuse(n)
	return &node{pos: r.pos(n.GetToken())}
}

func (r *reader) refuse(n ast.Node) {
	r.report(Problem{
		Pos: r.pos(n.GetToken()), Message: "anchors, aliases, merge keys and tags are not part of the language",
		Expected: "vars for values, `use` for steps", Anchor: "shape",
	})
}

func (r *reader) mapping(n *ast.MappingNode, depth int) *node {
	out := &node{kind: mapNode, pos: r.pos(n.Start)}
	if n.IsFlowStyle {
		if n.End != nil {
			out.end = r.pos(n.End)
		}
	} else if len(n.Values) > 0 {
		out.pos = r.pos(n.Values[0].Key.GetToken())
	}
	for _, entry := range n.Values {
		r.entry(out, entry, depth)
	}
	return out
}

func (r *reader) entry(out *node, n *ast.MappingValueNode, depth int) {
	at := r.pos(n.Key.GetToken())
	key := n.Key.GetToken().Value
	switch n.Key.(type) {
	case *ast.MergeKeyNode, *ast.MappingKeyNode:
		r.report(Problem{Pos: at, Message: "merge keys and complex keys are not part of the language", Expected: "a plain key", Anchor: "shape"})
		return
	}
	if text, ok := n.Key.(*ast.StringNode); ok {
		key = text.Value
	}
	for _, f := range out.fields {
		if f.key == key {
			r.report(Problem{Pos: at, Width: utf8.RuneCountInString(key), Message: fmt.Sprintf("%q is given twice; first on line %d", key, f.pos.Line), Anchor: "shape"})
			return
		}
	}
	value := r.node(n.Value, depth+1)
	if value.pos.Line < at.Line { // an empty value has no place of its own
		value.pos = at
	}
	out.fields = append(out.fields, field{key: key, pos: at, value: value})
}

var (
	integerPattern = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	fractionPart   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)\.[0-9]+$`)
	oddNumber      = regexp.MustCompile(`^[+-]?([0-9][0-9_]*(\.[0-9_]*)?([eE][+-]?[0-9_]+)?|0[xXoObB][0-9a-fA-F_]+|\.[0-9]+([eE][+-]?[0-9]+)?|\.(inf|Inf|INF|nan|NaN|NAN))$`)
)

// value is what a scalar, list or mapping means where no field says more.
func (n *node) value() (any, error) {
	switch n.kind {
	case listNode:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			v, err := item.value()
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	case mapNode:
		out := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			v, err := f.value.value()
			if err != nil {
				return nil, err
			}
			out[f.key] = v
		}
		return out, nil
	case scalarNode:
	}
	return n.scalar()
}

// valueError is a scalar without a clear meaning.
type valueError struct {
	at      *node
	message string
}

func (e *valueError) Error() string { return e.message }

func (n *node) scalar() (any, error) {
	switch {
	case n.quoted:
		return n.text, nil
	case n.null():
		return nil, nil
	case n.text == "true":
		return true, nil
	case n.text == "false":
		return false, nil
	case integerPattern.MatchString(n.text):
		v, err := strconv.ParseInt(n.text, 10, 64)
		if err != nil {
			return nil, &valueError{at: n, message: n.text + " does not fit into 64 bits"}
		}
		return v, nil
	case fractionPart.MatchString(n.text):
		return json.Number(n.text), nil
	case oddNumber.MatchString(n.text):
		return nil, &valueError{at: n, message: fmt.Sprintf("%s is not a plain decimal number; quote it if it is text", n.text)}
	}
	return n.text, nil
}

// nodeOf makes a node of a value, at the place of an interpolation.
func nodeOf(value any, pos Pos, origin string) *node {
	out := &node{pos: pos, origin: origin}
	switch v := value.(type) {
	case nil:
	case string:
		out.text, out.quoted = v, true
	case []any:
		out.kind = listNode
		for _, item := range v {
			out.items = append(out.items, nodeOf(item, pos, origin))
		}
	case map[string]any:
		out.kind = mapNode
		for _, key := range sortedKeys(v) {
			out.fields = append(out.fields, field{key: key, pos: pos, value: nodeOf(v[key], pos, origin)})
		}
	default:
		out.text = asText(plain(v))
	}
	return out
}
