package report

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// runOf is a run of one suite with these cells.
func runOf(cells ...*scenarios.ScenarioResult) *scenarios.RunResult {
	return &scenarios.RunResult{Suites: []scenarios.SuiteResult{{Name: "s", Scenarios: cells}}}
}

func cellOf(id string, o scenarios.Outcome, warnings ...string) *scenarios.ScenarioResult {
	return &scenarios.ScenarioResult{ID: id, Outcome: o, Warnings: warnings}
}

func TestCompareVerdicts(t *testing.T) {
	for _, tc := range []struct {
		name       string
		base, now  *scenarios.ScenarioResult
		changed    bool
		regression bool
	}{
		{"the same", cellOf("a", scenarios.Pass), cellOf("a", scenarios.Pass), false, false},
		{"fails", cellOf("a", scenarios.Pass), cellOf("a", scenarios.Fail), true, true},
		{"mended", cellOf("a", scenarios.Fail), cellOf("a", scenarios.Pass), true, false},
		{"in error", cellOf("a", scenarios.Fail), cellOf("a", scenarios.Error), true, true},
		{"not shown any more", cellOf("a", scenarios.Pass), cellOf("a", scenarios.Skip), true, true},
		{"shown for the first time, and wrong", cellOf("a", scenarios.Skip), cellOf("a", scenarios.Fail), true, true},
		{"a new warning", cellOf("a", scenarios.Pass), cellOf("a", scenarios.Pass, "w"), true, true},
		{"the same warning", cellOf("a", scenarios.Pass, "w"), cellOf("a", scenarios.Pass, "w"), false, false},
		{"no warning any more", cellOf("a", scenarios.Pass, "w"), cellOf("a", scenarios.Pass), true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Compare(runOf(tc.base), runOf(tc.now), DefaultFloors())
			if changed := len(c.Verdicts) > 0; changed != tc.changed {
				t.Fatalf("found changed %v, expected %v", changed, tc.changed)
			}
			if regression := c.Regressions() > 0; regression != tc.regression {
				t.Errorf("found regression %v, expected %v", regression, tc.regression)
			}
		})
	}
	c := Compare(runOf(cellOf("old", scenarios.Pass)), runOf(cellOf("new", scenarios.Pass)), DefaultFloors())
	if !slices.Equal(c.Missing, []string{"s/old"}) || !slices.Equal(c.Added, []string{"s/new"}) || c.Regressions() != 0 {
		t.Errorf("found %+v", c)
	}
}

func loadOf(count int64, p50, p99 time.Duration) *scenarios.ScenarioResult {
	sc := cellOf("load", scenarios.Pass)
	sc.Steps = []*scenarios.StepResult{{ID: "l", Load: &suite.LoadTotals{Count: count, Service: suite.Quantiles{P50: p50, P99: p99}}}}
	return sc
}

func TestCompareLatency(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct {
		name      string
		base, now *scenarios.ScenarioResult
		want      [2]string // of the median and of p99
	}{
		{"the same", loadOf(1000, 10*ms, 20*ms), loadOf(1000, 10*ms, 20*ms), [2]string{"same", "same"}},
		{"beyond both floors", loadOf(1000, 10*ms, 20*ms), loadOf(1000, 15*ms, 20*ms), [2]string{"slower", "same"}},
		{"below the relative floor", loadOf(1000, 100*ms, 200*ms), loadOf(1000, 109*ms, 219*ms), [2]string{"same", "same"}},
		{"below the absolute floor", loadOf(1000, ms/10, ms/5), loadOf(1000, ms/2, ms), [2]string{"same", "same"}},
		{"faster", loadOf(1000, 10*ms, 20*ms), loadOf(1000, 5*ms, 10*ms), [2]string{"faster", "faster"}},
		{"too few for p99", loadOf(100, 10*ms, 20*ms), loadOf(1000, 20*ms, 90*ms), [2]string{"slower", "too few samples"}},
		{"too few for anything", loadOf(10, 10*ms, 20*ms), loadOf(10, 90*ms, 90*ms), [2]string{"too few samples", "too few samples"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Compare(runOf(tc.base), runOf(tc.now), DefaultFloors())
			if len(c.Latency) != 2 {
				t.Fatalf("found %d measures, expected 2", len(c.Latency))
			}
			if found := [2]string{c.Latency[0].Verdict(), c.Latency[1].Verdict()}; found != tc.want {
				t.Errorf("found %q, expected %q", found, tc.want)
			}
			if slower := strings.Contains(strings.Join(tc.want[:], " "), "slower"); slower != (c.Regressions() > 0) {
				t.Errorf("found %d regressions", c.Regressions())
			}
		})
	}
}

// The test of Kolmogorov and Smirnov tells two distributions apart, and one not from
// itself.
func TestKolmogorov(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sample := func(n int, mean float64) []time.Duration {
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Duration(mean * (1 + 0.1*rng.NormFloat64()) * float64(time.Millisecond))
		}
		return all
	}
	low := 0
	for range 200 {
		if kolmogorov(sample(300, 10), sample(300, 10)) < 0.05 {
			low++
		}
	}
	if low > 24 { // 5 % of 200 are 10; more than 24 of a binomial are one in ten thousand
		t.Errorf("%d of 200 pairs from one distribution were told apart at 5 %%", low)
	}
	if p := kolmogorov(sample(300, 10), sample(300, 11)); p > 1e-6 {
		t.Errorf("a shift by a standard deviation has p = %v", p)
	}
	if p := kolmogorov(sample(5, 10), sample(300, 11)); p != -1 {
		t.Errorf("five samples have p = %v, expected none", p)
	}
}

func TestQuantile(t *testing.T) {
	of := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for share, want := range map[float64]time.Duration{0: 1, 0.1: 1, 0.5: 5, 0.51: 6, 0.99: 10, 1: 10} {
		if found := quantile(of, share); found != want {
			t.Errorf("quantile %v: found %d, expected %d", share, found, want)
		}
	}
}
