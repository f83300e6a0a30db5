package client

import (
	"bytes"
	"io"
	"iter"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tmaxmax/go-sse"
)

// contentPaths are where the dialects put a piece of the answer in an event.
var contentPaths = []string{
	"choices.0.delta.content",           // chat completions
	"choices.0.delta.reasoning_content", // and those who reason aloud
	"choices.0.delta.tool_calls.0",      //
	"choices.0.text",                    // completions
	"delta.text",                        // Anthropic
	"delta.thinking",                    //
	"delta.partial_json",                //
	"candidates.0.content.parts.0.text", // Gemini
	"contentBlockDelta.delta.text",      // Bedrock
}

// carriesContent tells whether an event holds a piece of the answer, and not only
// a role, a ping or the usage.
func carriesContent(data string) bool {
	if !gjson.Valid(data) {
		return false
	}
	event := gjson.Parse(data)
	for _, path := range contentPaths {
		if v := event.Get(path); v.Exists() && v.Type != gjson.Null && v.String() != "" {
			return true
		}
	}
	// Responses: the piece is a string under "delta" of an event that says so.
	return strings.HasSuffix(event.Get("type").String(), ".delta") && event.Get("delta").String() != ""
}

// Usage is a count of tokens as the client was told.
type Usage struct{ In, Out, Total int64 }

// usageForms are the shapes in which the dialects tell usage. The first that has
// one of the fields for in or out counts; a bare total counts if none has.
var usageForms = []struct {
	object         string
	in, out, total []string // fields that add up
}{
	{"usageMetadata", []string{"promptTokenCount"}, []string{"candidatesTokenCount", "thoughtsTokenCount"}, []string{"totalTokenCount"}},
	{"usage", []string{"prompt_tokens"}, []string{"completion_tokens"}, []string{"total_tokens"}},
	{"usage", []string{"inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"}, []string{"outputTokens"}, []string{"totalTokens"}},
	{"usage", []string{"input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"}, []string{"output_tokens"}, []string{"total_tokens"}},
	{"response.usage", []string{"input_tokens"}, []string{"output_tokens"}, []string{"total_tokens"}},
	{"message.usage", []string{"input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"}, []string{"output_tokens"}, nil},
	{"x_groq.usage", []string{"prompt_tokens"}, []string{"completion_tokens"}, []string{"total_tokens"}},
	{"metadata.usage", []string{"inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"}, []string{"outputTokens"}, []string{"totalTokens"}},
}

// readUsage reads the usage in one JSON value. JSON that is cut is not read at all:
// half a number is a wrong number.
func readUsage(text string) (u Usage, ok bool) {
	if !gjson.Valid(text) {
		return Usage{}, false
	}
	value := gjson.Parse(text)
	if value.IsArray() { // Gemini without alt=sse: the last element that tells usage counts
		value.ForEach(func(_, item gjson.Result) bool {
			if v, found := readUsage(item.Raw); found {
				u, ok = v, true
			}
			return true
		})
		return u, ok
	}
	for _, form := range usageForms {
		object := value.Get(form.object)
		if !object.IsObject() {
			continue
		}
		in, hasIn := sum(object, form.in)
		out, hasOut := sum(object, form.out)
		total, hasTotal := sum(object, form.total)
		if hasIn || hasOut {
			return Usage{In: in, Out: out, Total: max(total, in+out)}, true
		}
		if hasTotal && !ok {
			u, ok = Usage{Total: total}, true
		}
	}
	return u, ok
}

func sum(object gjson.Result, fields []string) (total int64, found bool) {
	for _, field := range fields {
		if v := object.Get(field); v.Type == gjson.Number {
			total += v.Int()
			found = true
		}
	}
	return total, found
}

// Usage is what the response told its client; nil if nothing. In a stream the last
// word counts, except that Anthropic's two halves are put together.
func (x *Exchange) Usage() *Usage {
	if len(x.Events) == 0 {
		if u, ok := readUsage(string(x.Body)); ok {
			return &u
		}
		return nil
	}
	var told *Usage
	for _, event := range x.Events {
		u, ok := readUsage(event.Data)
		if !ok {
			continue
		}
		if told != nil && gjson.Get(event.Data, "type").String() == "message_delta" {
			u.In, u.Out = max(u.In, told.In), max(u.Out, told.Out)
			u.Total = u.In + u.Out
		}
		told = &u
	}
	return told
}

// Reason is the code of an error, else its type, as the body says it in its
// dialect. It is empty for a response that is no error.
func (x *Exchange) Reason() string {
	if x.Status < 400 || !gjson.ValidBytes(x.Body) {
		return ""
	}
	for _, path := range []string{"error.code", "error.type", "error.status", "code", "__type"} {
		if v := gjson.GetBytes(x.Body, path); v.Type == gjson.String && v.Str != "" {
			return v.Str
		}
	}
	return ""
}

// ContentBytes is how many bytes of text, reasoning and tool arguments an answer
// holds, whole or as a stream, as far as it can be read.
func ContentBytes(body []byte, contentType string) int64 {
	if !strings.HasPrefix(contentType, "text/event-stream") {
		return textOf(string(body))
	}
	var total int64
	for data := range eventsOf(body) {
		total += textOf(data)
	}
	return total
}

// eventsOf are the data of the events of a stream, as far as it can be read.
func eventsOf(body []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for event, err := range sse.Read(bytes.NewReader(body), &sse.ReadConfig{MaxEventSize: maxEvent}) {
			if err != nil || !yield(event.Data) {
				return
			}
		}
	}
}

// ContentWithin is the most text that a body can hold, as it was written: in its
// encoding, and perhaps cut. Frames that are not text are not looked into.
func ContentWithin(body []byte, contentType, encoding string) int64 {
	plain := Plain(body, encoding)
	if contentType == "" || strings.HasPrefix(contentType, "text/event-stream") || gjson.ValidBytes(plain) {
		return max(ContentBytes(plain, contentType), repeated(plain, contentType))
	}
	return int64(len(plain)) // whoever reads frames, or on behind what is wrong, finds no more than that
}

// repeated is the text of the whole response that ends a stream of Responses: whoever
// reads it knows of the pieces that were torn on their way.
func repeated(body []byte, contentType string) int64 {
	if !strings.HasPrefix(contentType, "text/event-stream") {
		return 0
	}
	var most int64
	for data := range eventsOf(body) {
		if gjson.Valid(data) {
			most = max(most, textIn(gjson.Get(data, "response.output"), maxTextDepth))
		}
	}
	return most
}

// Plain is a body, perhaps cut, without its encoding: as far as it goes.
func Plain(body []byte, encoding string) []byte {
	if encoding = strings.TrimSuffix(encoding, "-flush"); encoding == "" || encoding == "none" {
		return body
	}
	from, done, err := decode(bytes.NewReader(body), encoding)
	if err != nil {
		return nil // not even its beginning is there
	}
	defer done()
	plain, _ := io.ReadAll(from)
	return plain
}

// textKeys are the names under which the dialects put text, reasoning and
// arguments, in whole answers and in events.
var textKeys = map[string]bool{
	"content": true, "text": true, "refusal": true, "arguments": true,
	"reasoning": true, "reasoning_content": true, "thinking": true, "partial_json": true,
}

func textOf(value string) int64 {
	if !gjson.Valid(value) {
		return 0
	}
	parsed := gjson.Parse(value)
	if kind := parsed.Get("type").String(); strings.HasPrefix(kind, "response.") {
		// Responses says everything twice: in deltas, and whole at the end.
		if strings.HasSuffix(kind, ".delta") {
			return int64(len(parsed.Get("delta").String()))
		}
		return 0
	}
	return textIn(parsed, maxTextDepth)
}

// maxTextDepth is deeper than any dialect puts text. What is nested without end is
// looked into once for each level, which is a square.
const maxTextDepth = 32

// textIn adds up the strings under the names of text, so many levels deep.
func textIn(v gjson.Result, levels int) int64 {
	var total int64
	if levels == 0 {
		return 0
	}
	v.ForEach(func(key, item gjson.Result) bool {
		switch {
		case item.Type == gjson.String && textKeys[key.Str]:
			total += int64(len(item.Str))
		case item.Type == gjson.JSON:
			total += textIn(item, levels-1)
		}
		return true
	})
	return total
}
