package mockllm

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// dialect is one provider's wire format. encode makes the answer's events, fail the body of an error, limited the headers
// that tell a client where it stands.
type dialect struct {
	name   string
	method string
	ends   []string // of the paths at which it answers
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
	{"openai-chat", http.MethodPost, []string{"/chat/completions"}, readChat, encodeChat, failOpenAI},
	{"openai-completions", http.MethodPost, []string{"/completions"}, readCompletions, encodeCompletions, failOpenAI},
	{"openai-responses", http.MethodPost, []string{"/responses"}, readResponses, encodeResponses, failOpenAI},
	{"openai-embeddings", http.MethodPost, []string{"/embeddings"}, readEmbeddings, encodeEmbeddings, failOpenAI},
	{"openai-models", http.MethodGet, []string{"/models"}, readNothing, encodeModels, failOpenAI},
	{"anthropic", http.MethodPost, []string{"/messages"}, readAnthropic, encodeAnthropic, failAnthropic},
	{"gemini", http.MethodPost, []string{":generateContent", ":streamGenerateContent"}, readGemini, encodeGemini, failGemini},
	{"bedrock-converse", http.MethodPost, []string{"/converse", "/converse-stream"}, readConverse, encodeConverse, failBedrock},
	{"bedrock-invoke", http.MethodPost, []string{"/invoke", "/invoke-with-response-stream"}, readInvoke, encodeInvoke, failBedrock},
	{"cohere", http.MethodPost, []string{"/v2/chat"}, readCohere, encodeCohere, failCohere},
}

// unknownDialect answers what nobody else does, with an OpenAI 404.
var unknownDialect = &dialect{name: "unknown", read: readNothing, encode: encodeUnknown, fail: failOpenAI}

// dialectAt is the one that answers a request.
func dialectAt(method, path string) *dialect {
	for _, d := range dialects {
		if d.method == method && d.answersAt(path) {
			return d
		}
	}
	return unknownDialect
}

func (d *dialect) answersAt(path string) bool {
	return slices.ContainsFunc(d.ends, func(end string) bool { return strings.HasSuffix(path, end) })
}

// nobody says why no dialect answers a request.
func nobody(method, path string) string {
	var ends []string
	for _, d := range dialects {
		if d.answersAt(path) {
			return fmt.Sprintf("mockllm: found %s %s, expected %s", method, path, d.method)
		}
		ends = append(ends, d.ends...)
	}
	return fmt.Sprintf("mockllm: no provider answers at %s, expected a path that ends in one of %s", path, strings.Join(ends, ", "))
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
	choices      int    // at least 1: n, or the inputs of an embedding
	coding       string // the first that Accept-Encoding names and the mock can write, "" for none
}

// maxChoices bounds the memory that one request can ask for.
const maxChoices = 2048

// readAsk understands a request. A body that is not JSON asks for the defaults.
func readAsk(method string, u *url.URL, path, body string) ask {
	a := ask{choices: 1, dialect: dialectAt(method, path)}
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
