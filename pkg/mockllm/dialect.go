package mockllm

import (
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

// dialect is one provider's wire format. encode makes the answer's events, fail the body of an error, limited the headers
// that tell a client where it stands.
type dialect struct {
	name   string
	match  func(method, path string) bool
	read   func(a *ask, path string, body gjson.Result)
	encode func(x *exchange) reply
	fail   func(status int, message string) failure
}

// failure is an error response's body in a dialect, and the headers that go with it.
type failure struct {
	body   []byte
	header map[string]string
}

// dialects is the table of what the mock speaks. The first row that matches answers; paths may have any prefix, as behind
// Azure's deployments or a gateway's own routes.
var dialects = []*dialect{
	{"openai-chat", post("/chat/completions"), readChat, encodeChat, failOpenAI},
	{"openai-completions", post("/completions"), readCompletions, encodeCompletions, failOpenAI},
	{"openai-responses", post("/responses"), readResponses, encodeResponses, failOpenAI},
	{"openai-embeddings", post("/embeddings"), readEmbeddings, encodeEmbeddings, failOpenAI},
	{"openai-models", get("/models"), readNothing, encodeModels, failOpenAI},
	{"anthropic", post("/messages"), readAnthropic, encodeAnthropic, failAnthropic},
	{"gemini", post(":generateContent", ":streamGenerateContent"), readGemini, encodeGemini, failGemini},
	{"bedrock-converse", post("/converse", "/converse-stream"), readConverse, encodeConverse, failBedrock},
	{"bedrock-invoke", post("/invoke", "/invoke-with-response-stream"), readInvoke, encodeInvoke, failBedrock},
	{"cohere", post("/v2/chat"), readCohere, encodeCohere, failCohere},
	unknownDialect,
}

// unknownDialect answers what nobody else does, with an OpenAI 404.
var unknownDialect = &dialect{"unknown", func(_, _ string) bool { return true }, readNothing, encodeUnknown, failOpenAI}

func post(suffixes ...string) func(method, path string) bool { return bySuffix("POST", suffixes) }
func get(suffixes ...string) func(method, path string) bool  { return bySuffix("GET", suffixes) }

func bySuffix(want string, suffixes []string) func(method, path string) bool {
	return func(method, path string) bool {
		if method != want {
			return false
		}
		for _, s := range suffixes {
			if strings.HasSuffix(path, s) {
				return true
			}
		}
		return false
	}
}

// ask is what the mock understood of a request. Only what shapes the answer is read.
type ask struct {
	dialect      *dialect
	model        string
	stream       bool
	includeUsage bool
	usageOptions bool // stream_options is there, whatever it says
	obfuscate    bool
	base64       bool // embeddings
	array        bool // Gemini's stream without alt=sse
	maxTokens    int64
	choices      int // at least 1: n, or the inputs of an embedding
}

// maxChoices bounds the memory that one request can ask for.
const maxChoices = 2048

// readAsk understands a request. A body that is not JSON asks for the defaults.
func readAsk(method string, u *url.URL, path, body string) ask {
	a := ask{choices: 1}
	for _, d := range dialects {
		if d.match(method, path) {
			a.dialect = d
			break
		}
	}
	parsed := gjson.Result{}
	if gjson.Valid(body) { // gjson reads numbers out of torn bodies otherwise
		parsed = gjson.Parse(body)
	}
	a.model = strings.Clone(parsed.Get("model").String()) // it is kept for longer than the body
	a.stream = parsed.Get("stream").Bool()
	a.array = u.RawQuery == "" || u.Query().Get("alt") != "sse"
	a.dialect.read(&a, path, parsed)
	return a
}

// maxOf is the largest of the named fields, 0 if there is none.
func maxOf(body gjson.Result, paths ...string) int64 {
	largest := int64(0)
	for _, p := range paths {
		if v := body.Get(p); v.Type == gjson.Number {
			largest = max(largest, v.Int())
		}
	}
	return largest
}

// pathModel is the model in a path such as /v1beta/models/NAME:generateContent or /model/NAME/converse.
func pathModel(path, before string) string {
	_, rest, ok := strings.Cut(path, before)
	if !ok {
		return ""
	}
	if at := strings.IndexAny(rest, ":/"); at >= 0 && before == "/models/" {
		return rest[:at]
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func readNothing(*ask, string, gjson.Result) {}

// encodeUnknown is never a success: serve turns the dialect into a 404.
func encodeUnknown(x *exchange) reply {
	return reply{contentType: jsonType, events: []event{{data: x.ask.dialect.fail(404, "unknown path").body}}}
}
