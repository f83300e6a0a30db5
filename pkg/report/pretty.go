package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// Style is how a terminal wants to be written to. The zero Style is plain text of
// unlimited width.
type Style struct {
	Width int  // columns; 0 is unlimited
	Color bool // ANSI colours
	ASCII bool // no glyphs beyond ASCII
}

// pretty writes for people.
type pretty struct {
	strings.Builder
	style Style
}

// Pretty writes the run for a person: one line per scenario, failures explained,
// a budget drawn, a summary.
func Pretty(w io.Writer, run *scenarios.Run, style Style) error {
	p := &pretty{style: style}
	for i := range run.Suites {
		if len(run.Suites[i].Scenarios) > 0 {
			p.suite(&run.Suites[i])
		}
	}
	p.failures(run)
	p.budget(run)
	p.summary(run)
	_, err := io.WriteString(w, p.String())
	return err
}

// suite writes one line per scenario; the cells of its matrix share it.
func (p *pretty) suite(s *scenarios.SuiteResult) {
	fmt.Fprintf(p, "%s  %s\n", p.bold(s.Name), p.dim(s.File))
	for i := 0; i < len(s.Scenarios); {
		j := i
		for j < len(s.Scenarios) && s.Scenarios[j].Scenario == s.Scenarios[i].Scenario {
			j++
		}
		p.scenario(s.Scenarios[i:j])
		i = j
	}
	p.WriteByte('\n')
}

func (p *pretty) scenario(cells []*scenarios.ScenarioResult) {
	var outcome scenarios.Outcome
	bad, virtual, warned := 0, time.Duration(0), 0
	for _, c := range cells {
		outcome = outcome.Worse(c.Outcome)
		if c.Outcome == scenarios.Fail || c.Outcome == scenarios.Error {
			bad++
		}
		warned += len(c.Warnings)
		virtual += c.Elapsed
	}
	note := ""
	switch {
	case bad > 0 && len(cells) > 1:
		note = fmt.Sprintf("%d of %d", bad, len(cells))
	case len(cells) > 1:
		note = fmt.Sprintf("%d cells", len(cells))
	}
	id := cells[0].Scenario
	line := fmt.Sprintf("%-30s %8s  ", id, note)
	room := p.style.Width - len([]rune(line)) - 5
	fmt.Fprintf(p, "  %s %s%s\n", p.mark(outcome, warned > 0), line, p.dim(shorten(cells[0].Requirement, room)))
	if outcome == scenarios.Skip {
		fmt.Fprintf(p, "      %s\n", p.dim("skipped: "+cells[0].Reason))
	}
	for _, c := range cells {
		for _, w := range c.Warnings {
			fmt.Fprintf(p, "      %s\n", p.yellow("warning: "+w))
		}
	}
}

// failures explains each cell that did not pass.
func (p *pretty) failures(run *scenarios.Run) {
	for i := range run.Suites {
		s := &run.Suites[i]
		for _, sc := range s.Scenarios {
			if sc.Outcome == scenarios.Fail || sc.Outcome == scenarios.Error {
				p.failure(s, sc)
			}
		}
	}
}

func (p *pretty) failure(s *scenarios.SuiteResult, sc *scenarios.ScenarioResult) {
	fmt.Fprintf(p, "%s %s  %s\n", p.mark(sc.Outcome, false), p.bold(s.Name+"/"+sc.ID), p.dim(fmt.Sprintf("%s:%d", sc.File, sc.Line)))
	if sc.Requirement != "" {
		fmt.Fprintf(p, "  %s\n", sc.Requirement)
	}
	told := false
	for _, l := range scenarioLeaves(s, sc) {
		if l.outcome == scenarios.Fail || l.outcome == scenarios.Error {
			told = true
			p.leaf(l)
		}
	}
	if !told && sc.Reason != "" {
		fmt.Fprintf(p, "  %s\n", sc.Reason)
	}
	fmt.Fprintf(p, "  %s %s\n\n", p.dim("run again"), rerun(sc))
}

func (p *pretty) leaf(l leaf) {
	fmt.Fprintf(p, "\n  %s %s\n", p.red(p.glyph("▸", ">")), l.name)
	if l.message != "" {
		fmt.Fprintf(p, "    %s\n", p.red(l.message))
	}
	for line := range strings.Lines(l.detail) {
		if text := strings.TrimRight(line, "\n"); !strings.HasPrefix(strings.TrimSpace(text), "again ") {
			fmt.Fprintf(p, "    %s\n", text)
		}
	}
}

// budget draws the reservation, the use and the refund of the scenario in which
// most came back.
func (p *pretty) budget(run *scenarios.Run) {
	var best *scenarios.LedgerPoint
	where := ""
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			for j := range sc.Ledgers {
				if l := &sc.Ledgers[j]; sc.Outcome == scenarios.Pass && l.Outstanding == 0 && (best == nil || l.Refunded > best.Refunded) {
					best, where = l, run.Suites[i].Name+"/"+sc.Scenario
				}
			}
		}
	}
	if best == nil || best.Refunded == 0 {
		return
	}
	fmt.Fprintf(p, "%s  %s\n", p.bold("a budget, reserved and given back"), p.dim(where))
	for _, row := range []struct {
		name   string
		amount int64
		paint  func(string) string
	}{{"reserved", best.Reserved, p.yellow}, {"used", best.Actual, p.red}, {"came back", best.Refunded, p.green}} {
		fmt.Fprintf(p, "  %-10s %s %d\n", row.name, row.paint(p.bar(row.amount, best.Reserved)), row.amount)
	}
	p.WriteByte('\n')
}

// bar is a bar of 40 columns for a share of whole; anything above 0 shows.
func (p *pretty) bar(amount, whole int64) string {
	const width = 40
	n := int(amount * width / max(whole, 1))
	if amount > 0 && n == 0 {
		n = 1
	}
	n = min(n, width)
	return strings.Repeat(p.glyph("█", "#"), n) + strings.Repeat(p.glyph("░", "."), width-n)
}

func (p *pretty) summary(run *scenarios.Run) {
	c := run.Counts
	word, paint := "PASS", p.green
	switch {
	case c.Error > 0:
		word, paint = "ERROR", p.red
	case c.Fail > 0:
		word, paint = "FAIL", p.red
	case c.Pass == 0:
		word, paint = "NOTHING RAN", p.yellow
	}
	parts := []string{fmt.Sprintf("%d passed", c.Pass)}
	for _, x := range []struct {
		n    int
		word string
	}{{c.Fail, "failed"}, {c.Error, "in error"}, {c.Skip, "skipped"}, {c.Warnings, "with warnings"}, {c.NotSelected, "not selected"}} {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.n, x.word))
		}
	}
	var virtual time.Duration
	judged, undecided := 0, 0
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			if sc.Clock == "virtual" {
				virtual += sc.Elapsed
			}
			if sc.Judged != nil {
				judged += sc.Judged.Totals.Requests
				undecided += sc.Judged.Totals.Undecidable
			}
		}
	}
	fmt.Fprintf(p, "%s  %s\n", p.bold(paint(word)), strings.Join(parts, ", "))
	fmt.Fprintf(p, "%s\n", p.dim(fmt.Sprintf("%s in %s; %d requests judged, %d undecidable; seed %d",
		span(virtual), run.Elapsed.Round(10*time.Millisecond), judged, undecided, run.Seed)))
	if run.Stopped != "" {
		fmt.Fprintf(p, "%s\n", p.yellow("stopped early: "+run.Stopped))
	}
}

// span says how much virtual time was lived through.
func span(d time.Duration) string {
	switch {
	case d == 0:
		return "real time"
	case d > 48*time.Hour:
		return fmt.Sprintf("%.1f days of virtual time", d.Hours()/24)
	case d > 2*time.Hour:
		return fmt.Sprintf("%.1f hours of virtual time", d.Hours())
	}
	return d.Round(time.Second).String() + " of virtual time"
}

func (p *pretty) mark(o scenarios.Outcome, warned bool) string {
	switch {
	case o == scenarios.Pass && warned:
		return p.yellow(p.glyph("✓", "ok"))
	case o == scenarios.Pass:
		return p.green(p.glyph("✓", "ok"))
	case o == scenarios.Skip:
		return p.dim(p.glyph("–", "--"))
	case o == scenarios.Error:
		return p.red(p.glyph("!", "!!"))
	}
	return p.red(p.glyph("✗", "xx"))
}

func (p *pretty) glyph(unicode, ascii string) string {
	if p.style.ASCII {
		return ascii
	}
	return unicode
}

func (p *pretty) paint(code, s string) string {
	if !p.style.Color || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *pretty) bold(s string) string   { return p.paint("1", s) }
func (p *pretty) dim(s string) string    { return p.paint("2", s) }
func (p *pretty) red(s string) string    { return p.paint("31", s) }
func (p *pretty) green(s string) string  { return p.paint("32", s) }
func (p *pretty) yellow(s string) string { return p.paint("33", s) }

// shorten cuts a line to so many columns; 0 or less is no room to speak of.
func shorten(s string, columns int) string {
	r := []rune(s)
	if columns <= 10 || len(r) <= columns {
		return s
	}
	return string(r[:columns-1]) + "…"
}
