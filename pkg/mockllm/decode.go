package mockllm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/textproto"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// FieldError says what is wrong with one field of a plan.
type FieldError struct {
	Path    string // dotted, such as http.status; "" for the plan itself
	Problem string // what was found, what was expected
}

// Error gives the path and the problem.
func (e *FieldError) Error() string {
	if e.Path == "" {
		return "plan: " + e.Problem
	}
	return "plan: " + e.Path + ": " + e.Problem
}

// ParsePlan reads one plan in YAML or JSON, strictly, and validates it. The text may also be a short form,
// "u=1200/300 f=reset@3". A [FieldError] inside the error says which field is wrong.
func ParsePlan(text []byte) (Plan, error) {
	value, err := parseYAML(text)
	if err != nil {
		return Plan{}, err
	}
	return PlanFromValue(value)
}

// ParsePlans reads a plan file: a mapping from names to plans, `default` being the one for requests that name none.
func ParsePlans(text []byte) (map[string]Plan, error) {
	value, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	named, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("plans: found %s, expected names with a plan each", describe(value))
	}
	plans := make(map[string]Plan, len(named))
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(named)) {
		p, err := PlanFromValue(named[name])
		if err != nil {
			problems = append(problems, located(text, name, err)...)
			continue
		}
		plans[name] = p
	}
	return plans, errors.Join(problems...)
}

// located says of each problem of a plan in which line of the file it is.
func located(text []byte, name string, err error) []error {
	list := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok { // the joined error itself, which PlanFromValue returns
		list = several.Unwrap()
	}
	out := make([]error, 0, len(list))
	for _, one := range list {
		keys := []string{name}
		if field := (*FieldError)(nil); errors.As(one, &field) {
			keys = append(keys, strings.Split(field.Path, ".")...)
		}
		out = append(out, fmt.Errorf("line %d: %s: %w", lineOf(text, keys), name, one))
	}
	return out
}

// lineOf is the line of a value in a YAML text, or of the nearest one around it: a short form has no lines inside.
func lineOf(text []byte, keys []string) int {
	for ; len(keys) > 0; keys = keys[:len(keys)-1] {
		path := (&yaml.PathBuilder{}).Root()
		for _, key := range keys {
			path = path.Child(key)
		}
		if node, err := path.Build().ReadNode(bytes.NewReader(text)); err == nil {
			return node.GetToken().Position.Line
		}
	}
	return 1
}

func parseYAML(text []byte) (any, error) {
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		return nil, fmt.Errorf("plan: not YAML: %w", err)
	}
	return value, nil
}

// PlanFromValue reads a plan from a tree of map[string]any, []any and scalars, as a YAML or JSON reader leaves it, and
// validates it. All problems are in the error, each a [FieldError].
func PlanFromValue(value any) (Plan, error) {
	if s, ok := value.(string); ok {
		fields, err := parseInline(s)
		if err != nil {
			return Plan{}, &FieldError{Problem: err.Error()}
		}
		value = fields
	}
	var p Plan
	d := decoder{}
	if value != nil {
		d.decode(reflect.ValueOf(&p).Elem(), value, "")
	}
	if len(d.problems) == 0 {
		return p, p.Validate()
	}
	return p, errors.Join(d.problems...)
}

// decoder fills a plan by its json names. It knows the few types a plan is made of and speaks the user's words, which
// encoding/json does not.
type decoder struct{ problems []error }

func (d *decoder) fail(path, format string, args ...any) {
	d.problems = append(d.problems, &FieldError{Path: path, Problem: fmt.Sprintf(format, args...)})
}

func (d *decoder) decode(to reflect.Value, from any, path string) {
	switch at := to.Addr().Interface().(type) {
	case *Raw:
		*at = rawOf(from)
		return
	case *Duration:
		d.duration(at, from, path)
		return
	case *Usage:
		from = d.usageShort(from, path)
	case *Fault:
		from = faultShort(from)
	case *Tokens, *Delay:
		if _, isMap := from.(map[string]any); !isMap {
			d.decode(to.FieldByName("Mean"), from, path)
			return
		}
	}
	if from == nil {
		return // null sets nothing
	}
	switch to.Kind() { //nolint:exhaustive // the kinds a plan is made of; any other panics
	case reflect.Struct:
		d.object(to, from, path)
	case reflect.Pointer:
		fresh := reflect.New(to.Type().Elem())
		d.decode(fresh.Elem(), from, path)
		to.Set(fresh)
	case reflect.String:
		if s, ok := scalarText(from); ok {
			to.SetString(s)
		} else {
			d.fail(path, "found %s, expected text", describe(from))
		}
	case reflect.Bool:
		if b, ok := from.(bool); ok {
			to.SetBool(b)
		} else {
			d.fail(path, "found %s, expected true or false", describe(from))
		}
	case reflect.Int, reflect.Int64:
		if n, ok := integer(from); ok {
			to.SetInt(n)
		} else {
			d.fail(path, "found %s, expected a whole number", describe(from))
		}
	case reflect.Slice:
		d.list(to, from, path)
	case reflect.Map:
		d.texts(to, from, path)
	default:
		panic("mockllm: a plan has no fields of type " + to.Type().String())
	}
}

func (d *decoder) object(to reflect.Value, from any, path string) {
	fields, ok := from.(map[string]any)
	if !ok {
		d.fail(path, "found %s, expected fields (%s)", describe(from), strings.Join(names(to.Type()), ", "))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		at, known := fieldByName(to, name)
		if !known {
			d.fail(join(path, name), "unknown field%s", didYouMean(name, names(to.Type())))
			continue
		}
		d.decode(at, fields[name], join(path, name))
	}
}

func (d *decoder) list(to reflect.Value, from any, path string) {
	items, ok := from.([]any)
	if !ok {
		d.fail(path, "found %s, expected a list", describe(from))
		return
	}
	to.Set(reflect.MakeSlice(to.Type(), len(items), len(items)))
	for i, item := range items {
		d.decode(to.Index(i), item, fmt.Sprintf("%s[%d]", path, i))
	}
}

func (d *decoder) texts(to reflect.Value, from any, path string) {
	fields, ok := from.(map[string]any)
	if !ok {
		d.fail(path, "found %s, expected names with a text each", describe(from))
		return
	}
	out := make(map[string]string, len(fields))
	for name, v := range fields {
		s, ok := scalarText(v)
		if !ok {
			d.fail(join(path, name), "found %s, expected text", describe(v))
		}
		out[name] = s
	}
	to.Set(reflect.ValueOf(out))
}

func (d *decoder) duration(to *Duration, from any, path string) {
	if n, ok := integer(from); ok && n == 0 {
		*to = 0
		return
	}
	s, ok := from.(string)
	if !ok {
		d.fail(path, "found %s, expected a duration such as 50ms", describe(from))
		return
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		d.fail(path, "found %q, expected a duration such as 50ms", s)
	}
	*to = Duration(v)
}

// usageShort turns "10/40" and "estimate" into fields.
func (d *decoder) usageShort(from any, path string) any {
	s, ok := from.(string)
	if !ok {
		return from
	}
	if s == "estimate" {
		return map[string]any{"estimate": true}
	}
	in, out, ok := strings.Cut(strings.ReplaceAll(s, "x", "/"), "/")
	i, errIn := strconv.ParseInt(in, 10, 64)
	o, errOut := strconv.ParseInt(out, 10, 64)
	if !ok || errIn != nil || errOut != nil {
		d.fail(path, "found %q, expected in/out such as 10/40, estimate, or fields", s)
		return nil
	}
	return map[string]any{"in": i, "out": o}
}

// faultShort turns "reset@3" into fields: 3 content chunks, "512b" bytes, "usage" just before the usage.
func faultShort(from any) any {
	s, ok := from.(string)
	if !ok {
		return from
	}
	kind, place, placed := strings.Cut(s, "@")
	fields := map[string]any{"kind": kind}
	if !placed {
		return fields
	}
	after := map[string]any{}
	switch {
	case place == "usage":
		after["before_usage"] = true
	case strings.HasSuffix(place, "ms"):
		after["ms"] = number(strings.TrimSuffix(place, "ms"))
	case strings.HasSuffix(place, "b"):
		after["bytes"] = number(strings.TrimSuffix(place, "b"))
	default:
		after["chunks"] = number(place)
	}
	fields["after"] = after
	return fields
}

// number is the number in s, or s itself, so that the field's own error speaks.
func number(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	return s
}

// rawOf keeps text as it is and encodes anything else.
func rawOf(from any) Raw {
	switch v := from.(type) {
	case nil:
		return ""
	case string:
		return Raw(v)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return Raw(fmt.Sprint(v)) // only for values no YAML or JSON reader makes
		}
		return Raw(text)
	}
}

func fieldByName(in reflect.Value, name string) (reflect.Value, bool) {
	t := in.Type()
	for i := range t.NumField() {
		if jsonName(t.Field(i)) == name {
			return in.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func names(t reflect.Type) []string {
	out := make([]string, 0, t.NumField())
	for f := range t.Fields() {
		out = append(out, jsonName(f))
	}
	return out
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func integer(v any) (int64, bool) {
	switch n := v.(type) {
	case int:
		return int64(n), true
	case int64:
		return n, true
	case uint64:
		return int64(n), n <= math.MaxInt64
	case float64: // JSON readers make these
		return int64(n), n == math.Trunc(n) && math.Abs(n) < 1<<53
	default:
		return 0, false
	}
}

func scalarText(v any) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(s), true
	default:
		return "", v == nil
	}
}

func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return strconv.Quote(v)
	case map[string]any:
		return "fields"
	case []any:
		return "a list"
	default:
		return fmt.Sprint(v)
	}
}

func canonical(header string) string { return textproto.CanonicalMIMEHeaderKey(header) }
