package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// leastProse is the narrowest column in which sentences are still broken by us.
const leastProse = 16

// prose writes a sentence behind a lead of so many columns; no lead means as many
// spaces. Where a terminal would break the sentence in the midst of a word it is broken
// between words, and its lines begin below each other. Command lines are never broken:
// people copy them.
func (p *pretty) prose(margin int, lead, text string, paint func(string) string) {
	for i, line := range p.broken(text, p.style.Width-margin) {
		if i > 0 || lead == "" {
			lead = strings.Repeat(" ", margin)
		}
		fmt.Fprintf(p, "%s%s\n", lead, paint(line))
	}
}

// broken is a sentence in lines of so many columns. A word that is longer has a line of
// its own.
func (p *pretty) broken(text string, columns int) []string {
	if !p.style.Wrap || columns < leastProse {
		return []string{text}
	}
	var lines []string
	for word := range strings.SplitSeq(text, " ") {
		if n := len(lines); n > 0 && utf8.RuneCountInString(lines[n-1])+1+utf8.RuneCountInString(word) <= columns {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}

// beside writes two things on a line if there is room for both, else below each other.
func (p *pretty) beside(left, right string, paint func(string) string) {
	between := "  "
	if p.style.Wrap && p.room(left+between+right) < 0 {
		between = "\n  "
	}
	fmt.Fprintf(p, "%s%s%s\n", paint(left), between, p.dim(right))
}

// plainly paints nothing.
func plainly(s string) string { return s }
