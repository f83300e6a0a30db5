package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// isTarget tells a file for --target-file from a suite: it has a target at the top, and
// no version.
func isTarget(data []byte) bool {
	target := false
	for line := range bytes.Lines(data) {
		if bytes.HasPrefix(line, []byte("version:")) || bytes.HasPrefix(line, []byte("scenarios:")) {
			return false
		}
		target = target || bytes.HasPrefix(line, []byte("target:"))
	}
	return target
}

// validateTarget reads a target file, and says how much of each built-in profile it
// lets run.
func (a *app) validateTarget(file scenarios.Source) bool {
	target, problems := suite.ReadTargetFile(file.Name, file.Data)
	if len(problems) > 0 {
		fmt.Fprintln(a.stdout, problems.String())
	}
	if problems.Err() != nil {
		return false
	}
	limits := "1 limit"
	if n := len(target.Target.Limits); n != 1 {
		limits = fmt.Sprintf("%d limits", n)
	}
	fmt.Fprintf(a.stdout, "%s: a valid target, %s\n", file.Name, limits)
	all, err := listScenarios(nil, "")
	if err != nil {
		fmt.Fprintln(a.stdout, err)
		return false
	}
	told := map[string]bool{"": true}
	for _, l := range all {
		if told[l.Profile] {
			continue
		}
		told[l.Profile] = true
		if !a.fits(target, l.Profile) {
			return false
		}
	}
	return true
}

// fits says how many checks of a profile a target lets run, or why none.
func (a *app) fits(target *suite.TargetFile, profile string) bool {
	files, err := embeddedSources()
	if err != nil {
		fmt.Fprintln(a.stdout, err)
		return false
	}
	plan, problems := scenarios.NewPlan(files, suite.Options{Profile: profile, Target: target, Env: noEnvironment})
	if plan == nil {
		fmt.Fprintln(a.stdout, problems.Errors().String())
		return false
	}
	run, why, known := 0, map[string]int{}, map[string]bool{}
	for _, s := range plan.Suites {
		for _, c := range s.Program.Cells {
			known[c.Scenario.Feature] = true
			for _, need := range c.Scenario.Needs {
				known[need] = true
			}
			switch missing := c.Missing(target.Target.Can(target.Features)); {
			case c.Skip != "":
				why[c.Skip]++
			case missing != "":
				why["the target cannot: "+missing]++
			default:
				run++
			}
		}
	}
	a.warnOfFeatures(target, profile, known)
	fmt.Fprintf(a.stdout, "the profile %s: %d of %d checks run\n", profile, run, plan.Cells())
	for _, reason := range slices.Sorted(maps.Keys(why)) {
		fmt.Fprintf(a.stdout, "  %d skipped: %s\n", why[reason], reason)
	}
	return true
}

// warnOfFeatures finds claims that no check of a profile asks for.
func (a *app) warnOfFeatures(target *suite.TargetFile, profile string, known map[string]bool) {
	if target.Features == nil {
		return
	}
	for _, name := range target.Features.Supported {
		if known[name] {
			continue
		}
		hint := ""
		if near := nearest.Word(name, slices.Sorted(maps.Keys(known))); near != "" {
			hint = fmt.Sprintf(", did you mean %q?", near)
		}
		fmt.Fprintf(a.stdout, "warning: no check of the profile %s asks for the feature %q%s\n", profile, name, hint)
	}
}
