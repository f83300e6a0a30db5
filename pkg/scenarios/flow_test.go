package scenarios

import (
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// What is written short is read as it was meant, whatever the texts look like.
func TestWriteYAML(t *testing.T) {
	t.Parallel()
	texts := []any{}
	for _, text := range []string{
		"", "a", "yes", "no", "null", "~", "true", "1", "1e3", "0x1f", "1.5", "20ms", "6/90", "a: b", "a #b", "- x", "[x", "{x", "a,b", "two\nlines", "é",
		" lead", "trail ", "${run.id}", "\"q\"", "'q'", "&a", "*a", "!t", "%d", "@x", "`x", "2030-01-02", "a:b", "?", "|", ">", "/v1/x", "12:30:45", "\t", "\u2028",
	} {
		texts = append(texts, text)
	}
	long := strings.Repeat("word ", 40) + "end"
	value := map[string]any{
		"target": map[string]any{"serve": map[string]any{"rules": []any{map[string]any{"name": "a", "deep": []any{[]any{long, long}, []any{}}}}}},
		"texts":  texts, "empty": map[string]any{}, "none": nil, "on": true, "n": uint64(7), "f": 1.5, "a: b": "key",
		"steps": []any{
			map[string]any{"send": map[string]any{"plan": map[string]any{"usage": map[string]any{"in": uint64(6), "out": uint64(90), "total": uint64(96)}}}, "repeat": uint64(2)},
			map[string]any{"parallel": []any{[]any{map[string]any{"send": map[string]any{"body": long}}}, []any{map[string]any{"release": map[string]any{}}}}},
		},
	}
	text := writeYAML(ordered(value))
	var back map[string]any
	if err := yaml.Unmarshal([]byte(text), &back); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !reflect.DeepEqual(value, back) {
		t.Errorf("wrote\n%s\nread  %#v\nwant  %#v", text, back, value)
	}
	if got := flow(map[string]any{"usage": map[string]any{"out": 90, "in": 6}}); got != "{ usage: 6/90 }" {
		t.Errorf("a usage is written %s", got)
	}
}
