package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// Style is how a terminal wants to be written to. The zero Style is plain text of
// unlimited width.
type Style struct {
	Width int  // columns; 0 is unlimited
	Wrap  bool // break sentences at Width, for a terminal that breaks lines anywhere
	Color bool // ANSI colours
	ASCII bool // no glyphs beyond ASCII
}

// pretty writes for people.
type pretty struct {
	strings.Builder
	style Style
}

// What a screen holds: beyond, suites in which everything passed are one line each,
// failures are named, and not explained again and again.
const (
	maxLines     = 30 // scenarios that are listed one by one
	maxExplained = 6  // failed scenarios that are explained in full
	maxLeaves    = 4  // failed checks that are explained of each
)

// Pretty writes the run for a person: one line per scenario, failures explained,
// a budget drawn, a summary. A long run in which all went well fits on a screen.
func Pretty(w io.Writer, run *scenarios.RunResult, style Style) error {
	p := &pretty{style: style}
	if reason, n := sameError(run); n > 1 {
		p.nothingJudged(reason, n)
	} else {
		p.results(run)
	}
	p.summary(run)
	text := p.String()
	if style.ASCII {
		text = strings.Map(ascii, text)
	}
	_, err := io.WriteString(w, text)
	return err
}

// ascii is what an old console shows of a rune, such as those of a suite's own words.
func ascii(r rune) rune {
	switch {
	case r == 'µ':
		return 'u'
	case r > unicode.MaxASCII:
		return '?'
	}
	return r
}

// results writes what came of each scenario, and explains it.
func (p *pretty) results(run *scenarios.RunResult) {
	lines := 0
	for i := range run.Suites {
		lines += len(byScenario(&run.Suites[i]))
	}
	folded := false
	for i := range run.Suites {
		s := &run.Suites[i]
		switch {
		case len(s.Scenarios) == 0:
		case lines > maxLines && s.Outcome == scenarios.Pass && s.Counts.Warnings+s.Counts.Skip == 0:
			p.folded(s)
			folded = true
		default:
			if folded {
				fmt.Fprintln(p)
			}
			p.suite(s)
			folded = false
		}
	}
	if folded {
		fmt.Fprintln(p)
	}
	p.notes(run)
	p.failures(run)
	p.budget(run)
}

// folded writes a suite in which all passed as one line.
func (p *pretty) folded(s *scenarios.SuiteResult) {
	groups := byScenario(s)
	names := make([]string, len(groups))
	for i, cells := range groups {
		names[i] = cells[0].Scenario
	}
	line := fmt.Sprintf("%-16s %3d  ", s.Name, len(s.Scenarios))
	fmt.Fprintf(p, "%s %s%s\n", p.mark(s.Outcome, false), p.bold(line), p.dim(p.shorten(strings.Join(names, p.glyph(" · ", ", ")), p.room(line)-3)))
}

// suite writes one line per scenario; the cells of its matrix share it.
func (p *pretty) suite(s *scenarios.SuiteResult) {
	fmt.Fprintf(p, "%s  %s\n", p.bold(s.Name), p.dim(s.File))
	for _, cells := range byScenario(s) {
		p.scenario(cells)
	}
	fmt.Fprintln(p)
}

func (p *pretty) scenario(cells []*scenarios.ScenarioResult) {
	var outcome scenarios.Outcome
	failed, warned := 0, 0
	for _, c := range cells {
		outcome = outcome.Worse(c.Outcome)
		if bad(c.Outcome) {
			failed++
		}
		warned += len(c.Warnings)
	}
	note := ""
	switch {
	case failed > 0 && len(cells) > 1:
		note = fmt.Sprintf("%d of %d", failed, len(cells))
	case len(cells) > 1:
		note = fmt.Sprintf("%d cells", len(cells))
	}
	line := fmt.Sprintf("%-*s %8s  ", min(30, p.room("")-16), p.shorten(visible(cells[0].Scenario), min(40, p.room("")-16)), note)
	fmt.Fprintf(p, "  %s %s\n", p.mark(outcome, warned > 0), strings.TrimRight(line+p.dim(p.requirement(visible(cells[0].Requirement), p.room(line)-5)), " "))
	if outcome == scenarios.Skip {
		p.skipped(cells)
	}
	if known := cells[0].KnownFailure; known != "" && outcome == scenarios.Pass {
		p.prose(6, "", "fails as known: "+visible(known), p.dim)
	}
	said := map[string]bool{}
	for _, c := range cells {
		for _, w := range c.Warnings {
			if !said[w] {
				said[w] = true
				p.prose(6, "", "warning: "+visible(w), p.yellow)
			}
		}
	}
}

// skipped says why cells were skipped, each reason once, and how many of them where it
// was not all.
func (p *pretty) skipped(cells []*scenarios.ScenarioResult) {
	var reasons []string
	count := map[string]int{}
	for _, c := range cells {
		if c.Outcome == scenarios.Skip {
			if count[c.Reason]++; count[c.Reason] == 1 {
				reasons = append(reasons, c.Reason)
			}
		}
	}
	for _, reason := range reasons {
		of := ""
		if count[reason] < len(cells) {
			of = fmt.Sprintf("%d of %d ", count[reason], len(cells))
		}
		p.prose(6, "", of+"skipped: "+visible(reason), p.dim)
	}
}

// requirement is cut to the room there is; where that is none to speak of, it is
// left out.
func (p *pretty) requirement(s string, room int) string {
	if p.style.Width > 0 && room < 16 {
		return ""
	}
	return p.shorten(s, room)
}

// failures explains the first cells that did not pass, and names the rest.
func (p *pretty) failures(run *scenarios.RunResult) {
	groups, alike := apart(failedGroups(run))
	for i, g := range groups {
		if i == maxExplained {
			fmt.Fprintf(p, "%s\n", p.bold(fmt.Sprintf("%d more scenarios did not pass", len(groups)-i)))
		}
		if i >= maxExplained {
			p.named(g)
			continue
		}
		p.failure(g)
	}
	p.alike(alike)
	if len(groups) > maxExplained {
		fmt.Fprintf(p, "%s\n\n", p.dim("--report html=report.html explains them all; --id NAME runs one"))
	}
}

// alike names the scenarios in which nothing is wrong but a header of which one has been
// explained already.
func (p *pretty) alike(groups map[string][]failedGroup) {
	for _, kind := range slices.Sorted(maps.Keys(groups)) {
		names := make([]string, 0, len(groups[kind]))
		for _, g := range groups[kind] {
			names = append(names, visible(g.cells[0].Scenario))
		}
		only := "1 more scenario did not pass"
		if len(names) > 1 {
			only = fmt.Sprintf("%d more scenarios did not pass", len(names))
		}
		fmt.Fprintf(p, "%s\n", p.bold(only+", for the "+kind+" alone"))
		p.prose(2, "", strings.Join(names, " "), p.dim)
		fmt.Fprintln(p)
	}
}

// named is a failed scenario in one line.
func (p *pretty) named(g failedGroup) {
	line := fmt.Sprintf("%-44s ", p.shorten(g.suite.Name+"/"+g.cells[0].Scenario, 44))
	fmt.Fprintf(p, "  %s %s%s\n", p.mark(g.cells[0].Outcome, false), line, p.dim(p.requirement(visible(g.cells[0].Reason), p.room(line)-4)))
}

func (p *pretty) failure(g failedGroup) {
	sc := g.cells[0]
	fmt.Fprintf(p, "%s ", p.mark(sc.Outcome, false))
	p.beside(g.suite.Name+"/"+sc.ID, fmt.Sprintf("%s:%d", sc.File, sc.Line), p.bold)
	if sc.Requirement != "" {
		p.prose(2, "", visible(sc.Requirement), plainly)
	}
	failed := g.leaves()
	for i, l := range failed {
		if i == maxLeaves {
			fmt.Fprintf(p, "\n  %s\n", p.dim(fmt.Sprintf("and %d more checks of it", len(failed)-i)))
			break
		}
		p.leaf(l)
		curl := curlOf(sc, l.check)
		switch {
		case curl != "" && i > 0 && curl == curlOf(sc, failed[i-1].check):
			fmt.Fprintf(p, "    %s\n", p.dim("request   the same"))
		case curl != "":
			fmt.Fprintf(p, "    %s   %s\n", p.dim("request"), p.dim(visible(curl)))
		}
	}
	if len(failed) == 0 && sc.Reason != "" {
		p.prose(2, "", visible(sc.Reason), plainly)
	}
	fmt.Fprintf(p, "\n  %s %s\n", p.dim("run again"), rerun(sc))
	if len(g.cells) > 1 {
		p.prose(2, "", p.shorten(g.others(len(g.cells)), 2*p.room("")-8), p.dim)
	}
	fmt.Fprintln(p)
}

// leaf explains one failed check: what was expected and found, or the values of its
// parts.
func (p *pretty) leaf(l leaf) {
	fmt.Fprintf(p, "\n  %s %s  %s\n", p.red(p.glyph("▸", ">")), visible(l.name), p.dim(fmt.Sprintf("line %d", l.line)))
	c := l.check
	switch {
	case c == nil:
		for line := range strings.Lines(l.message + "\n" + l.detail) {
			fmt.Fprintf(p, "    %s\n", visible(strings.TrimRight(line, "\n")))
		}
		return
	case c.Expected != "" || c.Found != "":
		fmt.Fprintf(p, "    expected  %s\n    found     %s\n", p.green(visible(c.Expected)), p.red(visible(c.Found)))
	case c.Values != nil:
		for i, line := range strings.Split(strings.TrimRight(c.Values.String(), "\n"), "\n") {
			if line = visible(line); i == 0 {
				line = p.red(line)
			}
			fmt.Fprintf(p, "    %s\n", line)
		}
	case c.Message != "":
		p.prose(4, "", visible(c.Message), p.red)
	}
	if c.Proof != "" {
		p.prose(14, "    "+p.dim("proof")+"     ", visible(c.Proof), p.dim)
	}
}

// budget draws the reservation, the use and the refund of one scenario, and how the
// level went: what all this is about.
func (p *pretty) budget(run *scenarios.RunResult) {
	b := bestBudget(run)
	if b == nil {
		return
	}
	p.beside("a budget, reserved and given back", b.where, p.bold)
	digits := len(fmt.Sprint(b.point.Reserved))
	for _, row := range []struct {
		name   string
		amount int64
		paint  func(string) string
	}{{"reserved", b.point.Reserved, p.yellow}, {"used", b.point.Actual, p.red}, {"came back", b.point.Refunded, p.green}} {
		fmt.Fprintf(p, "  %-10s %s %*d\n", row.name, row.paint(p.bar(row.amount, b.point.Reserved)), digits, row.amount)
	}
	if len(b.level) > 1 {
		low, high := slices.Min(b.level), slices.Max(b.level)
		fmt.Fprintf(p, "  %-10s %s %s\n", "level", p.green(p.sparkline(b.level, low, high)), p.dim(fmt.Sprintf("%d to %d left", low, high)))
	}
	fmt.Fprintln(p)
}

// budgetShown is the account that is drawn.
type budgetShown struct {
	where string
	point *scenarios.LedgerPoint
	level []int64
}

// bestBudget is the account with the most to see: the most ups and downs, then the
// most that came back.
func bestBudget(run *scenarios.RunResult) *budgetShown {
	var best *budgetShown
	score := func(b *budgetShown) int64 { return int64(turns(b.level))<<40 + b.point.Refunded }
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			if sc.Outcome != scenarios.Pass || sc.Judged == nil {
				continue
			}
			accounts := interesting(sc)
			for j := range sc.Ledgers {
				l := &sc.Ledgers[j]
				if l.Outstanding != 0 || l.Refunded == 0 {
					continue
				}
				b := &budgetShown{where: run.Suites[i].Name + "/" + sc.Scenario, point: l}
				if len(accounts) > 0 {
					b.level = course(accounts[0].Level)
				}
				if best == nil || score(b) > score(best) {
					best = b
				}
			}
		}
	}
	return best
}

// course is a level as it went: at each instant it came from one of its bounds, the
// one that is nearer to where it was, and went to the other.
func course(level []judge.Sample) []int64 {
	var all []int64
	for i, s := range level {
		from, to := s.Max, s.Min
		if i > 0 {
			if at := all[len(all)-1]; max(at-s.Min, s.Min-at) < max(at-s.Max, s.Max-at) {
				from, to = to, from
			}
		}
		all = append(all, from, to)
	}
	return all
}

// turns is how often a level rises by a quarter of its range or more.
func turns(level []int64) int {
	if len(level) == 0 {
		return 0
	}
	quarter, n := (slices.Max(level)-slices.Min(level))/4, 0
	for i := 1; i < len(level); i++ {
		if level[i]-level[i-1] > quarter {
			n++
		}
	}
	return n
}

// barWidth is the length of a bar: 40, or what a narrow terminal leaves beside name
// and amount.
func (p *pretty) barWidth() int { return max(8, min(40, p.room("")-34)) }

// bar is a bar for a share of whole; anything above 0 shows.
func (p *pretty) bar(amount, whole int64) string {
	width := p.barWidth()
	n := int(amount * int64(width) / max(whole, 1))
	if amount > 0 && n == 0 {
		n = 1
	}
	n = min(n, width)
	return strings.Repeat(p.glyph("█", "#"), n) + strings.Repeat(p.glyph("░", "."), width-n)
}

// sparkline draws a level over its events, each as wide as the others: a scenario
// rests for most of its time.
func (p *pretty) sparkline(level []int64, low, high int64) string {
	glyphs := []rune(p.glyph("▁▂▃▄▅▆▇█", "_.-~=+*#"))
	var b strings.Builder
	width := p.barWidth()
	for i := range width {
		v := level[i*len(level)/width]
		b.WriteRune(glyphs[(v-low)*int64(len(glyphs)-1)/max(1, high-low)])
	}
	return b.String()
}

func (p *pretty) summary(run *scenarios.RunResult) {
	word, paint := verdictWord(run), p.red
	switch word {
	case "PASS":
		paint = p.green
	case "NOTHING RAN":
		paint = p.yellow
	}
	var virtual time.Duration
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			if sc.Clock == "virtual" {
				virtual += sc.Elapsed
			}
		}
	}
	t := tally(run)
	p.prose(len(word)+2, p.bold(paint(word))+"  ", strings.Join(countWords(run.Counts), ", "), plainly)
	if t.OverAdmitted+t.WronglyRejected > 0 {
		p.prose(0, "", fmt.Sprintf("proven: %d tokens over-admitted, %d wrongly rejected", t.OverAdmitted, t.WronglyRejected), p.red)
	}
	p.prose(0, "", fmt.Sprintf("%s in %s; %s judged, %d undecidable; seed %d",
		span(virtual), run.Elapsed.Round(10*time.Millisecond), Counted(t.Requests, "request"), t.Undecidable, run.Seed), p.dim)
	if run.Stopped != "" {
		p.prose(0, "", "stopped early: "+run.Stopped, p.yellow)
	}
}

// Counted is a number of things in words: 1 request, 2 requests.
func Counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
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

// visible shows what a target can have sent on one line, without the control
// characters that a terminal would obey.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return '\u00b7'
		}
		return r
	}, s)
}

// room is how many columns a line leaves; a terminal without a width has room enough.
func (p *pretty) room(line string) int {
	if p.style.Width == 0 {
		return 1 << 20
	}
	return p.style.Width - len([]rune(line))
}

// shorten cuts a line to so many columns.
func (p *pretty) shorten(s string, columns int) string {
	r, more := []rune(s), p.glyph("…", "~")
	if len(r) <= columns {
		return s
	}
	return string(r[:max(0, columns-1)]) + more
}
