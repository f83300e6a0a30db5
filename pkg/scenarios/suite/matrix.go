package suite

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxCells bounds a matrix: more is a mistake, not a test.
const maxCells = 4096

// coordinate is one value of one axis.
type coordinate struct {
	axis  string
	label string
	value any
}

// choices are all combinations, the first axis varying slowest. Without axes
// there is one, empty.
func (m Matrix) choices() [][]coordinate {
	out := [][]coordinate{nil}
	for _, axis := range m {
		labels := axis.labels()
		var next [][]coordinate
		for _, before := range out {
			for i, value := range axis.Values {
				choice := append(slices.Clip(before), coordinate{axis: axis.Name, label: labels[i], value: value})
				next = append(next, choice)
			}
			if len(next) > maxCells {
				break
			}
		}
		out = next
	}
	return out
}

// maxLabel is the length from which a label gives way to a number.
const maxLabel = 40

// labels are short, stable names of an axis's values, each of them once.
func (a Axis) labels() []string {
	labels := make([]string, len(a.Values))
	count := map[string]int{}
	for i, value := range a.Values {
		labels[i] = label(value)
		if len(labels[i]) > maxLabel {
			labels[i] = fmt.Sprintf("%d", i+1)
		}
		count[labels[i]]++
	}
	for i := range labels {
		if count[labels[i]] > 1 {
			labels[i] = fmt.Sprintf("%s.%d", labels[i], i+1)
		}
	}
	return labels
}

var unfit = regexp.MustCompile(`[^A-Za-z0-9._:+!/-]+`)

// label names a value by its own name, {name: cached, plan: …} is "cached", else by what
// is set in it: {stream: true} is "stream", {stream: true, n: 2} is "n:2+stream", {} is
// "none".
func label(value any) string {
	var words []string
	switch v := value.(type) {
	case map[string]any:
		if name, ok := plain(v["name"]).(string); ok && name != "" {
			return unfit.ReplaceAllString(name, "_")
		}
		for _, key := range sortedKeys(v) {
			words = append(words, keyLabel(key, v[key]))
		}
	case []any:
		for _, item := range v {
			words = append(words, label(item))
		}
	case nil:
		return "null"
	default:
		words = []string{unfit.ReplaceAllString(asText(plain(v)), "_")}
	}
	if text := strings.Join(words, "+"); text != "" {
		return text
	}
	return "none"
}

func keyLabel(key string, value any) string {
	key = unfit.ReplaceAllString(key, "_")
	switch v := value.(type) {
	case bool:
		if v {
			return key
		}
		return "!" + key
	case map[string]any:
		if len(v) > 0 {
			return label(v)
		}
	case nil:
		return "!" + key
	}
	return key + ":" + label(value)
}

// cellID is the scenario's id with the choice: metric[delivery=chunked].
func cellID(scenario string, labels []Label) string {
	if len(labels) == 0 {
		return scenario
	}
	parts := make([]string, len(labels))
	for i, l := range labels {
		parts[i] = l.Axis + "=" + l.Value
	}
	return scenario + "[" + strings.Join(parts, ",") + "]"
}
