package scenarios

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

// ending fills in how an admitted request ended, by the mock's journal.
func (w *world) ending(r *judge.Request, s *sentRequest, e *mockllm.Entry) {
	r.Usage = trueUsage(e)
	wrote := client.ContentWithin(e.Sent.Body, contentType(s, e), e.Plan.HTTP.Encoding)
	r.Content = judge.Between(min(s.content, wrote), max(s.content, wrote)+unkept(e))
	if !strings.HasPrefix(contentType(s, e), "text/event-stream") {
		r.Document = s.document
	}
	switch {
	case r.Usage == nil:
		r.Early, r.EarlyEnds = toldEarly(e), endedEarly(e)
	case endsWithBody(e) && brokeOff(e):
		r.Usage, r.Early = nil, r.Usage // it was seen, and the end never came
	}
	left := s.x.Outcome == client.Cancelled || s.x.Outcome == client.Timeout
	whole := e.End == "complete"
	atOnce := left && s.x.Ended.Equal(endOf(e))
	switch {
	case left && whole && w.byURL() && e.Sent.Bytes-s.bytes > onTheWay:
		r.Outcome = judge.OutcomeUnknown // the usage was written, and who knows whether anybody has read so far
	case atOnce && (whole && r.Usage == nil || e.Sent.Status != http.StatusOK || endsWithBody(e)):
		r.Outcome = judge.OutcomeUnknown // either may have been first, and two rows fit
	case left && s.x.Ended.Add(-w.slack()).Before(endOf(e)) || left && !whole:
		r.Outcome = judge.OutcomeLeft
		answered := e.Sent.Status
		early := s.x.Status == 0 && !mockBegan(e, s.x.Ended.Add(-w.slack()))
		certain := !mockBegan(e, s.x.Ended) || answered == http.StatusOK
		if early && certain {
			r.Outcome = judge.OutcomeLeftEarly
		} else if answered != 0 && answered != http.StatusOK || s.x.Status >= 400 || r.Usage != nil && (misshapen(e) || begunOnly(e)) || r.Usage == nil && e.End != "client_gone" {
			r.Outcome = judge.OutcomeUnknown // two rows of the table fit, or the drain may not have found the usage
		}
	case s.x.Status != e.Sent.Status && (s.x.Status == http.StatusBadGateway || s.x.Status == http.StatusGatewayTimeout) && misshapen(e):
		r.Outcome = judge.OutcomeUnknown // the target could not read the answer: how far it came is its secret
	case r.Usage != nil && misshapen(e) && (e.Stream || s.usage != nil || !s.torn):
		r.Outcome = judge.OutcomeUnknown // one reader finds the usage in it, another does not
	case r.Usage != nil && misshapen(e):
		r.Usage, r.Outcome = nil, judge.OutcomeNoUsage
	case r.Usage != nil && begunOnly(e):
		r.Outcome = judge.OutcomeUnknown // some take it for the usage, some do not
	case r.Usage != nil:
		r.Outcome = judge.OutcomeUsage
	case !whole && (e.Sent.Status == 0 || e.End == "client_gone" && misshapen(e)):
		r.Outcome = judge.OutcomeUnknown // hung or cut before its headers: who knows what it cost
	case !whole && e.End == "client_gone" && s.x.Outcome == client.Complete && e.Sent.Status == http.StatusOK:
		r.Outcome = judge.OutcomeCutByTarget
	case !whole && s.x.Status == http.StatusGatewayTimeout:
		r.Outcome = judge.OutcomeTimeout
	case r.Early != nil && e.Plan.Fault.Kind == "error_event":
		r.Outcome = judge.OutcomeUnknown // what counts is the usage before the error, and nobody noted where it was
	default:
		r.Outcome = byStatus(e.Sent.Status, whole)
	}
}

// misshapen tells whether the mock was told to write an answer that is wrong, so
// that a usage in it need not be readable.
func misshapen(e *mockllm.Entry) bool {
	for name := range e.Plan.HTTP.Headers {
		if strings.EqualFold(name, "Content-Encoding") { // it names one that is not there
			return true
		}
	}
	return e.Plan.Fault.Kind != "" && e.Plan.Fault.Kind != "none"
}

// endsWithBody tells whether an answer has no end of its own but that of its body.
func endsWithBody(e *mockllm.Entry) bool { return e.Stream && e.Dialect == "gemini" }

// brokeOff tells whether the transport certainly broke in place of coming to the end of the
// body. A body that ends with its connection breaks with a reset alone, and one of a known
// length has ended with its last byte, whatever comes behind it.
func brokeOff(e *mockllm.Entry) bool {
	switch e.Plan.Fault.Kind {
	case "long_length":
		return true
	case "reset":
		return e.Plan.HTTP.Framing != "length"
	case "fin", "stall":
		byClose := e.Plan.HTTP.Framing == "close" || e.Plan.HTTP.Proto == "1.0"
		return e.Plan.HTTP.Framing != "length" && (!byClose || strings.HasPrefix(e.Proto, "HTTP/2"))
	}
	return false
}

// begunOnly tells whether a stream tells its usage in a beginning that nothing completes.
func begunOnly(e *mockllm.Entry) bool {
	return e.Stream && e.Dialect == "anthropic" && e.Plan.UsageAt == "early"
}

// torn tells whether a whole answer is no JSON to anybody: what many readers forgive, a
// byte order mark, is forgiven.
func torn(x *client.Exchange) bool {
	body := bytes.TrimPrefix(x.Body, []byte("\ufeff"))
	return x.Outcome == client.Complete && strings.Contains(x.Header.Get("Content-Type"), "json") && !gjson.ValidBytes(body)
}

func byStatus(status int, whole bool) judge.Outcome {
	switch {
	case status == http.StatusNoContent, status == http.StatusResetContent, status >= 300 && status < 400:
		return judge.OutcomeEmpty
	case status >= 500:
		return judge.OutcomeServerError
	case status >= 400:
		return judge.OutcomeClientError
	case !whole:
		return judge.OutcomeCut
	}
	return judge.OutcomeNoUsage
}

// mockBegan tells whether the mock had written anything before an instant: headers
// may leave long before the first byte behind them.
func mockBegan(e *mockllm.Entry, at time.Time) bool {
	return e.Sent.Status != 0 && !e.Sent.Head.IsZero() && e.Sent.Head.Before(at)
}

// onTheWay is how much of an answer may lie between mock and client without a target
// that would mind: whoever reads on for a client that has left reads so much.
const onTheWay = 256 << 10

// unkept is the most text that can be in the part of an answer that the journal did
// not keep.
func unkept(e *mockllm.Entry) int64 {
	rest := e.Sent.Bytes - int64(len(e.Sent.Body))
	if rest > 0 && packed(e) {
		return rest << 10 // nothing that we write is packed more tightly
	}
	return max(rest, 0)
}

// slack is how long what the mock wrote may be on its way to the target, for all
// that can be known. In virtual time it is there at once.
func (w *world) slack() time.Duration { return time.Duration(w.declared().SettleDelay) }

func endOf(e *mockllm.Entry) time.Time {
	if e.EndAt.IsZero() {
		return time.Now()
	}
	return e.EndAt
}

// contentType is that of the mock's answer: the target passes it on.
func contentType(s *sentRequest, e *mockllm.Entry) string {
	if s.contentType != "" && s.x.Status == e.Sent.Status {
		return s.contentType
	}
	if e.Stream {
		return "text/event-stream"
	}
	return "application/json"
}

// trueUsage is what the mock truly wrote, in the classes that its dialect has words
// for; nil if it wrote none that is valid. A usage that the plan gave verbatim is
// read as any reader has to.
func trueUsage(e *mockllm.Entry) *judge.Usage {
	if e.Sent.UsageNS == 0 {
		return nil
	}
	if e.Plan.UsageRaw != "" {
		return rawUsage(string(e.Plan.UsageRaw))
	}
	return classes(e)
}

// toldEarly is the most that an answer which broke off may have told before its end;
// nil where the usage comes last, or not at all. In a packed answer it counts as written
// with the last byte of all, and a reader that unpacks as it reads has it before.
func toldEarly(e *mockllm.Entry) *judge.Usage {
	early := []string{"every", "early", "twice", "finish_chunk", "x_groq"}
	partly := packed(e) && e.Sent.Bytes > 0 && e.End != "complete"
	all := e.Dialect == "gemini" || e.Dialect == "anthropic" || e.Dialect == "bedrock-invoke" || misshapen(e) || partly
	failed := e.Sent.Status != 0 && e.Sent.Status != http.StatusOK
	switch {
	case e.Plan.UsageAt == "none", !all && !slices.Contains(early, e.Plan.UsageAt):
		return nil
	case failed && (!partly || e.Plan.Fault.Kind != "usage_in_error"):
		return nil
	}
	return classes(e)
}

// packed tells whether an answer is compressed.
func packed(e *mockllm.Entry) bool {
	return e.Plan.HTTP.Encoding != "" && e.Plan.HTTP.Encoding != "none"
}

// endedEarly tells whether a stream may have told a usage where its dialect ends, and
// not yet the one that was to replace it. Of what the journal did not keep as it is,
// nobody knows what it told.
func endedEarly(e *mockllm.Entry) bool {
	if !e.Stream || !slices.Contains(endsWithUsage[e.Dialect], e.Plan.UsageAt) || endsWithBody(e) && brokeOff(e) {
		return false
	}
	wrote := client.Plain(e.Sent.Body, e.Plan.HTTP.Encoding)
	told := bytes.Contains(wrote, []byte(`"usage":{`)) || bytes.Contains(wrote, []byte(`"usageMetadata":{`))
	return told || unkept(e) > 0
}

// endsWithUsage lists, by the mock's word for a dialect, the places of a usage among
// which one that is not the last comes with the end of the stream.
var endsWithUsage = map[string][]string{
	"openai-chat":        {"twice"},
	"openai-completions": {"twice"},
	"gemini":             {"twice"},
	"bedrock-converse":   {"twice"}, // the frames before are inside of the message
}

// classes is the usage that the mock was told, as its dialect tells it; nil if
// nobody can tell it from one that is missing.
func classes(e *mockllm.Entry) *judge.Usage {
	u := &judge.Usage{In: e.Usage.In, Out: e.Usage.Out, Total: e.Usage.Total}
	if u.In+u.Out+u.Total == 0 {
		return nil
	}
	told := conveyed[e.Dialect]
	if told.cached {
		u.Cached = e.Usage.Cached
	}
	if told.cacheWrite {
		u.CacheWrite = e.Usage.CacheWrite
	}
	if told.reasoning {
		u.Reasoning = e.Usage.Reasoning
	}
	return u
}

// conveyed says which classes of tokens a provider's usage names, by the mock's word
// for its dialect. What it does not name is input or output like any other.
var conveyed = map[string]struct{ cached, cacheWrite, reasoning bool }{
	"openai-chat":        {cached: true, reasoning: true},
	"openai-completions": {cached: true, reasoning: true},
	"openai-responses":   {cached: true, cacheWrite: true, reasoning: true},
	"anthropic":          {cached: true, cacheWrite: true},
	"gemini":             {cached: true, reasoning: true},
	"bedrock-converse":   {cached: true, cacheWrite: true},
	"bedrock-invoke":     {cached: true, cacheWrite: true},
}

// maxTokens is the largest amount that counts as valid.
const maxTokens = 1 << 53

// rawUsage reads a usage object that may be wrong on purpose.
func rawUsage(raw string) *judge.Usage {
	if !gjson.Valid(raw) || !gjson.Parse(raw).IsObject() {
		return nil
	}
	var u judge.Usage
	fields := 0
	for field, at := range map[string]*int64{
		"prompt_tokens": &u.In, "input_tokens": &u.In, "inputTokens": &u.In, "promptTokenCount": &u.In,
		"completion_tokens": &u.Out, "output_tokens": &u.Out, "outputTokens": &u.Out, "candidatesTokenCount": &u.Out,
		"total_tokens": &u.Total, "totalTokens": &u.Total, "totalTokenCount": &u.Total,
	} {
		v := gjson.Get(raw, field)
		if !v.Exists() || v.Type == gjson.Null {
			continue
		}
		if v.Type != gjson.Number || v.Num < 0 || v.Num > maxTokens || v.Num != float64(int64(v.Num)) {
			return nil
		}
		*at = v.Int()
		fields++
	}
	if fields == 0 || u.In+u.Out+u.Total == 0 {
		return nil
	}
	return &u
}
