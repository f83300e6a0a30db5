package mockllm

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

func readChat(a *ask, _ string, body gjson.Result) {
	readStreamOptions(a, body)
	a.maxTokens = maxOf(body, "max_tokens", "max_completion_tokens")
	a.choices = int(min(max(body.Get("n").Int(), 1), maxChoices))
}

func readStreamOptions(a *ask, body gjson.Result) {
	options := body.Get("stream_options")
	a.usageOptions = options.Exists()
	a.includeUsage = a.stream && options.Get("include_usage").Bool()
	a.obfuscate = options.Get("include_obfuscation").Type != gjson.False
}

// openAIUsage is inclusive: cached tokens are among the prompt's, reasoning tokens among the completion's.
func openAIUsage(t Totals) []byte {
	b := builder{buf: make([]byte, 0, 320)}
	b.add(`{"prompt_tokens":`).num(t.In).add(`,"completion_tokens":`).num(t.Out).add(`,"total_tokens":`).num(t.Total)
	b.add(`,"prompt_tokens_details":{"cached_tokens":`).num(t.Cached).add(`,"audio_tokens":0}`)
	b.add(`,"completion_tokens_details":{"reasoning_tokens":`).num(t.Reasoning)
	b.add(`,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`)
	return b.buf
}

func encodeChat(x *exchange) reply {
	if x.ask.stream {
		return encodeChunks(x, chatChunks)
	}
	b := builder{buf: make([]byte, 0, 480+x.ask.choices*(len(x.text)+160))}
	b.add(`{`)
	object, full := x.bodyUsage(openAIUsage)
	early := x.plan.UsageAt == "early"
	if early {
		b.add(`"usage":`).value(object).add(`,`)
	}
	b.add(`"id":`).str("chatcmpl-" + x.id).add(`,"object":"chat.completion","created":`).num(x.created)
	b.add(`,"model":`).str(x.ask.model).add(`,"choices":[`)
	for i := range x.ask.choices {
		if i > 0 {
			b.add(",")
		}
		b.add(`{"index":`).num(int64(i)).add(`,"message":{"role":"assistant","content":`).str(x.text)
		b.add(`,"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}`)
	}
	b.add(`]`)
	if !early {
		addBodyUsage(&b, x, object)
	}
	b.add(`,"service_tier":"default","system_fingerprint":null}`)
	e := b.event("")
	e.full = full
	return reply{contentType: jsonType, events: []event{e}}
}

// addBodyUsage appends the usage to an OpenAI body, where and how often the plan says.
func addBodyUsage(b *builder, x *exchange, object []byte) {
	switch x.plan.UsageAt {
	case "x_groq":
		b.add(`,"x_groq":{"id":`).str("req_"+x.id).member("usage", object).add(`}`)
	case "twice":
		b.member("usage", openAIUsage(x.told.part(1, 2))).member("usage", object)
	default:
		b.member("usage", object)
	}
}

// chunkShape is what differs between the two OpenAI endpoints that stream choices.
type chunkShape struct {
	object, idPrefix string
	opening          bool // the first chunk has a role and no text
	piece            func(b *builder, text string)
	close            string // the delta of the last chunk, without text
	pad              bool   // obfuscation
}

var chatChunks = chunkShape{
	object: "chat.completion.chunk", idPrefix: "chatcmpl-", opening: true, pad: true,
	piece: func(b *builder, text string) { b.add(`"delta":{"content":`).str(text).add(`}`) },
	close: `"delta":{}`,
}

// encodeChunks writes a stream of choices: an opening, the pieces, a finish reason for each choice, the usage, [DONE].
func encodeChunks(x *exchange, shape chunkShape) reply {
	x.resolveAuto(x.ask.includeUsage, "final", "none")
	c := chunkWriter{x: x, shape: shape}
	var head builder
	head.add(`{"id":`).str(shape.idPrefix + x.id).add(`,"object":"`).add(shape.object).add(`","created":`).num(x.created)
	head.add(`,"model":`).str(x.ask.model).add(`,"service_tier":"default","system_fingerprint":null,"choices":[`)
	c.head = string(head.buf)

	for i := range x.ask.choices {
		if shape.opening {
			c.choice(i, []byte(`"delta":{"role":"assistant","content":"","refusal":null}`), "", nil, false)
		}
	}
	for k, text := range x.chunks {
		for i := range x.ask.choices {
			c.delta.buf = c.delta.buf[:0]
			shape.piece(&c.delta, text)
			object, full := x.usage(slotChunk, k, openAIUsage)
			c.choice(i, c.delta.buf, "", object, full)
			c.events[len(c.events)-1].content = i == 0
			c.events[len(c.events)-1].pace = i == 0
		}
	}
	for i := range x.ask.choices {
		object, full := x.usage(slotFinish, 0, openAIUsage)
		c.choice(i, []byte(shape.close), "stop", object, full)
		c.events[len(c.events)-1].pace = i == 0
	}
	c.usageOnly(slotTail)
	c.usageOnly(slotSecond)
	if x.plan.UsageAt == "x_groq" && x.ask.includeUsage {
		c.add(nil, openAIUsage(x.told), true) // Groq sends both
		c.events[len(c.events)-1].asked = true
	}
	if x.plan.SSE.Done == nil || *x.plan.SSE.Done {
		c.events = append(c.events, event{data: []byte("[DONE]"), sentinel: true})
	}
	c.usageOnly(slotAfter)
	return reply{framing: frameSSE, contentType: sseType, events: c.events}
}

type chunkWriter struct {
	x      *exchange
	shape  chunkShape
	head   string
	delta  builder // scratch for one choice's delta and for the choice around it
	around builder
	events []event
}

// choice appends a chunk of one choice.
func (c *chunkWriter) choice(index int, delta []byte, finish string, object []byte, full bool) {
	b := &c.around
	b.buf = b.buf[:0]
	b.add(`{"index":`).num(int64(index)).add(`,`)
	b.buf = append(b.buf, delta...)
	b.add(`,"logprobs":null,"finish_reason":`)
	if finish == "" {
		b.add(`null}`)
	} else {
		b.str(finish).add(`}`)
	}
	c.add(b.buf, object, full)
}

// usageOnly appends the chunk without choices, if the plan tells a usage at this slot.
func (c *chunkWriter) usageOnly(at slot) {
	object, full := c.x.usage(at, 0, openAIUsage)
	if object == nil || at == slotTail && c.x.plan.UsageAt == "every" && !c.x.ask.includeUsage {
		return
	}
	c.add(nil, object, full)
	c.events[len(c.events)-1].asked = c.x.ask.includeUsage
}

// add appends one chunk. A request that asked for usage sees the key in every chunk, null where there is none.
func (c *chunkWriter) add(choice, object []byte, full bool) {
	b := builder{buf: make([]byte, 0, len(c.head)+len(choice)+len(object)+80)}
	b.add(c.head)
	b.buf = append(b.buf, choice...)
	b.add(`]`)
	switch {
	case object != nil && c.x.plan.UsageAt == "x_groq" && choice != nil:
		b.add(`,"x_groq":{"id":`).str("req_"+c.x.id).member("usage", object).add(`}`)
	case object != nil:
		b.member("usage", object)
	case c.x.ask.includeUsage && c.x.plan.UsageAt != "none":
		b.add(`,"usage":null`)
	}
	if c.shape.pad && c.x.ask.obfuscate {
		b.add(`,"obfuscation":"`).add(letters(c.x.rng, 2+c.x.rng.IntN(10))).add(`"`)
	}
	b.add(`}`)
	e := b.event("")
	e.full = full
	c.events = append(c.events, e)
}

// resolveAuto replaces the word auto by what the real provider does.
func (x *exchange) resolveAuto(asked bool, ifAsked, otherwise string) {
	if x.plan.UsageAt != "" && x.plan.UsageAt != "auto" {
		return
	}
	if asked {
		x.plan.UsageAt = ifAsked
	} else {
		x.plan.UsageAt = otherwise
	}
}

// failOpenAI is the error envelope that OpenAI and most of those who imitate it use.
func failOpenAI(status int, message string) failure {
	kind, code := "invalid_request_error", "null"
	switch {
	case status == 429:
		kind, code = "tokens", `"rate_limit_exceeded"`
		if strings.Contains(message, "requests per min") {
			kind = "requests"
		}
	case status >= 500:
		kind = "server_error"
	case status == 401:
		code = `"invalid_api_key"`
	}
	var b builder
	b.add(`{"error":{"message":`).str(message).add(`,"type":"`).add(kind).add(`","param":null,"code":`).add(code).add(`}}`)
	return failure{body: b.buf}
}

func encodeModels(x *exchange) reply {
	var b builder
	b.add(`{"object":"list","data":[{"id":"mock","object":"model","created":` + strconv.FormatInt(x.created, 10))
	b.add(`,"owned_by":"llmlimit"}]}`)
	return reply{contentType: jsonType, events: []event{b.event("")}}
}
