package report

import (
	"io"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// resultsOf is a run of one suite.
func resultsOf(all ...*scenarios.ScenarioResult) *scenarios.RunResult {
	return &scenarios.RunResult{Suites: []scenarios.SuiteResult{{Name: "s", File: "s.yaml", Outcome: scenarios.Error, Scenarios: all}}}
}

func prettily(t *testing.T, run *scenarios.RunResult) string {
	t.Helper()
	return render(t, func(w io.Writer, r *scenarios.RunResult) error { return Pretty(w, r, Style{}) }, run)
}

func TestOneErrorOfAllIsToldOnce(t *testing.T) {
	one := func(id string, o scenarios.Outcome, reason string) *scenarios.ScenarioResult {
		return &scenarios.ScenarioResult{ID: id, Scenario: id, Outcome: o, Reason: reason}
	}
	down := one("a", scenarios.Error, "the gateway is down")
	skip := one("c", scenarios.Skip, "needs metrics")
	got := prettily(t, resultsOf(down, one("b", scenarios.Error, "the gateway is down"), skip))
	if strings.Count(got, "the gateway is down") != 1 || !strings.Contains(got, "none of the 2 scenarios could be judged") || strings.Contains(got, "s.yaml") {
		t.Errorf("one reason for all:\n%s", got)
	}
	for name, run := range map[string]*scenarios.RunResult{
		"two reasons": resultsOf(down, one("b", scenarios.Error, "the mock is down")),
		"one passed":  resultsOf(down, one("b", scenarios.Pass, "")),
		"only one":    resultsOf(down, skip),
	} {
		if got := prettily(t, run); strings.Contains(got, "could be judged") || !strings.Contains(got, "s.yaml") {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestNoteOfSeveralFailures(t *testing.T) {
	failed := func(id string, notes ...string) *scenarios.ScenarioResult {
		return &scenarios.ScenarioResult{ID: id, Scenario: id, Outcome: scenarios.Fail, Reason: "r", Notes: notes}
	}
	passed := &scenarios.ScenarioResult{ID: "c", Scenario: "c", Outcome: scenarios.Pass, Notes: []string{"slow"}}
	got := prettily(t, resultsOf(failed("a", "another limit"), failed("b", "another limit", "slow"), passed))
	if !strings.Contains(got, "a note on 2 of the failures: another limit") {
		t.Errorf("the note of both is not told:\n%s", got)
	}
	if strings.Contains(got, "slow") {
		t.Errorf("the note of one, and of one that passed, is told as if it explained something:\n%s", got)
	}
}

// Who reads of skipped cells reads why, whichever cell it was.
func TestSkippedCellsSayWhy(t *testing.T) {
	cell := func(id string, o scenarios.Outcome, reason string) *scenarios.ScenarioResult {
		return &scenarios.ScenarioResult{ID: id, Scenario: "a", Outcome: o, Reason: reason}
	}
	got := prettily(t, resultsOf(
		cell("a[1]", scenarios.Pass, ""), cell("a[2]", scenarios.Skip, "no gemini"),
		cell("a[3]", scenarios.Skip, "no hook"), cell("a[4]", scenarios.Skip, "no hook")))
	for _, line := range []string{"      1 of 4 skipped: no gemini\n", "      2 of 4 skipped: no hook\n"} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
	if got := prettily(t, resultsOf(cell("a", scenarios.Skip, "no gemini"))); !strings.Contains(got, "      skipped: no gemini\n") {
		t.Errorf("%s", got)
	}
}

// One wrong header fails every scenario that meets it. It is explained once, behind
// what else is wrong.
func TestOneHeaderIsExplainedOnce(t *testing.T) {
	failed := func(id string, kinds ...string) *scenarios.ScenarioResult {
		step := &scenarios.StepResult{ID: "judge", Outcome: scenarios.Fail}
		for _, kind := range kinds {
			step.Checks = append(step.Checks, scenarios.Check{Kind: scenarios.KindJudge, Text: kind, Outcome: scenarios.Fail, Message: kind + " of " + id})
		}
		return &scenarios.ScenarioResult{ID: id, Scenario: id, Outcome: scenarios.Fail, Steps: []*scenarios.StepResult{step}}
	}
	got := prettily(t, resultsOf(
		failed("a", "retry-after-too-late"), failed("b", "retry-after-too-late", "retry-after-too-late"), failed("c", "retry-after-too-late"),
		failed("d", "over-admission", "retry-after-too-late"), failed("e", "header-limit"), failed("f", "header-limit"),
	))
	at := 0
	for _, text := range []string{
		"over-admission of d", "retry-after-too-late of a", "header-limit of e",
		"1 more scenario did not pass, for the header-limit alone\n  f\n", "2 more scenarios did not pass, for the retry-after-too-late alone\n  b c\n",
	} {
		i := strings.Index(got[at:], text)
		if i < 0 {
			t.Fatalf("no %q behind what comes before it in\n%s", text, got)
		}
		at += i
	}
	if strings.Contains(got, "too-late of b") {
		t.Errorf("explained twice:\n%s", got)
	}
}
