package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// verdictWord is the run in a word.
func verdictWord(run *scenarios.RunResult) string {
	c := run.Counts
	switch {
	case c.Error > 0:
		return "ERROR"
	case c.Fail > 0:
		return "FAIL"
	case c.Pass == 0:
		return "NOTHING RAN"
	}
	return "PASS"
}

// countWords are the counts that are not nought, with how many passed.
func countWords(c scenarios.Counts) []string {
	words := []string{fmt.Sprintf("%d passed", c.Pass)}
	for _, x := range []struct {
		n    int
		word string
	}{{c.Fail, "failed"}, {c.Error, "in error"}, {c.Skip, "skipped"}, {c.Warnings, "with warnings"}, {c.NotSelected, "not selected"}} {
		if x.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", x.n, x.word))
		}
	}
	return words
}

// tally sums up what the judge proved in all scenarios.
func tally(run *scenarios.RunResult) judge.Totals {
	var sum judge.Totals
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			if sc.Judged == nil {
				continue
			}
			t := sc.Judged.Totals
			sum.Requests += t.Requests
			sum.Admitted += t.Admitted
			sum.Rejected += t.Rejected
			sum.OverAdmitted += t.OverAdmitted
			sum.WronglyRejected += t.WronglyRejected
			sum.OverAdmissions += t.OverAdmissions
			sum.WrongfulRejections += t.WrongfulRejections
			sum.Right += t.Right
			sum.Undecidable += t.Undecidable
			sum.Unjudged += t.Unjudged
		}
	}
	return sum
}

// failedGroup is a scenario with the cells of its matrix that did not pass.
type failedGroup struct {
	suite *scenarios.SuiteResult
	cells []*scenarios.ScenarioResult
	total int // cells of the scenario, passed or not
}

// failedGroups are the scenarios that did not pass, in the order of the run.
func failedGroups(run *scenarios.RunResult) []failedGroup {
	var all []failedGroup
	for i := range run.Suites {
		s := &run.Suites[i]
		for _, cells := range byScenario(s) {
			g := failedGroup{suite: s, total: len(cells)}
			for _, sc := range cells {
				if bad(sc.Outcome) {
					g.cells = append(g.cells, sc)
				}
			}
			if len(g.cells) > 0 {
				all = append(all, g)
			}
		}
	}
	return all
}

// headerKinds are the findings about what the client was told. One mistake shows them in
// every scenario that meets it, whatever that is about.
var headerKinds = []judge.Kind{
	judge.RetryTooEarly, judge.RetryTooLate, judge.RetryImpossible, judge.RetryMissing, judge.RetryForm,
	judge.HeaderLimit, judge.HeaderRemaining, judge.HeaderReset, judge.HeaderReserved,
}

// apart takes out the scenarios that failed by one kind of header finding alone, but the
// first of each kind, which comes last: what they are about was right, and hides what
// was not.
func apart(groups []failedGroup) (explained []failedGroup, alike map[string][]failedGroup) {
	var firsts []failedGroup
	alike = map[string][]failedGroup{}
	seen := map[string]bool{}
	for _, g := range groups {
		kind := g.headerAlone()
		switch {
		case kind == "":
			explained = append(explained, g)
		case seen[kind]:
			alike[kind] = append(alike[kind], g)
		default:
			seen[kind] = true
			firsts = append(firsts, g)
		}
	}
	return append(explained, firsts...), alike
}

// headerAlone is the kind of header finding that every failed check is, else empty.
func (g failedGroup) headerAlone() string {
	kind := ""
	for _, sc := range g.cells {
		failed := slices.DeleteFunc(scenarioLeaves(g.suite, sc), func(l leaf) bool { return !bad(l.outcome) })
		for _, l := range failed {
			switch {
			case l.check == nil || l.check.Kind != scenarios.KindJudge || !slices.Contains(headerKinds, judge.Kind(l.check.Text)):
				return ""
			case kind != "" && kind != l.check.Text:
				return ""
			}
			kind = l.check.Text
		}
		if len(failed) == 0 {
			return ""
		}
	}
	return kind
}

// byScenario splits the cells of a suite at each new scenario.
func byScenario(s *scenarios.SuiteResult) [][]*scenarios.ScenarioResult {
	var groups [][]*scenarios.ScenarioResult
	for i, sc := range s.Scenarios {
		if i == 0 || sc.Scenario != s.Scenarios[i-1].Scenario {
			groups = append(groups, nil)
		}
		last := &groups[len(groups)-1]
		*last = append(*last, sc)
	}
	return groups
}

// leaves are the failures of the first cell.
func (g failedGroup) leaves() []leaf {
	return slices.DeleteFunc(scenarioLeaves(g.suite, g.cells[0]), func(l leaf) bool { return !bad(l.outcome) })
}

// others names the cells after the first: at most so many.
func (g failedGroup) others(most int) string {
	rest := g.cells[1:]
	names := make([]string, 0, most)
	for _, sc := range rest[:min(most, len(rest))] {
		names = append(names, cellName(sc))
	}
	text := fmt.Sprintf("likewise %d more of %d cells: %s", len(rest), g.total, strings.Join(names, " "))
	if more := len(rest) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// cellName is what tells a cell from the others of its scenario.
func cellName(sc *scenarios.ScenarioResult) string {
	if name := strings.TrimPrefix(sc.ID, sc.Scenario); name != "" {
		return name
	}
	return sc.ID
}

func bad(o scenarios.Outcome) bool { return o == scenarios.Fail || o == scenarios.Error }

// fact is something to know about a scenario, for forms that have properties.
type fact struct{ name, value string }

func facts(sc *scenarios.ScenarioResult) []fact {
	all := []fact{{"requirement", sc.Requirement}, {"level", sc.Level}, {"strength", sc.Strength}, {"feature", sc.Feature}, {"rerun", rerun(sc)}}
	return slices.DeleteFunc(all, func(f fact) bool { return f.value == "" })
}

// thousands groups the digits of an amount: 12 345.
func thousands(n int64) string {
	sign, digits := "", fmt.Sprint(n)
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
