package mockllm

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The control channels, in resolution order. The first that names a plan decides; all that carried something are noted.
const (
	channelHeader  = "header"
	channelMarker  = "marker"
	channelModel   = "model"
	channelPath    = "path"
	channelKey     = "key"
	channelQueue   = "queue"
	channelDefault = "default"
)

// The headers of the first channel. The second is for gateways that forward x-pass-* and strip the prefix on the way, and
// some do not strip it.
const (
	headerControl = "X-Llmlimit-Mock"
	headerPass    = "X-Pass-X-Llmlimit-Mock" //nolint:gosec // a header name, no credential
)

// Delimiters of the prompt marker. What lies between has no character that JSON, HTML or a URL would escape.
const (
	markerOpen  = "[[llmlimit "
	markerClose = "]]"
	markerMax   = 256 // a longer one is text
)

// order is what a request asked of the mock: the fields of an inline plan, the name of a plan, or only an id.
type order struct {
	id     string
	name   string // of a plan
	inline Plan
	given  bool // inline holds something
}

// choice is the outcome of resolving all channels.
type choice struct {
	plan       Plan // not yet drawn
	name       string
	id         string
	channel    string
	channels   []string
	queue      string
	queueIndex int
	stored     bool   // the plan is what the mock has under name, and there is no id: the request added nothing of its own
	version    uint64 // of the stored plans
	problem    error  // a channel named what does not exist, or did not parse: the caller's mistake, told with a 400
}

// short are the abbreviations of the inline form.
var short = map[string]string{
	"u": "usage", "f": "fault", "s": "http.status", "status": "http.status", "c": "content.chunks", "chunks": "content.chunks",
	"ttft": "timing.ttft", "itl": "timing.itl", "text": "content.text", "h": "hold", "p": "plan",
}

// parseInline reads "id=r7;usage=1200/300;fault=reset@3", with semicolons or spaces between; a word without = is an id.
// Keys are the plan's field names with dots ("http.status=500"), or abbreviations. The result is a tree for the plan reader.
func parseInline(text string) (map[string]any, error) {
	tree := map[string]any{}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ' ' }) {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			key, value = "id", word
		}
		if long, ok := short[key]; ok {
			key = long
		}
		at := tree
		path := strings.Split(key, ".")
		for _, name := range path[:len(path)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
		at[path[len(path)-1]] = inlineValue(value)
	}
	if len(tree) == 0 {
		return nil, errors.New("empty, expected fields such as usage=1200/300")
	}
	return tree, nil
}

func inlineValue(s string) any {
	switch s {
	case "true":
		return true
	case "false":
		return false
	default:
		return number(s)
	}
}

// readOrder parses what the header and the marker carry.
func readOrder(text string) (order, error) {
	tree, err := parseInline(text)
	if err != nil {
		return order{}, err
	}
	var o order
	o.id, _ = scalarText(tree["id"])
	o.name, _ = scalarText(tree["plan"])
	delete(tree, "plan")
	o.given = len(tree) > 1 || len(tree) == 1 && o.id == ""
	o.inline, err = PlanFromValue(tree)
	return o, err
}

// marker returns what the last prompt marker in the raw body says, "" if there is none. The body is not parsed, so that it
// works in every dialect; the last one wins, because a conversation repeats earlier ones.
func marker(body string) string {
	for end := len(body); ; {
		start := strings.LastIndex(body[:end], markerOpen)
		if start < 0 {
			return ""
		}
		rest := body[start+len(markerOpen):]
		rest = rest[:min(len(rest), markerMax)]
		if n := strings.Index(rest, markerClose); n > 0 && plainMarker(rest[:n]) {
			return strings.Clone(rest[:n]) // it is kept for longer than the body
		}
		end = start
	}
}

func plainMarker(text string) bool {
	for i := range len(text) {
		c := text[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("=/.@:,_- ", c) < 0 {
			return false
		}
	}
	return true
}

// modelOrder reads a plan from a model name: an exact plan name, mock/NAME, or a suffix --u1200x300--reset3.
func modelOrder(model string, known func(string) bool) (order, bool) {
	name, isMock := strings.CutPrefix(model, "mock/")
	if known(name) {
		return order{name: name}, true
	}
	head, tail, ok := strings.Cut(name, "--")
	if !ok {
		return order{name: name}, isMock
	}
	tree := map[string]any{}
	for part := range strings.SplitSeq(tail, "--") {
		kind := strings.TrimRight(part, "0123456789")
		count := part[len(kind):]
		switch {
		case len(part) > 1 && part[0] == 'u' && '0' <= part[1] && part[1] <= '9':
			tree["usage"] = part[1:]
		case len(part) == 4 && part[0] == 's' && kind == "s":
			tree["http"] = map[string]any{"status": number(count)}
		case count != "":
			tree["fault"] = strings.ReplaceAll(kind, "-", "_") + "@" + count
		default:
			tree["fault"] = strings.ReplaceAll(kind, "-", "_")
		}
	}
	inline, err := PlanFromValue(tree)
	if err != nil {
		return order{}, false // a real model's name with two hyphens
	}
	o := order{inline: inline, given: true}
	if known(head) {
		o.name = head
	}
	return o, true
}

// splitPrefix takes /p/NAME or /q/NAME off the path.
func splitPrefix(path string) (plan, queue, rest string) {
	if len(path) < 4 || path[0] != '/' || path[2] != '/' || (path[1] != 'p' && path[1] != 'q') {
		return "", "", path
	}
	name, tail, _ := strings.Cut(path[3:], "/")
	if path[1] == 'p' {
		return name, "", "/" + tail
	}
	return "", name, "/" + tail
}

// upstreamKey returns the namespace of an upstream key sk-mock-NAMESPACE, from whichever header the dialect uses.
func upstreamKey(key string) string {
	ns, ok := strings.CutPrefix(key, "sk-mock-")
	if !ok {
		return ""
	}
	return ns
}

// apiKey is the credential of the request, for namespaces and rate limits; it is never stored.
func apiKey(h http.Header) string {
	if bearer, ok := strings.CutPrefix(field(h, "Authorization"), "Bearer "); ok {
		return bearer
	}
	return firstOf(field(h, "X-Api-Key"), field(h, "Api-Key"), field(h, "X-Goog-Api-Key"))
}

// field is h.Get for a name in canonical form.
func field(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// choose resolves the channels of one request.
func (m *Mock) choose(h http.Header, path, key string, ask ask, body string) choice {
	c := choice{channel: channelDefault, stored: true}
	var base Plan
	m.mu.Lock()
	defer m.mu.Unlock()
	c.version = m.version

	decided := false
	take := func(channel string, o order) {
		c.channels = append(c.channels, channel)
		if o.id != "" && c.id == "" {
			c.id = o.id
		}
		if decided {
			return
		}
		plan, named := m.plans[o.name]
		if !named && o.name != "" {
			c.problem = m.unknownPlan(channel, o.name)
			return
		}
		if o.name == "" {
			if plan, named = m.plans[o.id]; named {
				o.name = o.id
			}
		}
		if named || o.given {
			decided = true
			c.channel, c.name, base = channel, o.name, plan.Merge(o.inline)
			c.stored = !o.given
		}
	}
	for _, in := range []struct{ channel, text string }{
		{channelHeader, firstOf(field(h, headerControl), field(h, headerPass))},
		{channelMarker, marker(body)},
	} {
		if in.text == "" {
			continue
		}
		o, err := readOrder(in.text)
		if err != nil {
			c.problem = fmt.Errorf("control channel %s: %q: %w", in.channel, in.text, err)
			return c
		}
		take(in.channel, o)
	}
	known := func(name string) bool { _, ok := m.plans[name]; return ok }
	if o, ok := modelOrder(ask.model, known); ok && (o.given || known(o.name)) {
		take(channelModel, o)
	}
	planName, queueName, _ := splitPrefix(path)
	if planName != "" {
		take(channelPath, order{name: planName})
	}
	ns := upstreamKey(key)
	if ns != "" && known(ns) {
		take(channelKey, order{name: ns})
	}
	if plan, queue, index, ok := m.dequeue(decided, queueName, ns); ok {
		decided, c.stored = true, false
		c.channels = append(c.channels, channelQueue)
		c.channel, c.queue, c.queueIndex, base = channelQueue, queue, index, plan
	}
	c.plan = m.plan
	if decided {
		c.problem = nil
		c.plan = m.plan.Merge(base)
	}
	c.id = firstOf(c.id, c.plan.ID)
	c.plan.ID = c.id
	c.stored = c.stored && c.id == ""
	return c
}

// dequeue takes the next plan of the first queue that has one, unless the plan is already decided. It requires m.mu.
func (m *Mock) dequeue(decided bool, names ...string) (plan Plan, queue string, index int, ok bool) {
	if decided || len(m.queues) == 0 {
		return Plan{}, "", 0, false
	}
	for _, name := range append(names, "") {
		q := m.queues[name]
		if q == nil || q.served == len(q.plans) {
			continue
		}
		plan = q.plans[q.served]
		q.plans[q.served] = Plan{}
		q.served++
		return plan, name, q.served, true
	}
	return Plan{}, "", 0, false
}

func (m *Mock) unknownPlan(channel, name string) error {
	hint := didYouMean(name, slices.Sorted(maps.Keys(m.plans)))
	return fmt.Errorf("control channel %s: no plan is named %q%s", channel, name, hint)
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
