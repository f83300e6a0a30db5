package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// Whatever the limit: the suite is valid, a drain of it is enough to empty the
// account, and its load offers a little more than what comes back.
func TestSuiteForALimit(t *testing.T) {
	for _, limit := range []string{
		"amount: 1000, per: 60s", "amount: 2000, per: 60s", "amount: 10000, per: 60s", "amount: 1000000, per: 60s",
		"amount: 2000000000, per: 60s", "amount: 5000, per: 1s", "amount: 6000, per: 60s, burst: 1000", "amount: 100000, per: 24h",
		"amount: 250000, per: 300s, window: calendar", "amount: 10000, per: 60s, window: calendar",
	} {
		text := "target:\n  url: http://127.0.0.1:1\n  limits: [ { name: tpm, dimension: tokens, " + limit + " } ]\n"
		file, problems := suite.ReadTargetFile("t.yaml", []byte(text))
		if problems.Err() != nil {
			t.Fatal(problems)
		}
		l := file.Target.Limits[0]
		sizes, err := newAtLimit("t.yaml", file.Target.Limits, []byte(text))
		if err != nil {
			t.Errorf("%s: %v", limit, err)
			continue
		}
		made, err := sizes.suite()
		if err != nil {
			t.Fatal(err)
		}
		if plan, problems := scenarios.NewPlan([]scenarios.Source{{Name: "gateway.yaml", Data: made}}, suite.Options{}); plan == nil || len(problems) > 0 {
			t.Errorf("%s: %s\n%s", limit, problems, made)
		}
		if aligned := strings.Contains(string(made), "align:"); aligned != (sizes.Slow && l.Window == "calendar") {
			t.Errorf("%s: a window that ends in the middle of a load that spends it once: %v\n%s", limit, aligned, made)
		}
		if most := 40 * (sizes.Used + 10); most < 2*l.Most() {
			t.Errorf("%s: a drain uses %d", limit, most)
		}
		var rate float64
		if _, err := fmt.Sscan(sizes.Rate, &rate); err != nil {
			t.Fatal(err)
		}
		allowed := l.Rate() * float64(sizes.Seconds)
		if sizes.Slow {
			allowed += float64(l.Most())
		}
		if offered := rate * float64(sizes.Seconds) * float64(sizes.SmallUsed+10); offered < 1.05*allowed || offered > 2*allowed {
			t.Errorf("%s: the load offers %.0f tokens where %.0f are allowed", limit, offered, allowed)
		}
		if n := rate * float64(sizes.Seconds); n < 8 {
			t.Errorf("%s: the load sends %.1f requests", limit, n)
		}
		if reserved := sizes.Small + 20; reserved > l.Most()/2 {
			t.Errorf("%s: a request of the load reserves %d", limit, reserved)
		}
	}
}

func TestNoSuiteForALimit(t *testing.T) {
	for limits, want := range map[string]string{
		"[ { name: rpm, dimension: requests, amount: 5, per: 1s } ]":  "t.yaml declares no limit of tokens",
		"[ { name: tpm, dimension: tokens, amount: 999, per: 60s } ]": "t.yaml:3:13: a limit of 999 tokens is less than the 1000",
		"[ { name: tpm, dimension: tokens, amount: 5000 } ]":          "t.yaml:3:13: the limit tpm has no per",
	} {
		file, problems := suite.ReadTargetFile("t.yaml", []byte("target:\n  url: http://127.0.0.1:1\n  limits: "+limits+"\n"))
		if problems.Err() != nil {
			t.Fatal(problems)
		}
		if _, err := newAtLimit("t.yaml", file.Target.Limits, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", limits, err, want)
		}
	}
}
