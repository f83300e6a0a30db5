package report

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

func compliance(t *testing.T) *Compliance {
	t.Helper()
	text := render(t, WriteCompliance, small(t))
	c, err := ReadCompliance(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func reference() *Reference {
	return &Reference{Profile: "token-limit", Version: "v1alpha1", Digest: "sha256:2222", Tests: map[string]Test{
		"core/429-shape": {}, "core/retry-after": {Feature: "retry-after"}, "core/bounded": {}, "extended/reserve": {Feature: "reserve"},
		"extended/refund": {Feature: "refund"},
	}}
}

func TestVerify(t *testing.T) {
	if problems := compliance(t).Verify(reference()); len(problems) > 0 {
		t.Fatalf("a true report: %q", problems)
	}
	for _, tc := range []struct {
		name  string
		spoil func(*Compliance)
		want  string
	}{
		{"another form", func(c *Compliance) { c.Kind = "Poem" }, `it is a "llmlimit.dev/v1alpha1" "Poem"`},
		{"a branch", func(c *Compliance) { c.Implementation.Version = "main" }, "not a branch"},
		{"a word", func(c *Compliance) { c.Implementation.Version = "stable" }, "not a branch"},
		{"nobody", func(c *Compliance) { c.Implementation.Organization = "" }, "implementation.organization is missing"},
		{"other suites", func(c *Compliance) { c.Harness.SuiteDigest = "sha256:3333" }, "other suites were run"},
		{"another version", func(c *Compliance) { c.Profile.Version = "v2" }, "this program has token-limit v1alpha1"},
		{"a better result", func(c *Compliance) { c.Extended.Result = ResultSuccess }, `the statistics say "failure"`},
		{"a failure less", func(c *Compliance) { c.Extended.Statistics.Failed = 0; c.Extended.Result = ResultSuccess }, "failedTests names 1"},
		{"left out", func(c *Compliance) { c.Core.Statistics.Passed = 1 }, "some were left out"},
		{"claimed and skipped", func(c *Compliance) {
			c.Extended.Statistics = ComplianceStatistics{Passed: 1, Skipped: 1}
			c.Extended.Result, c.Extended.FailedTests, c.Extended.SkippedTests = ResultPartial, nil, []string{"extended/refund"}
		}, "its feature refund is claimed"},
		{"both", func(c *Compliance) { c.Extended.Unsupported = []string{"refund"} }, "both supported and unsupported"},
		{"no such level", func(c *Compliance) { c.Level = "L9" }, `level: found "L9"`},
		{"a level on a failed core", func(c *Compliance) {
			c.Core.Statistics.Failed, c.Core.Result, c.Core.FailedTests = 1, ResultFailure, []string{"core/429-shape"}
		}, "level L2, although 1 checks of the core failed"},
		{"yesterday", func(c *Compliance) { c.Date = "yesterday" }, `date: found "yesterday"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := compliance(t)
			tc.spoil(c)
			if problems := c.Verify(reference()); !strings.Contains(strings.Join(problems, "\n"), tc.want) {
				t.Errorf("found %q, expected %q", problems, tc.want)
			}
		})
	}
}

// What is about a limit that is not declared, or needs an operator, may be skipped; what
// is about one that is declared may not.
func TestVerifyAside(t *testing.T) {
	r := reference()
	r.Tests["slots/held"] = Test{Limits: []string{"slots"}}
	r.Tests["slots/race"] = Test{Limits: []string{"slots"}, Feature: "reserve"}
	r.Tests["operator/reload"] = Test{Feature: "reserve", Hook: true}
	for _, tc := range []struct {
		declared []string
		want     string
	}{
		{[]string{"tpm"}, ""},
		{[]string{"tpm", "slots"}, "slots/held was skipped, although its limit slots is declared\nslots/race was skipped, although its feature reserve is claimed"},
	} {
		c := compliance(t)
		c.Extended.Supported = append(c.Extended.Supported, "reserve")
		c.Extended.SkippedTests = append(c.Extended.SkippedTests, "slots/held", "slots/race", "operator/reload")
		c.Extended.Statistics.Skipped += 3
		c.Mode = &ComplianceMode{Limits: tc.declared}
		if got := strings.Join(c.Verify(r), "\n"); got != tc.want {
			t.Errorf("%v: found %q, expected %q", tc.declared, got, tc.want)
		}
	}
}

func TestReadComplianceIsStrict(t *testing.T) {
	text := render(t, WriteCompliance, small(t)) + "colour: L4\n"
	if _, err := ReadCompliance(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("found %v, expected an error about the unknown field", err)
	}
}

// A level is reached when every MUST up to it has passed. What was skipped was not
// shown, what is accepted in one house is not accepted by the profile.
func TestLevel(t *testing.T) {
	of := func(level, strength string, o scenarios.Outcome) *scenarios.ScenarioResult {
		return &scenarios.ScenarioResult{ID: level, Level: level, Strength: strength, Outcome: o}
	}
	accepted := of("L1", "MUST", scenarios.Pass)
	accepted.Accepted = "we know"
	aside := of("L1", "MUST", scenarios.Skip)
	aside.Aside = true
	for _, tc := range []struct {
		name  string
		cells []*scenarios.ScenarioResult
		want  string
	}{
		{"nothing", nil, "none"},
		{"all", []*scenarios.ScenarioResult{of("L0", "MUST", scenarios.Pass), of("L1", "MUST", scenarios.Pass)}, "L1"},
		{"no gap", []*scenarios.ScenarioResult{of("L0", "MUST", scenarios.Pass), of("L2", "MUST", scenarios.Pass)}, "L0"},
		{"skipped", []*scenarios.ScenarioResult{of("L0", "MUST", scenarios.Pass), of("L1", "MUST", scenarios.Skip)}, "L0"},
		{"about a limit that is not declared", []*scenarios.ScenarioResult{of("L0", "MUST", scenarios.Pass), of("L1", "MUST", scenarios.Pass), aside}, "L1"},
		{"about nothing else", []*scenarios.ScenarioResult{of("L0", "MUST", scenarios.Pass), aside}, "L0"},
		{"failed SHOULD", []*scenarios.ScenarioResult{of("L0", "MUST", scenarios.Pass), of("L0", "SHOULD", scenarios.Fail)}, "L0"},
		{"failed MUST", []*scenarios.ScenarioResult{of("L0", "MUST", scenarios.Pass), of("L0", "MUST", scenarios.Fail)}, "none"},
		{"error", []*scenarios.ScenarioResult{of("L0", "MUST", scenarios.Pass), of("L1", "MUST", scenarios.Error)}, "L0"},
		{"accepted", []*scenarios.ScenarioResult{of("L0", "MUST", scenarios.Pass), accepted}, "L0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if found := levelOf([]*scenarios.SuiteResult{{Scenarios: tc.cells}}); found != tc.want {
				t.Errorf("found %s, expected %s", found, tc.want)
			}
		})
	}
}

func TestMatrixAndBadge(t *testing.T) {
	a, b := compliance(t), compliance(t)
	b.Implementation.Project, b.Level, b.Extended.Supported = "other|gateway", NoLevel, nil
	var text bytes.Buffer
	if err := Matrix(&text, []*Compliance{a, b}); err != nil {
		t.Fatal(err)
	}
	golden(t, "golden.matrix.md", text.String())
	var svg bytes.Buffer
	if err := Badge(&svg, a); err != nil {
		t.Fatal(err)
	}
	golden(t, "golden.badge.svg", svg.String())
	if err := xml.Unmarshal(svg.Bytes(), new(struct{})); err != nil {
		t.Errorf("the badge is no XML: %v", err)
	}
}

func TestComplianceNeedsAProfile(t *testing.T) {
	run := small(t)
	run.Suites = run.Suites[:1]
	if _, err := ComplianceOf(run); err == nil {
		t.Error("a run without a profile has a compliance report")
	}
}
