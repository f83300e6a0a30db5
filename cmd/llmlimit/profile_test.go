package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/probe"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// defectRows are the stable numbers of docs/token-limit/defects.md; gaps are intended.
func defectRows() []string {
	gaps := []int{20, 24, 28, 29, 30, 31, 38, 44, 63, 66, 78, 87}
	var rows []string
	for i := 1; i <= 22; i++ {
		rows = append(rows, fmt.Sprintf("F%d", i))
	}
	for i := 1; i <= 92; i++ {
		if !slices.Contains(gaps, i) {
			rows = append(rows, fmt.Sprint(i))
		}
	}
	return rows
}

// Every known defect has a row, every row a check of the profile that exists or the
// reason why nobody can see it from outside, and every check is in the story.
func TestEveryDefectHasItsCheck(t *testing.T) {
	text, err := os.ReadFile("../../docs/token-limit/defects.md")
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string]bool{}
	for _, l := range profileScenarios(t) {
		checks[l.ID] = false
	}
	quoted := regexp.MustCompile("`([a-z0-9]+/[a-z0-9-]+)`")
	var rows []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(cells) != 4 || !regexp.MustCompile(`^ F?\d+ $`).MatchString(cells[0]) {
			continue
		}
		row, last := strings.TrimSpace(cells[0]), cells[3]
		rows = append(rows, row)
		ids := quoted.FindAllStringSubmatch(last, -1)
		if reason, ok := strings.CutPrefix(strings.TrimSpace(last), "not seen: "); len(ids) == 0 && (!ok || reason == "") {
			t.Errorf("row %s has neither a check nor a reason", row)
		}
		for _, id := range ids {
			if _, known := checks[id[1]]; !known {
				t.Errorf("row %s names %s, which the profile has not", row, id[1])
			}
			checks[id[1]] = true
		}
	}
	for _, row := range defectRows() {
		if n := len(slices.DeleteFunc(slices.Clone(rows), func(r string) bool { return r != row })); n != 1 {
			t.Errorf("row %s is there %d times", row, n)
		}
	}
	if len(rows) != len(defectRows()) {
		t.Errorf("%d rows, expected %d", len(rows), len(defectRows()))
	}
}

// profileScenarios are those of the profile token-limit.
func profileScenarios(t *testing.T) []listed {
	t.Helper()
	all, err := listScenarios(nil, "token-limit")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 80 {
		t.Fatalf("the profile has %d checks", len(all))
	}
	return all
}

// Every check says what it is: one sentence, level, strength, why, and which faulty
// limiter it finds, unless an operator's hook or a window stands in the way.
func TestEveryCheckIsDescribed(t *testing.T) {
	for _, l := range profileScenarios(t) {
		if l.Requirement == "" || l.Level == "" || l.Strength == "" {
			t.Errorf("%s: no requirement, level or strength", l.ID)
		}
		if l.Strength != "MUST" && l.Strength != "SHOULD" {
			t.Errorf("%s: strength %q", l.ID, l.Strength)
		}
		if len(l.Catches) == 0 && !slices.Contains(unbroken, l.ID) {
			t.Errorf("%s catches nothing: no faulty limiter can break it", l.ID)
		}
	}
}

// Every feature that the profile asks for is one that probe claims by what it measured, or
// tells people to declare by hand.
func TestEveryFeatureIsClaimedOrNamed(t *testing.T) {
	files, err := embeddedSources()
	if err != nil {
		t.Fatal(err)
	}
	plan, problems := scenarios.NewPlan(files, suite.Options{Profile: tokenLimit, URL: "http://127.0.0.1:9", Env: noEnvironment})
	if plan == nil {
		t.Fatal(problems)
	}
	asked := map[string]bool{}
	for _, s := range plan.Suites {
		for _, c := range s.Program.Cells {
			if c.Scenario.Feature != "" {
				asked[c.Scenario.Feature] = true
			}
		}
	}
	for _, name := range []string{ // what writeFeatures can claim
		"streaming", "identities", "reserve", "prompt-estimate", "retry-after", "remaining-header", "refund", "error-refund", "cancel-refund",
		"upstream-timeout", "completions", "responses", "messages", "gemini", "embeddings",
	} {
		delete(asked, name)
	}
	for _, f := range probe.ByHand {
		if !asked[f[0]] {
			t.Errorf("no check asks for %s", f[0])
		}
		delete(asked, f[0])
	}
	if len(asked) > 0 {
		t.Errorf("nobody says of these that they have to be declared: %v", asked)
	}
}

// unbroken are checks whose defect none of the bundled limiter's faults has.
var unbroken = []string{
	"core/body-over-the-cap",  // a cap of the listener, not of the limiter
	"core/unparseable-answer", // likewise: it is about who hangs
	"limits/window-boundary",  // the bundled limiter has no window of seconds; see TestCalendarWindow
	"operator/reset",          // it has no reset
	"operator/store-down",     // its store is memory
	"extended/own-error-costs-nothing",
}
