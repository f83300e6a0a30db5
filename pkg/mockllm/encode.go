package mockllm

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode/utf8"
)

// exchange is all that an encoder sees: the request, the drawn plan, and what follows from both.
type exchange struct {
	ask     ask
	plan    Plan
	told    Totals
	text    string
	chunks  []string // text, cut
	id      string   // 24 letters and digits
	created int64
	rng     *rand.Rand
}

// framing is how events become bytes.
type framing int

const (
	frameBody  framing = iota // one event is the whole body
	frameSSE                  // server-sent events
	frameArray                // a JSON array over time (Gemini without alt=sse)
	frameAWS                  // application/vnd.amazon.eventstream
)

const (
	jsonType = "application/json"
	sseType  = "text/event-stream; charset=utf-8"
	awsType  = "application/vnd.amazon.eventstream"
)

// reply is an encoded answer before it is framed.
type reply struct {
	framing     framing
	contentType string
	eol         string // of event lines, "" for \n
	header      map[string]string
	events      []event
	wrapped     bool // of frameAWS: each event is in base64 inside another one
}

// event is one message of an answer: JSON, or a sentinel such as [DONE].
type event struct {
	name     string // event line or AWS event type
	data     []byte
	usage    span // of the usage's value in data; empty if there is none
	full     bool // that usage is the whole truth, not a beginning
	final    bool // and it is the last one
	content  bool // a piece of the text
	asked    bool // is there only because the request asked for usage
	sentinel bool // not JSON
	pace     bool // waits one ITL
}

// span is a half-open range of offsets.
type span struct{ from, to int }

func (s span) empty() bool { return s.to == 0 }

// clip is the part of s that lies in [from, to), counted from there; empty if there is none.
func (s span) clip(from, to int) span {
	if s.to <= from || s.from >= to {
		return span{}
	}
	return span{max(s.from, from) - from, min(s.to, to) - from}
}

// slot is a place in a stream where a usage may be told.
type slot int

const (
	slotChunk  slot = iota // with the i-th piece of text
	slotFinish             // with the finish reason
	slotTail               // in an event of its own at the end, or the dialect's terminal event
	slotSecond             // in another one behind it
	slotAfter              // behind the end of the stream
)

// usage says what usage is told at a slot: nil for none. full is false for beginnings, null and {}.
func (x *exchange) usage(at slot, i int, encode func(Totals) []byte) (object []byte, full bool) {
	show := func(t Totals) []byte {
		if x.plan.UsageRaw != "" {
			return []byte(x.plan.UsageRaw)
		}
		return encode(t)
	}
	switch x.plan.UsageAt {
	case "final":
		if at == slotTail {
			return show(x.told), true
		}
	case "every":
		switch {
		case at == slotChunk && i < len(x.chunks)-1:
			return encode(x.soFar(i + 1)), false
		case at <= slotTail:
			return show(x.told), true
		}
	case "early":
		if at == slotChunk && i == 0 {
			return show(x.told), true
		}
	case "finish_chunk", "x_groq":
		if at == slotFinish {
			return show(x.told), true
		}
	case "after_done":
		if at == slotAfter {
			return show(x.told), true
		}
	case "twice":
		if at == slotTail {
			return encode(x.told.part(1, 2)), false
		}
		if at == slotSecond {
			return show(x.told), true
		}
	case "null_value":
		if at == slotTail {
			return []byte("null"), false
		}
	case "empty_object":
		if at == slotTail {
			return []byte("{}"), false
		}
	}
	return nil, false
}

// bodyUsage is the usage of a whole answer: nil for none.
func (x *exchange) bodyUsage(encode func(Totals) []byte) (object []byte, full bool) {
	switch x.plan.UsageAt {
	case "none":
		return nil, false
	case "null_value":
		return []byte("null"), false
	case "empty_object":
		return []byte("{}"), false
	}
	if x.plan.UsageRaw != "" {
		return []byte(x.plan.UsageRaw), true
	}
	return encode(x.told), true
}

// soFar is the usage after i of the chunks.
func (x *exchange) soFar(i int) Totals { return x.told.part(i, len(x.chunks)) }

// part is t with that share of the output.
func (t Totals) part(i, of int) Totals {
	t.Out = t.Out * int64(i) / int64(of)
	t.Reasoning = min(t.Reasoning, t.Out)
	t.Total = t.In + t.Out
	return t
}

// totals is the plan's usage as plain numbers; parts never exceed the whole.
func (p Plan) totals(body, text int) Totals {
	t := Totals{In: p.Usage.In.value(10), Out: p.Usage.Out.value(20)}
	if p.Usage.Estimate != nil && *p.Usage.Estimate {
		t.In, t.Out = int64(body+3)/4, int64(text+3)/4
	}
	t.Cached = min(p.Usage.Cached.value(0), t.In)
	t.CacheWrite = min(p.Usage.CacheWrite.value(0), t.In-t.Cached)
	t.Reasoning = min(p.Usage.Reasoning.value(0), t.Out)
	t.Total = t.In + t.Out
	return t
}

// builder appends JSON and remembers where the usage is.
type builder struct {
	buf   []byte
	usage span
}

func (b *builder) add(s string) *builder { b.buf = append(b.buf, s...); return b }

func (b *builder) num(n int64) *builder { b.buf = strconv.AppendInt(b.buf, n, 10); return b }

func (b *builder) str(s string) *builder { b.buf = appendString(b.buf, s); return b }

// value appends the usage's value.
func (b *builder) value(object []byte) *builder {
	b.usage.from = len(b.buf)
	b.buf = append(b.buf, object...)
	b.usage.to = len(b.buf)
	return b
}

// member appends ,"name":object unless there is no object.
func (b *builder) member(name string, object []byte) *builder {
	if object == nil {
		return b
	}
	return b.add(`,"`).add(name).add(`":`).value(object)
}

func (b *builder) event(name string) event { return event{name: name, data: b.buf, usage: b.usage} }

// appendString appends s as a JSON string. < > & stay as they are, as providers leave them.
func appendString(buf []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		buf = append(buf, '"')
		buf = append(buf, s...)
		return append(buf, '"')
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return append(buf, `""`...) // a string always encodes
	}
	return append(buf, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}

// lorem are the words of the filler.
var lorem = strings.Fields("lorem ipsum dolor sit amet consetetur sadipscing elitr sed diam nonumy eirmod tempor " +
	"invidunt ut labore et dolore magna aliquyam erat")

// compose makes the text and cuts it into chunks.
func compose(c Content, r *rand.Rand) (text string, chunks []string) {
	n := int(min(max(c.Chunks.value(8), 1), 1<<20))
	if c.Text == "" || c.Text == "lorem" {
		for i := range n {
			word := lorem[r.IntN(len(lorem))]
			if i > 0 {
				word = " " + word
			}
			chunks = append(chunks, word)
		}
	} else {
		chunks = cutText(c.Text, n)
	}
	if c.Bytes > 0 {
		for i, chunk := range chunks {
			chunks[i] = chunk + strings.Repeat(" ", max(0, c.Bytes-len(chunk)))
		}
	}
	return strings.Join(chunks, ""), chunks
}

// cutText cuts text into n pieces of about equal length, never inside a rune; fewer if there are fewer runes.
func cutText(text string, n int) []string {
	runes := utf8.RuneCountInString(text)
	n = max(1, min(n, runes))
	chunks := make([]string, 0, n)
	from, seen, next := 0, 0, 1
	for at := range text {
		if seen > 0 && seen == runes*next/n {
			chunks = append(chunks, text[from:at])
			from = at
			next++
		}
		seen++
	}
	return append(chunks, text[from:])
}

const idLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// letters draws n letters and digits.
func letters(r *rand.Rand, n int) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = idLetters[r.IntN(len(idLetters))]
	}
	return string(out)
}
