package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// draft is a smaller scenario while it is looked for: what is sent and done, and
// against what. It is changed by making another one.
type draft struct {
	rules []any  // of the in-process target, each in its own order; nil: of policy
	other []byte // blocks of the suite that are copied as they stand: a target by URL
	acts  []sending
	by    layout
	seed  *uint64
	start time.Time // zero: any
}

// layout says how the acts follow each other.
type layout int

// The layouts, the simplest last: each act at its instant in a branch of its own;
// those that do not overlap in one list; all in one list, each when the one before
// it has ended.
const (
	branches layout = iota
	chains
	sequence
)

// with is the draft with other acts.
func (d *draft) with(acts []sending) *draft {
	other := *d
	other.acts = acts
	return &other
}

// edited is the draft with each request changed by a function, on a copy.
func (d *draft) edited(edit func(*sending)) *draft {
	acts := slices.Clone(d.acts)
	for i := range acts {
		if acts[i].Request != nil {
			acts[i].Request, _ = deep(map[string]any(acts[i].Request)).(map[string]any)
			edit(&acts[i])
		}
	}
	return d.with(acts)
}

func deep(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[name] = deep(item)
		}
		return out
	case words:
		return deep(map[string]any(v))
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = deep(item)
		}
		return out
	}
	return v
}

// rounded moves every instant to a whole multiple, and the first one to the start.
func (d *draft) rounded(unit time.Duration) *draft {
	acts := slices.Clone(d.acts)
	for i := range acts {
		acts[i].At = (acts[i].At - d.acts[0].At).Round(unit)
		acts[i].Ended = max(acts[i].At, (acts[i].Ended - d.acts[0].At).Round(unit))
	}
	return d.with(acts)
}

// together lets everything begin at once.
func (d *draft) together() *draft {
	acts := slices.Clone(d.acts)
	for i := range acts {
		acts[i].Ended, acts[i].At = max(0, acts[i].Ended-acts[i].At), 0
	}
	return d.with(acts)
}

// laid is the draft in another layout.
func (d *draft) laid(by layout) *draft {
	other := *d
	other.by = by
	return &other
}

// withoutRule is the draft without one of its rules.
func (d *draft) withoutRule(i int) *draft {
	other := *d
	other.rules = slices.Delete(slices.Clone(d.rules), i, i+1)
	return &other
}

// withoutMatch is the draft in which one of its rules binds every request.
func (d *draft) withoutMatch(i int) *draft {
	other := *d
	other.rules = slices.Clone(d.rules)
	if rule, ok := d.rules[i].(yaml.MapSlice); ok {
		other.rules[i] = slices.DeleteFunc(slices.Clone(rule), func(item yaml.MapItem) bool { return item.Key == "match" })
	}
	return &other
}

// field is a place in a request: a field, or a field of a field.
type field struct{ name, sub string }

// essential fields make a request what it is.
var essential = []field{
	{"path", ""},
	{"json", ""},
	{"body", ""},
	{"plan", ""},
	{"headers", ""},
	{"query", ""},
	{"plan", "usage"},
	{"json", "model"},
	{"json", "messages"},
	{"json", "input"},
	{"json", "prompt"},
	{"json", "contents"},
	{"json", "max_tokens"},
}

// fields lists the places at which requests have anything, in order.
func (d *draft) fields() []field {
	seen := map[field]bool{}
	for _, a := range d.acts {
		for name, value := range a.Request {
			seen[field{name, ""}] = true
			if object, ok := value.(map[string]any); ok {
				for sub := range object {
					seen[field{name, sub}] = true
				}
			}
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b field) int {
		return strings.Compare(a.name+"\x00"+a.sub, b.name+"\x00"+b.sub)
	})
}

func (f field) of(request words) (any, bool) {
	value, ok := request[f.name]
	if f.sub == "" || !ok {
		return value, ok
	}
	object, _ := value.(map[string]any)
	value, ok = object[f.sub]
	return value, ok
}

func (f field) set(request words, value any) {
	if f.sub == "" {
		request[f.name] = value
		return
	}
	object, ok := request[f.name].(map[string]any)
	if !ok {
		object = map[string]any{}
		request[f.name] = object
	}
	object[f.sub] = value
}

func (f field) remove(request words) {
	if f.sub == "" {
		delete(request, f.name)
		return
	}
	object, ok := request[f.name].(map[string]any)
	if delete(object, f.sub); ok && len(object) == 0 {
		delete(request, f.name)
	}
}

// without is the draft whose requests do not say something.
func (d *draft) without(f field) *draft {
	return d.edited(func(s *sending) { f.remove(s.Request) })
}

// alike is the draft whose requests all say the same as most of them do; nil if they
// do already.
func (d *draft) alike(f field) *draft {
	var values []any
	var counts []int
	absent := 0
	for _, a := range d.acts {
		if a.Request == nil {
			continue
		}
		value, ok := f.of(a.Request)
		if !ok {
			absent++
			continue
		}
		i := slices.IndexFunc(values, func(v any) bool { return same(v, value) })
		if i < 0 {
			i, values, counts = len(values), append(values, value), append(counts, 0)
		}
		counts[i]++
	}
	if len(values) == 0 || len(values) == 1 && absent == 0 {
		return nil
	}
	most := values[slices.Index(counts, slices.Max(counts))]
	return d.edited(func(s *sending) { f.set(s.Request, deep(most)) })
}

// renamed is the draft whose requests say a, b, c where they said longer words; nil
// if they say none.
func (d *draft) renamed(f field) *draft {
	var names []string
	for _, a := range d.acts {
		if text, ok := f.text(a.Request); ok && len(text) > 2 && !slices.Contains(names, text) {
			names = append(names, text)
		}
	}
	if len(names) == 0 || len(names) > 26 {
		return nil
	}
	return d.edited(func(s *sending) {
		if text, ok := f.text(s.Request); ok {
			if i := slices.Index(names, text); i >= 0 {
				f.set(s.Request, string(rune('a'+i)))
			}
		}
	})
}

func (f field) text(request words) (string, bool) {
	value, _ := f.of(request)
	text, ok := value.(string)
	return text, ok
}

// anew is the draft whose clients are others in every run: what names the run names
// whichever it is, and so do the identities that the requests bring.
func (d *draft) anew(run, header string) *draft {
	fresh := func(f field, s *sending, always bool) {
		text, ok := f.text(s.Request)
		if !ok {
			return
		}
		named := strings.ReplaceAll(text, run, "${run.id}")
		if named == text && always {
			named += "-${run.id}"
		}
		f.set(s.Request, named)
	}
	return d.edited(func(s *sending) {
		fresh(field{"key", ""}, s, true)
		headers, _ := s.Request["headers"].(map[string]any)
		for _, name := range slices.Collect(maps.Keys(headers)) {
			fresh(field{"headers", name}, s, strings.EqualFold(name, header))
		}
	})
}

// staying is the draft whose clients wait for the end.
func (d *draft) staying() *draft {
	acts := slices.Clone(d.acts)
	for i := range acts {
		acts[i].Cancel = nil
	}
	return d.with(acts)
}

// defaultStart is where a scenario begins that says nothing.
var defaultStart = time.Date(2030, time.January, 2, 12, 0, 0, 0, time.UTC)

// steps are the acts, in the draft's layout. What all requests share is left out.
func (d *draft) steps(shared words) []any {
	var lists []*branch
	for _, a := range d.acts {
		i := slices.IndexFunc(lists, func(b *branch) bool { return d.by == sequence || d.by == chains && b.ended < a.At })
		if i < 0 {
			i, lists = len(lists), append(lists, &branch{})
		}
		b := lists[i]
		if wait := a.At - b.ended; wait > 0 && d.by != sequence {
			b.add(object{{"wait", object{{"for", suite.FormatDuration(wait)}}}})
		}
		b.add(a.step(shared))
		b.ended = max(a.Ended, a.At)
	}
	if len(lists) == 1 {
		return lists[0].steps
	}
	all := make([]any, 0, len(lists))
	for _, b := range lists {
		all = append(all, b.steps)
	}
	return []any{object{{"parallel", all}}}
}

// branch is a list of steps that is being written.
type branch struct {
	steps []any
	last  object // the last step, as it is without its repetitions
	times int
	ended time.Duration
}

// add appends a step, or lets the last one be repeated.
func (b *branch) add(step object) {
	if b.times > 0 && same(b.last, step) && step[0].name == "send" {
		b.times++
		b.steps[len(b.steps)-1] = append(slices.Clip(step), pair{"repeat", b.times})
		return
	}
	b.steps, b.last, b.times = append(b.steps, step), step, 1
}

// step is one act in the words of a suite.
func (s *sending) step(shared words) object {
	if s.Request == nil {
		return ordered(s.Step)
	}
	request := maps.Clone(s.Request)
	maps.DeleteFunc(request, func(name string, _ any) bool { _, ok := shared[name]; return ok })
	step := object{{"send", ordered(request)}}
	if s.Cancel != nil {
		step = append(step, pair{"cancel", ordered(s.Cancel)})
	}
	return step
}

// shared holds the fields that are the same in every request. Fields that merge are
// shared as a whole or not at all.
func (d *draft) shared() words {
	var all words
	for _, a := range d.acts {
		switch {
		case a.Request == nil:
		case all == nil:
			all = maps.Clone(a.Request)
		default:
			maps.DeleteFunc(all, func(name string, value any) bool { return !same(value, a.Request[name]) })
		}
	}
	return all
}

// reads tells whether an act refers to a file.
func (d *draft) reads() bool {
	return slices.ContainsFunc(d.acts, func(s sending) bool {
		reload, _ := s.Step["reload"].(map[string]any)
		return reload["policy"] != nil
	})
}

// blocks copies blocks of the suite as they stand there, names of the environment
// and all.
func (s *PlannedSuite) blocks(names ...string) ([]byte, error) {
	file, err := parser.ParseBytes(s.source.Data, 0)
	if err != nil || len(file.Docs) != 1 {
		return nil, fmt.Errorf("copying blocks of %s: %w", s.source.Name, err)
	}
	var out []byte
	top, _ := file.Docs[0].Body.(*ast.MappingNode)
	for _, name := range names {
		if top == nil || name != "vars" && name != "backend" && s.options.Target != nil { // --target-file says it
			continue
		}
		for _, v := range top.Values {
			if v.Key.String() == name {
				out = append(out, v.String()+"\n"...)
			}
		}
	}
	return out, nil
}
