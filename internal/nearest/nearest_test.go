package nearest

import (
	"strings"
	"testing"
)

func TestWord(t *testing.T) {
	known := []string{"tokens_per_minute", "burst", "no-refund", "Retry-After", "in", "Länge"}
	for _, tt := range []struct{ word, want, why string }{
		{"tokens_per_minut", "tokens_per_minute", "a character is missing"},
		{"burrst", "burst", "one too many"},
		{"bursd", "burst", "another one"},
		{"brust", "burst", "neighbours are swapped, which is one edit"},
		{"no_refund", "no-refund", "another sign"},
		{"retry-after", "Retry-After", "case does not matter, and the known word is given as it is"},
		{"lange", "Länge", "characters count, not bytes"},
		{"burst", "burst", "the word itself"},
		{"capacity", "", "another word"},
		{"xy", "", "nothing of the candidate would be left"},
		{"", "", "nothing was written"},
		{strings.Repeat("burst", 20), "", "a text is no slip of a word"},
	} {
		if got := Word(tt.word, known); got != tt.want {
			t.Errorf("Word(%q) = %q, want %q: %s", tt.word, got, tt.want, tt.why)
		}
	}
	if got := Word("bursx", []string{"bursa", "burst"}); got != "bursa" {
		t.Errorf("of two equally near words the first is expected, got %q", got)
	}
	if got := Word("burst", nil); got != "" {
		t.Errorf("no word is known, got %q", got)
	}
}

func TestEdits(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "acb", 1},
		{"ca", "abc", 3}, // alignment does not edit what it has swapped
		{"kitten", "sitting", 3},
	} {
		if got := edits([]rune(tt.a), []rune(tt.b)); got != tt.want {
			t.Errorf("edits(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
