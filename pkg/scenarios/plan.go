package scenarios

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// Source is a suite file before it is read.
type Source struct {
	Name string // path, as messages show it
	Data []byte
	// Builtin says that the program has it, so that it runs again without a file.
	Builtin bool
	// ReadFile reads what the suite refers to (bodies, policies, includes); paths
	// are relative to the suite. Nil: it can refer to nothing.
	ReadFile func(path string) ([]byte, error)
}

// Plan is what a run will do: suites with the cells that were selected. It does
// not change while it is executed.
type Plan struct {
	Suites []*PlannedSuite
}

// PlannedSuite is one suite of a plan.
type PlannedSuite struct {
	Program *suite.Program
	Digest  string // sha256: of the file and of everything that it refers to

	source  Source
	before  int // cells of the suites before it
	total   int // cells of the whole plan
	options suite.Options
	files   map[string][]byte // what was read while planning
	env     map[string]string // what was looked up while planning
}

// NewPlan reads suites and plans them with the same options. Problems are those of
// all suites; the plan is nil if any of them forbids a run. Without a RunID in the
// options the seed gives it, except for suites whose target is one by URL: its
// accounts outlive the run, so that chance gives it, once for all of them.
func NewPlan(sources []Source, o suite.Options) (*Plan, suite.Problems) {
	plan := &Plan{}
	var problems suite.Problems
	chance := o.RunID
	if chance == "" {
		chance = fmt.Sprintf("%08x", rand.Uint32()) //nolint:gosec // a name, no secret
	}
	for _, source := range sources {
		s, found := planSuite(source, o, chance)
		for _, p := range found {
			if !slices.Contains(problems, p) { // suites share a target file
				problems = append(problems, p)
			}
		}
		if s != nil {
			plan.Suites = append(plan.Suites, s)
		}
	}
	if len(problems.Errors()) == 0 {
		problems = append(problems, plan.strayVars(o.Vars)...)
	}
	if len(problems.Errors()) > 0 {
		return nil, problems
	}
	before := 0
	for _, s := range plan.Suites {
		s.before, s.total = before, plan.Cells()
		before += len(s.Program.Cells)
	}
	return plan, problems
}

// strayVars finds variables that were given and that no selected suite has.
func (p *Plan) strayVars(given map[string]any) suite.Problems {
	had := map[string]any{}
	for _, s := range p.Suites {
		for _, cell := range s.Program.Cells {
			maps.Copy(had, cell.Vars)
		}
	}
	var problems suite.Problems
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := had[name]; !ok && p.Cells() > 0 {
			problems = append(problems, suite.Problem{
				Pos: suite.Pos{File: "--var"}, Level: suite.Error, Message: fmt.Sprintf("no suite that was selected has a var %q", name),
				Nearest: nearest.Word(name, slices.Sorted(maps.Keys(had))),
			})
		}
	}
	return problems
}

// byURL tells whether a suite will be run against a target that runs already.
func byURL(s *suite.Suite, o suite.Options) bool {
	switch {
	case o.URL != "":
		return true
	case o.Target != nil:
		return o.Target.Target != nil && o.Target.Target.URL != ""
	}
	return s.Target != nil && s.Target.URL != ""
}

func planSuite(source Source, o suite.Options, chance string) (*PlannedSuite, suite.Problems) {
	s := &PlannedSuite{source: source, files: map[string][]byte{}, env: map[string]string{}}
	o.ReadFile = s.readFile
	if lookup := o.Env; lookup != nil {
		o.Env = func(name string) (string, bool) {
			value, ok := lookup(name)
			if ok {
				s.env[name] = value
			}
			return value, ok
		}
	}
	read, problems := suite.Read(source.Name, source.Data, s.readFile)
	if len(problems.Errors()) > 0 {
		return nil, problems
	}
	if byURL(read, o) {
		o.RunID = chance
	}
	o.Vars = maps.Clone(o.Vars)
	maps.DeleteFunc(o.Vars, func(name string, _ any) bool { // it may be another suite's
		_, has := read.Vars[name]
		return !has
	})
	s.options = o
	program, found := suite.Compile(read, o)
	problems = append(problems, found...)
	if len(problems.Errors()) > 0 {
		return nil, problems
	}
	s.Program = program
	for _, cell := range program.Cells {
		for _, name := range policies(cell) {
			if _, err := s.readFile(name); err != nil {
				problems = append(problems, suite.Problem{
					Pos: cell.Pos, Level: suite.Error, Message: fmt.Sprintf("the policy %q cannot be read: %v", name, err),
				})
			}
		}
	}
	s.Digest = digest(source.Data, s.files)
	return s, problems
}

// readFile reads what the suite refers to, once.
func (s *PlannedSuite) readFile(name string) ([]byte, error) {
	if data, ok := s.files[name]; ok {
		return data, nil
	}
	if s.source.ReadFile == nil {
		return nil, fmt.Errorf("reading %s: this suite can refer to no other file", name)
	}
	data, err := s.source.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s.files[name] = data
	return data, nil
}

// policies lists the policy files of a cell.
func policies(cell *suite.Cell) []string {
	var names []string
	if cell.Target != nil && cell.Target.Serve != nil && cell.Target.Serve.Policy != "" {
		names = append(names, cell.Target.Serve.Policy)
	}
	eachStep(cell.Steps, func(step *suite.Step) {
		if step.Reload != nil && step.Reload.Policy != "" {
			names = append(names, step.Reload.Policy)
		}
	})
	return names
}

// eachStep visits every step of a list, those inside parallel too.
func eachStep(steps []suite.Step, visit func(*suite.Step)) {
	for i := range steps {
		visit(&steps[i])
		for _, branch := range steps[i].Parallel {
			eachStep(branch, visit)
		}
	}
}

func digest(data []byte, files map[string][]byte) string {
	h := sha256.New()
	h.Write(data)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "\x00%d %s\x00", len(files[name]), name)
		h.Write(files[name])
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Cells counts the cells that will run.
func (p *Plan) Cells() int {
	n := 0
	for _, s := range p.Suites {
		n += len(s.Program.Cells)
	}
	return n
}

// NotSelected counts what selection left out.
func (p *Plan) NotSelected() int {
	n := 0
	for _, s := range p.Suites {
		n += len(s.Program.NotSelected)
	}
	return n
}

// Policies lists, once each, the rules and policies that in-process targets will
// be started or reloaded with, so that the caller can check them before anything
// is sent. Only Rules, Policy and what says where they stand are filled.
func (p *Plan) Policies() []TargetSpec {
	var specs []TargetSpec
	seen := map[string]bool{}
	add := func(s *PlannedSuite, rules *suite.Opaque, policy string) {
		spec := s.policySpec(rules, policy)
		id := fmt.Sprintf("%s:%d:%s:%s", spec.RulesFile, spec.RulesLine, spec.PolicyFile, spec.Rules)
		if !seen[id] && (spec.Rules != nil || spec.Policy != nil) {
			seen[id] = true
			specs = append(specs, spec)
		}
	}
	for _, s := range p.Suites {
		for _, cell := range s.Program.Cells {
			if cell.Target != nil && cell.Target.Serve != nil {
				add(s, cell.Target.Serve.Rules, cell.Target.Serve.Policy)
			}
			eachStep(cell.Steps, func(step *suite.Step) {
				if step.Reload != nil {
					add(s, step.Reload.Rules, step.Reload.Policy)
				}
			})
		}
	}
	return specs
}

// policySpec fills the part of a spec that says which policy.
func (s *PlannedSuite) policySpec(rules *suite.Opaque, policy string) TargetSpec {
	var spec TargetSpec
	if rules != nil {
		spec.Rules, spec.RulesFile, spec.RulesLine = rules.Data, rules.Pos.File, rules.Pos.Line
	}
	if policy != "" {
		spec.Policy, spec.PolicyFile = s.files[policy], policy
	}
	return spec
}
