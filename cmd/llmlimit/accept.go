package main

import (
	"fmt"
	"path"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// earlier is what was decided before this run: the findings that are accepted, and
// the run to compare with.
type earlier struct {
	accepted []*acceptance
	baseline *scenarios.RunResult
}

// acceptance is one accepted finding: failed checks of a scenario, with the reason
// why they may fail.
type acceptance struct {
	Scenario string `yaml:"scenario"` // glob of suite/id, or of the id alone
	Check    string `yaml:"check"`    // glob of the check's text, or of the kind of finding; empty: any
	Reason   string `yaml:"reason"`

	used bool
}

// earlier reads --expect and --baseline, before anything is sent.
func (f *runFlags) earlier() (earlier, error) {
	var e earlier
	var err error
	if f.expect != "" {
		if e.accepted, err = readAccepted(f.expect); err != nil {
			return e, err
		}
	}
	if f.baseline != "" {
		e.baseline, err = readRun("the baseline", f.baseline)
	}
	return e, err
}

func readAccepted(name string) ([]*acceptance, error) {
	text, err := readFile("the accepted findings", name)
	if err != nil {
		return nil, err
	}
	var file struct {
		Accept []*acceptance `yaml:"accept"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		return nil, failWith(exitInvalid, "reading the accepted findings %s: %w", name, err)
	}
	for i, a := range file.Accept {
		if a == nil || a.Scenario == "" || a.Reason == "" {
			return nil, failWith(exitInvalid, "%s: accepted finding %d needs scenario and reason", name, i+1)
		}
	}
	return file.Accept, nil
}

// accept makes a pass with a warning of each scenario whose failures are all
// accepted, and tells which acceptances nothing needed: they can go.
func (a *app) accept(accepted []*acceptance, run *scenarios.RunResult) {
	if len(accepted) == 0 {
		return
	}
	for i := range run.Suites {
		s := &run.Suites[i]
		for _, sc := range s.Scenarios {
			if sc.Outcome == scenarios.Fail {
				acceptScenario(accepted, s.Name, sc)
			}
		}
	}
	run.Recount()
	for _, one := range accepted {
		if !one.used {
			fmt.Fprintf(a.stderr, "accepted finding of %s (%s) was not seen: take it away\n", one.Scenario, one.Reason)
		}
	}
}

func acceptScenario(accepted []*acceptance, suite string, sc *scenarios.ScenarioResult) {
	var reasons []string
	covered := func(check string) bool {
		for _, one := range accepted {
			if one.covers(suite, sc.ID, check) {
				one.used = true
				reasons = append(reasons, one.Reason)
				return true
			}
		}
		return false
	}
	all, failed := true, 0
	sc.EachStep(func(st *scenarios.StepResult) {
		for _, c := range st.Checks {
			if c.Outcome == scenarios.Fail {
				failed++
				all = covered(c.Text) && all
			}
		}
	})
	if failed == 0 {
		all = covered("")
	}
	if all {
		sc.Outcome, sc.Accepted = scenarios.Pass, strings.Join(unique(reasons), "; ")
		sc.Warnings = append(sc.Warnings, "accepted: "+sc.Accepted+" ("+sc.Reason+")")
	}
}

// covers tells whether a failed check is accepted.
func (a *acceptance) covers(suite, id, check string) bool {
	return (matches(a.Scenario, id) || matches(a.Scenario, suite+"/"+id)) && (a.Check == "" || matches(a.Check, check))
}

// globs keeps what is special in a path from being so: ids hold brackets, and * may
// stand for a slash.
var globs = strings.NewReplacer("[", `\[`, "]", `\]`, "/", "\x00")

// matches tells whether a text fits a glob of * and ?.
func matches(glob, text string) bool {
	ok, err := path.Match(globs.Replace(glob), strings.ReplaceAll(text, "/", "\x00"))
	return ok && err == nil
}

func unique(words []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, w := range words {
		if !seen[w] {
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}
