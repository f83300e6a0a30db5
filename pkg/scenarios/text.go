package scenarios

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// masker hides secrets in whatever will be shown. Very short values are not
// secrets worth the damage that replacing them would do.
func masker(secrets []string) func(string) string {
	var pairs []string
	longestFirst := slices.Clone(secrets)
	slices.SortFunc(longestFirst, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, secret := range longestFirst {
		if len(secret) >= 4 {
			pairs = append(pairs, secret, "***")
		}
	}
	if pairs == nil {
		return func(text string) string { return text }
	}
	return strings.NewReplacer(pairs...).Replace
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// shorten keeps the beginning of a text for a report.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

// excerpt is the YAML of a step: its first line and those that are indented more.
func excerpt(source []byte, line, column int) string {
	lines := strings.Split(string(source), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	end := line
	for end < len(lines) && end-line < 20 {
		text := strings.TrimLeft(lines[end], " ")
		if text != "" && len(lines[end])-len(text) < column-1 {
			break
		}
		end++
	}
	return strings.TrimRight(strings.Join(lines[line-1:end], "\n"), "\n ")
}
