package suite

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
)

// readers is the table, made once.
var readers = sync.OnceValue(readerTable)

// readerTable lists the types with a form of their own: literals, short forms
// and values that are either a word or a mapping. It is a function because the
// readers themselves decode through the table.
func readerTable() map[reflect.Type]func(*decoder, *node, reflect.Value) {
	return map[reflect.Type]func(*decoder, *node, reflect.Value){
		reflect.TypeFor[time.Duration]():     literal("a duration such as 5ms or 1h30m", ParseDuration),
		reflect.TypeFor[time.Time]():         literal("an instant such as 2030-01-02T12:00:00Z", parseInstant),
		reflect.TypeFor[Percent]():           literal("a share such as 5% or 0.05", ParsePercent),
		reflect.TypeFor[Ramp]():              literal("a rate such as 20/s or 20/s..400/s", ParseRamp),
		reflect.TypeFor[Range]():             literal("a range such as 0.25..0.5", ParseRange),
		reflect.TypeFor[JSON]():              readJSON,
		reflect.TypeFor[Plan]():              readPlan,
		reflect.TypeFor[Matcher]():           readMatcher,
		reflect.TypeFor[*Matcher]():          readMatcherPointer,
		reflect.TypeFor[Expression]():        readExpression,
		reflect.TypeFor[Opaque]():            readOpaque,
		reflect.TypeFor[UsageExpect]():       readUsageExpect,
		reflect.TypeFor[SchemaRef]():         readSchemaRef,
		reflect.TypeFor[Arrivals]():          readArrivals,
		reflect.TypeFor[Estimator]():         readEstimator,
		reflect.TypeFor[Disconnect]():        readDisconnect,
		reflect.TypeFor[Pool]():              readPool,
		reflect.TypeFor[Invariant]():         readInvariant,
		reflect.TypeFor[Matrix]():            readMatrix,
		reflect.TypeFor[map[string]string](): readTexts,
		reflect.TypeFor[Step]():              readStep,
	}
}

// literal reads a scalar with a grammar of its own.
func literal[T any](expected string, parse func(string) (T, error)) func(*decoder, *node, reflect.Value) {
	return func(d *decoder, n *node, v reflect.Value) {
		if n.kind != scalarNode || n.null() {
			d.fail(n, nil, "found "+describe(n), expected)
			return
		}
		if strings.Contains(n.text, "${") {
			d.open = true
			return
		}
		value, err := parse(n.text)
		if err != nil {
			d.fail(n, nil, err.Error(), "")
			return
		}
		v.Set(reflect.ValueOf(value))
	}
}

func parseInstant(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not an instant such as 2030-01-02T12:00:00Z", text)
	}
	return at, nil
}

func readJSON(d *decoder, n *node, v reflect.Value) {
	if value, ok := d.free(n); ok {
		d.open = d.open || open(n)
		v.Set(reflect.ValueOf(JSON{Pos: n.pos, Value: value}))
	}
}

// readPlan lets the mock's own reader judge a plan, and brings its findings
// back to the place in the file. A plain word is the name of a plan.
func readPlan(d *decoder, n *node, v reflect.Value) {
	plan := Plan{Pos: n.pos}
	defer func() { v.Set(reflect.ValueOf(plan)) }()
	if open(n) {
		d.open = true
		return
	}
	if n.kind == scalarNode && planName.MatchString(n.text) {
		plan.Name = n.text
		return
	}
	value, ok := d.free(n)
	if !ok {
		return
	}
	var err error
	plan.Plan, err = mockllm.PlanFromValue(value)
	for _, one := range flatten(err) {
		at, message := n, one.Error()
		if wrong, ok := errors.AsType[*mockllm.FieldError](one); ok {
			at, message = n.at(wrong.Path), strings.TrimPrefix(wrong.Path+": "+wrong.Problem, ": ")
		}
		d.report(Problem{Pos: at.pos, Message: "in a plan: " + message, Anchor: "the-mocks-answer"})
	}
}

var planName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// flatten takes joined errors apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, one := range joined.Unwrap() {
			out = append(out, flatten(one)...)
		}
		return out
	}
	return []error{err}
}

// at is the deepest node on a dotted path; for a key that exists, its place.
func (n *node) at(path string) *node {
	at := n
	for key := range strings.SplitSeq(path, ".") {
		found := false
		if at.kind == mapNode {
			for _, f := range at.fields {
				if f.key == key {
					at, found = &node{kind: f.value.kind, pos: f.pos, text: f.value.text, items: f.value.items, fields: f.value.fields}, true
					break
				}
			}
		}
		if !found {
			return at
		}
	}
	return at
}

func readMatcher(d *decoder, n *node, v reflect.Value) {
	value, ok := d.free(n)
	if !ok {
		return
	}
	if open(n) {
		d.open = true
		v.Set(reflect.ValueOf(Matcher{Pos: n.pos, Source: asText(value), kind: matchExists}))
		return
	}
	m, err := newMatcher(value, n.pos)
	if err != nil {
		d.fail(n, reflect.TypeFor[Matcher](), err.Error(), "")
		return
	}
	v.Set(reflect.ValueOf(*m))
}

// readMatcherPointer makes null a value to match, not a matcher that is missing.
func readMatcherPointer(d *decoder, n *node, v reflect.Value) {
	fresh := reflect.New(reflect.TypeFor[Matcher]())
	readMatcher(d, n, fresh.Elem())
	v.Set(fresh)
}

func readExpression(d *decoder, n *node, v reflect.Value) {
	if n.kind == mapNode {
		d.fail(n, reflect.TypeFor[Expression](), "found a mapping", "an expression; text with `: ` in it has to be quoted, and there is no ternary (? :)")
		return
	}
	if n.kind != scalarNode || n.null() {
		d.fail(n, reflect.TypeFor[Expression](), "found "+describe(n), "an expression")
		return
	}
	d.open = d.open || open(n)
	column := n.pos.Column
	if n.quoted {
		column++
	}
	v.Set(reflect.ValueOf(Expression{Pos: n.pos, Source: n.text, column: column}))
}

// readOpaque cuts the node out of the file as it stands, padded so that its
// columns stay. See [Opaque].
func readOpaque(d *decoder, n *node, v reflect.Value) {
	if n.kind == scalarNode {
		d.fail(n, nil, "found "+describe(n), "a list of rules")
		return
	}
	v.Set(reflect.ValueOf(Opaque{Pos: Pos{File: d.file, Line: n.pos.Line, Column: n.pos.Column}, Data: cut(d.lines, n)}))
}

// cut takes a collection out of the lines of its file.
func cut(lines []string, n *node) []byte {
	first := n.pos.Line - 1
	if first < 0 || first >= len(lines) {
		return nil
	}
	head := []rune(lines[first])
	indent := n.pos.Column - 1
	lead := strings.Repeat(" ", indent) + string(head[min(indent, len(head)):])
	if n.end.Line > 0 { // a flow collection ends with its bracket
		if n.end.Line == n.pos.Line {
			return []byte(strings.Repeat(" ", indent) + string(head[min(indent, len(head)):min(n.end.Column, len(head))]) + "\n")
		}
		out := append([]string{lead}, lines[first+1:n.end.Line-1]...)
		tail := []rune(lines[n.end.Line-1])
		return []byte(strings.Join(append(out, string(tail[:min(n.end.Column, len(tail))])), "\n") + "\n")
	}
	out := []string{lead}
	last := n.lastLine()
	for i, line := range lines[first+1:] { // a block ends where something begins further left
		text := strings.TrimLeft(line, " ")
		depth := len(line) - len(text)
		entry := n.kind == listNode && (strings.HasPrefix(text, "- ") || text == "-")
		if first+2+i > last && text != "" && text[0] != '#' && (depth < indent || depth == indent && n.kind == listNode && !entry) {
			break
		}
		out = append(out, line)
	}
	return []byte(strings.TrimRight(strings.Join(out, "\n"), "\n ") + "\n")
}

// lastLine is the last line on which something of the node begins or closes.
func (n *node) lastLine() int {
	last := max(n.pos.Line, n.end.Line)
	for _, item := range n.items {
		last = max(last, item.lastLine())
	}
	for _, f := range n.fields {
		last = max(last, f.pos.Line, f.value.lastLine())
	}
	return last
}

func readUsageExpect(d *decoder, n *node, v reflect.Value) {
	out := UsageExpect{Pos: n.pos}
	if n.kind == scalarNode && (n.text == "absent" || n.text == "exists") {
		out.Absent, out.Exists = n.text == "absent", n.text == "exists"
		v.Set(reflect.ValueOf(out))
		return
	}
	if n.kind == scalarNode {
		in, outTokens, ok := strings.Cut(n.text, "/")
		if ok && integerPattern.MatchString(in) && integerPattern.MatchString(outTokens) {
			out.In, out.Out = shortMatcher(in, n.pos), shortMatcher(outTokens, n.pos)
			v.Set(reflect.ValueOf(out))
			return
		}
		d.failNear(n, reflect.TypeFor[Expect](), "found "+describe(n), "absent, exists, 10/40 or a mapping with in, out and total", nearest.Word(n.text, []string{"absent", "exists"}))
		return
	}
	var fields struct {
		In    *Matcher `json:"in,omitempty"`
		Out   *Matcher `json:"out,omitempty"`
		Total *Matcher `json:"total,omitempty"`
	}
	d.decode(n, reflect.ValueOf(&fields).Elem(), "")
	out.In, out.Out, out.Total = fields.In, fields.Out, fields.Total
	v.Set(reflect.ValueOf(out))
}

func shortMatcher(digits string, pos Pos) *Matcher {
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return nil
	}
	return &Matcher{Pos: pos, Source: digits, value: number}
}

var arrivalsPattern = regexp.MustCompile(`^([a-z]+)(?:\(([^()]+)\))?$`)

func readArrivals(d *decoder, n *node, v reflect.Value) {
	kinds := []string{"constant", "poisson", "gamma", "trace"}
	parts := arrivalsPattern.FindStringSubmatch(n.text)
	expected := "constant, poisson, gamma(shape) or trace(file)"
	if n.kind != scalarNode || parts == nil || !contains(kinds, parts[1]) {
		near := ""
		if parts != nil {
			near = nearest.Word(parts[1], kinds)
		}
		d.failNear(n, reflect.TypeFor[Load](), "found "+describe(n), expected, near)
		return
	}
	out := Arrivals{Pos: n.pos, Kind: parts[1]}
	takesArgument := out.Kind == "gamma" || out.Kind == "trace"
	if takesArgument != (parts[2] != "") {
		d.fail(n, reflect.TypeFor[Load](), "found "+describe(n), expected)
		return
	}
	switch out.Kind {
	case "gamma":
		shape, err := strconv.ParseFloat(parts[2], 64)
		if err != nil || shape <= 0 || !decimalPattern.MatchString(parts[2]) { // NaN and Inf are read, too
			d.fail(n, reflect.TypeFor[Load](), "found "+describe(n), "gamma(shape) with a shape above 0")
		}
		out.Shape = shape
	case "trace":
		out.File = parts[2]
	}
	v.Set(reflect.ValueOf(out))
}

func readEstimator(d *decoder, n *node, v reflect.Value) {
	out := Estimator{Pos: n.pos}
	if n.kind == scalarNode {
		words := []string{EstimatorKnown, EstimatorUnknown}
		if !contains(words, n.text) {
			d.failNear(n, reflect.TypeFor[Target](), "found "+describe(n), "known, unknown or a mapping with per-char and per-message", nearest.Word(n.text, words))
			return
		}
		out.Kind = n.text
		v.Set(reflect.ValueOf(out))
		return
	}
	var fields struct {
		PerChar    Range `json:"per-char"`
		PerMessage Range `json:"per-message"`
	}
	d.decode(n, reflect.ValueOf(&fields).Elem(), "")
	out.Kind, out.PerChar, out.PerMessage = EstimatorBounds, fields.PerChar, fields.PerMessage
	v.Set(reflect.ValueOf(out))
}

func readDisconnect(d *decoder, n *node, v reflect.Value) {
	if n.kind == scalarNode {
		if n.text != "cancel" {
			d.failNear(n, reflect.TypeFor[Target](), "found "+describe(n), "cancel or { drain: 10s }", nearest.Word(n.text, []string{"cancel"}))
			return
		}
		v.Set(reflect.ValueOf(Disconnect{Cancel: true}))
		return
	}
	var fields struct {
		Drain time.Duration `json:"drain"`
	}
	d.decode(n, reflect.ValueOf(&fields).Elem(), "")
	v.Set(reflect.ValueOf(Disconnect{Drain: fields.Drain}))
}

func readPool(d *decoder, n *node, v reflect.Value) {
	var out Pool
	switch n.kind {
	case scalarNode:
		out.Template = n.text
	case listNode:
		d.decode(n, reflect.ValueOf(&out.List).Elem(), "")
	case mapNode:
		d.fail(n, reflect.TypeFor[Identity](), "found a mapping", `a template such as "t-${run.id}-${i}", or a list`)
	}
	v.Set(reflect.ValueOf(out))
}

// readInvariant reads a name, or a name with its bound: `refund-leak: 0`.
func readInvariant(d *decoder, n *node, v reflect.Value) {
	out := Invariant{Pos: n.pos, Name: n.text}
	argument := (*node)(nil)
	if n.kind == mapNode && len(n.fields) == 1 {
		out.Name, argument = n.fields[0].key, n.fields[0].value
	}
	if !contains(InvariantNames, out.Name) {
		d.unknown(n, reflect.TypeFor[Load](), fmt.Sprintf("unknown invariant %q", out.Name), out.Name, InvariantNames)
		return
	}
	switch {
	case argument == nil:
	case out.Name == InvariantRefundLeak:
		d.decode(argument, reflect.ValueOf(&out.Amount).Elem(), "")
	case out.Name == InvariantOutstandingDrains:
		var bound struct {
			Within time.Duration `json:"within"`
		}
		d.decode(argument, reflect.ValueOf(&bound).Elem(), "")
		out.Within = bound.Within
	case out.Name == InvariantNoWrongfulReject:
		var bound struct {
			Slack int64 `json:"slack"`
		}
		d.decode(argument, reflect.ValueOf(&bound).Elem(), "")
		out.Slack = bound.Slack
	default:
		d.fail(argument, reflect.TypeFor[Load](), out.Name+" takes no bound", "the name alone")
	}
	v.Set(reflect.ValueOf(out))
}

func readMatrix(d *decoder, n *node, v reflect.Value) {
	if n.kind != mapNode {
		d.fail(n, reflect.TypeFor[Scenario](), "found "+describe(n), "a mapping of axes, each a list of values")
		return
	}
	var out Matrix
	for _, f := range n.fields {
		if f.value.kind != listNode || len(f.value.items) == 0 {
			if !open(f.value) {
				d.fail(f.value, reflect.TypeFor[Scenario](), fmt.Sprintf("the axis %q has no values", f.key), "a list of values")
			}
			continue
		}
		axis := Axis{Pos: f.pos, Name: f.key}
		for _, item := range f.value.items {
			value, ok := d.free(item)
			if ok {
				axis.Values = append(axis.Values, value)
			}
		}
		out = append(out, axis)
	}
	v.Set(reflect.ValueOf(out))
}

// readTexts reads headers and queries: any scalar is text, as it will be on the
// wire.
func readTexts(d *decoder, n *node, v reflect.Value) {
	if n.kind == scalarNode && open(n) {
		d.open = true
		return
	}
	if n.kind != mapNode {
		d.fail(n, reflect.TypeFor[Request](), "found "+describe(n), "a mapping of names to texts")
		return
	}
	out := make(map[string]string, len(n.fields))
	for _, f := range n.fields {
		if f.value.kind != scalarNode {
			d.fail(f.value, reflect.TypeFor[Request](), "found "+describe(f.value), "text")
			continue
		}
		if f.value.null() { // removes a default's; gone after the merge
			continue
		}
		d.open = d.open || open(f.value)
		out[f.key] = f.value.text
	}
	v.Set(reflect.ValueOf(out))
}

// readStep reads a step and keeps what it was read from, for [Step.Bind].
func readStep(d *decoder, n *node, v reflect.Value) {
	var step Step
	inner := *d
	inner.open = false
	inner.structure(n, reflect.ValueOf(&step).Elem())
	step.binding = &binding{node: n, open: inner.open}
	inner.checkStep(n, &step)
	v.Set(reflect.ValueOf(step))
}
