package scenarios

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/load"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// The words of a suite become the pacer that they name.
func TestPacer(t *testing.T) {
	perSecond := func(n float64) suite.Rate { return suite.Rate{Count: n, Per: time.Second} }
	stages := []suite.Stage{
		{For: time.Second, Rate: suite.Ramp{From: perSecond(0), To: perSecond(20)}, Warmup: true},
		{For: time.Minute, Rate: suite.Ramp{From: perSecond(20), To: perSecond(20)}},
	}
	missing := errors.New("no such file")
	w := &world{suite: &PlannedSuite{files: map[string][]byte{}, source: Source{ReadFile: func(name string) ([]byte, error) {
		if name == "x.trace" {
			return []byte("1\n1.5s\n"), nil
		}
		return nil, missing
	}}}}
	counts := map[string]int{}
	for _, kind := range []string{"", "poisson", "constant", "gamma", "trace"} {
		l := &suite.Load{Stages: stages, Arrivals: &suite.Arrivals{Kind: kind, Shape: 0.5, File: "x.trace"}}
		if kind == "" {
			l.Arrivals = nil
		}
		pacer, err := w.pacer(l, 1)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		all := slices.Collect(pacer.Arrivals())
		counts[kind] = len(all)
		if kind != "trace" && (pacer.Span() != load.Span{Whole: 61 * time.Second, Warmup: time.Second} || !all[0].Warmup || all[len(all)-1].Warmup) {
			t.Errorf("%s: the span is %+v, the first %+v, the last %+v", kind, pacer.Span(), all[0], all[len(all)-1])
		}
	}
	if counts["constant"] != 1210 || counts["trace"] != 2 || counts[""] != counts["poisson"] || counts["poisson"] == 1210 || counts["gamma"] == counts["poisson"] {
		t.Errorf("arrivals by kind: %v", counts)
	}
	if _, err := w.pacer(&suite.Load{Arrivals: &suite.Arrivals{Kind: "trace", File: "y"}}, 1); !errors.Is(err, missing) {
		t.Errorf("a missing trace: %v", err)
	}
}

func TestTightestBound(t *testing.T) {
	for want, checks := range map[time.Duration][]string{
		0:                      {"load.count > 5", "5ms > load.latency.p99", "load.duration < 3s", "res.ttft < 1ms"},
		5 * time.Millisecond:   {"load.ttft.p99 < 80ms", "load.overhead.p99<5ms && load.count > 3"},
		1500 * time.Nanosecond: {"load.gap.max <= 1.5us", "load.service.p50 < 1h"},
	} {
		var all []*suite.Expression
		for _, source := range checks {
			all = append(all, &suite.Expression{Source: source})
		}
		if got := tightest(all); got != want {
			t.Errorf("%q: found %v, expected %v", checks, got, want)
		}
	}
}

// What an undelivered load measured says nothing of the target, in virtual time the
// plan is always delivered, and what is proven stays.
func TestUndeliveredLoad(t *testing.T) {
	short := &load.Summary{Bound: 5, PlannedRate: 100, AchievedRate: 97, Dropped: 30}
	late := &load.Summary{Bound: 5, PlannedRate: 100, AchievedRate: 100, SenderLag: load.Distribution{P99: time.Millisecond}}
	run := &stepRun{bound: &suite.Step{Check: []*suite.Expression{{Source: "load.overhead.p99 < 5ms"}}}}
	for _, row := range []struct {
		summary *load.Summary
		virtual bool
		want    string
	}{
		{short, false, "97.0 requests/s were sent of 100.0/s planned"},
		{late, false, "the sender was late by 1ms"},
		{short, true, ""},
		{&load.Summary{Bound: 5, PlannedRate: 100, AchievedRate: 99}, false, ""},
	} {
		w := &world{cell: &suite.Cell{Virtual: row.virtual}, result: &ScenarioResult{}}
		w.deliveredAsPlanned(row.summary, run)
		if !strings.HasPrefix(w.result.InvalidLoad, row.want) || row.want == "" && w.result.InvalidLoad != "" {
			t.Errorf("found %q, expected %q", w.result.InvalidLoad, row.want)
		}
		if warned := len(w.result.Warnings) == 1; warned != (row.want != "") {
			t.Errorf("the warnings are %q", w.result.Warnings)
		}
		for text, ofDelivery := range map[string]bool{
			"load.overhead.p99 < 5ms": true, "steps.wave.load.ttft.p99 < 80ms": true, "load.dropped == 0": true,
			"load.achieved_rate >= 0.98 * load.planned_rate": true, "load.goodput >= 0.9 * load.admitted": false, "judge.over_admitted == 0": false,
		} {
			void := ofDelivery && row.want != ""
			c := w.voided(Check{Text: text, Outcome: Fail, Message: "m"})
			if (c.Outcome == Pass && c.Warning) != void || (c.Message == "m") == void {
				t.Errorf("%q with the load %q: %s, %q", text, row.want, c.Outcome, c.Message)
			}
		}
	}
}

// Who names no bound gets what fits; who asks for too much hears so first.
func TestRoom(t *testing.T) {
	limit, known := descriptorLimit()
	if !known {
		t.Skip("this system counts no descriptors")
	}
	wall := &world{cell: &suite.Cell{Target: &suite.Target{}}}
	fits := (int64(min(limit, 1<<40)) - 64) / 4
	if got, err := wall.room(0); err != nil || int64(got) != min(load.DefaultMaxInFlight, fits) {
		t.Errorf("without a bound: %d, %v", got, err)
	}
	if _, err := wall.room(1 << 50); err == nil || !strings.HasPrefix(err.Error(), "before the load: 1125899906842624 requests in flight need ") {
		t.Errorf("far too many: %v", err)
	}
	if got, err := wall.room(1); err != nil || got != 1 {
		t.Errorf("one: %d, %v", got, err)
	}
	if got, err := (&world{cell: &suite.Cell{Virtual: true}}).room(1 << 50); err != nil || got != 1<<50 {
		t.Errorf("in memory there are no descriptors: %d, %v", got, err)
	}
}
