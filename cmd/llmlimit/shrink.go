package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// unasked is how long a load is made smaller that nobody asked to be.
const unasked = 20 * time.Second

// shrink makes loads that the judge found guilty smaller, and writes what is left of
// each as a suite. Unasked it is the first load in virtual time, and for no longer
// than a moment; asked, one cell of each scenario, against targets by URL too, where
// all replays and the run itself together cost at most what --spend allows. It says
// on stderr what it wrote, and what it could not make smaller.
func (a *app) shrink(ctx context.Context, plan *scenarios.Plan, run *scenarios.RunResult, o scenarios.Options, f *runFlags) error {
	asked := f.shrink
	if !asked {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, unasked)
		defer cancel()
	}
	budget := scenarios.Budget{Estimate: worstCase, Tokens: f.spend}
	for _, s := range plan.Suites {
		budget.Tokens -= s.Program.WorstCase(worstCase).Tokens
	}
	done := map[string]bool{}
	for _, r := range guilty(run) {
		id := r.File + "\x00" + r.Scenario
		if done[id] || ctx.Err() != nil || !asked && r.Clock != "virtual" {
			continue
		}
		m, err := scenarios.Shrink(ctx, plan, r, o, budget)
		if err != nil {
			if asked {
				fmt.Fprintf(a.stderr, "not made smaller: %v\n", err)
			}
			continue
		}
		done[id] = true
		budget.Tokens -= m.Spent
		if err := a.writeMinimal(r, m, f); err != nil {
			return err
		}
		if !asked {
			return nil
		}
	}
	return nil
}

// guilty lists the loads in which the judge found something.
func guilty(run *scenarios.RunResult) []*scenarios.ScenarioResult {
	var all []*scenarios.ScenarioResult
	for i := range run.Suites {
		for _, r := range run.Suites[i].Scenarios {
			load := false
			r.EachStep(func(step *scenarios.StepResult) { load = load || step.Load != nil })
			if load && r.Judged != nil && r.Judged.Failed() {
				all = append(all, r)
			}
		}
	}
	return all
}

func (a *app) writeMinimal(r *scenarios.ScenarioResult, m *scenarios.Minimal, f *runFlags) error {
	name := minimalName(r)
	if m.Beside {
		name = filepath.Join(filepath.Dir(r.File), name)
	}
	if err := os.WriteFile(name, m.Suite, 0o644); err != nil { //nolint:gosec // a suite is for everybody to read
		return failWith(exitEnvironment, "writing the smaller scenario: %w", err)
	}
	spent := ""
	if m.Spent > 0 {
		spent = fmt.Sprintf(", at most %d tokens", m.Spent)
	}
	words := append([]string{name}, flagValues(f.reaching(), "fault", f.faults...)...)
	for i, word := range words {
		if strings.ContainsAny(word, " …") {
			words[i] = "'" + word + "'"
		}
	}
	fmt.Fprintf(a.stderr, "%d of the %d requests of %s show it too (%d replays%s): llmlimit run %s\n", m.Requests, m.Of, r.ID, m.Replays, spent, strings.Join(words, " "))
	return nil
}

// minimalName is the file of a smaller scenario.
func minimalName(r *scenarios.ScenarioResult) string {
	plain := func(c rune) rune {
		if c == '/' || c == filepath.Separator || c == ' ' {
			return '-'
		}
		return c
	}
	suite := strings.TrimSuffix(filepath.Base(r.File), filepath.Ext(r.File))
	return strings.Map(plain, suite+"-"+r.Scenario+"-minimal.yaml")
}
