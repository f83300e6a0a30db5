package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// histories are the seeds of the random histories that a test looks at: those below
// LLMLIMIT_HISTORIES, or from the first to the second of 1000..2000, or a few.
func histories(t *testing.T, few uint64) (from, to uint64) {
	t.Helper()
	text := os.Getenv("LLMLIMIT_HISTORIES")
	if text == "" {
		return 0, few
	}
	first, last, ranged := strings.Cut(text, "..")
	if !ranged {
		first, last = "0", text
	}
	from, err := strconv.ParseUint(first, 10, 64)
	to, err2 := strconv.ParseUint(last, 10, 64)
	if errors.Join(err, err2) != nil || from >= to {
		t.Fatalf("LLMLIMIT_HISTORIES=%s is neither a number nor 1000..2000", text)
	}
	return from, to
}

// rehearse runs one suite in a bubble of its own against the bundled proxy.
func rehearse(t *testing.T, text []byte, target scenarios.Target, faults ...string) *scenarios.ScenarioResult {
	t.Helper()
	plan, problems := scenarios.NewPlan([]scenarios.Source{{Name: "random.yaml", Data: text}}, suite.Options{})
	if plan == nil {
		t.Fatalf("%s\n%s", problems.Errors(), text)
	}
	var results []*scenarios.ScenarioResult
	synctest.Test(t, func(t *testing.T) {
		results = scenarios.InBubble(t.Context(), plan, scenarios.Options{Target: target, Faults: faults})
	})
	return results[0]
}

// alarms lists what was found in a result.
func alarms(r *scenarios.ScenarioResult) []string {
	var all []string
	if r.Judged == nil {
		return []string{"not judged: " + r.Reason}
	}
	for _, f := range r.Judged.Findings {
		all = append(all, fmt.Sprintf("%s %s: %s", f.Kind, f.Request, f.Message))
	}
	if r.Outcome != scenarios.Pass {
		all = append(all, string(r.Outcome)+": "+r.Reason)
	}
	return all
}

// Whatever the policy, the load and the trouble: the good limiter is not found
// guilty. LLMLIMIT_HISTORY=17 runs the one of that seed, and shows its suite.
func TestNoFalseAlarm(t *testing.T) {
	const shards = 8 // each a subtest, so that all cores are busy
	from, to := histories(t, 60)
	one := os.Getenv("LLMLIMIT_HISTORY")
	var sent, admitted, rejected, right atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for shard := range uint64(shards) {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				for seed := from + shard; one == "" && seed < to; seed += shards {
					r := rehearse(t, randomSuite(seed), bundled{})
					if found := alarms(r); len(found) > 0 {
						t.Errorf("seed %d: %d alarms\n%s", seed, len(found), strings.Join(found[:min(4, len(found))], "\n"))
					}
					if r.Judged != nil {
						sum := r.Judged.Totals
						sent.Add(int64(sum.Requests))
						admitted.Add(int64(sum.Admitted))
						rejected.Add(int64(sum.Rejected))
						right.Add(int64(sum.Right))
					}
				}
			})
		}
	})
	if one != "" {
		seed, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			t.Fatalf("LLMLIMIT_HISTORY: %v", err)
		}
		text := randomSuite(seed)
		t.Logf("%s\n%s", text, strings.Join(alarms(rehearse(t, text, bundled{})), "\n"))
		return
	}
	t.Logf("%d histories, %d requests: %d admitted, %d rejected, %d proved right", to-from, sent.Load(), admitted.Load(), rejected.Load(), right.Load())
	// A judge that cannot decide raises no alarm either.
	if right.Load() < 6*(admitted.Load()+rejected.Load())/10 || rejected.Load() < sent.Load()/10 {
		t.Error("too little was decided, or too little rejected, for the silence to mean anything")
	}
}
