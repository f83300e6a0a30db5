package report

import (
	"fmt"

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
	fmt.Fprintf(p, "  %s\n\n", visible(reason))
}
