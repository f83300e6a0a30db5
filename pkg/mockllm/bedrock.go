package mockllm

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

func readConverse(a *ask, path string, body gjson.Result) {
	a.model = bedrockModel(path)
	a.stream = strings.HasSuffix(path, "/converse-stream")
	a.maxTokens = maxOf(body, "inferenceConfig.maxTokens")
}

func readInvoke(a *ask, path string, body gjson.Result) {
	a.model = bedrockModel(path)
	a.stream = strings.HasSuffix(path, "/invoke-with-response-stream")
	a.maxTokens = maxOf(body, "max_tokens")
}

// bedrockModel undoes the escaping that model ids with colons and slashes need in a path.
func bedrockModel(path string) string {
	name := pathModel(path, "/model/")
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}

// converseUsage keeps cached tokens apart from the input; the total contains everything.
func converseUsage(t Totals) []byte {
	var b builder
	b.add(`{"inputTokens":`).num(t.In - t.Cached - t.CacheWrite).add(`,"outputTokens":`).num(t.Out)
	b.add(`,"totalTokens":`).num(t.Total)
	b.add(`,"cacheReadInputTokens":`).num(t.Cached).add(`,"cacheWriteInputTokens":`).num(t.CacheWrite).add(`}`)
	return b.buf
}

func encodeConverse(x *exchange) reply {
	header := map[string]string{"X-Amzn-Requestid": x.id}
	if x.ask.stream {
		return reply{framing: frameAWS, contentType: awsType, header: header, events: converseEvents(x)}
	}
	var b builder
	b.add(`{"output":{"message":{"role":"assistant","content":[{"text":`).str(x.text).add(`}]}},"stopReason":"end_turn"`)
	object, full := x.bodyUsage(converseUsage)
	b.member("usage", object).add(`,"metrics":{"latencyMs":1}}`)
	e := b.event("")
	e.full = full
	return reply{contentType: jsonType, header: header, events: []event{e}}
}

// converseEvents ends with a metadata event behind messageStop, which alone tells the usage.
func converseEvents(x *exchange) []event {
	x.resolveAuto(true, "final", "")
	var events []event
	add := func(name, data string) *event {
		events = append(events, event{name: name, data: []byte(data)})
		return &events[len(events)-1]
	}
	metadata := func(at slot, i int) {
		object, full := x.usage(at, i, converseUsage)
		if object == nil && at != slotTail {
			return
		}
		b := builder{}
		b.add(`{"metrics":{"latencyMs":1}`).member("usage", object).add(`}`)
		e := b.event("metadata")
		e.full = full
		events = append(events, e)
	}
	add("messageStart", `{"role":"assistant"}`)
	for i, text := range x.chunks {
		var b builder
		b.add(`{"contentBlockIndex":0,"delta":{"text":`).str(text).add(`}}`)
		e := add("contentBlockDelta", string(b.buf))
		e.content, e.pace = true, true
		metadata(slotChunk, i)
	}
	add("contentBlockStop", `{"contentBlockIndex":0}`).pace = true
	add("messageStop", `{"stopReason":"end_turn"}`)
	switch x.plan.UsageAt {
	case "finish_chunk", "x_groq":
		metadata(slotFinish, 0)
	case "after_done":
		metadata(slotAfter, 0)
	default:
		metadata(slotTail, 0)
		metadata(slotSecond, 0)
	}
	return events
}

// encodeInvoke wraps Anthropic's own format: whole as it is, a stream as frames with each event in base64, the last of which
// repeats the usage as invocation metrics.
func encodeInvoke(x *exchange) reply {
	if !x.ask.stream {
		r := encodeAnthropic(x)
		if len(r.events) > 0 && r.events[0].full {
			r.header["X-Amzn-Bedrock-Input-Token-Count"] = strconv.FormatInt(x.told.In, 10)
			r.header["X-Amzn-Bedrock-Output-Token-Count"] = strconv.FormatInt(x.told.Out, 10)
		}
		return r
	}
	events := anthropicEvents(x)
	full := false // before the end: metrics must not tell what the plan has come behind it
	for i := range events {
		full = full || events[i].full
		if full && x.plan.UsageRaw == "" && events[i].name == "message_stop" {
			events[i] = invocationMetrics(x)
		}
	}
	return reply{framing: frameAWS, contentType: awsType, header: map[string]string{"X-Amzn-Requestid": x.id}, events: events, wrapped: true}
}

// invocationMetrics is the last event of a stream, to which Bedrock adds its own count.
func invocationMetrics(x *exchange) event {
	var metrics, b builder
	metrics.add(`{"inputTokenCount":`).num(x.told.In - x.told.Cached - x.told.CacheWrite)
	metrics.add(`,"outputTokenCount":`).num(x.told.Out).add(`,"cacheReadInputTokenCount":`).num(x.told.Cached)
	metrics.add(`,"cacheWriteInputTokenCount":`).num(x.told.CacheWrite).add(`,"invocationLatency":1,"firstByteLatency":1}`)
	e := b.add(`{"type":"message_stop"`).member("amazon-bedrock-invocationMetrics", metrics.buf).add(`}`).event("message_stop")
	e.full = true
	return e
}

// wrapped puts an event into the event that InvokeModelWithResponseStream has for all.
func wrapped(e *event) *event {
	out := *e
	out.name, out.usage = "chunk", span{}
	var b builder
	b.add(`{"bytes":"`)
	from := len(b.buf)
	b.buf = base64.StdEncoding.AppendEncode(b.buf, e.data)
	if !e.usage.empty() {
		out.usage = span{from, len(b.buf)}
	}
	out.data = b.add(`"}`).buf
	return &out
}

// bedrockExceptions are the exception names by status.
var bedrockExceptions = map[int]string{
	400: "ValidationException", 403: "AccessDeniedException", 404: "ResourceNotFoundException", 408: "ModelTimeoutException",
	424: "ModelErrorException", 429: "ThrottlingException", 503: "ServiceUnavailableException",
}

func failBedrock(status int, message string) failure {
	kind := bedrockExceptions[status]
	if kind == "" {
		kind = "InternalServerException"
	}
	var b builder
	b.add(`{"message":`).str(message).add(`}`)
	return failure{body: b.buf, header: map[string]string{"X-Amzn-Errortype": kind}}
}
