package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// shrink makes loads that the judge found guilty smaller, one of each scenario, and
// writes what is left of each as a suite into the working directory. It says what it
// wrote on stderr, and what it could not make smaller.
func (a *app) shrink(ctx context.Context, plan *scenarios.Plan, run *scenarios.RunResult, o scenarios.Options) error {
	for i := range run.Suites {
		done := map[string]bool{}
		for _, r := range run.Suites[i].Scenarios {
			if r.Judged == nil || !r.Judged.Failed() || done[r.Scenario] || ctx.Err() != nil {
				continue
			}
			m, err := scenarios.Shrink(ctx, plan, r, o)
			if errors.Is(err, scenarios.ErrNotReplayable) {
				fmt.Fprintf(a.stderr, "not made smaller: %v\n", err)
				continue
			}
			if err != nil {
				return failWith(exitEnvironment, "%w", err)
			}
			done[r.Scenario] = true
			name := minimalName(run.Suites[i].Name, r.Scenario)
			if err := os.WriteFile(name, m.Suite, 0o644); err != nil { //nolint:gosec // a suite is for everybody to read
				return failWith(exitEnvironment, "writing the smaller scenario: %w", err)
			}
			fmt.Fprintf(a.stderr, "%s: %d of %d requests of %s show it too (%d replays): llmlimit run %s\n", name, m.Requests, m.Of, r.ID, m.Replays, name)
		}
	}
	return nil
}

// minimalName is the file of a smaller scenario.
func minimalName(suite, scenario string) string {
	plain := func(r rune) rune {
		if r == '/' || r == filepath.Separator || r == ' ' {
			return '-'
		}
		return r
	}
	return strings.Map(plain, suite+"-"+scenario+"-minimal.yaml")
}
