package suite

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/types"
)

// cellTypes are the types of all names that expressions of one cell may use.
// Steps add what they save, in the order of the scenario.
type cellTypes struct {
	vars, matrix types.Map
	save         types.Map
	steps        types.Map
	limits       types.Map
	used         map[string]bool // vars that expressions read
	cached       types.Map
}

// newCellTypes gives the types of a cell. Limits that are nil may have any name:
// they are in rules that only target and judge read.
func newCellTypes(vars, matrix map[string]any, limits []string, stepIDs []string, used map[string]bool) *cellTypes {
	t := &cellTypes{vars: typesOf(vars), matrix: typesOf(matrix), save: types.Map{}, steps: types.Map{}, limits: types.Map{}, used: used}
	for _, id := range stepIDs {
		t.steps[id] = types.TypeOf(&StepResult{})
	}
	// A pointer on purpose: the library loses the fields of a struct that is a value of a nested map.
	if limits == nil {
		t.limits[types.Extra] = types.TypeOf(&LimitView{})
	}
	for _, name := range limits {
		t.limits[name] = types.TypeOf(&LimitView{})
	}
	return t
}

// private is the types for one goroutine: compiling notes which vars are used.
func (t *cellTypes) private() *cellTypes {
	out := *t
	out.used = map[string]bool{}
	return &out
}

// saved is the types with one more saved name.
func (t *cellTypes) saved(name string, kind reflect.Type) *cellTypes {
	out := *t
	out.cached = nil
	out.save = types.Map{name: types.Any}
	for other, known := range t.save {
		if other != name {
			out.save[other] = known
		}
	}
	if kind != nil && kind.Kind() != reflect.Interface {
		out.save[name] = types.TypeOf(reflect.Zero(kind).Interface())
	}
	return &out
}

// environment is the whole typed environment.
func (t *cellTypes) environment() types.Map {
	if t.cached == nil {
		t.cached = types.Map{
			"res": types.TypeOf(&Response{}), "load": types.TypeOf(&LoadTotals{}), "drain": types.TypeOf(&DrainTotals{}),
			"ledger": types.TypeOf(&Ledger{}), "judge": types.TypeOf(&JudgeTotals{}),
			"steps": t.steps, "save": t.save, "vars": t.vars, "matrix": t.matrix,
			"target": types.Map{
				"settle": types.TypeOf(time.Duration(0)), "tolerance": types.Float64, "limits": t.limits,
			},
			"header":    types.TypeOf(func(string) string { return "" }),
			"delta":     types.TypeOf(func(string) (float64, error) { return 0, nil }),
			"ledger_of": types.TypeOf(func(string, string) (*Ledger, error) { return nil, nil }),
		}
	}
	return t.cached
}

// typesOf gives nested constants their types.
func typesOf(values map[string]any) types.Map {
	out := types.Map{}
	for name, value := range values {
		switch v := value.(type) {
		case nil:
			out[name] = types.Any
		case map[string]any:
			out[name] = typesOf(v)
		case json.Number:
			out[name] = types.Float64
		default:
			out[name] = types.TypeOf(v)
		}
	}
	return out
}

// computable is a free value as expressions compute with it.
func computable(value any) any {
	switch v := value.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return f
		}
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = computable(item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = computable(item)
		}
		return out
	}
	return value
}

var (
	unknownField = regexp.MustCompile(`^(?:unknown field|type \S+ has no field) (\S+)$|^type (\S+) has no field (\S+)$`)
	unknownName  = regexp.MustCompile(`^unknown name (\S+)$`)
	ownerBefore  = regexp.MustCompile(`([a-z_]+)(\[[^\]]*\])?\??\.$`)
	mismatch     = regexp.MustCompile(`^invalid operation: (\S+) \(mismatched types (\S+) and (\S+)\)$`)
	goType       = regexp.MustCompile(`\*?suite\.([A-Z][A-Za-z]*)`)
)

// inOurWords turns a message of the expression library into one of the
// language. If it is about a word that is none of those known there, it says so.
func (t *cellTypes) inOurWords(message, source string, at int) (words, unknown string, known []string) {
	if parts := unknownName.FindStringSubmatch(message); parts != nil {
		return fmt.Sprintf("unknown name %q in an expression", parts[1]), parts[1], sortedKeys(t.environment())
	}
	if unknownField.MatchString(message) {
		name := message[strings.LastIndex(message, " ")+1:]
		owner := "it"
		if before := ownerBefore.FindStringSubmatch(before(source, at)); before != nil {
			owner = before[1]
		}
		return fmt.Sprintf("%s has no %q", owner, name), name, t.membersAt(message, source, at)
	}
	if message == "unexpected token EOF" {
		return "the expression ends too early", "", nil
	}
	if parts := mismatch.FindStringSubmatch(message); parts != nil {
		return fmt.Sprintf("%s does not go between a %s and a %s", parts[1], inWords(parts[2]), inWords(parts[3])), "", nil
	}
	return goType.ReplaceAllStringFunc(strings.ReplaceAll(message, "time.Duration", "duration"), func(name string) string {
		return strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(name, "*"), "suite."))
	}), "", nil
}

// inWords names a Go type of a message as [typeName] does.
func inWords(name string) string {
	switch name = strings.TrimPrefix(name, "*"); {
	case name == "time.Duration":
		return "duration"
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "float"):
		return "number"
	case name == "string":
		return "text"
	}
	return strings.ToLower(strings.TrimPrefix(name, "suite."))
}

func before(source string, at int) string {
	runes := []rune(source)
	return string(runes[:min(max(at, 0), len(runes))])
}

// membersAt lists what the author may have meant after the dot at a place.
func (t *cellTypes) membersAt(message, source string, at int) []string {
	if named := goType.FindStringSubmatch(message); named != nil {
		for _, one := range environmentStructs {
			if one.Name() == named[1] {
				return exprNames(one)
			}
		}
	}
	parts := ownerBefore.FindStringSubmatch(before(source, at))
	if parts == nil {
		return nil
	}
	switch parts[1] {
	case "steps":
		return sortedKeys(t.steps)
	case "vars":
		return sortedKeys(t.vars)
	case "save":
		return sortedKeys(t.save)
	case "matrix":
		return sortedKeys(t.matrix)
	case "limits":
		return sortedKeys(t.limits)
	case "target":
		return []string{"settle", "tolerance", "limits"}
	}
	return nil
}

// environmentStructs are the types whose members expressions may name.
var environmentStructs = []reflect.Type{
	reflect.TypeFor[Response](), reflect.TypeFor[Usage](), reflect.TypeFor[Event](), reflect.TypeFor[MockEntry](), reflect.TypeFor[MockSent](),
	reflect.TypeFor[StepResult](), reflect.TypeFor[LoadTotals](), reflect.TypeFor[Quantiles](), reflect.TypeFor[DrainTotals](),
	reflect.TypeFor[Ledger](), reflect.TypeFor[JudgeTotals](), reflect.TypeFor[LimitView](),
}

func exprNames(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		if name := f.Tag.Get("expr"); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// typeName is a Go type in our words.
func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64:
		return "number"
	case t.Kind() == reflect.Pointer:
		return typeName(t.Elem())
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Name() == "":
		return "mapping"
	}
	return strings.ToLower(t.Name())
}
