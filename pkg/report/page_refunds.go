package report

import (
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// pageRefunds is how soon it was seen that the unused part had come back.
type pageRefunds struct {
	Count         int
	P50, P99, Max string
	line          latencyLine // empty if there are too few for one
}

// refunds looks at every eventually of a run that waited for tokens to come back.
func refunds(run *scenarios.RunResult) *pageRefunds {
	var waits []time.Duration
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			eachStep(sc.Steps, func(st *scenarios.StepResult) {
				if st.Attempts > 0 && st.Outcome == scenarios.Pass && asksForRefund(sc, st) {
					waits = append(waits, sinceLastAnswer(sc, st))
				}
			})
		}
	}
	if len(waits) == 0 {
		return nil
	}
	r := &pageRefunds{Count: len(waits)}
	if len(waits) >= fewest {
		r.line = line("refunds", waits)
	}
	slices.Sort(waits)
	r.P50, r.P99, r.Max = shortSpan(quantile(waits, 0.5)), shortSpan(quantile(waits, 0.99)), shortSpan(waits[len(waits)-1])
	return r
}

func asksForRefund(sc *scenarios.ScenarioResult, st *scenarios.StepResult) bool {
	if strings.Contains(sc.Feature, "refund") {
		return true
	}
	return slices.ContainsFunc(st.Checks, func(c scenarios.Check) bool {
		return strings.Contains(c.Text, "ledger") || strings.Contains(c.Text, "delta(")
	})
}

// sinceLastAnswer is the time from the end of the last answer before an eventually to
// its end: at most so long the refund took.
func sinceLastAnswer(sc *scenarios.ScenarioResult, st *scenarios.StepResult) time.Duration {
	end, last := st.At+st.Elapsed, time.Duration(0)
	for i, x := range sc.Requests {
		if x.Decision == scenarios.Admitted && x.Ended <= end && !slices.Contains(st.Requests, i) {
			last = max(last, x.Ended)
		}
	}
	return end - last
}
