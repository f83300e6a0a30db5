package report

import (
	"fmt"
	"maps"
	"slices"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// sameError is the reason why all scenarios that were to run ended in error, and how
// many they are: a target that cannot be judged is one piece of news. Where they did
// not, or their reasons differ, there are none.
func sameError(run *scenarios.RunResult) (reason string, n int) {
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			switch {
			case sc.Outcome == scenarios.Skip:
			case sc.Outcome != scenarios.Error || n > 0 && sc.Reason != reason:
				return "", 0
			default:
				reason, n = sc.Reason, n+1
			}
		}
	}
	return reason, n
}

func (p *pretty) nothingJudged(reason string, n int) {
	fmt.Fprintf(p, "%s %s\n", p.mark(scenarios.Error, false), p.bold(fmt.Sprintf("none of the %d scenarios could be judged, all for one reason", n)))
	p.prose(2, "", visible(reason), plainly)
	fmt.Fprintln(p)
}

// notes says what is known of several failures at once: they may have one cause.
func (p *pretty) notes(run *scenarios.RunResult) {
	times := map[string]int{}
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			if bad(sc.Outcome) {
				for _, note := range sc.Notes {
					times[note]++
				}
			}
		}
	}
	for _, note := range slices.Sorted(maps.Keys(times)) {
		if times[note] > 1 {
			p.prose(0, "", fmt.Sprintf("a note on %d of the failures: %s", times[note], visible(note)), p.yellow)
			fmt.Fprintln(p)
		}
	}
}
