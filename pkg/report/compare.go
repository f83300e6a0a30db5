package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// Floors are from when on a difference counts: it has to be larger than both, and
// there have to be samples enough to tell.
type Floors struct {
	Relative float64       // of the baseline: 0.1 is a tenth
	Absolute time.Duration // and at least so much
	Samples  int64         // fewest in a median; other quantiles need more
}

// DefaultFloors ignore what two runs of the same program differ by.
func DefaultFloors() Floors {
	return Floors{Relative: 0.1, Absolute: time.Millisecond, Samples: 30}
}

// Comparison is what changed from one run to another.
type Comparison struct {
	Floors   Floors // by which it was decided
	Verdicts []VerdictChange
	Latency  []LatencyChange
	// Missing are scenario cells that only the baseline has, Added those that only
	// the new run has: no regression, and worth a look.
	Missing, Added []string
}

// VerdictChange is a cell whose outcome is another one.
type VerdictChange struct {
	Cell       string
	Base, New  scenarios.Outcome
	Reason     string
	Regression bool
}

// LatencyChange is a quantile of a load. Too few samples make it neither better nor
// worse.
type LatencyChange struct {
	Cell, Measure        string
	Base, New            time.Duration
	BaseCount, NewCount  int64
	TooFew               bool
	Regression, Improved bool
	Significance         float64 // p-value of Kolmogorov and Smirnov; -1 where the requests are not there
	relative             float64
}

// Compare sets a run beside its baseline. Cells are told apart by suite and id.
func Compare(base, run *scenarios.RunResult, floors Floors) *Comparison {
	c := &Comparison{Floors: floors}
	before := cellsOf(base)
	after := cellsOf(run)
	for _, name := range cellNames(run) {
		old, known := before[name]
		if !known {
			c.Added = append(c.Added, name)
			continue
		}
		c.verdict(name, old, after[name])
		c.latency(name, old, after[name], floors)
	}
	for _, name := range cellNames(base) {
		if _, known := after[name]; !known {
			c.Missing = append(c.Missing, name)
		}
	}
	return c
}

// Regressions counts what became worse.
func (c *Comparison) Regressions() int {
	n := 0
	for _, v := range c.Verdicts {
		if v.Regression {
			n++
		}
	}
	for _, l := range c.Latency {
		if l.Regression {
			n++
		}
	}
	return n
}

func cellNames(run *scenarios.RunResult) []string {
	var names []string
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			names = append(names, run.Suites[i].Name+"/"+sc.ID)
		}
	}
	return names
}

func cellsOf(run *scenarios.RunResult) map[string]*scenarios.ScenarioResult {
	cells := map[string]*scenarios.ScenarioResult{}
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			cells[run.Suites[i].Name+"/"+sc.ID] = sc
		}
	}
	return cells
}

// verdict notes another outcome. A pass that got a warning is worse, a skip of what
// passed too: it is not shown any more.
func (c *Comparison) verdict(name string, old, now *scenarios.ScenarioResult) {
	if old.Outcome == now.Outcome && len(old.Warnings) == 0 == (len(now.Warnings) == 0) {
		return
	}
	v := VerdictChange{Cell: name, Base: old.Outcome, New: now.Outcome, Reason: now.Reason, Regression: worse(old, now)}
	if v.Reason == "" && len(now.Warnings) > 0 {
		v.Reason = "warning: " + now.Warnings[0]
	}
	c.Verdicts = append(c.Verdicts, v)
}

func worse(old, now *scenarios.ScenarioResult) bool {
	if old.Outcome == now.Outcome {
		return len(now.Warnings) > len(old.Warnings)
	}
	return old.Outcome.Worse(now.Outcome) == now.Outcome
}

// latency compares the loads of a cell, in their order.
func (c *Comparison) latency(name string, old, now *scenarios.ScenarioResult, floors Floors) {
	before, after := loadSteps(old), loadSteps(now)
	for i := range min(len(before), len(after)) {
		b, n := before[i].Load, after[i].Load
		p := kolmogorov(serviceTimes(old, before[i]), serviceTimes(now, after[i]))
		for _, m := range []struct {
			name   string
			at     func(suite.Quantiles) time.Duration
			of     func(*suite.LoadTotals) suite.Quantiles
			factor int64 // how many times the samples of a median
		}{
			{"service p50", q50, service, 1},
			{"service p99", q99, service, 10},
			{"first token p99", q99, ttft, 10},
			{"overhead p99", q99, overhead, 10},
		} {
			change := LatencyChange{
				Cell: name + " " + stepName(after[i]), Measure: m.name, Base: m.at(m.of(b)), New: m.at(m.of(n)),
				BaseCount: b.Count, NewCount: n.Count, Significance: -1,
			}
			if change.Base == 0 && change.New == 0 {
				continue
			}
			if strings.HasPrefix(m.name, "service") {
				change.Significance = p
			}
			change.TooFew = min(b.Count, n.Count) < floors.Samples*m.factor
			change.decide(floors)
			c.Latency = append(c.Latency, change)
		}
	}
}

func q50(q suite.Quantiles) time.Duration          { return q.P50 }
func q99(q suite.Quantiles) time.Duration          { return q.P99 }
func service(l *suite.LoadTotals) suite.Quantiles  { return l.Service }
func ttft(l *suite.LoadTotals) suite.Quantiles     { return l.TTFT }
func overhead(l *suite.LoadTotals) suite.Quantiles { return l.Overhead }

// decide tells a change from noise: it has to pass both floors.
func (l *LatencyChange) decide(floors Floors) {
	delta := l.New - l.Base
	l.relative = math.Inf(1)
	if l.Base > 0 {
		l.relative = float64(delta) / float64(l.Base)
	}
	if l.TooFew {
		return
	}
	l.Regression = delta > floors.Absolute && l.relative > floors.Relative
	l.Improved = -delta > floors.Absolute && -l.relative > floors.Relative
}

// Delta is the difference as a duration: +1.5ms.
func (l *LatencyChange) Delta() string {
	if l.New < l.Base {
		return shortSpan(l.New - l.Base)
	}
	return "+" + shortSpan(l.New-l.Base)
}

// String says from when on a difference counts.
func (f Floors) String() string {
	return fmt.Sprintf("more than %g %% and more than %s, with at least %d samples for a median and ten times as many for p99",
		100*f.Relative, f.Absolute, f.Samples)
}

// Short is both floors, for a column.
func (f Floors) Short() string { return fmt.Sprintf("%g %% and %s", 100*f.Relative, f.Absolute) }

// Change is the difference in words: +12 %.
func (l *LatencyChange) Change() string {
	if math.IsInf(l.relative, 1) {
		return "new"
	}
	return fmt.Sprintf("%+.1f %%", 100*l.relative)
}

// Verdict is what the difference means, in a word.
func (l *LatencyChange) Verdict() string {
	switch {
	case l.TooFew:
		return "too few samples"
	case l.Regression:
		return "slower"
	case l.Improved:
		return "faster"
	}
	return "same"
}

// PValue is the significance in words.
func (l *LatencyChange) PValue() string {
	if l.Significance < 0 {
		return ""
	}
	if l.Significance < 0.001 {
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", l.Significance)
}

func loadSteps(sc *scenarios.ScenarioResult) []*scenarios.StepResult {
	var all []*scenarios.StepResult
	eachStep(sc.Steps, func(st *scenarios.StepResult) {
		if st.Load != nil {
			all = append(all, st)
		}
	})
	return all
}

func serviceTimes(sc *scenarios.ScenarioResult, st *scenarios.StepResult) []time.Duration {
	var all []time.Duration
	for _, x := range sc.Requests {
		if x.Step == st.ID && x.Ended >= 0 && x.Decision == scenarios.Admitted {
			all = append(all, x.Ended-x.Sent)
		}
	}
	return all
}

// kolmogorov is the two-sample test of Kolmogorov and Smirnov: the asymptotic
// probability that two samples of one distribution differ at least so much; -1 for
// too few.
func kolmogorov(a, b []time.Duration) float64 {
	if len(a) < 8 || len(b) < 8 {
		return -1
	}
	slices.Sort(a)
	slices.Sort(b)
	n, m := float64(len(a)), float64(len(b))
	var i, j int
	var d float64
	for i < len(a) && j < len(b) {
		at := min(a[i], b[j])
		for i < len(a) && a[i] <= at {
			i++
		}
		for j < len(b) && b[j] <= at {
			j++
		}
		d = max(d, math.Abs(float64(i)/n-float64(j)/m))
	}
	root := math.Sqrt(n * m / (n + m))
	lambda := (root + 0.12 + 0.11/root) * d
	if lambda < 0.2 { // the series below converges too slowly there, and is 1
		return 1
	}
	p, sign := 0.0, 1.0
	for k := 1.0; k <= 100; k++ {
		p += sign * 2 * math.Exp(-2*k*k*lambda*lambda)
		sign = -sign
	}
	return min(1, max(0, p))
}

// Text writes the comparison for a person.
func (c *Comparison) Text(w io.Writer) error {
	var b strings.Builder
	for _, v := range c.Verdicts {
		word := "better"
		if v.Regression {
			word = "WORSE"
		}
		fmt.Fprintf(&b, "%-6s  %s: %s, was %s%s\n", word, v.Cell, v.New, v.Base, prefixed("; ", v.Reason))
	}
	for _, l := range c.Latency {
		word := "same"
		switch {
		case l.TooFew:
			word = "few"
		case l.Regression:
			word = "WORSE"
		case l.Improved:
			word = "better"
		}
		fmt.Fprintf(&b, "%-6s  %s: %s %s, was %s (%s; %d and %d samples%s)\n", word, l.Cell, l.Measure, shortSpan(l.New), shortSpan(l.Base),
			l.Change(), l.NewCount, l.BaseCount, prefixed(", p ", l.PValue()))
	}
	for _, name := range c.Missing {
		fmt.Fprintf(&b, "gone    %s\n", name)
	}
	for _, name := range c.Added {
		fmt.Fprintf(&b, "new     %s\n", name)
	}
	switch n := c.Regressions(); n {
	case 0:
		b.WriteString("no regression\n")
	case 1:
		b.WriteString("1 regression\n")
	default:
		fmt.Fprintf(&b, "%d regressions\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}
