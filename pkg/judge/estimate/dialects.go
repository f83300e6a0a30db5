package estimate

import "strings"

// tally adds up what a prompt consists of.
type tally struct {
	bytes    int64 // of text
	units    int64 // tokens that are counted as such
	messages int64
	others   int64 // parts that are not known to be text
	prompts  int64 // prompts of a completion
}

// tokens is P.
func (t *tally) tokens() int64 {
	p := Plus((t.bytes+3)/4, t.units)
	return Plus(p, Plus(Times(t.messages, perMessage), Times(t.others, otherPart)))
}

// dialect reads the prompt of one family of endpoints.
type dialect struct {
	name     string
	suffixes []string // of the path
	within   string   // what stands somewhere before the suffix, too
	prompt   func(*tally, *value)
	noOutput bool
}

// dialects, the first match wins: chat completions end in "completions" too.
var dialects = []dialect{
	{name: "chat", suffixes: []string{"/chat/completions", "/v2/chat"}, prompt: chat},
	{name: "responses", suffixes: []string{"/responses"}, prompt: responses},
	{name: "completions", suffixes: []string{"/completions"}, prompt: completions},
	{name: "embeddings", suffixes: []string{"/embeddings"}, prompt: embeddings, noOutput: true},
	{name: "anthropic", suffixes: []string{"/v1/messages"}, prompt: anthropic},
	{name: "gemini", suffixes: []string{":generateContent", ":streamGenerateContent"}, within: "/models/", prompt: gemini},
	{name: "bedrock", suffixes: []string{"/converse", "/converse-stream"}, within: "/model/", prompt: bedrock},
	{name: "invoke", suffixes: []string{"/invoke", "/invoke-with-response-stream"}, within: "/model/", prompt: invoke},
}

func dialectOf(path string) *dialect {
	path = strings.TrimRight(path, "/")
	for i := range dialects {
		for _, s := range dialects[i].suffixes {
			if strings.HasSuffix(path, s) && strings.Contains(path, dialects[i].within) {
				return &dialects[i]
			}
		}
	}
	return nil
}

func (t *tally) text(v *value) {
	if v != nil && v.kind == text {
		t.bytes += int64(len(v.text))
	}
}

// size counts a value as sent, without insignificant white space; null is absent.
func (t *tally) size(v *value) {
	if v != nil && string(v.raw) != "null" {
		t.bytes += int64(len(v.raw))
	}
}

// list is the elements of an array.
func list(v *value) []*value {
	if v == nil || v.kind != array {
		return nil
	}
	return v.items
}

// parts is the elements of an array, or the one part that stands without a list.
func parts(v *value) []*value {
	if v != nil && v.kind == object {
		return []*value{v}
	}
	return list(v)
}

// content is a string, or parts that carry one of the given texts.
func (t *tally) content(v *value, keys ...string) {
	t.text(v)
	for _, part := range parts(v) {
		if !t.part(part, keys...) {
			t.others++
		}
	}
}

// part counts a part's texts, and reports whether it had any.
func (t *tally) part(p *value, keys ...string) bool {
	if p.kind == text {
		t.text(p)
		return true
	}
	found := false
	for _, k := range keys {
		if s := p.last(k); s != nil && s.kind == text {
			t.text(s)
			found = true
		}
	}
	return found
}

func chat(t *tally, root *value) {
	call := func(f *value) {
		t.text(f.last("name"))
		t.text(f.last("arguments"))
	}
	for _, m := range list(root.last("messages")) {
		t.messages++
		t.content(m.last("content"), "text", "refusal")
		for _, c := range list(m.last("tool_calls")) {
			call(c.last("function"))
		}
		call(m.last("function_call"))
	}
}

func responses(t *tally, root *value) {
	if s := root.last("instructions"); s != nil && s.kind == text {
		t.text(s)
		t.messages++
	}
	in := root.last("input")
	t.text(in) // a bare string is no item
	for _, item := range list(in) {
		t.messages++
		t.content(item.last("content"), "text", "refusal")
		t.text(item.last("arguments"))
		t.content(item.last("output"), "text", "refusal")
	}
}

func completions(t *tally, root *value) { t.prompts = t.strings(root.last("prompt")) }

func embeddings(t *tally, root *value) { t.strings(root.last("input")) }

// strings counts a string, a list of strings, a list of tokens or a list of
// lists of tokens, and gives the number of prompts.
func (t *tally) strings(v *value) int64 {
	t.text(v)
	n, tokens := int64(0), false
	for _, item := range list(v) {
		switch item.kind {
		case number:
			t.units++
			tokens = true
		case array:
			t.units += int64(len(item.items))
			n++
		case text, object, literal:
			t.text(item)
			n++
		}
	}
	if tokens {
		n++
	}
	return n
}

// invoke is the body of any model: Anthropic's, or a prompt and nothing else.
func invoke(t *tally, root *value) {
	anthropic(t, root)
	t.text(root.last("prompt"))
	t.text(root.last("inputText"))
}

func anthropic(t *tally, root *value) {
	if s := root.last("system"); s != nil && (s.kind == text || s.kind == array) {
		t.messages++
		t.blocks(s)
	}
	for _, m := range list(root.last("messages")) {
		t.messages++
		t.blocks(m.last("content"))
	}
}

// blocks counts Anthropic content; the results of tools hold blocks in turn.
func (t *tally) blocks(v *value) {
	t.text(v)
	for _, b := range parts(v) {
		switch kindOf(b) {
		case "tool_use":
			t.size(b.last("input"))
		case "tool_result":
			t.blocks(b.last("content"))
		default:
			if !t.part(b, "text", "thinking") {
				t.others++
			}
		}
	}
}

func kindOf(v *value) string {
	if k := v.last("type"); k != nil {
		return k.text
	}
	return ""
}

func gemini(t *tally, root *value) {
	calls := []string{"functionCall", "functionResponse", "function_call", "function_response"}
	for _, key := range []string{"systemInstruction", "system_instruction"} {
		if s := root.last(key); s != nil && s.kind == object {
			t.messages++
			t.parts(s.last("parts"), calls...)
		}
	}
	for _, c := range parts(root.last("contents")) {
		t.messages++
		t.parts(c.last("parts"), calls...)
	}
}

func bedrock(t *tally, root *value) {
	if s := root.last("system"); s != nil && (s.kind == text || s.kind == array) {
		t.messages++
		t.parts(s, "toolUse", "toolResult")
	}
	for _, m := range list(root.last("messages")) {
		t.messages++
		t.parts(m.last("content"), "toolUse", "toolResult")
	}
}

// parts counts text, and calls and results of functions by their size.
func (t *tally) parts(v *value, calls ...string) {
	t.text(v)
	for _, p := range parts(v) {
		known := t.part(p, "text")
		for _, k := range calls {
			if c := p.last(k); c != nil {
				t.size(c)
				known = true
			}
		}
		if !known {
			t.others++
		}
	}
}

// schemas counts what every dialect may carry beside the messages.
func (t *tally) schemas(root *value) {
	t.size(root.last("tools"))
	t.size(root.last("functions"))
	t.size(root.last("response_format").last("json_schema"))
	t.size(root.last("text").last("format"))
	t.size(root.last("toolConfig"))
}
