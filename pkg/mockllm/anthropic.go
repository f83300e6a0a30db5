package mockllm

import "github.com/tidwall/gjson"

func readAnthropic(a *ask, _ string, body gjson.Result) {
	a.maxTokens = maxOf(body, "max_tokens")
}

// anthropicUsage is exclusive: the input does not contain what was read from or written to the cache.
func anthropicUsage(t Totals) []byte {
	b := anthropicCounts(t)
	b.add(`,"cache_creation":{"ephemeral_5m_input_tokens":`).num(t.CacheWrite).add(`,"ephemeral_1h_input_tokens":0}`)
	b.add(`,"server_tool_use":null,"service_tier":"standard"}`)
	return b.buf
}

// anthropicDelta is the cumulative usage of a message_delta.
func anthropicDelta(t Totals) []byte { return anthropicCounts(t).add(`}`).buf }

func anthropicCounts(t Totals) *builder {
	var b builder
	b.add(`{"input_tokens":`).num(t.In - t.Cached - t.CacheWrite)
	b.add(`,"cache_creation_input_tokens":`).num(t.CacheWrite).add(`,"cache_read_input_tokens":`).num(t.Cached)
	return b.add(`,"output_tokens":`).num(t.Out)
}

func encodeAnthropic(x *exchange) reply {
	header := map[string]string{"Request-Id": "req_" + x.id}
	if x.ask.stream {
		return reply{framing: frameSSE, contentType: sseType, header: header, events: anthropicEvents(x)}
	}
	var b builder
	b.add(`{"id":`).str("msg_" + x.id).add(`,"type":"message","role":"assistant","model":`).str(x.ask.model)
	b.add(`,"content":[{"type":"text","text":`).str(x.text).add(`}],"stop_reason":"end_turn","stop_sequence":null`)
	object, full := x.bodyUsage(anthropicUsage)
	b.member("usage", object).add(`}`)
	e := b.event("")
	e.full = full
	return reply{contentType: jsonType, header: header, events: []event{e}}
}

// anthropicEvents is a whole stream. As the real one it tells the input at the start, with one token of output, and the
// cumulative usage at the end, which is the one that counts.
func anthropicEvents(x *exchange) []event {
	auto := x.plan.UsageAt == "" || x.plan.UsageAt == "auto"
	x.resolveAuto(true, "final", "")
	var events []event
	add := func(name, members string) *event {
		var b builder
		b.add(`{"type":"`).add(name).add(`"`).add(members).add(`}`)
		events = append(events, b.event(name))
		return &events[len(events)-1]
	}
	events = append(events, anthropicStart(x, auto))
	add("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`)
	add("ping", "")
	for i, text := range x.chunks {
		var b builder
		b.add(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":`).str(text).add(`}}`)
		e := b.event("content_block_delta")
		e.content, e.pace = true, true
		events = append(events, e)
		if object, full := x.usage(slotChunk, i, anthropicDelta); object != nil && x.plan.UsageAt == "every" {
			events = append(events, anthropicStop(object, full, "null"))
		}
	}
	add("content_block_stop", `,"index":0`).pace = true
	at := slotTail
	if x.plan.UsageAt == "finish_chunk" || x.plan.UsageAt == "x_groq" {
		at = slotFinish
	}
	object, full := x.usage(at, 0, anthropicDelta)
	events = append(events, anthropicStop(object, full, `"end_turn"`))
	if object, full := x.usage(slotSecond, 0, anthropicDelta); object != nil {
		events = append(events, anthropicStop(object, full, `"end_turn"`))
	}
	add("message_stop", "")
	if object, full := x.usage(slotAfter, 0, anthropicDelta); object != nil {
		events = append(events, anthropicStop(object, full, `"end_turn"`))
	}
	return events
}

func anthropicStart(x *exchange, auto bool) event {
	var object []byte
	full := false
	switch x.plan.UsageAt {
	case "early":
		object, full = x.usage(slotChunk, 0, anthropicUsage)
	case "every", "twice":
		auto = true
	}
	if auto {
		begun := x.told
		begun.Out = min(1, begun.Out) // the real one counts the token it is about to send
		object = anthropicUsage(begun)
	}
	var b builder
	b.add(`{"type":"message_start","message":{"id":`).str("msg_" + x.id)
	b.add(`,"type":"message","role":"assistant","content":[],"model":`).str(x.ask.model)
	b.add(`,"stop_reason":null,"stop_sequence":null`).member("usage", object).add(`}}`)
	e := b.event("message_start")
	e.full = full
	return e
}

func anthropicStop(object []byte, full bool, reason string) event {
	var b builder
	b.add(`{"type":"message_delta","delta":{"stop_reason":`).add(reason).add(`,"stop_sequence":null}`)
	b.member("usage", object).add(`}`)
	e := b.event("message_delta")
	e.full = full
	return e
}

func failAnthropic(status int, message string) failure {
	kind := map[int]string{
		400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
		413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error",
	}[status]
	if kind == "" {
		kind = "api_error"
	}
	var b builder
	b.add(`{"type":"error","error":{"type":"`).add(kind).add(`","message":`).str(message).add(`},"request_id":"req_mock"}`)
	return failure{body: b.buf, header: map[string]string{"Request-Id": "req_mock"}}
}
