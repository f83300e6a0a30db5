package report

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/load"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// What changed since the baseline stands on the page, with all that it was decided by.
func TestPageAgainstBaseline(t *testing.T) {
	const ms = time.Millisecond
	loaded := func(outcome scenarios.Outcome, took time.Duration) *scenarios.RunResult {
		sc := loadOf(400, took, took)
		sc.Outcome, sc.Start = outcome, time.Unix(0, 0)
		for i := range 400 {
			at := time.Duration(i) * ms
			sc.Requests = append(sc.Requests, &scenarios.Exchange{Step: "l", Sent: at, Ended: at + took, Decision: scenarios.Admitted, Status: 200})
		}
		return runOf(sc)
	}
	base, run := loaded(scenarios.Pass, 20*ms), loaded(scenarios.Fail, 45*ms)
	var b bytes.Buffer
	kind, err := Find("html")
	if err != nil {
		t.Fatal(err)
	}
	if err := kind.Against(Compare(base, run, DefaultFloors())).Write(&b, run); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		"Against the baseline: 3 became worse", "<td>s/load</td><td>pass</td><td>fail</td>", "<td>20ms</td><td>45ms</td><td>&#43;25ms</td><td>&#43;125.0 %</td>",
		"<td>10 % and 1ms</td><td>400, 400</td><td>&lt;0.001</td><td>slower</td>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

// Drift tells what the target's account has lost where its own bookkeeping is
// consistent.
func TestDrift(t *testing.T) {
	exchange := func(sent, ended time.Duration, reserved, actual, most int64) *scenarios.Exchange {
		return &scenarios.Exchange{Key: "1:a", Sent: sent, Ended: ended, Decision: scenarios.Admitted, Reserved: reserved, Actual: actual, AtMost: most}
	}
	for _, tc := range []struct {
		name       string
		request    *scenarios.Exchange
		used, open int64
		drift      int64
		at         time.Duration
	}{
		{name: "settled", request: exchange(0, 10, 1000, 50, 50), used: 50, at: 10, drift: 0},
		{name: "leaked", request: exchange(0, 10, 1000, 50, 50), open: 1000, at: 10, drift: 950},
		{name: "given away", request: exchange(0, 10, 1000, 50, 50), used: 0, at: 10, drift: -50},
		{name: "still open", request: exchange(0, 10, 1000, 50, 50), open: 1000, at: 5, drift: 0},
		{name: "between the bounds", request: exchange(0, 10, 1000, 50, 600), used: 300, at: 10, drift: 0},
		{name: "above the bounds", request: exchange(0, 10, 1000, 50, 600), used: 601, at: 10, drift: 1},
		{name: "not yet sent", request: exchange(20, 30, 1000, 50, 50), used: 0, at: 10, drift: 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sc := &scenarios.ScenarioResult{
				Requests: []*scenarios.Exchange{tc.request}, Judged: &judge.Report{},
				Limits:  []judge.Limit{{ID: "tpm", Dimension: judge.Tokens, Window: judge.WindowBucket}},
				Ledgers: []scenarios.LedgerPoint{{At: tc.at, Rule: "tpm", Window: "tpm", Key: "a", Reserved: tc.used + tc.open, Actual: tc.used, Outstanding: tc.open}},
			}
			p := residualPlots(sc)
			if len(p) != 1 || p[0].Title != "tpm of a" || p[0].Y[1] != 0 || p[0].Drift[1] != tc.drift {
				t.Errorf("found %+v, expected a drift of %d", p, tc.drift)
			}
		})
	}
}

// Each failure shows the timeline of its attempts and the budget around its instant,
// without JavaScript.
func TestPageFailure(t *testing.T) {
	page := render(t, HTML, small(t))
	for _, want := range []string{
		"<td><i class=\"dot fail\"></i>0s to 10ms</td><td>3 times</td><td>ledger.actual == 50 does not hold</td>",
		"<td><i class=\"dot fail\"></i>at 11ms</td><td>once</td><td>status: found 429, expected 200</td>",
		"<td>the judge, of tpm of acme</td>", "the budget around that instant",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

// A skip shows its reason, a known or accepted failure who accepts it, where a person
// looks for them.
func TestPageShowsReasons(t *testing.T) {
	run := small(t)
	cells := run.Suites[0].Scenarios
	cells[0].KnownFailure, cells[0].Accepted = "https://example.com/12", "acme#7: not yet"
	cells[0].Warnings = []string{"it is slow"}
	for _, sc := range cells {
		if sc.Outcome == scenarios.Skip {
			sc.Reason = "the target cannot: ledger"
		}
	}
	page := render(t, HTML, run)
	for _, want := range []string{
		"known failure: <code>https://example.com/12</code>", "accepted: acme#7: not yet", "warning: it is slow",
		"skipped: the target cannot: ledger", ": skip: the target cannot: ledger\"",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

// The instants at which tokens were seen to be back make the distribution of refunds.
func TestRefunds(t *testing.T) {
	var cells []*scenarios.ScenarioResult
	for i := range 6 {
		wait := time.Duration(i+1) * time.Millisecond
		cells = append(cells, &scenarios.ScenarioResult{
			ID: fmt.Sprint("r", i), Scenario: fmt.Sprint("r", i), Outcome: scenarios.Pass,
			Requests: []*scenarios.Exchange{{Decision: scenarios.Admitted, Sent: 0, Ended: 10 * time.Millisecond}},
			Steps: []*scenarios.StepResult{{
				Verb: "eventually", Attempts: 2, Outcome: scenarios.Pass, At: 10 * time.Millisecond, Elapsed: wait,
				Checks: []scenarios.Check{{Text: "ledger.outstanding == 0", Outcome: scenarios.Pass}},
			}},
		})
	}
	cells = append(cells, &scenarios.ScenarioResult{ID: "other", Steps: []*scenarios.StepResult{{Attempts: 1, Outcome: scenarios.Pass, Elapsed: time.Hour}}})
	r := refunds(runOf(cells...))
	if r == nil || r.Count != 6 || r.P50 != "3ms" || r.Max != "6ms" || r.line.Count != 6 {
		t.Errorf("found %+v, expected six waits of 1ms to 6ms", r)
	}
	if refunds(runOf(cells[6:]...)) != nil {
		t.Error("an eventually that asks for nothing of refunds was counted")
	}
}

// Loads show what could not be sent, and what the target adds to the mock's own time.
func TestPlotsOfLoads(t *testing.T) {
	const ms = time.Millisecond
	sc := &scenarios.ScenarioResult{Clock: "real"}
	for i := range 100 {
		at := time.Duration(i) * 20 * ms
		sc.Requests = append(sc.Requests, &scenarios.Exchange{
			Sent: at, First: at + 10*ms, Ended: at + 30*ms, Received: at + ms, Finished: at + 28*ms, Status: 200, Decision: scenarios.Admitted,
			Outcome: "complete", Stream: i%2 == 0, Framing: []string{"chunked", "content-length"}[i%2],
		})
	}
	measured := summaryWithDrops(5, 100*ms)
	sc.Steps = []*scenarios.StepResult{{ID: "l", Load: &suite.LoadTotals{}, Measured: measured}}
	p := plotsOf(sc)
	if names := lineNames(p.Added); names != through+" "+direct || p.Added[0].Y[0] != 30 || p.Added[1].Y[0] != 27 {
		t.Errorf("found %s %v, expected 30 ms through the target and 27 of the mock", names, p.Added)
	}
	if names := lineNames(p.First); names != "streaming, chunked whole, content-length" {
		t.Errorf("first bytes: found %q", names)
	}
	if last := p.Arrivals.Dots[len(p.Arrivals.Dots)-1]; p.Arrivals.Lanes[last.Lane] != droppedLane || last.ID != "5 requests" {
		t.Errorf("found %+v in the lane of what was not sent", last)
	}
	var dropped, offered, achieved float64
	for i := range p.Rates.X {
		dropped += p.Rates.Dropped[i] * p.Rates.Bin
		offered += p.Rates.Offered[i] * p.Rates.Bin
		achieved += p.Rates.Achieved[i] * p.Rates.Bin
	}
	if math.Round(dropped) != 5 || math.Round(achieved) != 100 || math.Round(offered) != 105 {
		t.Errorf("the rates show %g offered, %g achieved, %g dropped; expected 105, 100, 5", offered, achieved, dropped)
	}
}

func lineNames(lines []latencyLine) string {
	var names []string
	for _, l := range lines {
		names = append(names, l.Name)
	}
	return strings.Join(names, " ")
}

func summaryWithDrops(n int64, width time.Duration) *load.Summary {
	return &load.Summary{BinWidth: width, Series: []load.Bin{{}, {Offered: n, Dropped: n}}}
}
