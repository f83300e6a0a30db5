package suite

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// Expression is one expression of the file. In a planned cell it is compiled
// against the types of that cell. It is immutable and safe for concurrent use.
type Expression struct {
	Pos    Pos
	Source string // as written, interpolations resolved

	program *vm.Program
	names   []string   // top-level names it uses
	vars    cellValues // constants of the cell
	types   *cellTypes // to compile sub-expressions for an explanation
	column  int        // of the expression's first character, for carets inside it
}

// cellValues are the parts of the environment that are fixed at planning.
type cellValues struct {
	vars   map[string]any
	matrix map[string]any
	target *TargetView
}

// Uses tells whether the expression mentions a top-level name such as ledger,
// so that the runner fetches only what is asked for.
func (e *Expression) Uses(name string) bool { return slices.Contains(e.names, name) }

// Eval computes the expression.
func (e *Expression) Eval(env Environment) (any, error) {
	if e.program == nil {
		return nil, fmt.Errorf("%s: expression %q was not planned", e.Pos, e.Source)
	}
	value, err := expr.Run(e.program, e.values(env))
	if err != nil {
		return nil, fmt.Errorf("%s: %q: %w", e.Pos, e.Source, runError(err))
	}
	return value, nil
}

// Check evaluates the expression as a condition. If it does not hold, or cannot
// be computed, the tree shows the value of each part. An expression that cannot
// be computed (nil in an arithmetic, an index beyond the end) does not hold; err
// says why.
func (e *Expression) Check(env Environment) (ok bool, tree *ValueTree, err error) {
	value, err := e.Eval(env)
	if err == nil {
		if holds, isBool := value.(bool); isBool {
			if holds {
				return true, nil, nil
			}
		} else {
			err = fmt.Errorf("%s: %q is %s, not a condition", e.Pos, e.Source, display(plain(value)))
		}
	}
	return false, e.explain(env), err
}

// values is the environment as the virtual machine wants it.
func (e *Expression) values(env Environment) map[string]any {
	steps := make(map[string]any, len(env.Steps))
	for id, result := range env.Steps {
		steps[id] = result
	}
	target := env.Targeted
	if target == nil {
		target = e.vars.target
	}
	values := map[string]any{
		"res": env.Res, "load": env.Load, "drain": env.Drain, "ledger": env.Ledger, "judge": env.Judge,
		"steps": steps, "save": env.Save, "vars": e.vars.vars, "matrix": e.vars.matrix, "target": target.values(),
		"header": env.Header, "delta": env.Delta, "ledger_of": env.LedgerOf,
	}
	if env.Header == nil {
		values["header"] = func(string) string { return "" }
	}
	if env.Delta == nil {
		values["delta"] = func(string) (float64, error) { return 0, errors.New("the target has no metrics") }
	}
	if env.LedgerOf == nil {
		values["ledger_of"] = func(string, string) (*Ledger, error) { return nil, errors.New("the target has no ledger") }
	}
	return values
}

// values is the view as nested maps, because limits are reached by name.
func (t *TargetView) values() map[string]any {
	if t == nil {
		t = &TargetView{}
	}
	limits := make(map[string]any, len(t.Limits))
	for name, limit := range t.Limits {
		limits[name] = &limit
	}
	return map[string]any{"settle": t.Settle, "tolerance": t.Tolerance, "limits": limits}
}

// expressionError is a problem inside an expression, with the column where the
// author wrote it.
type expressionError struct {
	message string
	at      int      // rune offset in the source as written
	word    string   // what was written in place of one of known
	known   []string // the names that mean something there
}

func (e *expressionError) Error() string { return e.message }

// compile type-checks an expression against a cell. Problems carry the offset
// into the source as written, although durations were rewritten before parsing.
func (e *Expression) compile(types *cellTypes, condition bool) error {
	rewritten := rewriteDurations(e.Source)
	tree, err := parser.Parse(rewritten.text)
	if err != nil {
		return e.problem(err, rewritten, types)
	}
	seen := &visitor{}
	ast.Walk(&tree.Node, seen)
	for _, name := range seen.vars {
		types.used[name] = true
	}
	if seen.refused != "" {
		return &expressionError{message: seen.refused, at: rewritten.origin(seen.at)}
	}
	options := []expr.Option{expr.Env(types.environment()), expr.DisableIfOperator()}
	program, err := expr.Compile(rewritten.text, options...)
	if err != nil {
		return e.problem(err, rewritten, types)
	}
	if kind := program.Node().Type(); condition && kind != nil && kind.Kind().String() != "bool" && kind.Kind().String() != "interface" {
		return &expressionError{message: fmt.Sprintf("%q is a %s, not a condition", e.Source, typeName(kind))}
	}
	e.program, e.names, e.types = program, seen.names, types
	return nil
}

// visitor collects names and refuses what the language leaves out.
type visitor struct {
	names   []string
	vars    []string // members of vars
	refused string
	at      int
}

// Visit implements [ast.Visitor].
func (v *visitor) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if !slices.Contains(v.names, n.Value) {
			v.names = append(v.names, n.Value)
		}
	case *ast.MemberNode:
		owner, ofVars := n.Node.(*ast.IdentifierNode)
		if member, named := n.Property.(*ast.StringNode); ofVars && named && owner.Value == "vars" {
			v.vars = append(v.vars, member.Value)
		}
	case *ast.ConditionalNode:
		v.refuse(n.Exp1, "a ternary (? :) is not part of the language; write two checks, or use and/or")
	case *ast.MapNode:
		v.refuse(n, "a map literal ({ … }) is not part of the language")
	case *ast.VariableDeclaratorNode:
		v.refuse(n, "let is not part of the language; use save")
	}
}

func (v *visitor) refuse(n ast.Node, why string) {
	if v.refused == "" {
		v.refused, v.at = why, n.Location().From
	}
}

// problem puts a library error into our words.
func (e *Expression) problem(err error, rewritten rewriting, types *cellTypes) error {
	where, ok := errors.AsType[*file.Error](err)
	if !ok {
		return &expressionError{message: runError(err).Error()}
	}
	out := &expressionError{message: where.Message, at: rewritten.origin(where.From)}
	out.message, out.word, out.known = types.inOurWords(where.Message, e.Source, out.at)
	return out
}

// runError keeps the first line of a library error: the others draw its own
// picture of rewritten text.
func runError(err error) error {
	if where, ok := errors.AsType[*file.Error](err); ok {
		return errors.New(where.Message)
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(first)
}
