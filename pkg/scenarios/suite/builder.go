package suite

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// builder makes the steps of one cell: it resolves names, merges defaults and
// decodes. It keeps no state between steps, so [Step.Bind] may run it again,
// concurrently, with the names that have become known.
type builder struct {
	suite    *Suite
	scope    *scope
	defaults *node // the suite's, unresolved
	own      *node // the scenario's, unresolved
	plans    plans // of the mock, resolved for this cell
	values   cellValues
	readFile func(string) ([]byte, error)
}

// plans are what the mock of a cell answers.
type plans struct {
	base  *Plan
	named map[string]*Plan
}

// requestBinding is what a request was merged from, for [Request.Bind].
type requestBinding struct {
	builder *builder
	layers  []*node // unresolved, the lowest first
	open    bool
}

// Bind gives a planned step the names of the run. It returns the step itself if
// it waits for none. Steps inside of parallel are left to be bound on their own.
func (s *Step) Bind(now Runtime) (*Step, error) {
	if s.binding == nil || !s.binding.open {
		return s, nil
	}
	r := s.binding.builder.suite.reporter()
	bound := s.binding.builder.step(s.binding.node, s.binding.builder.scope.at(now), r.report)
	bound.Parallel = s.Parallel
	if bound.binding.open && len(r.problems) == 0 {
		r.report(Problem{Pos: s.Pos, Message: "a name has no value yet"})
	}
	bound.binding.open, bound.binding.types = true, s.binding.types
	if s.binding.types != nil {
		bound.compile(s.binding.types.private(), r.report)
	}
	return bound, r.problems.Err()
}

// Bind gives a planned request the names of the run, for loads and repetitions
// whose requests differ by ${i}. It returns the request itself if it waits for
// none.
func (q *Request) Bind(now Runtime) (*Request, error) {
	if q.binding == nil || !q.binding.open {
		return q, nil
	}
	b := q.binding.builder
	r := b.suite.reporter()
	bound := b.request(q.binding.layers, b.scope.at(now), b.decoder(r.report))
	return bound, r.problems.Err()
}

// Open tells whether the request waits for names of the run.
func (q *Request) Open() bool { return q.binding != nil && q.binding.open }

// Open tells whether the step waits for names of the run.
func (s *Step) Open() bool { return s.binding != nil && s.binding.open }

// at is the scope with the names of the run.
func (s *scope) at(now Runtime) *scope {
	out := *s
	out.i, out.save = &now.I, now.Save
	if out.save == nil {
		out.save = map[string]any{}
	}
	out.used = map[string]bool{} // a run does not look for unused names, and may be concurrent
	out.secrets = nil
	return &out
}

func (b *builder) decoder(report func(Problem)) *decoder {
	return newDecoder(b.suite.Pos.File, b.suite.sources[b.suite.Pos.File], report)
}

// resolve interpolates and reports names that mean nothing.
func (s *scope) resolved(n *node, report func(Problem)) *node {
	return s.resolve(n, func(err *nameError) { report(err.problem()) })
}

// problem is a name error at its place in the file.
func (e *nameError) problem() Problem {
	at := e.at.pos
	if !e.at.block {
		at.Column += e.offset
		if e.at.quoted {
			at.Column++
		}
	}
	if strings.HasPrefix(e.at.text, "${") && e.width == len(e.at.text) && !e.at.block && !e.at.quoted {
		at = e.at.pos
	}
	return Problem{Pos: at, Width: max(1, e.width), Message: e.message, Anchor: "interpolation"}.among(e.word, e.known)
}

// steps builds a list, with every `use` replaced by the steps it names.
func (b *builder) steps(list *node, report func(Problem)) []Step {
	budget := maxSteps
	return b.expanded(list, nil, &budget, report)
}

// maxSteps bounds what step lists that use each other can grow to.
const maxSteps = 4096

// expanded builds a list that stands within the named step lists.
func (b *builder) expanded(list *node, within []string, budget *int, report func(Problem)) []Step {
	var out []Step
	for _, n := range list.children() {
		if *budget--; *budget < 0 {
			report(Problem{Pos: list.pos, Message: fmt.Sprintf("more than %d steps", maxSteps), Anchor: "steps"})
			return nil
		}
		if use := n.get("use"); use != nil {
			name := b.scope.resolved(use, report).text
			if contains(within, name) {
				report(Problem{Pos: use.pos, Message: fmt.Sprintf("the step list %q uses itself", name), Anchor: "steps"})
				continue
			}
			out = append(out, b.expanded(b.suite.lists[name], append(slices.Clip(within), name), budget, report)...)
			continue
		}
		step := b.step(n, b.scope, report)
		for i, branch := range n.get("parallel").children() {
			if i < len(step.Parallel) {
				step.Parallel[i] = b.expanded(branch, within, budget, report)
			}
		}
		out = append(out, *step)
	}
	return out
}

func (n *node) children() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// step builds one step as far as the scope goes.
func (b *builder) step(raw *node, scope *scope, report func(Problem)) *Step {
	n := scope.resolved(raw, report)
	d := b.decoder(report)
	d.file = n.pos.File
	d.lines = b.suite.sources[n.pos.File]
	var step Step
	plain := n
	for _, verb := range []string{"send", "drain", "load"} { // their requests are built below, from layers
		plain = withoutRequest(plain, verb)
	}
	readStep(d, plain, reflect.ValueOf(&step).Elem())
	isOpen := open(n)
	if step.Send != nil {
		step.Send = b.request([]*node{raw.get("send")}, scope, d)
		isOpen = isOpen || step.Send.Open()
	}
	if step.Drain != nil {
		step.Drain.Request = b.request([]*node{raw.get("drain").get("request")}, scope, d)
		isOpen = isOpen || step.Drain.Request.Open()
	}
	if step.Load != nil {
		b.load(raw.get("load"), step.Load, scope, d)
		isOpen = isOpen || step.Load.Request.Open()
	}
	b.applyDefaults(&step, scope, report)
	for _, one := range step.expressions() {
		one.vars = b.values
	}
	step.binding = &binding{node: raw, open: isOpen, builder: b}
	return &step
}

// withoutRequest cuts the requests out of a verb, so that only its other keys
// are decoded with the step.
func withoutRequest(n *node, verb string) *node {
	inside := n.get(verb)
	if inside == nil || inside.kind != mapNode {
		return n
	}
	switch verb {
	case "send":
		return n.with(verb, &node{kind: mapNode, pos: inside.pos})
	case "drain":
		return n.with(verb, inside.without("request"))
	}
	trimmed := inside.without("request")
	if mix := inside.get("mix"); mix != nil && mix.kind == listNode {
		parts := *mix
		parts.items = nil
		for _, part := range mix.items {
			parts.items = append(parts.items, part.without("request", "plan"))
		}
		trimmed = trimmed.with("mix", &parts)
	}
	return n.with(verb, trimmed)
}

// load builds the request of a load, and for each part of its mix the whole
// request that this part sends.
func (b *builder) load(raw *node, l *Load, scope *scope, d *decoder) {
	main := raw.get("request")
	l.Request = b.request([]*node{main}, scope, d)
	for i, part := range raw.get("mix").children() {
		if i >= len(l.Mix) {
			return
		}
		layers := []*node{main, part.get("request")}
		if plan := part.get("plan"); plan != nil {
			layers = append(layers, &node{kind: mapNode, pos: plan.pos, fields: []field{{key: "plan", pos: plan.pos, value: plan}}})
		}
		l.Mix[i].Request = b.request(layers, scope, d)
		l.Mix[i].Plan = l.Mix[i].Request.Plan
	}
}

// request merges layers over the defaults and decodes the result.
func (b *builder) request(layers []*node, scope *scope, d *decoder) *Request {
	all := append([]*node{b.defaults.get("request"), b.own.get("request")}, layers...)
	resolved := make([]*node, 0, len(all))
	waits := false
	for _, layer := range all {
		if layer != nil {
			layer = scope.resolved(layer, d.report)
			waits = waits || open(layer)
			resolved = append(resolved, layer)
		}
	}
	out := &Request{}
	if merged := mergeRequests(resolved); merged != nil {
		d.decode(merged, reflect.ValueOf(out).Elem(), "")
	}
	out.Plan = b.plan(resolved, d)
	b.complete(out, d)
	out.binding = &requestBinding{builder: b, layers: layers, open: waits}
	return out
}

// complete fills in what an absent key means.
func (b *builder) complete(q *Request, d *decoder) {
	if q.Method == "" {
		q.Method = "POST"
	}
	if q.Framing == "" {
		q.Framing = "content-length"
	}
	if q.BodyFile == "" || b.readFile == nil || strings.Contains(q.BodyFile, "${") {
		return
	}
	body, err := b.readFile(q.BodyFile)
	if err != nil {
		d.report(Problem{Pos: q.Pos, Message: fmt.Sprintf("reading body-file %s: %v", q.BodyFile, err), Anchor: "requests"})
		return
	}
	text := string(body)
	q.Body = &text
}

// plan merges the plans of all layers over the mock's own.
func (b *builder) plan(layers []*node, d *decoder) *Plan {
	out := b.plans.base
	for _, layer := range layers {
		n := layer.get("plan")
		if n == nil || n.null() {
			continue
		}
		var over Plan
		d.decode(n, reflect.ValueOf(&over).Elem(), "")
		if over.Name != "" {
			named, ok := b.plans.named[over.Name]
			if !ok {
				missing := Problem{Pos: n.pos, Width: utf8.RuneCountInString(over.Name), Message: fmt.Sprintf("no plan is called %q", over.Name), Anchor: "the-mocks-answer"}
				d.report(missing.among(over.Name, sortedKeys(b.plans.named)))
				continue
			}
			over.Plan = named.Plan
		}
		if out != nil {
			over.Plan = out.Merge(over.Plan)
			if over.Name == "" {
				over.Name = out.Name
			}
		}
		out = &over
	}
	return out
}

// applyDefaults fills in the gap and the timeout of a step.
func (b *builder) applyDefaults(step *Step, scope *scope, report func(Problem)) {
	for _, level := range []*node{b.own, b.defaults} {
		if level == nil {
			continue
		}
		var d struct {
			Gap     *time.Duration `json:"gap,omitempty"`
			Timeout *time.Duration `json:"timeout,omitempty"`
		}
		b.decoder(report).decode(scope.resolved(level.without("request"), report), reflect.ValueOf(&d).Elem(), "")
		if step.Gap == nil {
			step.Gap = d.Gap
		}
		if step.Timeout == nil {
			step.Timeout = d.Timeout
		}
	}
}

// expressions are all of a step, those of its verbs too.
func (s *Step) expressions() []*Expression {
	var all []*Expression
	if s.If != nil {
		all = append(all, s.If)
	}
	if s.Drain != nil && s.Drain.Until != nil {
		all = append(all, s.Drain.Until)
	}
	if s.Eventually != nil && s.Eventually.Unless != nil {
		all = append(all, s.Eventually.Unless)
	}
	for _, name := range sortedKeys(s.Save) {
		all = append(all, s.Save[name])
	}
	return append(append(all, s.Check...), s.AbortIf...)
}

// compile types the expressions of a step; children of parallel are apart. It
// returns the types that later steps see: with what this one saves.
func (s *Step) compile(types *cellTypes, report func(Problem)) *cellTypes {
	s.binding.types = types
	after := types
	one := func(e *Expression, with *cellTypes, condition bool) {
		if e == nil || e.Source == "" || strings.Contains(e.Source, "${") {
			return
		}
		err := e.compile(with, condition)
		if err == nil {
			s.checkScope(e, report)
			return
		}
		problem := Problem{Pos: e.Pos, Message: err.Error(), Anchor: "expressions"}
		if inside, ok := errors.AsType[*expressionError](err); ok {
			problem.Message, problem.Column = inside.message, e.column+inside.at
			problem = problem.among(inside.word, inside.known)
		}
		report(problem)
	}
	one(s.If, types, true)
	s.checkReached(report)
	if s.Drain != nil {
		one(s.Drain.Until, types, true)
	}
	if s.Eventually != nil {
		one(s.Eventually.Unless, types, true)
	}
	for _, name := range sortedKeys(s.Save) {
		e := s.Save[name]
		one(e, types, false)
		var kind reflect.Type
		if e != nil && e.program != nil {
			kind = e.program.Node().Type()
		}
		after = after.saved(name, kind)
	}
	for _, e := range slices.Concat(s.Check, s.AbortIf) {
		one(e, after, true)
	}
	return after
}

// checkReached finds a step whose condition can never hold.
func (s *Step) checkReached(report func(Problem)) {
	if s.If == nil || s.If.program == nil || len(s.If.names) > 0 {
		return
	}
	if value, err := s.If.Eval(Environment{}); err == nil && value == false {
		report(Problem{Pos: s.If.Pos, Width: utf8.RuneCountInString(s.If.Source), Message: "this step is never reached: its condition is always false", Anchor: "steps"})
	}
}

// checkScope finds totals of a verb that the step does not have.
func (s *Step) checkScope(e *Expression, report func(Problem)) {
	if e.Uses("load") && s.Load == nil {
		report(Problem{Pos: e.Pos, Message: "load is the totals of this step, and this step has no load", Expected: "steps.ID.load for those of another", Anchor: "expressions"})
	}
	if e.Uses("drain") && s.Drain == nil {
		report(Problem{Pos: e.Pos, Message: "drain is the totals of this step, and this step has no drain", Expected: "steps.ID.drain for those of another", Anchor: "expressions"})
	}
}

// compileSteps types a list in order. Branches of parallel see what was saved
// before them and what they save themselves; what follows sees all of it.
func compileSteps(list []Step, types *cellTypes, report func(Problem)) *cellTypes {
	for i := range list {
		types = list[i].compile(types, report)
		merged := types
		for _, branch := range list[i].Parallel {
			inner := compileSteps(branch, types, report)
			for name, kind := range inner.save {
				if _, known := merged.save[name]; !known {
					out := *merged
					out.cached, out.save = nil, maps.Clone(merged.save)
					out.save[name] = kind
					merged = &out
				}
			}
		}
		types = merged
	}
	return types
}
