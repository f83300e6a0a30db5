package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/faulty"
	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// A steady suite is a load as the judge likes it: near saturation, where errors add
// up instead of being erased by a full bucket, with pauses in which caps show and
// clumps in which races have company. Nothing in it expects anything: only the judge
// can find fault.

// steadySuite is one of three kinds of load, by its number: one bucket with requests
// of all sizes; rules of every kind that reject in turn; and requests of one size,
// against limits that they spend to the last token.
func steadySuite(kind int, seed uint64) []byte {
	c := chance{rand.New(rand.NewPCG(seed, uint64(kind)))}
	perMinute, burst := 240_000, 6000
	config := object{"tokens_per_minute": perMinute, "burst_tokens": burst}
	tenants := object{"name": "tokens", "limit_keys": []string{"header:x-tenant"}, "algorithm": "token_bucket_llm", "algorithm_config": config}
	rules := []any{tenants}
	size := func() int { return c.between(100, 990) }
	actual := func(most int) int { return most * c.between(20, 130) / 100 }
	switch kind {
	case 1:
		config["tokens_per_day"] = 90_000
		rules = append(rules,
			object{"name": "rate", "limit_keys": []string{"header:x-tenant"}, "algorithm": "token_bucket", "algorithm_config": object{"tokens_per_second": 7, "burst": 12}},
			object{"name": "slots", "limit_keys": []string{"header:x-tenant"}, "algorithm": "concurrency", "algorithm_config": object{"max_concurrent": 6}})
	case 2:
		size = func() int { return 494 } // with its prompt 500
		actual = func(int) int { return 490 }
		config["tokens_per_day"] = 40_000
		config["burst_tokens"] = 2500
		rules = append(rules, object{
			"name": "rate", "limit_keys": []string{"header:x-tenant"}, "algorithm": "token_bucket",
			"algorithm_config": object{"tokens_per_second": 8, "burst": 8},
		})
	}
	request := func() object {
		most := size()
		return object{
			"json": chatBody(most, c.of(0.3)),
			"plan": object{"usage": object{"in": 10, "out": actual(most)}, "timing": object{"ttft": fmt.Sprintf("%dms", c.between(1, 300))}},
		}
	}
	var mix []any
	for range 12 {
		mix = append(mix, object{"share": "8%", "request": request()})
	}
	load := func(arrivals, stage string, rate int) object {
		return object{"load": object{
			"arrivals": arrivals, "stages": []any{object{"for": stage, "rate": fmt.Sprintf("%d/s", rate)}}, "request": request(), "mix": mix,
		}}
	}
	wait := object{"wait": object{"for": "3s"}}
	text, err := json.MarshalIndent(object{
		"version": 1, "suite": "steady", "seed": seed, "target": object{"serve": object{"rules": rules}},
		"defaults": object{"request": object{"path": "/v1/chat/completions", "headers": object{"x-tenant": "a"}}},
		"scenarios": []any{object{"id": "steady", "requirement": "the judge alone decides", "steps": []any{
			load("poisson", "12s", 10), wait, load("gamma(0.2)", "12s", 12), wait, load("poisson", "10s", 11),
		}}},
	}, "", " ")
	if err != nil {
		panic(err) // maps of strings, numbers and lists
	}
	return text
}

// widened is a history without anything that the target says of itself, as somebody
// would have seen it whose clocks are only known to within an error: everything
// happened at the earliest so much earlier, and at the latest so much later.
func widened(h *judge.History, by time.Duration) *judge.History {
	out := &judge.History{Header: h.Header, Requests: slices.Clone(h.Requests)}
	out.Header.Target.Claims, out.Header.Target.Ledger = judge.Claims{}, false
	out.Header.Start -= int64(by)
	out.Header.End += int64(by)
	out.Header.Target.ClockError += int64(by)
	out.Header.Target.SettleDelay += int64(by)
	for i := range out.Requests {
		r := &out.Requests[i]
		r.Sent -= int64(by)
		for _, at := range []*int64{&r.HeadersAt, &r.Ended, &r.Left} {
			if *at != 0 {
				*at += int64(by)
			}
		}
	}
	return out
}

// The judge alone finds 95 of 100 faults of arithmetic and atomicity, also when it
// sees no instant exactly; and nothing in the good limiter.
func TestJudgeFindsArithmetic(t *testing.T) {
	errors := []time.Duration{0, 500 * time.Microsecond, 5 * time.Millisecond}
	const kinds = 3
	caught := func(t *testing.T, fault string) (at [3]judge.Kind) {
		t.Helper()
		for round := range uint64(2 * kinds) {
			var faults []string
			if fault != "" {
				faults = []string{fault}
			}
			r := rehearse(t, steadySuite(int(round%kinds), round), bundled{}, faults...)
			if r.History == nil {
				t.Fatalf("%s: no history: %s", fault, r.Reason)
			}
			all := true
			for i, by := range errors {
				if at[i] == "" {
					if verdict := judge.Judge(widened(r.History, by)); verdict.Failed() {
						at[i] = verdict.Findings[0].Kind
					}
				}
				all = all && at[i] != ""
			}
			if all {
				break
			}
		}
		return at
	}
	if found := caught(t, ""); found != [3]judge.Kind{} {
		t.Fatalf("the good limiter was found guilty: %q", found)
	}
	var mu sync.Mutex
	tried, missed := 0, 0
	t.Run("faults", func(t *testing.T) {
		for _, fault := range faulty.Table {
			if fault.Family != faulty.FamilyArithmetic && fault.Family != faulty.FamilyAtomicity {
				continue
			}
			t.Run(fault.Name, func(t *testing.T) {
				t.Parallel()
				found := caught(t, fault.Name)
				mu.Lock()
				defer mu.Unlock()
				for i, kind := range found {
					if tried++; kind == "" {
						missed++
						t.Logf("not seen within %v", errors[i])
					}
				}
			})
		}
	})
	if tried < 45 || missed*20 > tried {
		t.Errorf("%d of %d missed, at most 5 in 100 may be", missed, tried)
	}
}

// noted is a store that notes what it had left around each decision.
type noted struct {
	limiter.Store
	mu   sync.Mutex
	left map[int64]around // by the instant, of the only account
}

// around is what was left before and after a decision, in tokens rounded down.
type around struct{ before, after int64 }

// Reserve implements [limiter.Store].
func (n *noted) Reserve(now time.Time, req *limiter.Request) (limiter.Decision, error) {
	d, err := n.Store.Reserve(now, req)
	if err == nil && len(d.Holds) == 1 {
		left := around{d.Holds[0].Remaining, d.Holds[0].Remaining}
		if d.Admitted {
			left.before += req.Holds[0].Cost
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.left[now.UnixNano()] = left
	}
	return d, err
}

// What the judge computes from outside is, to the token, what the limiter had left:
// its upper bound before each decision, its lower bound after it.
func TestVerdictsEqualTheLimitersLog(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		log := &noted{left: map[int64]around{}}
		r := rehearse(t, steadySuite(0, seed), bundled{adjust: func(c proxy.Config) proxy.Config {
			log.Store, c.Store = c.Store, log
			return c
		}})
		if found := alarms(r); len(found) > 0 {
			t.Fatalf("seed %d: %s", seed, found[0])
		}
		compared := 0
		for _, s := range r.Judged.Accounts[0].Level {
			left, ok := log.left[s.At]
			if !ok {
				continue // a settlement
			}
			compared++
			if max(s.Min, 0) != left.after || max(s.Max, 0) < left.before || left.after > 0 && s.Max > left.before+1 {
				t.Fatalf("seed %d: at %d the limiter had %+v left, the bounds are %+v", seed, s.At, left, s)
			}
		}
		if compared < 100 {
			t.Errorf("seed %d: %d of %d decisions were compared", seed, compared, len(log.left))
		}
	}
}
