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
