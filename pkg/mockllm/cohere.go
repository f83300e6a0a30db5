package mockllm

import "github.com/tidwall/gjson"

func readCohere(a *ask, _ string, body gjson.Result) {
	a.maxTokens = maxOf(body, "max_tokens")
}

// cohereUsage counts twice: what is billed leaves cached tokens out, what the model saw does not.
func cohereUsage(t Totals) []byte {
	var b builder
	b.add(`{"billed_units":{"input_tokens":`).num(t.In - t.Cached).add(`,"output_tokens":`).num(t.Out)
	b.add(`},"tokens":{"input_tokens":`).num(t.In).add(`,"output_tokens":`).num(t.Out).add(`}}`)
	return b.buf
}

func encodeCohere(x *exchange) reply {
	var events []event
	add := func(b *builder, name string) *event {
		events = append(events, b.event(name))
		return &events[len(events)-1]
	}
	if !x.ask.stream {
		b := &builder{}
		b.add(`{"id":`).str(x.id).add(`,"finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":`)
		object, full := x.bodyUsage(cohereUsage)
		b.str(x.text).add(`}]}`).member("usage", object).add(`}`)
		add(b, "").full = full
		return reply{contentType: jsonType, events: events}
	}
	x.resolveAuto(true, "final", "")
	b := &builder{}
	b.add(`{"id":`).str(x.id).add(`,"type":"message-start","delta":{"message":{"role":"assistant","content":[]}}}`)
	add(b, "message-start")
	b = &builder{}
	b.add(`{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}`)
	add(b, "content-start")
	for _, text := range x.chunks {
		b = &builder{}
		b.add(`{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":`).str(text).add(`}}}}`)
		e := add(b, "content-delta")
		e.content, e.pace = true, true
	}
	b = &builder{}
	b.add(`{"type":"content-end","index":0}`)
	add(b, "content-end").pace = true
	object, full := x.bodyUsage(cohereUsage) // there is one place only
	b = &builder{}
	b.add(`{"type":"message-end","delta":{"finish_reason":"COMPLETE"`).member("usage", object).add(`}}`)
	add(b, "message-end").full = full
	return reply{framing: frameSSE, contentType: sseType, events: events}
}

func failCohere(_ int, message string) failure {
	var b builder
	b.add(`{"id":"mock","message":`).str(message).add(`}`)
	return failure{body: b.buf}
}
