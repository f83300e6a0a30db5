package suite

import (
	"regexp"
	"strings"
	"unicode"
)

// rewriting is an expression with its duration literals written as calls, and
// the way back from a rune of the new text to a rune of the old one.
type rewriting struct {
	text string
	back []int // one entry per rune of text, and one for its end
}

// origin maps a place of the rewritten text to the text as written.
func (r rewriting) origin(at int) int {
	if at < 0 || len(r.back) == 0 {
		return 0
	}
	return r.back[min(at, len(r.back)-1)]
}

// rewriteDurations turns 5ms into duration("5ms"), outside of strings,
// comments and names, and remembers where each rune came from.
func rewriteDurations(source string) rewriting {
	runes := []rune(source)
	var out []rune
	var back []int
	emit := func(text string, from int, moving bool) {
		for i, r := range []rune(text) {
			out = append(out, r)
			if moving {
				back = append(back, from+i)
			} else {
				back = append(back, from)
			}
		}
	}
	for i := 0; i < len(runes); {
		end, literal := tokenEnd(runes, i)
		text := string(runes[i:end])
		if literal {
			emit(`duration("`, i, false)
			emit(text, i, true)
			emit(`")`, end-1, false)
		} else {
			emit(text, i, true)
		}
		i = end
	}
	return rewriting{text: string(out), back: append(back, len(runes))}
}

// tokenEnd finds the end of the string, comment, word or number at i, or of the
// single rune there, and tells whether it is a duration literal.
func tokenEnd(runes []rune, i int) (end int, duration bool) {
	switch r := runes[i]; {
	case r == '"' || r == '\'' || r == '`':
		for end = i + 1; end < len(runes); end++ {
			if runes[end] == '\\' && r != '`' {
				end++
				continue
			}
			if runes[end] == r {
				return end + 1, false
			}
		}
		return len(runes), false
	case r == '/' && i+1 < len(runes) && runes[i+1] == '*':
		if at := strings.Index(string(runes[i:]), "*/"); at >= 0 {
			return i + len([]rune(string(runes[i:])[:at])) + 2, false
		}
		return len(runes), false
	case isWord(r):
		for end = i; end < len(runes) && (isWord(runes[end]) || fraction(runes, i, end)); end++ {
		}
		return end, durationPattern.MatchString(string(runes[i:end]))
	}
	return i + 1, false
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '$' }

// fraction tells whether the dot at i belongs to the number that began at start.
func fraction(runes []rune, start, i int) bool {
	return runes[i] == '.' && unicode.IsDigit(runes[start]) && i+1 < len(runes) && unicode.IsDigit(runes[i+1])
}

var durationCall = regexp.MustCompile(`duration\("([^"]*)"\)`)

// restoreDurations writes literals as the author did.
func restoreDurations(text string) string { return durationCall.ReplaceAllString(text, "$1") }
