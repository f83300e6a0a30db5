package report

import (
	"fmt"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// leaf is what the flat forms count: a check, an invariant, a finding of the judge,
// or the whole scenario where it has none of them.
type leaf struct {
	suite    *scenarios.SuiteResult
	scenario *scenarios.ScenarioResult
	step     *scenarios.StepResult // nil for the scenario itself
	check    *scenarios.Check      // likewise
	name     string
	line     int
	outcome  scenarios.Outcome
	warning  bool
	message  string // one line; empty if it passed
	detail   string // several lines
}

// leaves flattens a run, in its order.
func leaves(run *scenarios.RunResult) []leaf {
	var all []leaf
	for i := range run.Suites {
		s := &run.Suites[i]
		for _, sc := range s.Scenarios {
			all = append(all, scenarioLeaves(s, sc)...)
		}
	}
	return all
}

func scenarioLeaves(s *scenarios.SuiteResult, sc *scenarios.ScenarioResult) []leaf {
	var all []leaf
	add := func(st *scenarios.StepResult, c *scenarios.Check) {
		l := leaf{suite: s, scenario: sc, step: st, check: c, name: stepName(st) + ": " + c.Text, line: c.Line, outcome: c.Outcome, warning: c.Warning}
		if sc.Outcome == scenarios.Pass && bad(l.outcome) {
			// A SHOULD, a known failure, an accepted finding: it did not hold, and warns.
			l.outcome, l.warning = scenarios.Pass, true
		}
		if c.Outcome != scenarios.Pass || c.Warning {
			l.message, l.detail = c.Message, explain(sc, c)
		}
		all = append(all, l)
	}
	eachStep(sc.Steps, func(st *scenarios.StepResult) {
		for i := range st.Checks {
			add(st, &st.Checks[i])
		}
	})
	if len(all) == 0 || worst(all) != sc.Outcome {
		// Skips, errors and unexpected passes belong to the scenario itself.
		all = append(all, leaf{suite: s, scenario: sc, name: "scenario", line: sc.Line, outcome: sc.Outcome, message: sc.Reason, detail: sc.Stderr})
	}
	return all
}

func worst(all []leaf) scenarios.Outcome {
	var o scenarios.Outcome
	for _, l := range all {
		o = o.Worse(l.outcome)
	}
	return o
}

// eachStep visits every step, those inside parallel too.
func eachStep(steps []*scenarios.StepResult, visit func(*scenarios.StepResult)) {
	for _, st := range steps {
		visit(st)
		for _, branch := range st.Parallel {
			eachStep(branch, visit)
		}
	}
}

func stepName(st *scenarios.StepResult) string {
	if st.ID != "" {
		return st.ID
	}
	return fmt.Sprintf("%s (line %d)", st.Verb, st.Line)
}

// explain is everything that a person needs in order to believe a failed check.
func explain(sc *scenarios.ScenarioResult, c *scenarios.Check) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: %s\n", c.File, c.Line, c.Text)
	if c.Expected != "" || c.Found != "" {
		fmt.Fprintf(&b, "  expected  %s\n  found     %s\n", c.Expected, c.Found)
	}
	if c.Values != nil {
		for line := range strings.Lines(c.Values.String()) {
			fmt.Fprintf(&b, "  %s\n", strings.TrimRight(line, "\n"))
		}
	}
	if c.Proof != "" {
		fmt.Fprintf(&b, "  proof     %s\n", c.Proof)
	}
	if curl := curlOf(sc, c); curl != "" {
		fmt.Fprintf(&b, "  request   %s\n", curl)
	}
	fmt.Fprintf(&b, "  again     %s\n", rerun(sc))
	return b.String()
}

// curlOf is the request that a check looked at, as a command.
func curlOf(sc *scenarios.ScenarioResult, c *scenarios.Check) string {
	if c == nil || c.Request == nil || *c.Request < 0 || *c.Request >= len(sc.Requests) {
		return ""
	}
	return sc.Requests[*c.Request].Curl
}

// rerun is the command line that runs a scenario again.
func rerun(sc *scenarios.ScenarioResult) string {
	words := make([]string, 0, len(sc.Rerun)+1)
	words = append(words, "llmlimit")
	for _, w := range sc.Rerun {
		words = append(words, quote(w))
	}
	return strings.Join(words, " ")
}

// quote writes a word for a POSIX shell.
func quote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
