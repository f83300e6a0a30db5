package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// maxSummary is less than the 1 MiB that GitHub takes as a step summary; what is
// longer it drops whole.
const maxSummary = 1<<20 - 64<<10

// Markdown writes a summary for $GITHUB_STEP_SUMMARY: GitHub strips inline SVG from
// it, so that bars are text. It stays under 1 MiB, whatever the run.
func Markdown(w io.Writer, run *scenarios.RunResult) error {
	m := &markdown{}
	m.head(run)
	m.suites(run)
	m.failures(run)
	m.printf("\n<sub>llmlimit %s, seed %d, %s</sub>\n", first(run.Environment.Version, "development"), run.Seed, run.Environment.Target)
	_, err := io.WriteString(w, m.String())
	return err
}

type markdown struct{ strings.Builder }

func (m *markdown) printf(format string, args ...any) { fmt.Fprintf(m, format, args...) }

func (m *markdown) head(run *scenarios.RunResult) {
	c := run.Counts
	m.printf("## %s llmlimit: %s\n\n", mdMark(run.Outcome), verdictWord(run))
	m.printf("%s\n\n", strings.Join(countWords(c), ", "))
	if run.Stopped != "" {
		m.printf("> [!WARNING]\n> stopped early: %s\n\n", run.Stopped)
	}
	t := tally(run)
	m.printf("| | proven |\n|---|---|\n")
	m.printf("| over-admitted | %s tokens, %d requests |\n", thousands(t.OverAdmitted), t.OverAdmissions)
	m.printf("| wrongly rejected | %s tokens, %d requests |\n", thousands(t.WronglyRejected), t.WrongfulRejections)
	m.printf("| decisions right | %s of %s |\n\n", thousands(int64(t.Right)), thousands(int64(t.Requests)))
}

func (m *markdown) suites(run *scenarios.RunResult) {
	m.printf("| suite | | pass | fail | error | skip |\n|---|---|--:|--:|--:|--:|\n")
	for i := range run.Suites {
		s := &run.Suites[i]
		if len(s.Scenarios) == 0 {
			continue
		}
		c := s.Counts
		m.printf("| %s %s | `%s` | %d | %d | %d | %d |\n", mdMark(s.Outcome), mdText(s.Name), mdBar(c), c.Pass, c.Fail, c.Error, c.Skip)
	}
}

// failures explains the first cell of each scenario that did not pass, as long as
// there is room.
func (m *markdown) failures(run *scenarios.RunResult) {
	groups := failedGroups(run)
	for i, g := range groups {
		var one markdown
		one.failure(g)
		if m.Len()+one.Len() > maxSummary {
			m.printf("\n%d more scenarios did not pass; the JSON and HTML reports hold them all.\n", len(groups)-i)
			return
		}
		m.printf("%s", one.String())
	}
}

func (m *markdown) failure(g failedGroup) {
	sc := g.cells[0]
	m.printf("\n<details><summary>%s <code>%s/%s</code> %s</summary>\n\n", mdMark(sc.Outcome), htmlText.Replace(g.suite.Name), htmlText.Replace(sc.ID), htmlText.Replace(sc.Requirement))
	var text strings.Builder
	for _, l := range g.leaves() {
		fmt.Fprintf(&text, "%s\n%s\n", first(l.message, l.name), l.detail)
	}
	fence := mdFence(text.String())
	m.printf("%s\n%s%s\n", fence, text.String(), fence)
	if len(g.cells) > 1 {
		m.printf("\n%s\n", mdText(g.others(20)))
	}
	m.printf("\n</details>\n")
}

// mdFence is a fence that the text does not contain.
func mdFence(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence
}

func mdMark(o scenarios.Outcome) string {
	switch o {
	case scenarios.Pass:
		return "✅"
	case scenarios.Fail:
		return "❌"
	case scenarios.Error:
		return "💥"
	case scenarios.Skip:
		return "➖"
	}
	return "❔"
}

// mdBar is a bar of 20 columns: what passed, what failed, what is in error, what was
// skipped. Whatever happened at all shows.
func mdBar(c scenarios.Counts) string {
	const width = 20
	total := c.Total()
	if total == 0 {
		return strings.Repeat(".", width)
	}
	var b strings.Builder
	for _, part := range []struct {
		n     int
		glyph string
	}{{c.Fail, "x"}, {c.Error, "!"}, {c.Skip, "-"}} {
		if part.n > 0 {
			b.WriteString(strings.Repeat(part.glyph, max(1, part.n*width/total)))
		}
	}
	bad := b.String()
	bad = bad[:min(len(bad), width)]
	rest := "#"
	if c.Pass == 0 {
		rest = " "
	}
	return strings.Repeat(rest, width-len(bad)) + bad
}

// htmlText escapes what stands within an element, where Markdown has no say.
var htmlText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\n", " ")

// mdText escapes what Markdown and HTML would take as theirs.
func mdText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "\\|", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "\n", " ").Replace(s)
}
