package mockllm

import "github.com/tidwall/gjson"

func readEmbeddings(a *ask, _ string, body gjson.Result) {
	a.stream = false
	a.base64 = body.Get("encoding_format").String() == "base64"
	if in := body.Get("input"); in.IsArray() && in.Get("0").Type != gjson.Number {
		a.choices = min(max(1, len(in.Array())), maxChoices)
	}
}

// encodeEmbeddings has no completion tokens, and the usage at the end of a large body. Every vector is the same.
func encodeEmbeddings(x *exchange) reply {
	x.told.Out, x.told.Reasoning, x.told.Total = 0, 0, x.told.In
	vector := `[0.25,-0.5,0.125,0]`
	if x.ask.base64 {
		vector = `"AACAPgAAAL8AAAA+AAAAAA=="` // the same four numbers, float32, little endian
	}
	var b builder
	b.add(`{"object":"list","data":[`)
	for i := range x.ask.choices {
		if i > 0 {
			b.add(",")
		}
		b.add(`{"object":"embedding","index":`).num(int64(i)).add(`,"embedding":`).add(vector).add(`}`)
	}
	b.add(`],"model":`).str(x.ask.model)
	object, full := x.bodyUsage(func(t Totals) []byte {
		var u builder
		u.add(`{"prompt_tokens":`).num(t.In).add(`,"total_tokens":`).num(t.In).add(`}`)
		return u.buf
	})
	b.member("usage", object).add(`}`)
	e := b.event("")
	e.full = full
	return reply{contentType: jsonType, events: []event{e}}
}
