// Package nearest finds the known word that an unknown one is most likely a slip of, for
// messages about bad input. It is the one thing of the sort that both the judge and the
// judged may use: no verdict depends on it.
package nearest

import (
	"strings"
	"unicode/utf8"
)

// longest is the length in characters beyond which a text is no slip of a word.
const longest = 64

// Word returns the known word with the fewest edits to word, the first of several, or ""
// if none is near. Case does not matter. An edit inserts, deletes or replaces a character,
// or swaps two neighbours (optimal string alignment).
func Word(word string, known []string) string {
	length := utf8.RuneCountInString(word)
	if length > longest {
		return ""
	}
	best, fewest := "", max(2, length/3)+1
	lower := []rune(strings.ToLower(word))
	for _, k := range known {
		candidate := []rune(strings.ToLower(k))
		if d := edits(lower, candidate); d < fewest && d < len(candidate) {
			best, fewest = k, d
		}
	}
	return best
}

// edits counts the edits from a to b, row by row of the usual table.
func edits(a, b []rune) int {
	var before []int // the row before the last, for swaps
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range b {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
