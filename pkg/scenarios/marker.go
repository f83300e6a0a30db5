package scenarios

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// markerSize is the length of the text that carries a marker. It is the same for
// every request, so that all of them have the same estimate.
const markerSize = 64

// requestID names a request in the mock's journal. In-process a count will do: the
// mock is the cell's own. A gateway may keep answers longer than a run lasts, so
// there it is a nonce too.
func (w *world) requestID(count int) string {
	if w.cell.Target.URL == "" {
		return fmt.Sprintf("r%d", count)
	}
	return w.requestName() + "-" + strconv.Itoa(count)
}

// requestName is what all requests of a cell have in their ids, at a target by URL.
func (w *world) requestName() string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(w.suite.Program.RunID + " " + w.cell.ID))
	return "q" + strconv.FormatUint(h.Sum64(), 36)
}

// marks tells whether the id goes into the prompt: the one channel that every
// gateway passes on. The bundled proxy passes headers on, which cost nothing.
func (w *world) marks() bool {
	switch w.channel() {
	case byMarker:
		return true
	case byPath, byKey, byQueue:
		return w.cell.Target.Control == "" || w.cell.Target.Control == "auto"
	}
	return false
}

// marked is a body with the marker in its last text, whatever the dialect. Where
// the suite wrote no prompt at all, it gets one. The body given is not changed.
func marked(value any, path, id string) any {
	body, ok := value.(map[string]any)
	if !ok {
		return value
	}
	body = maps.Clone(body)
	switch {
	case strings.HasSuffix(path, "/embeddings"), strings.HasSuffix(path, "/responses"):
		body["input"] = markedText(body["input"], id)
	case strings.HasSuffix(path, "/completions") && !strings.HasSuffix(path, "/chat/completions"):
		body["prompt"] = markedText(body["prompt"], id)
	case strings.Contains(path, ":generateContent"), strings.Contains(path, ":streamGenerateContent"):
		body["contents"] = markedMessages(body["contents"], "parts", id)
	default:
		body["messages"] = markedMessages(body["messages"], "content", id)
	}
	return body
}

// markedMessages puts the marker into the text of the last message.
func markedMessages(value any, field, id string) any {
	messages, ok := value.([]any)
	if !ok || len(messages) == 0 {
		messages = []any{map[string]any{"role": "user"}}
	}
	messages = slices.Clone(messages)
	last, ok := messages[len(messages)-1].(map[string]any)
	if !ok {
		return value
	}
	last = maps.Clone(last)
	if field == "parts" || isList(last[field]) {
		last[field] = markedParts(last[field], id)
	} else {
		last[field] = markedText(last[field], id)
	}
	messages[len(messages)-1] = last
	return messages
}

func isList(v any) bool { _, ok := v.([]any); return ok }

// markedParts puts the marker into the last part that is text, or into a new one.
func markedParts(value any, id string) any {
	parts, _ := value.([]any)
	parts = slices.Clone(parts)
	for i, v := range slices.Backward(parts) {
		part, ok := v.(map[string]any)
		if !ok || part["text"] == nil {
			continue
		}
		part = maps.Clone(part)
		part["text"] = markedText(part["text"], id)
		parts[i] = part
		return parts
	}
	part := map[string]any{"text": markedText(nil, id)}
	if len(parts) > 0 {
		part["type"] = "text"
	}
	return append(parts, part)
}

// markedText is a text with the marker at its end, filled up to markerSize. What is
// no text is left alone.
func markedText(value any, id string) any {
	text, ok := value.(string)
	if !ok && value != nil {
		return value
	}
	marker := "[[llmlimit " + id + "]]"
	if text != "" {
		text += " "
	}
	if fill := markerSize - len(text) - len(marker); fill > 0 {
		text += strings.Repeat(".", fill)
	}
	return text + marker
}
