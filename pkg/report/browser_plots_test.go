package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/load"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// everything is a run with data for every plot that a page can draw.
func everything(tb testing.TB) *scenarios.RunResult {
	tb.Helper()
	run := long(tb, 2000, 1)
	sc := run.Suites[0].Scenarios[0]
	for i, x := range sc.Requests { // of ten keys, over three days
		x.Key, x.Due, x.Sent = "4:t00"+string(rune('0'+i%10)), x.Due*120_000, x.Sent*120_000
		x.First, x.Ended, x.Received, x.Finished = x.Sent+time.Millisecond, x.Sent+9*time.Millisecond, x.Sent, x.Sent+7*time.Millisecond
		if i%5 == 0 {
			x.Outcome = "cancelled"
		}
	}
	day := judge.AccountReport{Limit: "day", Key: "4:t001", Dimension: judge.Tokens, Requests: 1000}
	sc.Limits = append(slices.Clone(sc.Limits), judge.Limit{
		ID: "day", Rule: "day", Dimension: judge.Tokens, Window: judge.WindowCalendar, Amount: judge.Exactly(20_000), Per: int64(24 * time.Hour),
	})
	day.Level = sc.Judged.Accounts[0].Level
	day.Burstiness = []judge.BurstPoint{{RatePPM: 500_000, Burst: 900}, {RatePPM: 1_000_000, Burst: 500}}
	sc.Judged.Accounts = append([]judge.AccountReport{day}, sc.Judged.Accounts[:2]...)
	var gaps []time.Duration
	for i := range 8 {
		gaps = append(gaps, time.Duration(i+1)*time.Millisecond)
	}
	measured := summaryWithDrops(5, 100*time.Millisecond)
	measured.All.Gap = load.Distribute(slices.Values(gaps))
	sc.Steps = append(slices.Clone(sc.Steps), &scenarios.StepResult{ID: "storm", Verb: "load", Load: &suite.LoadTotals{Count: 2000, Dropped: 5}, Measured: measured})
	for range fewest {
		sc.Steps = append(sc.Steps, &scenarios.StepResult{
			Verb: "eventually", Attempts: 2, Outcome: scenarios.Pass, At: sc.Elapsed, Elapsed: time.Millisecond,
			Checks: []scenarios.Check{{Text: "ledger.outstanding == 0", Outcome: scenarios.Pass}},
		})
	}
	return run
}

// Every plot draws in a real browser, each under a caption that says how to read it.
func TestEveryPlotInBrowser(t *testing.T) {
	p := show(browser(t), t, everything(t), chromedp.EmulateViewport(1100, 1600))
	captions := eval[[]string](t, p, `[...document.querySelectorAll(".plots figure")].filter((f) => f.querySelector("canvas")).map((f) => f.querySelector("figcaption").innerText)`)
	for _, want := range []string{
		"Refund latency", "Ledger over time", "Conservation residual", "Admission timeline", "Used per window", "Burstiness", "Latency by outcome",
		"Overhead of the target", "Time to the first byte", "Gaps between events", "Offered, achieved, admitted, goodput", "Reservation accuracy",
	} {
		i := slices.IndexFunc(captions, func(c string) bool { return strings.HasPrefix(c, want) })
		if i < 0 {
			t.Errorf("no plot is called %q: %q", want, captions)
		} else if len(captions[i]) < len(want)+60 {
			t.Errorf("the caption of %q explains nothing: %q", want, captions[i])
		}
	}
	for i, n := range eval[[]int](t, p, colours) {
		if n < 3 {
			t.Errorf("plot %d has %d colours: it is empty", i, n)
		}
	}
	if wrong := p.complaints(); len(wrong) > 0 {
		t.Errorf("the browser complains: %q", wrong)
	}
	if text := eval[string](t, p, `document.body.innerText`); !strings.Contains(text, "Jain") {
		t.Error("the fairness of the keys is not shown")
	}
}
