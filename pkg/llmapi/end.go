package llmapi

import (
	"bytes"
	"maps"
)

// What a stream ends with when the proxy ends it (semantics 6): a finish reason or an error, then the partial usage,
// then the dialect's own end.

// addEvent appends a server-sent event whose data is v as JSON; name may be empty.
func addEvent(b *bytes.Buffer, name string, v any) {
	if name != "" {
		b.WriteString("event: " + name + "\n")
	}
	b.WriteString("data: ")
	b.Write(mustJSON(v))
	b.WriteString("\n\n")
}

// openAIUsage is a usage in the words of chat completions.
func openAIUsage(u Usage) map[string]any {
	return map[string]any{
		"prompt_tokens":             u.Input + u.CachedInput + u.CacheWrite,
		"completion_tokens":         u.Output + u.Reasoning,
		"total_tokens":              u.Total,
		"prompt_tokens_details":     map[string]any{"cached_tokens": u.CachedInput},
		"completion_tokens_details": map[string]any{"reasoning_tokens": u.Reasoning},
	}
}

func endChat(m *meter, e StreamEnd) []byte {
	return endChunks(m, e, "chat.completion.chunk", map[string]any{"delta": map[string]any{}})
}

func endCompletion(m *meter, e StreamEnd) []byte {
	return endChunks(m, e, "text_completion", map[string]any{"text": ""})
}

// endChunks ends a stream of chunks. Every choice that has not finished is finished; empty is a choice without content.
func endChunks(m *meter, e StreamEnd, object string, empty map[string]any) []byte {
	var b bytes.Buffer
	chunk := map[string]any{"id": e.ID, "object": object, "created": e.Created, "model": e.Model}
	if e.Error != nil {
		addEvent(&b, "", map[string]any{"error": openAIErrorOf(*e.Error)})
	} else {
		var choices []any
		for _, index := range m.t.unfinished() {
			choice := map[string]any{"index": index, "finish_reason": "length", "logprobs": nil}
			maps.Copy(choice, empty)
			choices = append(choices, choice)
		}
		chunk["choices"] = choices
		addEvent(&b, "", chunk)
	}
	if e.Usage != nil {
		chunk["choices"] = []any{}
		chunk["usage"] = openAIUsage(*e.Usage)
		addEvent(&b, "", chunk)
	}
	b.WriteString("data: [DONE]\n\n")
	return b.Bytes()
}

// unfinished are the choices that have begun and not finished; the first one if none has begun.
func (t *tally) unfinished() []int {
	var list []int
	for i := range 128 {
		var one choiceSet
		one.add(int64(i))
		if t.choices.covers(one) && !t.finished.covers(one) {
			list = append(list, i)
		}
	}
	if list == nil {
		list = []int{0}
	}
	return list
}

func endResponses(_ *meter, e StreamEnd) []byte {
	var b bytes.Buffer
	if e.Error != nil {
		err := openAIErrorOf(*e.Error)
		addEvent(&b, "error", map[string]any{"type": "error", "code": err.Code, "message": err.Message, "param": nil})
		return b.Bytes()
	}
	response := map[string]any{
		"id": e.ID, "object": "response", "created_at": e.Created, "model": e.Model, "status": "incomplete",
		"incomplete_details": map[string]any{"reason": "max_output_tokens"}, "output": []any{}, "usage": nil,
	}
	if u := e.Usage; u != nil {
		response["usage"] = map[string]any{
			"input_tokens":          u.Input + u.CachedInput + u.CacheWrite,
			"input_tokens_details":  map[string]any{"cached_tokens": u.CachedInput, "cache_write_tokens": u.CacheWrite},
			"output_tokens":         u.Output + u.Reasoning,
			"output_tokens_details": map[string]any{"reasoning_tokens": u.Reasoning},
			"total_tokens":          u.Total,
		}
	}
	addEvent(&b, "response.incomplete", map[string]any{"type": "response.incomplete", "response": response})
	return b.Bytes()
}

func endAnthropic(m *meter, e StreamEnd) []byte {
	var b bytes.Buffer
	if e.Error != nil {
		addEvent(&b, "error", anthropicErrorOf(*e.Error))
		return b.Bytes()
	}
	if m.t.open > 0 {
		addEvent(&b, "content_block_stop", map[string]any{"type": "content_block_stop", "index": m.t.open - 1})
	}
	delta := map[string]any{
		"type":  "message_delta",
		"delta": map[string]any{"stop_reason": "max_tokens", "stop_sequence": nil},
	}
	usage := map[string]any{"output_tokens": 0}
	if u := e.Usage; u != nil {
		usage = map[string]any{
			"input_tokens": u.Input, "cache_read_input_tokens": u.CachedInput,
			"cache_creation_input_tokens": u.CacheWrite, "output_tokens": u.Output + u.Reasoning,
		}
	}
	delta["usage"] = usage
	addEvent(&b, "message_delta", delta)
	addEvent(&b, "message_stop", map[string]any{"type": "message_stop"})
	return b.Bytes()
}

func endGemini(m *meter, e StreamEnd) []byte {
	var b bytes.Buffer
	if e.Error != nil {
		addEvent(&b, "", geminiErrorOf(*e.Error))
		return b.Bytes()
	}
	var candidates []any
	for _, index := range m.t.unfinished() {
		candidates = append(candidates, map[string]any{
			"index": index, "finishReason": "MAX_TOKENS",
			"content": map[string]any{"role": "model", "parts": []any{}},
		})
	}
	chunk := map[string]any{"candidates": candidates}
	if u := e.Usage; u != nil {
		chunk["usageMetadata"] = map[string]any{
			"promptTokenCount":        u.Input + u.CachedInput + u.CacheWrite,
			"candidatesTokenCount":    u.Output,
			"thoughtsTokenCount":      u.Reasoning,
			"cachedContentTokenCount": u.CachedInput,
			"totalTokenCount":         u.Total,
		}
	}
	addEvent(&b, "", chunk)
	return b.Bytes()
}
