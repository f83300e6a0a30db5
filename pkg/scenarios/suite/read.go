package suite

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Read reads and checks a suite file. Every error of the file is found at once;
// the suite is nil only if the file is no YAML. readFile brings included files,
// by paths relative to the suite's folder; it may be nil if there are none.
//
// What depends on the choice of a matrix or on a run (names, expressions,
// merged requests) is checked by [Compile].
func Read(file string, src []byte, readFile func(string) ([]byte, error)) (*Suite, Problems) {
	s, problems := read(file, src)
	if s == nil {
		return nil, problems.sorted()
	}
	problems = append(problems, s.include(file, readFile)...)
	r := s.reporter()
	s.checkWhole(r)
	return s, append(problems, r.problems...).sorted()
}

// ReadTargetFile reads a file for --target-file.
func ReadTargetFile(file string, src []byte) (*TargetFile, Problems) {
	r := newReader(file, src)
	root := r.parse(src)
	if root == nil {
		return nil, r.problems.sorted()
	}
	var out TargetFile
	newDecoder(file, r.lines, r.report).decode(root, reflect.ValueOf(&out).Elem(), "")
	out.root, out.lines = root, r.lines
	return &out, r.problems.sorted()
}

// read reads one file without its includes.
func read(file string, src []byte) (*Suite, Problems) {
	r := newReader(file, src)
	root := r.parse(src)
	if root == nil {
		return nil, r.problems
	}
	s := &Suite{root: root, sources: map[string][]string{file: r.lines}, lists: map[string]*node{}}
	newDecoder(file, r.lines, r.report).decode(root, reflect.ValueOf(s).Elem(), "")
	if lists := root.get("steps"); lists != nil {
		for _, f := range lists.fields {
			s.lists[f.key] = f.value
		}
	}
	if vars := root.get("vars"); vars != nil {
		s.vars = vars.fields
	}
	return s, r.problems
}

// include takes in vars and step lists of other files. The suite's own win.
func (s *Suite) include(file string, readFile func(string) ([]byte, error)) Problems {
	r := s.reporter()
	for i, name := range s.Include {
		at := s.root.get("include")
		if i < len(at.items) {
			at = at.items[i]
		}
		fail := func(message string) {
			r.report(Problem{Pos: at.pos, Width: utf8.RuneCountInString(at.text), Message: message, Anchor: "shape"})
		}
		if readFile == nil {
			fail(fmt.Sprintf("including %s: no files can be read here", name))
			continue
		}
		src, err := readFile(name)
		if err != nil {
			fail(fmt.Sprintf("including %s: %v", name, err))
			continue
		}
		other, problems := read(path.Join(path.Dir(file), name), src)
		r.problems = append(r.problems, problems...)
		if other == nil {
			continue
		}
		if len(other.Scenarios) > 0 || len(other.Include) > 0 {
			fail(fmt.Sprintf("%s has scenarios or includes of its own; an included file holds vars and steps", name))
		}
		for list, steps := range other.lists {
			if _, own := s.lists[list]; !own {
				s.lists[list] = steps
			}
		}
		s.vars = append(slices.Clone(other.vars), s.vars...)
		maps.Copy(s.sources, other.sources)
	}
	return r.problems
}

// reporter collects problems at places in any of the suite's files.
func (s *Suite) reporter() *reporter { return &reporter{sources: s.sources} }

type reporter struct {
	sources  map[string][]string
	problems Problems
}

func (r *reporter) report(p Problem) {
	if p.Level == "" {
		p.Level = Error
	}
	if lines := r.sources[p.File]; p.Source == "" && p.Line >= 1 && p.Line <= len(lines) {
		p.Source = lines[p.Line-1]
	}
	r.problems = append(r.problems, p)
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)

// checkWhole holds the rules between the parts of a file.
func (s *Suite) checkWhole(r *reporter) {
	if s.root.kind != mapNode {
		return
	}
	s.checkTarget(r)
	seen := map[string]Pos{}
	for i := range s.Scenarios {
		c := &s.Scenarios[i]
		c.node = s.scenarioNode(i)
		at := c.node.at("id")
		switch first, twice := seen[c.ID]; {
		case c.ID == "":
		case !idPattern.MatchString(c.ID):
			r.report(Problem{Pos: at.pos, Message: fmt.Sprintf("%q is not an id", c.ID), Expected: "letters, digits and . _ / -", Anchor: "scenarios"})
		case twice:
			r.report(Problem{Pos: at.pos, Message: fmt.Sprintf("the id %q is given twice; first on line %d", c.ID, first.Line), Anchor: "scenarios"})
		default:
			seen[c.ID] = at.pos
		}
		s.checkStepIDs(r, c)
		if c.Judge != nil && c.Judge.Off == "" && c.node.get("judge").get("off") != nil {
			r.report(Problem{Pos: c.node.at("judge").pos, Message: "judge: { off } without a reason", Expected: "the reason", Anchor: "scenarios"})
		}
		if c.Defaults != nil && len(c.Steps) == 0 {
			continue
		}
		s.warnWithoutControl(r, c)
	}
	s.checkUses(r)
}

func (s *Suite) scenarioNode(i int) *node {
	list := s.root.get("scenarios")
	if list.kind == listNode {
		return list.items[i]
	}
	return list
}

func (s *Suite) checkTarget(r *reporter) {
	at := s.root.at("target")
	switch t := s.Target; {
	case t == nil:
	case t.Serve != nil && t.URL != "":
		r.report(Problem{Pos: at.pos, Message: "a target with both serve and url", Expected: "serve for the bundled proxy, or url for another gateway", Anchor: "target"})
	case t.Serve == nil && t.URL == "":
		r.report(Problem{Pos: at.pos, Message: "a target with neither serve nor url", Expected: "serve for the bundled proxy, or url for another gateway", Anchor: "target"})
	case t.Serve != nil && (t.Serve.Rules == nil) == (t.Serve.Policy == ""):
		r.report(Problem{Pos: s.root.get("target").at("serve").pos, Message: "target.serve needs either rules or policy", Expected: "rules in place, or policy: FILE", Anchor: "target"})
	}
}

// checkStepIDs finds ids that are given twice in a scenario.
func (s *Suite) checkStepIDs(r *reporter, c *Scenario) {
	seen := map[string]Pos{}
	walkSteps(c.node.get("steps"), func(step *node) {
		id := step.get("id")
		if id == nil || id.text == "" {
			return
		}
		if !stepIDPattern.MatchString(id.text) {
			r.report(Problem{Pos: id.pos, Message: fmt.Sprintf("%q is not the id of a step", id.text), Expected: "a letter, then letters, digits, _ and -", Anchor: "steps"})
		}
		if first, twice := seen[id.text]; twice {
			r.report(Problem{Pos: id.pos, Message: fmt.Sprintf("the step id %q is given twice; first on line %d", id.text, first.Line), Anchor: "steps"})
			return
		}
		seen[id.text] = id.pos
	})
}

// stepIDPattern: an id is reached as steps.ID, or steps["ID"] if it has a dash.
var stepIDPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// walkSteps visits every step of a list, those of parallel branches too.
func walkSteps(list *node, visit func(*node)) {
	if list == nil {
		return
	}
	for _, step := range list.items {
		visit(step)
		if branches := step.get("parallel"); branches != nil {
			for _, branch := range branches.items {
				walkSteps(branch, visit)
			}
		}
	}
}

// walkThrough visits every step of a list and of the lists that it uses, each
// list once.
func (s *Suite) walkThrough(list *node, seen map[string]bool, visit func(*node)) {
	walkSteps(list, func(step *node) {
		visit(step)
		if use := step.get("use"); use != nil && !seen[use.text] {
			seen[use.text] = true
			s.walkThrough(s.lists[use.text], seen, visit)
		}
	})
}

// checkUses finds names of step lists that do not exist, and lists that no step
// reaches.
func (s *Suite) checkUses(r *reporter) {
	used := map[string]bool{}
	visit := func(step *node) {
		use := step.get("use")
		if use == nil || use.text == "" || open(use) {
			return
		}
		used[use.text] = true
		if s.lists[use.text] == nil {
			known := sortedKeys(s.lists)
			r.report(Problem{Pos: use.pos, Width: utf8.RuneCountInString(use.text), Message: fmt.Sprintf("no step list is called %q", use.text), Anchor: "steps"}.among(use.text, known))
		}
		if len(step.fields) > 1 {
			r.report(Problem{Pos: use.pos, Message: "use takes no modifiers", Expected: "use alone; modifiers belong to the steps of the list", Anchor: "steps"})
		}
	}
	for i := range s.Scenarios {
		walkSteps(s.Scenarios[i].node.get("steps"), visit)
	}
	for _, list := range s.lists {
		walkSteps(list, visit)
	}
	if own := s.root.get("steps"); own != nil && len(s.Scenarios) > 0 {
		for _, f := range own.fields {
			if !used[f.key] {
				r.report(Problem{Pos: f.pos, Width: utf8.RuneCountInString(f.key), Message: fmt.Sprintf("the steps of %q are never reached: no step uses them", f.key), Anchor: "steps"})
			}
		}
	}
}

// refundFaults are faults whose absence a scenario proves by what comes back.
var refundFaults = []string{"refund", "unsettled", "settled"}

// controlPattern finds a check that only a limiter that is on can pass.
var controlPattern = regexp.MustCompile(`\b(ledger|judge|delta|ledger_of|load\.rejected|drain|reserved|remaining)\b`)

// warnWithoutControl warns about a scenario that proves refunds although
// nothing in it shows that the limiter is on: it would pass without a limiter.
func (s *Suite) warnWithoutControl(r *reporter, c *Scenario) {
	about := c.Feature == "refund" || slices.ContainsFunc(c.Catches, func(name string) bool {
		return slices.ContainsFunc(refundFaults, func(part string) bool { return strings.Contains(name, part) })
	})
	if !about || c.node.get("steps") == nil || hasControl(s, c) {
		return
	}
	r.report(Problem{
		Pos: c.node.at("id").pos, Level: Warning, Width: utf8.RuneCountInString(c.ID),
		Message:  fmt.Sprintf("the refund scenario %q has no control step: it would pass with no limiter at all", c.ID),
		Expected: "a step that is rejected, or a check of what was reserved", Anchor: "control-steps",
	})
}

func hasControl(s *Suite, c *Scenario) bool {
	found := false
	look := func(step *node) {
		if id := step.get("id"); id != nil && id.text == "control" {
			found = true
		}
		if step.get("drain") != nil {
			found = true
		}
		if status := step.get("expect").get("status"); status != nil {
			for _, one := range append([]*node{status}, status.items...) {
				found = found || one.text == "429" || one.text == "403" || one.text == "413"
			}
		}
		if check := step.get("check"); check != nil {
			for _, one := range append([]*node{check}, check.items...) {
				found = found || controlPattern.MatchString(one.text)
			}
		}
	}
	s.walkThrough(c.node.get("steps"), map[string]bool{}, look)
	return found
}
