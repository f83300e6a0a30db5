package report

import (
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// page is what the template shows. It is made once and holds no functions of the
// model: what is not here is not on the page.
type page struct {
	Nonce   string
	Style   template.CSS
	Script  template.JS
	Title   string
	Verdict string // as a word; Outcome names its colour
	Outcome string
	Counts  []string
	Stopped string
	Figures []figure
	Suites  []pageSuite
	Cells   []*pageCell // failed ones first
	Changes *Comparison
	Facts   []fact
	Rerun   string
	Refunds *pageRefunds
	Plots   []*plots // by number of the cell
}

// data is what the page's script draws.
func (p *page) Data() any {
	data := struct {
		Cells   []*plots     `json:"cells"`
		Refunds *latencyLine `json:"refunds,omitempty"`
	}{Cells: p.Plots}
	if p.Refunds != nil && len(p.Refunds.line.Y) > 0 {
		data.Refunds = &p.Refunds.line
	}
	return data
}

// figure is a number that is worth a look, with what it means.
type figure struct{ Value, Name, Note string }

// pageSuite is a row of tiles, one for each cell.
type pageSuite struct {
	Name, File, Outcome string
	Rows                []pageRow
}

type pageRow struct {
	Scenario, Requirement string
	Tiles                 []pageTile
}

type pageTile struct {
	Cell           int
	Outcome, Title string
}

// pageCell is everything about one scenario cell.
type pageCell struct {
	Number                      int
	Suite, ID, Requirement      string
	Place, Outcome, Reason      string
	Open                        bool
	Facts                       []fact
	Warnings, Notes             []string
	Failures                    []pageFailure
	Checks                      []leafLine
	Picture                     *picture // of the first ledger
	Shares                      []share
	Jain                        string
	Loads                       []pageLoad
	Rerun                       string
	Drawn                       bool // the script has something to draw
	MorePassed                  int
	Stderr, Elapsed, Clock, Raw string
	KnownFailure, Accepted      string

	shown map[string]bool // requests whose messages stand beside an earlier failure
}

type leafLine struct{ Outcome, Name string }

// pageLoad is one load in figures.
type pageLoad struct {
	Step string
	Rows []pageQuantiles
	Sent string
}

type pageQuantiles struct {
	Name, P50, P90, P99, P999, Max string
}

// maxDetailed is how many cells that passed are shown with checks and plots; of
// those beyond, tile, outcome and requirement remain.
const (
	maxDetailed = 400
	maxPictures = 24
	maxEvidence = 60 // failed cells with their messages on the wire
)

func newPage(run *scenarios.RunResult, changes *Comparison) *page {
	p := &page{
		Title: "llmlimit: " + verdictWord(run), Verdict: verdictWord(run), Outcome: string(run.Outcome),
		Counts: countWords(run.Counts), Stopped: run.Stopped, Figures: figures(run), Changes: changes, Facts: runFacts(run),
		Refunds: refunds(run),
	}
	for i := range run.Suites {
		p.suite(&run.Suites[i])
	}
	slices.SortStableFunc(p.Cells, func(a, b *pageCell) int { return order(a.Outcome) - order(b.Outcome) })
	p.open(run)
	p.fit()
	return p
}

// maxPlots is how much of a page, in bytes, the series of its plots may be.
const maxPlots = 3 << 20

// fit leaves out the plots of the cells at the end where all together would make the
// page too large to open.
func (p *page) fit() {
	size := 0
	for _, c := range p.Cells {
		if !c.Drawn {
			continue
		}
		text, err := json.Marshal(p.Plots[c.Number])
		if size += len(text); err == nil && (size <= maxPlots || c.Open) {
			continue
		}
		p.Plots[c.Number], c.Drawn, c.Picture = nil, false, nil
		c.Notes = append(slices.Clone(c.Notes), "not drawn, so that the page stays small: --id "+quote(c.ID)+" draws it")
	}
}

// order puts what needs a look first.
func order(outcome string) int {
	if bad(scenarios.Outcome(outcome)) {
		return 0
	}
	return 1
}

// open opens the first failed cell, or else the one with the largest ledger to show.
func (p *page) open(run *scenarios.RunResult) {
	var best *pageCell
	for _, c := range p.Cells {
		if c.Picture != nil && order(c.Outcome) == 0 {
			best = c
			break
		}
		if c.Picture != nil && (best == nil || p.Plots[c.Number].weight() > p.Plots[best.Number].weight()) {
			best = c
		}
	}
	if best == nil && len(p.Cells) > 0 {
		best = p.Cells[0]
	}
	if best != nil {
		best.Open = true
		p.Rerun = best.Rerun
		p.Cells = slices.DeleteFunc(p.Cells, func(c *pageCell) bool { return c == best })
		p.Cells = slices.Insert(p.Cells, 0, best)
	}
	pictures := 0
	for _, c := range p.Cells {
		if c.Picture == nil {
			continue
		}
		if pictures++; pictures > maxPictures && !c.Open {
			c.Picture = nil
		}
	}
	if run.Counts.Fail+run.Counts.Error == 0 && len(p.Cells) > 1 {
		p.Rerun = "" // there is nothing to look at again
	}
}

// weight is how much there is to see.
func (p *plots) weight() int {
	if p == nil || len(p.Ledgers) == 0 {
		return 0
	}
	return len(p.Ledgers[0].X)
}

func (p *page) suite(s *scenarios.SuiteResult) {
	if len(s.Scenarios) == 0 {
		return
	}
	out := pageSuite{Name: s.Name, File: s.File, Outcome: string(s.Outcome)}
	for _, cells := range byScenario(s) {
		row := pageRow{Scenario: cells[0].Scenario, Requirement: cells[0].Requirement}
		for _, sc := range cells {
			c := p.cell(s, sc)
			row.Tiles = append(row.Tiles, pageTile{c.Number, tone(sc), sc.ID + ": " + string(sc.Outcome) + prefixed(": ", firstLine(sc.Reason))})
		}
		out.Rows = append(out.Rows, row)
	}
	p.Suites = append(p.Suites, out)
}

// tone is the outcome, or warn for a pass with a warning.
func tone(sc *scenarios.ScenarioResult) string {
	if sc.Outcome == scenarios.Pass && len(sc.Warnings) > 0 {
		return "warn"
	}
	return string(sc.Outcome)
}

func (p *page) cell(s *scenarios.SuiteResult, sc *scenarios.ScenarioResult) *pageCell {
	c := &pageCell{
		Number: len(p.Plots), Suite: s.Name, ID: sc.ID, Requirement: sc.Requirement, Place: fmt.Sprintf("%s:%d", sc.File, sc.Line),
		Outcome: tone(sc), Reason: sc.Reason, Warnings: sc.Warnings, Notes: sc.Notes, Rerun: rerun(sc), Stderr: sc.Stderr,
		Elapsed: shortSpan(sc.Elapsed), Clock: sc.Clock, KnownFailure: sc.KnownFailure, Accepted: sc.Accepted,
	}
	p.Cells = append(p.Cells, c)
	if !bad(sc.Outcome) && c.Number >= maxDetailed {
		p.Plots = append(p.Plots, nil)
		return c
	}
	c.explain(s, sc)
	drawn := plotsOf(sc)
	p.Plots = append(p.Plots, drawn)
	c.Drawn = !drawn.empty()
	if len(drawn.Ledgers) > 0 {
		c.Picture = draw(&drawn.Ledgers[0])
	}
	c.Shares, c.Jain = fairness(sc)
	c.Loads = loads(sc)
	return c
}

func (p *plots) empty() bool {
	return len(p.Ledgers)+len(p.Residuals)+len(p.Windows)+len(p.Bursts)+len(p.Latency)+len(p.Added)+len(p.First)+len(p.Gaps) == 0 &&
		p.Arrivals == nil && p.Rates == nil && p.Accuracy == nil
}

// explain lists the checks, and what is to know of each that did not hold.
func (c *pageCell) explain(s *scenarios.SuiteResult, sc *scenarios.ScenarioResult) {
	for _, f := range facts(sc) {
		if f.name == "level" || f.name == "strength" || f.name == "feature" {
			c.Facts = append(c.Facts, f)
		}
	}
	for _, l := range scenarioLeaves(s, sc) {
		outcome := string(l.outcome)
		if l.warning {
			outcome = "warn"
		}
		c.Checks = append(c.Checks, leafLine{outcome, l.name})
		if bad(l.outcome) && len(c.Failures) < 12 {
			c.Failures = append(c.Failures, c.failure(sc, l))
		}
	}
}

func loads(sc *scenarios.ScenarioResult) []pageLoad {
	var all []pageLoad
	eachStep(sc.Steps, func(st *scenarios.StepResult) {
		t := st.Load
		if t == nil {
			return
		}
		l := pageLoad{Step: stepName(st), Sent: fmt.Sprintf(
			"%d sent, %d admitted, %d rejected, %d errors, %d cancelled, %d dropped; planned %.1f/s, achieved %.1f/s; at most %d in flight",
			t.Count, t.Admitted, t.Rejected, t.Errors, t.Cancelled, t.Dropped, t.PlannedRate, t.AchievedRate, t.MaxInFlight)}
		for _, q := range []struct {
			name string
			of   suite.Quantiles
		}{
			{"latency, from due", t.Latency},
			{"service, from sent", t.Service},
			{"time to first token", t.TTFT},
			{"gap between events", t.Gap},
			{"overhead over the mock's own time", t.Overhead},
			{"lag of the sender", t.SenderLag},
		} {
			if q.of.Max > 0 {
				l.Rows = append(l.Rows, pageQuantiles{
					q.name, shortSpan(q.of.P50), shortSpan(q.of.P90), shortSpan(q.of.P99), shortSpan(q.of.P999), shortSpan(q.of.Max),
				})
			}
		}
		all = append(all, l)
	})
	return all
}

// figures are the verdict strip.
func figures(run *scenarios.RunResult) []figure {
	t := tally(run)
	all := []figure{
		{thousands(t.OverAdmitted), "tokens over-admitted", "proven, on " + Counted(t.OverAdmissions, "request") + worstExcess(run)},
		{thousands(t.WronglyRejected), "tokens wrongly rejected", "proven, on " + Counted(t.WrongfulRejections, "request")},
		{thousands(leakOf(run)), "tokens still reserved", "by the target's own account, when it was last read"},
		{thousands(int64(t.Right)), "decisions proved right", fmt.Sprintf("of %s; %d undecidable", thousands(int64(t.Requests)), t.Undecidable)},
	}
	all = append(all, loadFigures(run)...)
	if c, err := ComplianceOf(run); err == nil {
		all = append([]figure{{c.Level, "level reached", c.Profile.Name + " " + c.Profile.Version}}, all...)
	}
	return all
}

// worstExcess is the largest proven over-admission of one account, against its limit.
func worstExcess(run *scenarios.RunResult) string {
	var most, limit int64
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			if sc.Judged == nil {
				continue
			}
			for j := range sc.Judged.Accounts {
				if a := &sc.Judged.Accounts[j]; a.Dimension == judge.Tokens && a.OverAdmitted > most {
					most, limit = a.OverAdmitted, capacity(limitOf(sc, a.Limit))
				}
			}
		}
	}
	if most == 0 {
		return ""
	}
	return fmt.Sprintf("; at most %s of one account, whose limit is %s", thousands(most), thousands(limit))
}

// loadFigures are of all loads together: what was sent of what was planned, and what
// the target added to it.
func loadFigures(run *scenarios.RunResult) []figure {
	var offered, dropped int64
	var planned, achieved float64 // requests, by the rates
	var overhead time.Duration
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			for _, st := range loadSteps(sc) {
				t := st.Load
				offered, dropped = offered+t.Count+t.Dropped, dropped+t.Dropped
				planned, achieved = planned+t.PlannedRate*t.Duration.Seconds(), achieved+t.AchievedRate*t.Duration.Seconds()
				overhead = max(overhead, t.Overhead.P99)
			}
		}
	}
	var all []figure
	if offered > 0 {
		note := thousands(dropped) + " of them not sent"
		if planned > 0 {
			note = fmt.Sprintf("%.1f %% of the planned rate achieved; %s not sent", 100*achieved/planned, thousands(dropped))
		}
		all = append(all, figure{thousands(offered), "requests offered by loads", note})
	}
	if overhead > 0 {
		all = append(all, figure{shortSpan(overhead), "overhead p99", "of the slowest load: time through the target less the mock's own"})
	}
	return all
}

func leakOf(run *scenarios.RunResult) int64 {
	var sum int64
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			sum += leaked(sc)
		}
	}
	return sum
}

func runFacts(run *scenarios.RunResult) []fact {
	e := run.Environment
	all := []fact{
		{"run", run.ID},
		{"started", run.Started.UTC().Format(time.RFC3339)},
		{"took", shortSpan(run.Elapsed)},
		{"seed", fmt.Sprint(run.Seed)},
		{"target", e.Target},
		{"faults built in", strings.Join(e.Faults, ", ")},
		{"llmlimit", strings.TrimSpace(e.Version + " " + e.Commit)},
		{"Go", strings.TrimSpace(e.Go + " " + e.OS + "/" + e.Arch)},
		{"processors", fmt.Sprintf("%d, GOMAXPROCS %d", e.CPUs, e.GOMAXPROCS)},
		{"clocks", clocks(run)},
	}
	names := make([]string, 0, len(e.Flags))
	for name := range e.Flags {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		all = append(all, fact{"--" + name, e.Flags[name]})
	}
	for i := range run.Suites {
		if s := &run.Suites[i]; len(s.Scenarios) > 0 {
			all = append(all, fact{"suite " + s.Name, s.Digest})
		}
	}
	return slices.DeleteFunc(all, func(f fact) bool { return f.value == "" })
}

// clocks says whose clock the instants are of, and how exact they are.
func clocks(run *scenarios.RunResult) string {
	cells := map[string]int{}
	var within time.Duration
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			cells[sc.Clock]++
			within = max(within, sc.ClockError)
		}
	}
	var words []string
	for _, clock := range []string{"virtual", "real"} {
		if cells[clock] > 0 {
			words = append(words, fmt.Sprintf("%d scenarios in %s time", cells[clock], clock))
		}
	}
	if within > 0 {
		words = append(words, fmt.Sprintf("the mock's clock is known to within %s, which the judge allows for", shortSpan(within)))
	} else {
		words = append(words, "runner and mock share one clock: no clock error")
	}
	return strings.Join(words, "; ")
}

// Name and Value are for the template.
func (f fact) Name() string { return f.name }

// Value is what the fact is.
func (f fact) Value() string { return f.value }

// shortSpan rounds a duration to what a person reads.
func shortSpan(d time.Duration) string {
	switch abs := max(d, -d); {
	case abs >= time.Hour:
		return d.Round(time.Second).String()
	case abs >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case abs >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case abs >= 10*time.Microsecond:
		return d.Round(time.Microsecond).String()
	}
	return d.String()
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
