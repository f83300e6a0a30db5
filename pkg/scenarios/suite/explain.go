package suite

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// ValueTree is an expression and its parts with their values: what a failed
// check shows.
type ValueTree struct {
	Expression string       `json:"expression"`
	Value      string       `json:"value"` // as JSON, durations as literals
	Error      string       `json:"error,omitempty"`
	Parts      []*ValueTree `json:"parts,omitempty"`
}

// String draws the tree, one part per line.
func (t *ValueTree) String() string {
	var b strings.Builder
	t.draw(&b, "")
	return b.String()
}

func (t *ValueTree) draw(b *strings.Builder, indent string) {
	value := t.Value
	if t.Error != "" {
		value = "error: " + t.Error
	}
	fmt.Fprintf(b, "%s%s = %s\n", indent, t.Expression, value)
	for _, part := range t.Parts {
		part.draw(b, indent+"  ")
	}
}

// maxShown is the length from which a value in a tree is cut.
const maxShown = 200

// explain evaluates every part that has a value of its own.
func (e *Expression) explain(env Environment) *ValueTree {
	tree, err := parser.Parse(rewriteDurations(e.Source).text)
	if err != nil {
		return nil
	}
	return e.explainNode(tree.Node, e.values(env))
}

func (e *Expression) explainNode(node ast.Node, values map[string]any) *ValueTree {
	out := &ValueTree{Expression: restoreDurations(node.String())}
	program, err := expr.Compile(node.String(), expr.Env(e.types.environment()))
	if err == nil {
		var value any
		value, err = expr.Run(program, values)
		out.Value = shown(value)
	}
	if err != nil {
		out.Value, out.Error = "", runError(err).Error()
	}
	for _, part := range parts(node) {
		if !constant(part) {
			out.Parts = append(out.Parts, e.explainNode(part, values))
		}
	}
	return out
}

// shown is a value for a tree, cut if it is long. Structs appear under their
// names in expressions.
func shown(value any) string {
	text := display(plain(named(reflect.ValueOf(value))))
	if runes := []rune(text); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return text
}

// named replaces structs by mappings with the names that expressions use, and
// lists of them by their length. Zero members are left out.
func named(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Struct:
		return named(v.Elem())
	case v.Kind() == reflect.Struct && len(exprNames(v.Type())) > 0:
		out := map[string]any{}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Tag.Get("expr"); name != "" && !v.Field(i).IsZero() {
				out[name] = named(v.Field(i))
			}
		}
		return out
	case v.Kind() == reflect.Slice && (v.Type().Elem().Kind() == reflect.Struct || v.Type().Elem().Kind() == reflect.Pointer):
		return fmt.Sprintf("%d items", v.Len())
	}
	return plain(v.Interface())
}

// parts are the operands worth showing. Names and members are leaves. An
// aggregate shows what its predicate gave for each item.
func parts(node ast.Node) []ast.Node {
	switch n := node.(type) {
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.BuiltinNode:
		if len(n.Arguments) == 2 && n.Name != "map" {
			if _, ok := n.Arguments[1].(*ast.PredicateNode); ok {
				return []ast.Node{&ast.BuiltinNode{Name: "map", Arguments: n.Arguments}}
			}
		}
		if len(n.Arguments) == 1 && n.Name != "duration" {
			return n.Arguments
		}
	}
	return nil
}

// constant tells whether a part says nothing that its text does not.
func constant(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.BoolNode, *ast.NilNode, *ast.ConstantNode:
		return true
	case *ast.ArrayNode:
		return !slices.ContainsFunc(n.Nodes, func(item ast.Node) bool { return !constant(item) })
	case *ast.BuiltinNode:
		return n.Name == "duration" && len(n.Arguments) == 1 && constant(n.Arguments[0])
	}
	return false
}
