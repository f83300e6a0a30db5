package mockllm

import (
	"strings"

	"github.com/tidwall/gjson"
)

func readGemini(a *ask, path string, body gjson.Result) {
	a.model = pathModel(path, "/models/")
	a.stream = strings.HasSuffix(path, ":streamGenerateContent")
	a.maxTokens = maxOf(body, "generationConfig.maxOutputTokens")
	a.choices = int(min(max(body.Get("generationConfig.candidateCount").Int(), 1), maxChoices))
}

// geminiUsage includes cached content in the prompt, and keeps thoughts apart from the candidates.
func geminiUsage(t Totals) []byte {
	var b builder
	b.add(`{"promptTokenCount":`).num(t.In).add(`,"candidatesTokenCount":`).num(t.Out - t.Reasoning)
	if t.Reasoning > 0 {
		b.add(`,"thoughtsTokenCount":`).num(t.Reasoning)
	}
	if t.Cached > 0 {
		b.add(`,"cachedContentTokenCount":`).num(t.Cached)
	}
	b.add(`,"totalTokenCount":`).num(t.Total)
	b.add(`,"promptTokensDetails":[{"modality":"TEXT","tokenCount":`).num(t.In).add(`}]}`)
	return b.buf
}

// geminiResponse is one GenerateContentResponse: a stream is a list of them, all of the same shape.
func geminiResponse(x *exchange, text, finish string, object []byte, full bool) event {
	var b builder
	b.add(`{"candidates":[`)
	for i := range x.ask.choices {
		if i > 0 {
			b.add(`,`)
		}
		b.add(`{"content":{"parts":[{"text":`).str(text).add(`}],"role":"model"}`)
		if finish != "" {
			b.add(`,"finishReason":`).str(finish)
		}
		b.add(`,"index":`).num(int64(i)).add(`}`)
	}
	b.add(`]`).member("usageMetadata", object)
	b.add(`,"modelVersion":`).str(x.ask.model).add(`,"responseId":`).str(x.id).add(`}`)
	e := b.event("")
	e.full = full
	return e
}

func encodeGemini(x *exchange) reply {
	if !x.ask.stream {
		object, full := x.bodyUsage(geminiUsage)
		return reply{contentType: jsonType, events: []event{geminiResponse(x, x.text, "STOP", object, full)}}
	}
	x.resolveAuto(true, "every", "")
	var events []event
	last := len(x.chunks) - 1
	for i, text := range x.chunks {
		object, full := x.usage(slotChunk, i, geminiUsage)
		finish := ""
		if i == last {
			finish = "STOP"
			for _, at := range []slot{slotFinish, slotTail} { // the last chunk is all of these
				if object == nil {
					object, full = x.usage(at, 0, geminiUsage)
				}
			}
		}
		e := geminiResponse(x, text, finish, object, full)
		e.content, e.pace = true, true
		events = append(events, e)
	}
	for _, at := range []slot{slotSecond, slotAfter} {
		if object, full := x.usage(at, 0, geminiUsage); object != nil {
			events = append(events, geminiResponse(x, "", "STOP", object, full))
		}
	}
	if x.ask.array {
		return reply{framing: frameArray, contentType: jsonType, events: events}
	}
	return reply{framing: frameSSE, contentType: "text/event-stream", eol: "\r\n", events: events}
}

func failGemini(status int, message string) failure {
	word := map[int]string{
		400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
		429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
	}[status]
	if word == "" {
		word = "INTERNAL"
	}
	var b builder
	b.add(`{"error":{"code":`).num(int64(status)).add(`,"message":`).str(message).add(`,"status":"`).add(word).add(`"}}`)
	return failure{body: b.buf}
}
