package scenarios

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// object is a YAML mapping in the order in which it is written.
type object []pair

type pair struct {
	name  string
	value any
}

// usual is the order in which people write the fields of a suite; others follow,
// sorted.
var usual = []string{
	"send", "name", "method", "path", "headers", "query", "key", "limit_keys", "match", "algorithm", "algorithm_config", "tokens_per_minute", "tokens_per_day", "tokens_per_second", "model", "max_tokens", "stream",
	"messages", "role", "content", "in", "out", "mock", "target", "json", "body", "framing", "plan", "usage", "timing", "ttft", "itl", "on",
}

// ordered is a map as people would write it.
func ordered(m map[string]any) object {
	place := func(name string) int {
		if i := slices.Index(usual, name); i >= 0 {
			return i
		}
		return len(usual)
	}
	out := make(object, 0, len(m))
	for name, value := range m {
		out = append(out, pair{name, value})
	}
	slices.SortFunc(out, func(a, b pair) int {
		if x, y := place(a.name), place(b.name); x != y {
			return x - y
		}
		return strings.Compare(a.name, b.name)
	})
	return out
}

// opened are the fields whose value begins on a line of its own, however short.
var opened = []string{"target", "serve", "rules", "defaults", "request", "scenarios", "steps", "parallel"}

// lineLength is how long a value may be that stands on one line.
const lineLength = 120

// writeYAML writes a document as people write it: what fits on a line stands on it.
func writeYAML(doc object) string {
	var b strings.Builder
	writeObject(&b, doc, 0)
	return b.String()
}

// writeObject writes fields from where the line is.
func writeObject(b *strings.Builder, o object, indent int) {
	for i, p := range o {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", indent))
		}
		b.WriteString(flow(p.name) + ":")
		line, value := flow(p.short()), plain(p.value)
		fields, isObject := value.(object)
		items, isList := value.([]any)
		open := slices.Contains(opened, p.name) || indent+len(p.name)+len(line) > lineLength
		switch {
		case open && isObject && len(fields) > 0:
			b.WriteString("\n" + strings.Repeat(" ", indent+2))
			writeObject(b, fields, indent+2)
		case open && isList && len(items) > 0:
			b.WriteString("\n" + strings.Repeat(" ", indent+2))
			writeList(b, items, indent+2)
		default:
			b.WriteString(" " + line + "\n")
		}
	}
}

// writeList writes items from where the line is.
func writeList(b *strings.Builder, list []any, indent int) {
	for i, item := range list {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", indent))
		}
		b.WriteString("- ")
		line := flow(item)
		switch v := plain(item).(type) {
		case object:
			writeObject(b, v, indent+2)
		case []any:
			if indent+len(line) > lineLength {
				writeList(b, v, indent+2)
				continue
			}
			b.WriteString(line + "\n")
		default:
			b.WriteString(line + "\n")
		}
	}
}

// short is the value as it is written: a usage of two numbers has a form of its own.
func (p pair) short() any {
	usage, ok := plain(p.value).(object)
	if ok && p.name == "usage" && len(usage) == 2 && usage[0].name == "in" && usage[1].name == "out" {
		return fmt.Sprintf("%v/%v", usage[0].value, usage[1].value)
	}
	return p.value
}

// plain is a value as one of object, []any or a scalar.
func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		return ordered(v)
	case words:
		return ordered(v)
	case yaml.MapSlice:
		out := make(object, len(v))
		for i, item := range v {
			out[i] = pair{fmt.Sprint(item.Key), item.Value}
		}
		return out
	case []int:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = item
		}
		return out
	}
	return value
}

// flow is a value on one line.
func flow(value any) string {
	switch v := plain(value).(type) {
	case object:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = flow(p.name) + ": " + flow(p.short())
		}
		return braced("{", parts, "}")
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = flow(item)
		}
		return braced("[", parts, "]")
	case string:
		return scalar(v)
	case json.Number:
		return v.String()
	default:
		text, err := yaml.MarshalWithOptions(v, yaml.UseJSONMarshaler())
		if err != nil {
			return scalar(fmt.Sprint(v))
		}
		return strings.TrimSpace(string(text))
	}
}

// bare text needs no quotes, wherever it stands.
var bare = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$|^[0-9.]+(ns|µs|ms|s|m|h)$|^[0-9]+/[0-9]+$`)

func scalar(text string) string {
	var back any
	if bare.MatchString(text) && yaml.Unmarshal([]byte(text), &back) == nil && back == any(text) {
		return text
	}
	quoted, err := json.Marshal(text) // YAML reads JSON
	if err != nil {
		return fmt.Sprintf("%q", text)
	}
	return string(quoted)
}

func braced(open string, parts []string, shut string) string {
	if len(parts) == 0 {
		return open + shut
	}
	return open + " " + strings.Join(parts, ", ") + " " + shut
}
