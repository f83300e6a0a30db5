package suite

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Compile makes a suite runnable: it selects scenarios, expands matrices into
// cells, merges defaults, resolves every name that is known before the run and
// types every expression. Scenarios that are not selected are compiled all the
// same, so that their errors are found.
//
// With the zero Options it checks what can be checked offline: that is
// `validate`. The program is nil if the options do not make sense or the suite
// has errors.
func Compile(s *Suite, o Options) (*Program, Problems) {
	c := &compiler{suite: s, options: o, reporter: s.reporter(), used: map[string]bool{}, secrets: map[string]bool{}}
	if s.root.kind != mapNode {
		return nil, nil
	}
	program := c.program()
	if len(o.Only) == 0 { // else nobody knows what the others use
		c.unusedVars()
	}
	problems := c.masked(c.problems.sorted())
	if problems.Err() != nil {
		return nil, problems
	}
	return program, problems
}

type compiler struct {
	*reporter

	suite   *Suite
	options Options
	vars    map[string]any
	used    map[string]bool
	secrets map[string]bool
}

func (c *compiler) program() *Program {
	s, o := c.suite, c.options
	p := &Program{Suite: s, Seed: 1, RunID: o.RunID}
	if s.Seed != nil {
		p.Seed = *s.Seed
	}
	if o.Seed != nil {
		p.Seed = *o.Seed
	}
	if p.RunID == "" {
		p.RunID = runID(p.Seed)
	}
	if o.Target != nil {
		c.sources[o.Target.root.pos.File] = o.Target.lines
	}
	c.resolveVars(p.RunID)
	c.resolveHead(p)
	if !c.reference(p.RunID) {
		for name := range c.vars {
			c.used[name] = true // by the scenarios that nobody looks at
		}
		return nil
	}
	selection, err := newSelection(o)
	if err != nil {
		c.report(Problem{Pos: Pos{File: "--tags"}, Message: err.Error()})
		return nil
	}
	for i := range s.Scenarios {
		c.scenario(p, &s.Scenarios[i], selection)
	}
	for secret := range c.secrets {
		if len(secret) >= minSecret {
			p.Secrets = append(p.Secrets, secret)
		}
	}
	slices.SortFunc(p.Secrets, func(a, b string) int { return len(b) - len(a) }) // the longest first: one may contain another
	return p
}

// masked hides values of the environment in messages that quote what was found.
func (c *compiler) masked(problems Problems) Problems {
	for i := range problems {
		for secret := range c.secrets {
			if len(secret) >= minSecret {
				problems[i].Message = strings.ReplaceAll(problems[i].Message, secret, "***")
			}
		}
	}
	return problems
}

// minSecret keeps values such as "1" from masking half of an output.
const minSecret = 4

// runID is stable for a seed.
func runID(seed uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "run %d", seed))
	return hex.EncodeToString(sum[:4])
}

// cellSeed gives each cell draws of its own, whatever else runs.
func cellSeed(seed uint64, id string) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "cell %d %s", seed, id))
	return binary.BigEndian.Uint64(sum[:8])
}

// resolveVars gives the vars their values: the suite's, then --var over them.
// A var may name the environment and the vars above it.
func (c *compiler) resolveVars(runID string) {
	c.vars = map[string]any{}
	scope := &scope{vars: c.vars, env: c.options.Env, run: map[string]any{"id": runID}, used: c.used, secrets: c.secrets}
	for _, f := range c.suite.vars {
		value, err := scope.resolved(f.value, c.report).value()
		if err != nil {
			continue // the reader has said so
		}
		c.vars[f.key] = computable(value)
	}
	for _, name := range sortedKeys(c.options.Vars) {
		if _, known := c.vars[name]; !known {
			c.report(Problem{Pos: Pos{File: "--var"}, Message: fmt.Sprintf("the suite has no var %q", name)}.among(name, sortedKeys(c.vars)))
			continue
		}
		c.vars[name] = computable(c.options.Vars[name])
	}
}

// resolveHead interpolates in what speaks of the whole suite.
func (c *compiler) resolveHead(p *Program) {
	root := c.suite.root
	if c.options.Target != nil {
		root = c.options.Target.root
	}
	scope := &scope{vars: c.vars, env: c.options.Env, run: map[string]any{"id": p.RunID}, used: c.used}
	head := struct {
		Implementation *Implementation `json:"implementation,omitempty"`
		Features       *Features       `json:"features,omitempty"`
		Spend          *Spend          `json:"spend,omitempty"`
	}{}
	n := &node{kind: mapNode, pos: root.pos}
	for _, key := range []string{"implementation", "features", "spend"} {
		if value := root.get(key); value != nil {
			n = n.with(key, scope.resolved(value, c.report))
		}
	}
	newDecoder(root.pos.File, nil, c.report).decode(n, reflect.ValueOf(&head).Elem(), "")
	p.Implementation, p.Features, p.Spend = head.Implementation, head.Features, head.Spend
}

// resolvedScenario interpolates in a scenario's own keys, such as timeout.
func (c *compiler) resolvedScenario(sc *Scenario, scope *scope) *Scenario {
	own := sc.node.without("steps", "matrix", "defaults")
	if !open(own) {
		return sc
	}
	out := Scenario{}
	steps := &node{kind: listNode, pos: sc.node.pos, items: []*node{{kind: mapNode, pos: sc.node.pos, fields: []field{{key: "check", value: &node{kind: listNode}}}}}}
	newDecoder(c.suite.Pos.File, nil, c.report).decode(scope.resolved(own, c.report).with("steps", steps), reflect.ValueOf(&out).Elem(), "")
	out.Pos, out.Steps, out.Matrix, out.Defaults, out.node = sc.Pos, sc.Steps, sc.Matrix, sc.Defaults, sc.node
	return &out
}

// unusedVars finds vars of this file that nothing reads.
func (c *compiler) unusedVars() {
	own := c.suite.root.get("vars")
	if own == nil || len(c.suite.Scenarios) == 0 {
		return
	}
	for _, f := range own.fields {
		if !c.used[f.key] {
			c.report(Problem{Pos: f.pos, Width: utf8.RuneCountInString(f.key), Message: fmt.Sprintf("the var %q is never used", f.key), Anchor: "vars"})
		}
	}
}

// scenario adds the cells of one scenario, or says why they do not run.
func (c *compiler) scenario(p *Program, sc *Scenario, selection selection) {
	base := &scope{
		vars: c.vars, env: c.options.Env, run: map[string]any{"id": p.RunID}, matrix: map[string]any{},
		self: map[string]any{"id": sc.ID}, used: c.used, secrets: c.secrets, saves: savesOf(c.suite, sc),
	}
	var matrix Matrix
	if n := sc.node.get("matrix"); n != nil {
		newDecoder(c.suite.Pos.File, nil, c.report).decode(base.resolved(n, c.report), reflect.ValueOf(&matrix).Elem(), "")
	}
	choices := matrix.choices()
	if len(choices) > maxCells {
		c.report(Problem{Pos: sc.node.at("matrix").pos, Message: fmt.Sprintf("the matrix has %d cells", len(choices)), Expected: fmt.Sprintf("at most %d", maxCells), Anchor: "matrix"})
		return
	}
	for _, choice := range choices {
		id := cellID(sc.ID, labelsOf(choice))
		if len(selection.only) > 0 && !contains(selection.only, id) {
			p.NotSelected = append(p.NotSelected, NotSelected{ID: id, Pos: sc.Pos, Reason: "not asked for"})
			continue
		}
		cell := c.cell(p, sc, choice, *base)
		if reason := selection.refuse(c.suite, cell); reason != "" {
			p.NotSelected = append(p.NotSelected, NotSelected{ID: cell.ID, Pos: sc.Pos, Reason: reason})
			continue
		}
		c.needsTarget(cell)
		p.Cells = append(p.Cells, cell)
	}
}

// cell builds one choice of a matrix.
func (c *compiler) cell(p *Program, sc *Scenario, choice []coordinate, scope scope) *Cell {
	cell := &Cell{Pos: sc.Pos, Scenario: sc, Matrix: map[string]any{}, Vars: c.vars, Start: DefaultStart}
	for _, at := range choice {
		cell.Matrix[at.axis] = computable(at.value)
	}
	cell.Labels = labelsOf(choice)
	cell.ID = cellID(sc.ID, cell.Labels)
	cell.Seed = cellSeed(p.Seed, cell.ID)
	scope.matrix = cell.Matrix
	scope.self = map[string]any{"id": cell.ID}
	cell.Target = c.target(&scope)
	if c.suite.Profile != nil && c.options.Target == nil {
		// What a profile is written for is no claim of a gateway that is only a URL.
		cell.Target.Limits = slices.DeleteFunc(cell.Target.Limits, func(l Limit) bool { return l.Apart() })
	}
	view := cell.Target.view()
	undeclared := view.lend(cell.Target, sc.Limits)
	scope.target = view.interpolated(cell.Target)
	b := &builder{
		suite: c.suite, scope: &scope, defaults: c.suite.root.get("defaults"), own: sc.node.get("defaults"), readFile: c.options.ReadFile,
		values: cellValues{vars: c.vars, matrix: cell.Matrix, target: view},
	}
	cell.Mock = c.mock(&scope, b)
	cell.Steps = b.steps(sc.node.get("steps"), c.report)
	limits := cell.Target.limitNames()
	if limits != nil {
		limits = append(limits, sc.Limits...)
	}
	types := newCellTypes(c.vars, cell.Matrix, limits, stepIDs(cell.Steps), c.used)
	compileSteps(cell.Steps, types, c.report)
	cell.builder = b
	sc = c.resolvedScenario(sc, &scope)
	cell.Scenario = sc
	c.clock(p, cell)
	if sc.Start != nil {
		cell.Start = *sc.Start
	}
	if sc.Timeout != nil {
		cell.Timeout = *sc.Timeout
	}
	cell.Serial = cell.Serial || sc.Serial
	cell.Skip = skipReason(p.Features, sc.Feature)
	if undeclared != "" && cell.Target.URL != "" {
		cell.Skip, cell.Aside = fmt.Sprintf("target.limits declares no limit %q", undeclared), true
	}
	return cell
}

func labelsOf(choice []coordinate) []Label {
	var labels []Label
	for _, at := range choice {
		labels = append(labels, Label{Axis: at.axis, Value: at.label})
	}
	return labels
}

// clock decides between virtual and real time.
func (c *compiler) clock(p *Program, cell *Cell) {
	external := cell.Target != nil && cell.Target.URL != ""
	p.External = p.External || external
	apart := external || cell.Mock != nil && cell.Mock.URL != ""
	cell.Virtual = !apart && cell.Scenario.Clock != "real"
	if apart && cell.Scenario.Clock == "virtual" {
		c.report(Problem{Pos: cell.Scenario.node.at("clock").pos, Message: "clock: virtual needs target and mock in-process", Expected: "clock: real, or no clock", Anchor: "clock"})
	}
	if external && scrapes(cell.Steps) {
		cell.Serial = true
	}
}

func skipReason(f *Features, feature string) string {
	switch {
	case f == nil || feature == "" || contains(f.Supported, feature):
		return ""
	case contains(f.Unsupported, feature):
		return fmt.Sprintf("the feature %s is declared unsupported", feature)
	}
	return fmt.Sprintf("the feature %s is not declared as supported", feature)
}

// mock resolves the mock for one cell and its plans.
func (c *compiler) mock(scope *scope, b *builder) *Mock {
	n := c.suite.root.get("backend").get("mock")
	out := &Mock{}
	if n != nil {
		newDecoder(c.suite.Pos.File, nil, c.report).decode(scope.resolved(n, c.report), reflect.ValueOf(out).Elem(), "")
	}
	b.plans.named = out.Plans
	if out.Plan != nil && out.Plan.Name != "" {
		named, ok := out.Plans[out.Plan.Name]
		if !ok {
			c.report(Problem{Pos: out.Plan.Pos, Message: fmt.Sprintf("no plan is called %q", out.Plan.Name), Anchor: "the-mocks-answer"}.among(out.Plan.Name, sortedKeys(out.Plans)))
			return out
		}
		out.Plan.Plan = named.Plan
	}
	b.plans.base = out.Plan
	return out
}

// stepIDs are those of a list and its branches.
func stepIDs(list []Step) []string {
	var ids []string
	for i := range list {
		if list[i].ID != "" {
			ids = append(ids, list[i].ID)
		}
		for _, branch := range list[i].Parallel {
			ids = append(ids, stepIDs(branch)...)
		}
	}
	return ids
}

// scrapes tells whether a list reads metrics, which other scenarios would move.
func scrapes(list []Step) bool {
	return slices.ContainsFunc(list, func(s Step) bool {
		if s.Scrape != nil || slices.ContainsFunc(s.Parallel, scrapes) {
			return true
		}
		return slices.ContainsFunc(s.expressions(), func(e *Expression) bool { return e.Uses("delta") })
	})
}

// savesOf are the names that any step of a scenario saves.
func savesOf(s *Suite, sc *Scenario) []string {
	var names []string
	collect := func(step *node) {
		for _, f := range step.get("save").entries() {
			names = append(names, f.key)
		}
	}
	s.walkThrough(sc.node.get("steps"), map[string]bool{}, collect)
	return names
}

func (n *node) entries() []field {
	if n == nil {
		return nil
	}
	return n.fields
}
