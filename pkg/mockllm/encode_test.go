package mockllm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/tidwall/gjson"
	"github.com/tmaxmax/go-sse"
	"pgregory.net/rapid"
)

// endpoints are one request of each kind that the mock answers.
var endpoints = map[string]struct{ path, body string }{
	"chat":              {chatPath, chatBody},
	"chat stream":       {chatPath, streamBody},
	"chat stream n":     {chatPath, `{"model":"m","n":3,"stream":true,"stream_options":{"include_usage":true}}`},
	"completions":       {"/v1/completions", `{"model":"m","prompt":"hi"}`},
	"responses":         {"/v1/responses", `{"model":"m","input":"hi"}`},
	"responses stream":  {"/v1/responses", `{"model":"m","input":"hi","stream":true}`},
	"embeddings":        {"/v1/embeddings", `{"model":"m","input":["a","b"]}`},
	"anthropic":         {"/v1/messages", `{"model":"m"}`},
	"anthropic stream":  {"/v1/messages", `{"model":"m","stream":true}`},
	"gemini":            {"/v1beta/models/g:generateContent", `{}`},
	"gemini stream":     {"/v1beta/models/g:streamGenerateContent?alt=sse", `{}`},
	"gemini array":      {"/v1beta/models/g:streamGenerateContent", `{}`},
	"converse":          {"/model/a.b-v1%3A0/converse", `{}`},
	"converse stream":   {"/model/a.b-v1%3A0/converse-stream", `{}`},
	"invoke":            {"/model/a.b-v1%3A0/invoke", `{}`},
	"invoke stream":     {"/model/a.b-v1%3A0/invoke-with-response-stream", `{}`},
	"cohere":            {"/v2/chat", `{"model":"m"}`},
	"cohere stream":     {"/v2/chat", `{"model":"m","stream":true}`},
	"azure chat":        {"/openai/deployments/d/chat/completions?api-version=1", chatBody},
	"completion stream": {"/v1/completions", streamBody},
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// compiled is the answer to an endpoint, without a server.
func compiled(t fataler, endpoint string, p Plan) *answer {
	t.Helper()
	e := endpoints[endpoint]
	u, err := url.Parse(e.path)
	if err != nil {
		t.Fatal(err)
	}
	a := readAsk(http.MethodPost, u, u.EscapedPath(), e.body)
	return compile(newExchange(a, p, 1, "", defaultCreated, len(e.body)))
}

func (a *answer) body() []byte {
	var out []byte
	for i := range a.segments {
		out = append(out, a.segments[i].data...)
	}
	return out
}

// documents are the JSON documents of an answer, read by somebody else's readers.
func documents(t fataler, a *answer) []gjson.Result {
	t.Helper()
	var texts []string
	body := a.body()
	switch a.reply.framing {
	case frameBody:
		texts = []string{string(body)}
	case frameArray:
		if !gjson.ValidBytes(body) {
			t.Fatalf("not a JSON array: %s", body)
		}
		for _, item := range gjson.ParseBytes(body).Array() {
			texts = append(texts, item.Raw)
		}
	case frameSSE:
		for e, err := range sse.Read(bytes.NewReader(body), &sse.ReadConfig{MaxEventSize: 8 << 20}) {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(e.Data, "[DONE]") {
				texts = append(texts, e.Data)
			}
		}
	case frameAWS:
		d, r := eventstream.NewDecoder(), bytes.NewReader(body)
		for r.Len() > 0 {
			m, err := d.Decode(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(m.Payload))
		}
	}
	out := make([]gjson.Result, 0, len(texts))
	for _, text := range texts {
		if !json.Valid([]byte(text)) {
			t.Fatalf("not JSON: %.300s", text)
		}
		if inner := gjson.Get(text, "bytes"); inner.Exists() {
			plain, err := base64.StdEncoding.DecodeString(inner.String())
			if err != nil {
				t.Fatal(err)
			}
			text = string(plain)
		}
		out = append(out, gjson.Parse(text))
	}
	return out
}

// invariants are what each dialect promises of its usage, at the places where the last one is found.
var invariants = []struct {
	at    string
	check func(u gjson.Result, want Totals) string
}{
	{"usage", func(u gjson.Result, w Totals) string { // OpenAI and Anthropic and Bedrock share the name
		switch {
		case u.Get("prompt_tokens").Exists() && u.Get("completion_tokens").Exists():
			return diff(w, u.Get("prompt_tokens").Int(), u.Get("completion_tokens").Int(), u.Get("total_tokens").Int(),
				u.Get("prompt_tokens_details.cached_tokens").Int(), u.Get("completion_tokens_details.reasoning_tokens").Int())
		case u.Get("prompt_tokens").Exists(): // embeddings
			return diff(Totals{In: w.In, Total: w.In}, u.Get("prompt_tokens").Int(), 0, u.Get("total_tokens").Int(), 0, 0)
		case u.Get("inputTokens").Exists():
			in := u.Get("inputTokens").Int() + u.Get("cacheReadInputTokens").Int() + u.Get("cacheWriteInputTokens").Int()
			return diff(w, in, u.Get("outputTokens").Int(), u.Get("totalTokens").Int(), u.Get("cacheReadInputTokens").Int(), -1)
		case u.Get("total_tokens").Exists():
			return diff(w, u.Get("input_tokens").Int(), u.Get("output_tokens").Int(), u.Get("total_tokens").Int(),
				u.Get("input_tokens_details.cached_tokens").Int(), u.Get("output_tokens_details.reasoning_tokens").Int())
		case u.Get("tokens").Exists():
			in, out := u.Get("tokens.input_tokens").Int(), u.Get("tokens.output_tokens").Int()
			return diff(w, in, out, in+out, in-u.Get("billed_units.input_tokens").Int(), -1)
		default:
			in := u.Get("input_tokens").Int() + u.Get("cache_read_input_tokens").Int() + u.Get("cache_creation_input_tokens").Int()
			out := u.Get("output_tokens").Int()
			return diff(w, in, out, in+out, u.Get("cache_read_input_tokens").Int(), -1)
		}
	}},
	{"usageMetadata", func(u gjson.Result, w Totals) string {
		out := u.Get("candidatesTokenCount").Int() + u.Get("thoughtsTokenCount").Int()
		return diff(w, u.Get("promptTokenCount").Int(), out, u.Get("totalTokenCount").Int(),
			u.Get("cachedContentTokenCount").Int(), u.Get("thoughtsTokenCount").Int())
	}},
}

// diff compares; a reasoning of -1 is not told by the dialect.
func diff(w Totals, in, out, total, cached, reasoning int64) string {
	if in != w.In || out != w.Out || total != w.Total || total != in+out || cached != w.Cached || reasoning >= 0 && reasoning != w.Reasoning {
		return fmt.Sprintf("in %d out %d total %d cached %d reasoning %d, want %+v", in, out, total, cached, reasoning, w)
	}
	return ""
}

// lastUsage is the last usage in the documents, where the dialects have it.
func lastUsage(docs []gjson.Result) (usage gjson.Result, at int) {
	at = -1
	for _, doc := range docs {
		for _, path := range []string{"usage", "response.usage", "message.usage", "delta.usage"} {
			if u := doc.Get(path); u.IsObject() {
				usage, at = u, 0
			}
		}
		if u := doc.Get("usageMetadata"); u.IsObject() {
			usage, at = u, 1
		}
	}
	return usage, at
}

// In auto, whatever else the plan does to the bytes, an independent reader finds the plan's usage by the dialect's rules.
func TestAutoTellsTheUsageByTheDialectsRules(t *testing.T) {
	t.Parallel()
	for endpoint := range endpoints {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				p := anyPlan(t)
				p.UsageAt, p.UsageRaw, p.BodyRaw, p.Fault, p.HTTP = "", "", "", Fault{}, HTTP{}
				a := compiled(t, endpoint, p)
				u, at := lastUsage(documents(t, a))
				if at < 0 {
					t.Fatalf("no usage in %.500s", a.body())
				}
				if bad := invariants[at].check(u, a.x.told); bad != "" {
					t.Fatalf("%s in %s", bad, u.Raw)
				}
				if n := finals(a); n != 1 {
					t.Fatalf("%d segments carry the final usage, want 1", n)
				}
			})
		})
	}
}

func finals(a *answer) int {
	n := 0
	for i := range a.segments {
		if !a.segments[i].usage.empty() {
			n++
		}
	}
	return n
}

// The span that the journal's usage_ns rests on covers exactly the last usage.
func TestUsageSpanIsTheUsage(t *testing.T) {
	t.Parallel()
	for endpoint := range endpoints {
		for _, text := range []string{"{}", "sse: {space: false, eol: crlf, comments: inside}", "fault: multiline_data", "fault: long_line"} {
			a := compiled(t, endpoint, plan(t, text).Merge(Plan{Usage: Usage{In: Count(77), Out: Count(33)}}))
			n := 0
			for i := range a.segments {
				s := &a.segments[i]
				if s.usage.empty() {
					continue
				}
				n++
				got := string(s.data[s.usage.from:s.usage.to])
				if plain, err := base64.StdEncoding.DecodeString(got); err == nil {
					got = "{" + strings.TrimSuffix(string(plain), "}") + "}" // a wrapped event
				}
				if !strings.HasPrefix(got, "{") || !strings.HasSuffix(got, "}") || !strings.Contains(got, "77") {
					t.Errorf("%s, %s: the span holds %q", endpoint, text, got)
				}
			}
			if n != 1 {
				t.Errorf("%s, %s: %d spans", endpoint, text, n)
			}
		}
	}
}

func TestStreamWithoutIncludeUsageTellsNone(t *testing.T) {
	t.Parallel()
	u, _ := url.Parse(chatPath)
	a := compile(newExchange(readAsk(http.MethodPost, u, chatPath, `{"stream":true}`), Plan{}, 1, "", 0, 0))
	if body := string(a.body()); strings.Contains(body, `"usage"`) || !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Errorf("got %s", body)
	}
}

// Every deviation of usage_at, in an OpenAI stream that asked for usage: which events carry the key, and with what.
func TestUsageAt(t *testing.T) {
	t.Parallel()
	const tokens = `{"prompt_tokens":10,"completion_tokens":%d,"total_tokens":%d`
	full, half := fmt.Sprintf(tokens, 40, 50), fmt.Sprintf(tokens, 20, 30)
	for word, want := range map[string][]string{ // per event: null, -, or the beginning of the object
		"auto":         {"null", "null", "null", "null", full, "DONE"},
		"none":         {"-", "-", "-", "-", "DONE"},
		"final":        {"null", "null", "null", "null", full, "DONE"},
		"every":        {"null", half, full, full, full, "DONE"},
		"early":        {"null", full, "null", "null", "DONE"},
		"finish_chunk": {"null", "null", "null", full, "DONE"},
		"x_groq":       {"null", "null", "null", "groq" + full, full, "DONE"},
		"after_done":   {"null", "null", "null", "null", "DONE", full},
		"twice":        {"null", "null", "null", "null", half, full, "DONE"},
		"null_value":   {"null", "null", "null", "null", "null", "DONE"},
		"empty_object": {"null", "null", "null", "null", "{}", "DONE"},
	} {
		a := compiled(t, "chat stream", plan(t, "{usage: 10/40, content: {chunks: 2}, usage_at: "+word+"}"))
		var got []string
		for block := range strings.SplitSeq(strings.TrimSuffix(string(a.body()), "\n\n"), "\n\n") {
			data := strings.TrimPrefix(block, "data: ")
			u := gjson.Get(data, "usage")
			groq := gjson.Get(data, "x_groq.usage")
			switch {
			case data == "[DONE]":
				got = append(got, "DONE")
			case groq.Exists():
				got = append(got, "groq"+groq.Raw)
			case u.Exists():
				got = append(got, u.Raw)
			default:
				got = append(got, "-")
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: got %q, want %q", word, got, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s, event %d: got %s, want %s", word, i, got[i], want[i])
			}
		}
	}
}

// In every dialect every word of usage_at gives readable documents, and the promise of none and of all others is kept.
func TestUsageAtInEveryDialect(t *testing.T) {
	t.Parallel()
	for endpoint := range endpoints {
		for _, word := range words.usageAt {
			a := compiled(t, endpoint, Plan{UsageAt: word, Usage: Usage{In: Count(10), Out: Count(40)}})
			docs := documents(t, a)
			told := finals(a) == 1
			switch word {
			case "none", "null_value", "empty_object":
				if told {
					t.Errorf("%s, %s: a usage is told: %s", endpoint, word, a.body())
				}
			default:
				if !told {
					t.Errorf("%s, %s: no usage is told: %s", endpoint, word, a.body())
				}
			}
			if len(docs) == 0 {
				t.Errorf("%s, %s: no documents", endpoint, word)
			}
		}
	}
}

// What Bedrock adds to the end of a wrapped stream tells no usage that the plan has come behind the end.
func TestInvocationMetricsComeWithTheUsage(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]bool{"final": true, "early": true, "twice": true, "after_done": false, "none": false} {
		told := false
		for _, e := range compiled(t, "invoke stream", Plan{UsageAt: word}).reply.events {
			told = told || bytes.Contains(e.data, []byte("invocationMetrics"))
		}
		if told != want {
			t.Errorf("%s: told %v, want %v", word, told, want)
		}
	}
}

// A fault of an event is one of what is wrapped, not of the wrapping.
func TestFaultsInsideOfWrappedEvents(t *testing.T) {
	t.Parallel()
	for kind, inside := range map[string]string{
		"escaped_key": `"\u0061mazon-bedrock-invocationMetrics"`, "duplicate_usage": `"outputTokenCount":20`, "multiline_data": "{\n\"type\"", "nested_usage": `"response":{"amazon`,
	} {
		p := Plan{Usage: Usage{In: Count(10), Out: Count(40)}, Fault: Fault{Kind: kind}}
		var got strings.Builder
		d, r := eventstream.NewDecoder(), bytes.NewReader(compiled(t, "invoke stream", p).body())
		for r.Len() > 0 {
			m, err := d.Decode(r, nil)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			plain, err := base64.StdEncoding.DecodeString(gjson.GetBytes(m.Payload, "bytes").String())
			if err != nil || !json.Valid(plain) || m.Headers.Get(":event-type").String() != "chunk" {
				t.Fatalf("%s: %v in %s", kind, err, m.Payload)
			}
			got.Write(plain)
		}
		if !strings.Contains(got.String(), inside) {
			t.Errorf("%s: %s is not in %s", kind, inside, got.String())
		}
	}
}

func TestUsageRawIsVerbatim(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`{"total_tokens":1,"total_tokens":2}`, `"many"`, `{"total_tokens":-5}`, `{"total_tokens":1e30}`, `{"total_tokens":"50"}`} {
		for endpoint := range endpoints {
			a := compiled(t, endpoint, Plan{UsageRaw: Raw(raw)})
			body := string(a.body())
			if endpoint == "invoke stream" {
				continue // in base64
			}
			if !strings.Contains(body, raw) {
				t.Errorf("%s: %s is not in %s", endpoint, raw, body)
			}
		}
	}
}

func TestAWSHeaders(t *testing.T) {
	t.Parallel()
	a := compiled(t, "converse stream", Plan{Fault: Fault{Kind: "error_event", After: After{Chunks: new(int64(1))}}})
	d, r := eventstream.NewDecoder(), bytes.NewReader(a.body())
	var got []string
	for {
		m, err := d.Decode(r, nil)
		if errors.Is(err, io.EOF) || r.Len() == 0 && err != nil {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kind := m.Headers.Get(":message-type").String()
		name := m.Headers.Get(":" + kind + "-type").String()
		got = append(got, kind+" "+name+" "+m.Headers.Get(":content-type").String())
	}
	want := []string{
		"event messageStart application/json", "event contentBlockDelta application/json",
		"exception modelStreamErrorException application/json",
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("got %q", got)
	}
}

func TestChoicesAndModelComeFromTheRequest(t *testing.T) {
	t.Parallel()
	docs := documents(t, compiled(t, "chat stream n", Plan{}))
	if seen := docs[2].Get("choices.0.index").Int(); seen != 2 {
		t.Errorf("third event is of choice %d, want 2", seen)
	}
	if model := documents(t, compiled(t, "gemini", Plan{}))[0].Get("modelVersion").String(); model != "g" {
		t.Errorf("gemini model %q, want g", model)
	}
	if m := compiled(t, "converse", Plan{}).x.ask.model; m != "a.b-v1:0" {
		t.Errorf("bedrock model %q", m)
	}
}

// The same bytes whatever the compression, the splits and the line ends: only the framing changes.
func TestSplitAndCompressionKeepTheBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := anyPlan(t)
		p.UsageAt, p.UsageRaw, p.BodyRaw, p.Fault, p.HTTP = "", "", "", Fault{}, HTTP{}
		p.Timing = Timing{}
		endpoint := rapid.SampledFrom([]string{"chat", "chat stream", "anthropic stream", "gemini array", "converse stream"}).Draw(t, "endpoint")
		p.SSE.Split = "event"
		want := compiled(t, endpoint, p).body()
		p.SSE.Split = rapid.SampledFrom(words.split).Draw(t, "split")
		p.HTTP.Encoding = rapid.SampledFrom(words.encoding).Draw(t, "encoding")
		a := compiled(t, endpoint, p)
		got, err := decoded(p.HTTP.Encoding, a.body())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v: got %.200q, want %.200q", err, got, want)
		}
		if n := finals(a); n != 1 {
			t.Fatalf("%d pieces carry the usage's end, want 1", n)
		}
	})
}
