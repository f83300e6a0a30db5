package main

import (
	"encoding/json"
	"fmt"

	"github.com/llmlimit/llmlimit/pkg/judge/estimate"
	"github.com/llmlimit/llmlimit/pkg/report"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// undeclaredOutput is what a request may cost that declares no output: the default
// allowance of a policy that names none.
const undeclaredOutput = 1000

// guard says what a run costs at most, and refuses one that costs more than it may
// or leaves this machine without consent. Nothing has been sent when it is asked.
func (f *runFlags) guard(a *app, plan *scenarios.Plan) error {
	cost := suite.Cost{Bounded: true}
	giants := int64(0)
	external := map[string]bool{}
	for _, s := range plan.Suites {
		one := s.Program.WorstCase(worstCase)
		cost.Requests += one.Requests
		cost.Tokens += one.Tokens
		cost.Bounded = cost.Bounded && one.Bounded
		giants += s.Program.WorstCase(countGiants).Tokens
		for _, c := range s.Program.Cells {
			if c.Target != nil && c.Target.URL != "" {
				external[c.Target.URL] = true
			}
		}
	}
	if f.dryRun {
		fmt.Fprintf(a.stdout, "%s, at most %d requests and %d tokens%s\n", report.Counted(plan.Cells(), "scenario"), cost.Requests, cost.Tokens, atLeast(cost.Bounded))
		fmt.Fprint(a.stdout, besideThem(giants))
		for _, s := range plan.Suites {
			for _, c := range s.Program.Cells {
				if c.Skip != "" {
					continue
				}
				one := c.WorstCase(worstCase)
				clock := "real time"
				if c.Virtual {
					clock = "virtual time"
				}
				fmt.Fprintf(a.stdout, "  %-50s %6d requests %10d tokens  %s\n", s.Program.Suite.Name+"/"+c.ID, one.Requests, one.Tokens, clock)
			}
		}
	}
	for target := range external {
		if isLoopback(target) {
			continue
		}
		fmt.Fprintf(a.stderr, "%s is not on this machine: at most %d requests and %d tokens go there%s\n%s", target, cost.Requests, cost.Tokens, atLeast(cost.Bounded), besideThem(giants))
		if !f.remote && !f.dryRun {
			return failWith(exitUsage, "traffic to %s needs consent", target).withHint("--allow-remote gives it; --dry-run shows what would be sent")
		}
	}
	if f.spend > 0 && (cost.Tokens > f.spend || !cost.Bounded) {
		return failWith(exitGuard, "the worst case is %d tokens%s, --spend allows %d; nothing was sent", cost.Tokens, atLeast(cost.Bounded), f.spend)
	}
	if f.maxRequests > 0 && (cost.Requests > f.maxRequests || !cost.Bounded) {
		return failWith(exitGuard, "the worst case is %d requests%s, --max-requests allows %d; nothing was sent", cost.Requests, atLeast(cost.Bounded), f.maxRequests)
	}
	return nil
}

// giant is an allowance that no limit admits and no model answers: the largest amount
// that counts. Whoever does not reject it has not read it.
const giant = 1 << 31

// worstCase is the most that one request can be charged by its own declaration. A
// giant is charged as a request that declares nothing, by those who overlook what it
// says: as it stands it would drown every other figure.
func worstCase(q *suite.Request) int64 {
	prompt, output := declared(q)
	if output >= giant {
		output = undeclaredOutput
	}
	return estimate.Plus(prompt, output)
}

// countGiants counts the requests that declare a giant.
func countGiants(q *suite.Request) int64 {
	if _, output := declared(q); output >= giant {
		return 1
	}
	return 0
}

func besideThem(giants int64) string {
	if giants == 0 {
		return ""
	}
	return fmt.Sprintf("%d of them declare %d tokens or more, to be rejected: they are counted as if they declared none\n", giants, int64(giant))
}

// declared is what one request costs by its own declaration: prompt and output. A body
// that cannot be read costs nothing: nobody can bill it.
func declared(q *suite.Request) (prompt, output int64) {
	var body []byte
	switch {
	case q == nil:
		return 0, 0
	case q.Body != nil:
		body = []byte(*q.Body)
	case q.JSON != nil:
		var err error
		if body, err = json.Marshal(q.JSON.Value); err != nil {
			return 0, 0
		}
	}
	facts, _, err := estimate.Of(q.Path, body, "")
	if err != nil {
		return 0, 0
	}
	output = facts.Output
	if !facts.Declared {
		output = undeclaredOutput
	}
	return facts.Prompt, estimate.Times(facts.N, output)
}

func atLeast(bounded bool) string {
	if bounded {
		return ""
	}
	return " and more: not every step can be counted beforehand"
}
