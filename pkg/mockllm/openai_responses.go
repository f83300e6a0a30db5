package mockllm

import "github.com/tidwall/gjson"

func readResponses(a *ask, _ string, body gjson.Result) {
	a.obfuscate = false
	a.maxTokens = maxOf(body, "max_output_tokens")
}

// responsesUsage is inclusive, as openAIUsage, with other names.
func responsesUsage(t Totals) []byte {
	var b builder
	b.add(`{"input_tokens":`).num(t.In).add(`,"input_tokens_details":{"cached_tokens":`).num(t.Cached)
	b.add(`,"cache_write_tokens":`).num(t.CacheWrite).add(`},"output_tokens":`).num(t.Out)
	b.add(`,"output_tokens_details":{"reasoning_tokens":`).num(t.Reasoning).add(`},"total_tokens":`).num(t.Total).add(`}`)
	return b.buf
}

// responseObject appends the response; text is nil while there is no output yet.
func responseObject(b *builder, x *exchange, status string, text *string, object []byte) {
	b.add(`{"id":`).str("resp_" + x.id).add(`,"object":"response","created_at":`).num(x.created)
	b.add(`,"status":"`).add(status).add(`","error":null,"incomplete_details":null,"model":`).str(x.ask.model)
	b.add(`,"output":[`)
	if text != nil {
		responseItem(b, x, "completed", text)
	}
	b.add(`],"parallel_tool_calls":true,"tool_choice":"auto","tools":[]`).member("usage", object).add(`}`)
}

func responseItem(b *builder, x *exchange, status string, text *string) {
	b.add(`{"type":"message","id":`).str("msg_" + x.id).add(`,"role":"assistant","status":"`).add(status).add(`","content":[`)
	if text != nil {
		responsePart(b, *text)
	}
	b.add(`]}`)
}

func responsePart(b *builder, text string) {
	b.add(`{"type":"output_text","text":`).str(text).add(`,"annotations":[]}`)
}

func encodeResponses(x *exchange) reply {
	if !x.ask.stream {
		var b builder
		object, full := x.bodyUsage(responsesUsage)
		responseObject(&b, x, "completed", &x.text, object)
		e := b.event("")
		e.full = full
		return reply{contentType: jsonType, events: []event{e}}
	}
	x.resolveAuto(true, "final", "")
	w := responsesWriter{x: x}
	w.response("response.created", "in_progress", nil, []byte("null"), false)
	object, full := w.progressUsage()
	w.response("response.in_progress", "in_progress", nil, object, full)

	place := func(b *builder) *builder {
		return b.add(`,"item_id":`).str("msg_" + x.id).add(`,"output_index":0,"content_index":0`)
	}
	w.add("response.output_item.added", func(b *builder) {
		b.add(`,"output_index":0,"item":`)
		responseItem(b, x, "in_progress", nil)
	})
	w.add("response.content_part.added", func(b *builder) {
		place(b).add(`,"part":`)
		responsePart(b, "")
	})
	for _, text := range x.chunks {
		w.add("response.output_text.delta", func(b *builder) { place(b).add(`,"delta":`).str(text).add(`,"logprobs":[]`) })
		e := &w.events[len(w.events)-1]
		e.content, e.pace = true, true
	}
	w.add("response.output_text.done", func(b *builder) { place(b).add(`,"text":`).str(x.text).add(`,"logprobs":[]`) })
	w.events[len(w.events)-1].pace = true
	w.add("response.content_part.done", func(b *builder) {
		place(b).add(`,"part":`)
		responsePart(b, x.text)
	})
	w.add("response.output_item.done", func(b *builder) {
		b.add(`,"output_index":0,"item":`)
		responseItem(b, x, "completed", &x.text)
	})
	object, full = w.terminalUsage()
	w.response("response.completed", "completed", &x.text, object, full)
	if object, full := x.usage(slotAfter, 0, responsesUsage); object != nil {
		w.response("response.completed", "completed", &x.text, object, full)
	}
	return reply{framing: frameSSE, contentType: sseType, events: w.events}
}

type responsesWriter struct {
	x      *exchange
	events []event
}

// progressUsage is what the response object says before there is any text.
func (w *responsesWriter) progressUsage() (object []byte, full bool) {
	switch w.x.plan.UsageAt {
	case "early":
		return w.x.usage(slotChunk, 0, responsesUsage)
	case "twice":
		return w.x.usage(slotTail, 0, responsesUsage)
	case "every":
		return responsesUsage(w.x.told.part(0, 1)), false
	case "none":
		return nil, false
	default:
		return []byte("null"), false
	}
}

// terminalUsage is what the last response object says. There is no finish chunk apart from it, and no second one.
func (w *responsesWriter) terminalUsage() (object []byte, full bool) {
	at := slotTail
	switch w.x.plan.UsageAt {
	case "finish_chunk", "x_groq":
		at = slotFinish
	case "twice":
		at = slotSecond
	case "early", "after_done":
		return []byte("null"), false
	}
	return w.x.usage(at, 0, responsesUsage)
}

// add appends one numbered event; rest writes its members behind the common ones.
func (w *responsesWriter) add(kind string, rest func(*builder)) {
	var b builder
	b.add(`{"type":"`).add(kind).add(`","sequence_number":`).num(int64(len(w.events)))
	rest(&b)
	b.add(`}`)
	w.events = append(w.events, b.event(kind))
}

func (w *responsesWriter) response(kind, status string, text *string, object []byte, full bool) {
	w.add(kind, func(b *builder) {
		b.add(`,"response":`)
		responseObject(b, w.x, status, text, object)
	})
	w.events[len(w.events)-1].full = full
}
