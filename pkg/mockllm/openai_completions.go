package mockllm

import "github.com/tidwall/gjson"

func readCompletions(a *ask, _ string, body gjson.Result) {
	readStreamOptions(a, body)
	a.maxTokens = maxOf(body, "max_tokens")
	prompts := 1
	if p := body.Get("prompt"); p.IsArray() && !p.Get("0").IsObject() && p.Get("0").Type != gjson.Number {
		prompts = max(1, len(p.Array())) // a list of texts or of token lists; a list of numbers is one prompt
	}
	n := min(max(body.Get("n").Int(), 1), maxChoices)
	a.choices = min(prompts*int(n), maxChoices)
}

var completionChunks = chunkShape{
	object: "text_completion", idPrefix: "cmpl-",
	piece: func(b *builder, text string) { b.add(`"text":`).str(text) },
	close: `"text":""`,
}

// encodeCompletions writes the legacy endpoint: its chunks have the object name of the whole answer.
func encodeCompletions(x *exchange) reply {
	if x.ask.stream {
		return encodeChunks(x, completionChunks)
	}
	var b builder
	b.add(`{"id":`).str("cmpl-" + x.id).add(`,"object":"text_completion","created":`).num(x.created)
	b.add(`,"model":`).str(x.ask.model).add(`,"choices":[`)
	for i := range x.ask.choices {
		if i > 0 {
			b.add(",")
		}
		b.add(`{"text":`).str(x.text).add(`,"index":`).num(int64(i)).add(`,"logprobs":null,"finish_reason":"stop"}`)
	}
	b.add(`]`)
	object, full := x.bodyUsage(openAIUsage)
	addBodyUsage(&b, x, object)
	b.add(`}`)
	e := b.event("")
	e.full = full
	return reply{contentType: jsonType, events: []event{e}}
}
