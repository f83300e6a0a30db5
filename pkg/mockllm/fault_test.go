package mockllm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// wireCase looks at the bytes of one faulty answer. The plan is merged over usage 10/40 and two chunks.
type wireCase struct {
	fault string // row of the catalogue, "" for a deviation that is a plan's field
	plan  string
	body  string // request; default: the stream that asks for usage
	check func(t *testing.T, w wireSeen)
}

// wireSeen is what came back: the head, the body out of its framing, the error in reading it, and how the connection ended.
type wireSeen struct {
	head   string
	body   string
	err    error
	raw    string
	closed error
	entry  Entry
	took   time.Duration
}

const doneEvent = "data: [DONE]\n\n"

func has(parts ...string) func(*testing.T, wireSeen) {
	return func(t *testing.T, w wireSeen) {
		t.Helper()
		at := 0
		text := w.head + "\r\n\r\n" + w.body
		for _, p := range parts {
			i := strings.Index(text[at:], p)
			if i < 0 {
				t.Errorf("%q is not behind offset %d of\n%.3000q", p, at, text)
				return
			}
			at += i + len(p)
		}
	}
}

// onWire is has before the framing is undone.
func onWire(parts ...string) func(*testing.T, wireSeen) {
	return func(t *testing.T, w wireSeen) {
		t.Helper()
		w.head, w.body, _ = strings.Cut(w.raw, "\r\n\r\n")
		has(parts...)(t, w)
	}
}

func whole(checks ...func(*testing.T, wireSeen)) func(*testing.T, wireSeen) {
	return func(t *testing.T, w wireSeen) {
		t.Helper()
		if w.err != nil || w.closed != nil {
			t.Errorf("framing: %v, connection: %v, want both whole", w.err, w.closed)
		}
		for _, c := range checks {
			c(t, w)
		}
	}
}

func torn(t *testing.T, w wireSeen) {
	t.Helper()
	if !errors.Is(w.err, io.ErrUnexpectedEOF) {
		t.Errorf("framing: %v, want an unexpected end", w.err)
	}
}

func chunksSent(n int) func(*testing.T, wireSeen) {
	return func(t *testing.T, w wireSeen) {
		t.Helper()
		if got := strings.Count(w.body, `"delta":{"content"`); got != n || w.entry.Sent.Chunks != n {
			t.Errorf("%d pieces of text on the wire, %d in the journal, want %d", got, w.entry.Sent.Chunks, n)
		}
	}
}

func usageSent(want bool) func(*testing.T, wireSeen) {
	return func(t *testing.T, w wireSeen) {
		t.Helper()
		if got := w.entry.Sent.UsageNS != 0; got != want {
			t.Errorf("the journal says usage sent: %v, want %v", got, want)
		}
		if got := strings.Contains(w.body, `"total_tokens":50`); got != want {
			t.Errorf("usage on the wire: %v, want %v: %s", got, want, w.body)
		}
	}
}

func all(checks ...func(*testing.T, wireSeen)) func(*testing.T, wireSeen) {
	return func(t *testing.T, w wireSeen) {
		t.Helper()
		for _, c := range checks {
			c(t, w)
		}
	}
}

func events(n int) func(*testing.T, wireSeen) {
	return func(t *testing.T, w wireSeen) {
		t.Helper()
		if got := strings.Count(w.body, "\n\n"); got != n {
			t.Errorf("%d events, want %d: %q", got, n, w.body)
		}
	}
}

var wireCases = []wireCase{
	// How it ends.
	{fault: "reset", plan: "fault: reset@1", check: all(chunksSent(1), usageSent(false), torn, func(t *testing.T, w wireSeen) {
		t.Helper()
		if !errors.Is(w.closed, syscall.ECONNRESET) {
			t.Errorf("closed with %v, want a reset", w.closed)
		}
	})},
	{fault: "fin", plan: "fault: fin@1", check: all(chunksSent(1), usageSent(false), torn, func(t *testing.T, w wireSeen) {
		t.Helper()
		if w.closed != nil {
			t.Errorf("closed with %v, want FIN", w.closed)
		}
	})},
	{fault: "fin", plan: "fault: fin@usage", check: all(chunksSent(2), usageSent(false), torn, events(4))},
	{fault: "fin", plan: "fault: {kind: fin, after: {after_usage: true}}", check: all(usageSent(true), torn)},
	{fault: "fin", plan: "fault: {kind: fin, after: {bytes: 0}}", check: all(torn, has("200 OK"), events(0))},
	{fault: "fin", plan: "{fault: fin@1, http: {framing: length}}", body: chatBody, check: all(torn, usageSent(false), has("Content-Length"))},
	{fault: "stall", plan: "fault: {kind: stall, after: {chunks: 1}, for: 5s}", check: all(chunksSent(1), torn, func(t *testing.T, w wireSeen) {
		t.Helper()
		if w.took < 5*time.Second || w.took > 5*time.Second+time.Millisecond {
			t.Errorf("took %v, want 5s", w.took)
		}
	})},
	{fault: "hang_before_headers", plan: "fault: {kind: hang_before_headers, for: 3s}", check: func(t *testing.T, w wireSeen) {
		t.Helper()
		if w.raw != "" || w.took < 3*time.Second {
			t.Errorf("got %q after %v, want nothing for 3s", w.raw, w.took)
		}
	}},
	{fault: "hang_before_headers", plan: "{http: {informational: [103, 103]}, fault: {kind: hang_before_headers, for: 3s}}", check: func(t *testing.T, w wireSeen) {
		t.Helper()
		if want := strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 2); w.raw != want || w.took < 3*time.Second {
			t.Errorf("got %q after %v, want %q", w.raw, w.took, want)
		}
	}},
	{fault: "truncate", plan: "fault: {kind: truncate, after: {after_usage: true}}", body: chatBody, check: whole(usageSent(true), func(t *testing.T, w wireSeen) {
		t.Helper()
		if gjson.Valid(w.body) || !strings.HasSuffix(w.body, "}}") {
			t.Errorf("want a body cut right behind its usage, got %s", w.body)
		}
	})},
	{fault: "truncate", plan: "fault: truncate@usage", body: chatBody, check: whole(usageSent(false), func(t *testing.T, w wireSeen) {
		t.Helper()
		if !strings.HasSuffix(w.body, `"usage":`) {
			t.Errorf("want a body cut right before its usage, got %s", w.body)
		}
	})},
	{fault: "truncate", plan: "fault: truncate@100b", check: whole(func(t *testing.T, w wireSeen) {
		t.Helper()
		if len(w.body) != 100 {
			t.Errorf("%d bytes, want 100", len(w.body))
		}
	})},
	{fault: "error_event", plan: "fault: error_event@1", check: whole(chunksSent(1), usageSent(false), has(`{"error":{"message":`, `"type":"server_error"`),
		func(t *testing.T, w wireSeen) {
			t.Helper()
			if strings.Contains(w.body, "[DONE]") {
				t.Error("the stream goes on behind the error")
			}
		})},
	{fault: "error_event", plan: "fault: error_event", body: chatBody, check: whole(has("500 Internal Server Error", `{"error":`))},

	// Lengths and encodings.
	{fault: "short_length", plan: "fault: short_length", body: chatBody, check: func(t *testing.T, w wireSeen) {
		t.Helper()
		_, sent, _ := strings.Cut(w.raw, "\r\n\r\n")
		if want := fmt.Sprintf("Content-Length: %d\r\n", len(sent)-lengthError); !strings.Contains(w.raw, want) || !gjson.Valid(sent) {
			t.Errorf("want %q, got %q", want, w.raw)
		}
	}},
	{fault: "long_length", plan: "fault: {kind: long_length, after: {bytes: 10737418240}}", body: chatBody, check: all(torn, func(t *testing.T, w wireSeen) {
		t.Helper()
		if want := fmt.Sprintf("Content-Length: %d\r\n", 10737418240+w.entry.Sent.Bytes); !strings.Contains(w.raw, want) {
			t.Errorf("want %q, got %q", want, w.raw)
		}
	})},
	{plan: "http: {framing: length}", check: whole(has("Content-Length: ", "text/event-stream", doneEvent))},
	{plan: "http: {framing: chunked}", body: chatBody, check: whole(has("application/json", "Transfer-Encoding: chunked"))},
	{plan: "http: {framing: close}", check: whole(has("Connection: close"), func(t *testing.T, w wireSeen) {
		t.Helper()
		if strings.Contains(w.head, "Transfer-Encoding") || strings.Contains(w.head, "Content-Length") {
			t.Errorf("want a body that ends with the connection, got %q", w.head)
		}
	})},
	{plan: "http: {proto: '1.0'}", check: whole(has("HTTP/1.0 200 OK\r\n", doneEvent))},
	{plan: "http: {encoding: gzip}", check: has("Content-Encoding: gzip", "\x1f\x8b")},
	{plan: "http: {encoding: br}", body: chatBody, check: has("Content-Encoding: br")},
	{fault: "empty_encoded", plan: "fault: empty_encoded", check: whole(has("Content-Encoding: gzip"), func(t *testing.T, w wireSeen) {
		t.Helper()
		if w.body != "" {
			t.Errorf("body %q, want none", w.body)
		}
	})},
	{fault: "goaway", plan: "fault: goaway", check: whole(has("Connection: close", doneEvent))},
	{plan: "http: {trailers: {x-usage: '50'}}", check: whole(onWire("Trailer: X-Usage", doneEvent, "0\r\nX-Usage: 50\r\n\r\n"))},
	{plan: "http: {informational: [103, 100]}", check: onWire("HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 100 Continue\r\n", "HTTP/1.1 200 OK\r\n")},
	{plan: "http: {headers: {content-type: application/json}}", check: whole(has("Content-Type: application/json", doneEvent))},
	{plan: "http: {headers: {content-type: 'text/event-stream;charset=utf-8'}}", check: has("Content-Type: text/event-stream;charset=utf-8\r\n")},
	{plan: "http: {headers: {content-type: '', date: ''}}", check: whole(func(t *testing.T, w wireSeen) {
		t.Helper()
		if strings.Contains(w.head, "Content-Type") || strings.Contains(w.head, "Date") {
			t.Errorf("want neither a type nor a date, got %q", w.head)
		}
	})},
	{plan: "http: {status: 302, headers: {location: 'http://elsewhere/'}}", check: whole(has("302 Found", "Location: http://elsewhere/"))},
	{plan: "http: {status: 429}", check: whole(has("429", `"code":"rate_limit_exceeded"`), func(t *testing.T, w wireSeen) {
		t.Helper()
		if strings.Contains(w.head, "Retry-After") || w.entry.Usage != (Totals{}) {
			t.Errorf("head %q, usage %+v, want no Retry-After and no usage", w.head, w.entry.Usage)
		}
	})},
	{plan: "http: {status: 429, headers: {retry-after: '-1', retry-after-ms: '250'}}", check: has("Retry-After: -1\r\n", "Retry-After-Ms: 250\r\n")},
	{plan: "http: {status: 429, headers: {retry-after: 'Wed, 02 Jan 2030 12:00:00 GMT'}}", check: has("Retry-After: Wed, 02 Jan 2030 12:00:00 GMT\r\n")},

	// What is in the stream.
	{plan: "sse: {eol: crlf}", check: whole(has("}\r\n\r\ndata: "), func(t *testing.T, w wireSeen) {
		t.Helper()
		if strings.Count(w.body, "\n") != strings.Count(w.body, "\r\n") {
			t.Errorf("a bare line feed in %q", w.body)
		}
	})},
	{plan: "sse: {eol: cr}", check: whole(has("}\r\rdata: "), func(t *testing.T, w wireSeen) {
		t.Helper()
		if strings.Contains(w.body, "\n") {
			t.Errorf("a line feed in %q", w.body)
		}
	})},
	{plan: "sse: {space: false}", check: whole(has("data:{", "data:[DONE]"))},
	{plan: "sse: {comments: between}", check: whole(has(": keep-alive\n\ndata: {", ": keep-alive\n\ndata: {"))},
	{plan: "sse: {comments: first}", check: whole(has("\r\n\r\n", ": keep-alive\n\ndata"))},
	{plan: "sse: {comments: last}", check: whole(has(doneEvent + ": keep-alive\n\n"))},
	{plan: "sse: {comments: inside, event_lines: all}", check: whole(has("event: message\nid: 0\nretry: 3000\n: keep-alive\ndata: {", "event: message\nid: 1\n"))},
	{plan: "sse: {done: false}", check: whole(usageSent(true), events(5))},
	{plan: "sse: {split: 1byte}", check: whole(usageSent(true), func(t *testing.T, w wireSeen) {
		t.Helper()
		if int64(w.entry.Sent.Segments) != w.entry.Sent.Bytes || !strings.Contains(w.raw, "\r\n1\r\nd\r\n1\r\na\r\n") {
			t.Errorf("%d writes of %d bytes", w.entry.Sent.Segments, w.entry.Sent.Bytes)
		}
	})},
	{plan: `{sse: {split: 'at:rune'}, content: {text: 世}}`, check: whole(onWire("\xe4\r\n", "\xb8\x96"))},
	{plan: `{sse: {split: 'at:escape'}, content: {text: "\u0001"}}`, check: whole(onWire("\\u00\r\n", "01"))},
	{plan: "sse: {split: 'at:crlf', eol: crlf}", check: whole(onWire("\r\r\n", "\r\n\n\r\r\n"))},
	{plan: `content: {chunks: 1, text: '"usage":{"total_tokens":0}'}`, check: whole(has(`\"usage\":{\"total_tokens\":`), usageSent(true))},
	{fault: "bom", plan: "fault: bom", check: whole(has("\r\n\r\n", "\xef\xbb\xbf", "data: {"), usageSent(true))},
	{fault: "multiline_data", plan: "fault: multiline_data", check: whole(has("data: {\ndata: \"id\""), usageSent(true))},
	{fault: "leading_blanks", plan: "fault: leading_blanks", body: chatBody, check: whole(usageSent(true), func(t *testing.T, w wireSeen) {
		t.Helper()
		if !strings.HasPrefix(w.body, "\n\n\n{") || !gjson.Valid(w.body) {
			t.Errorf("got %q", w.body)
		}
	})},
	{fault: "unterminated", plan: "fault: unterminated", check: whole(usageSent(true), func(t *testing.T, w wireSeen) {
		t.Helper()
		if strings.HasSuffix(w.body, "\n") || strings.Contains(w.body, "[DONE]") || !strings.Contains(w.body, `"total_tokens":50`) {
			t.Errorf("got %q", w.body)
		}
	})},
	{fault: "data_after_done", plan: "fault: data_after_done", check: whole(has(doneEvent, `data: {"id"`, doneEvent), usageSent(true))},
	{plan: "usage_at: after_done", check: whole(has(doneEvent, `"total_tokens":50`), usageSent(true))},
	{fault: "long_line", plan: "fault: long_line", check: whole(usageSent(true), func(t *testing.T, w wireSeen) {
		t.Helper()
		if len(w.body) < 1<<20 || strings.Index(w.body, `"padding"`) > strings.Index(w.body, `"total_tokens":50`) {
			t.Errorf("%d bytes", len(w.body))
		}
	})},
	{fault: "malformed_sse", plan: "fault: malformed_sse@1", check: whole(usageSent(true), has("nonsense\n\ndata\n\n"))},
	{fault: "malformed_json", plan: "fault: malformed_json", check: whole(usageSent(true), func(t *testing.T, w wireSeen) {
		t.Helper()
		bad := 0
		for block := range strings.SplitSeq(strings.TrimSuffix(w.body, doneEvent), "\n\n") {
			if data, ok := strings.CutPrefix(block, "data: "); ok && !gjson.Valid(data) {
				bad++
			}
		}
		if bad != 1 {
			t.Errorf("%d torn events, want 1", bad)
		}
	})},
	{fault: "malformed_json", plan: "fault: malformed_json@usage", check: whole(usageSent(false))},
	{fault: "malformed_json", plan: "fault: malformed_json", body: chatBody, check: whole(func(t *testing.T, w wireSeen) {
		t.Helper()
		if gjson.Valid(w.body) || !gjson.Valid(w.body+"}") {
			t.Errorf("got %q", w.body)
		}
	})},
	{fault: "garbage", plan: "fault: garbage", body: chatBody, check: whole(has("}"+garbage), usageSent(true))},
	{fault: "garbage", plan: "fault: garbage@9223372036854775807", body: chatBody, check: whole(has("}"+garbage), usageSent(true))},
	{fault: "garbage", plan: "fault: garbage@1", check: whole(has(garbage, doneEvent), usageSent(true))},
	{fault: "two_documents", plan: "fault: two_documents", body: chatBody, check: whole(has("}{}"), usageSent(true))},

	// What the usage looks like.
	{fault: "duplicate_usage", plan: "fault: duplicate_usage", body: chatBody, check: whole(
		has(`"usage":{`, `"completion_tokens":20`, `"usage":{`, `"completion_tokens":40`), usageSent(true))},
	{fault: "escaped_key", plan: "fault: escaped_key", check: whole(has(`"\u0075sage":{`), func(t *testing.T, w wireSeen) {
		t.Helper()
		if strings.Contains(w.body, `"usage":{`) {
			t.Errorf("the plain key is still there: %s", w.body)
		}
	})},
	{fault: "nested_usage", plan: "fault: nested_usage", body: chatBody, check: whole(has(`"response":{"usage":{`), func(t *testing.T, w wireSeen) {
		t.Helper()
		if !gjson.Valid(w.body) || gjson.Get(w.body, "usage").Exists() || gjson.Get(w.body, "response.usage.total_tokens").Int() != 50 {
			t.Errorf("got %s", w.body)
		}
	})},
	{fault: "usage_in_text", plan: "fault: usage_in_text", check: whole(has(`\"total_tokens\":0`), usageSent(true), events(6))},
	{fault: "deep_nesting", plan: "fault: deep_nesting", check: whole(has(strings.Repeat("[", nestingDepth)+strings.Repeat("]", nestingDepth)), usageSent(true))},
	{plan: `usage_raw: '{"total_tokens":50,"total_tokens":9007199254740993}'`, check: whole(has(`,"usage":{"total_tokens":50,"total_tokens":9007199254740993}`))},
	{plan: "usage_at: twice", check: whole(has(`"total_tokens":30`, `"total_tokens":50`, doneEvent), usageSent(true))},

	// What was asked and what was answered.
	{fault: "stream_unasked", plan: "fault: stream_unasked", body: chatBody, check: whole(has("text/event-stream", doneEvent))},
	{fault: "body_for_stream", plan: "fault: body_for_stream", check: whole(has("application/json", `"object":"chat.completion"`), usageSent(true))},
	{fault: "error_body", plan: "fault: error_body", check: whole(has("200 OK", "application/json", `{"error":`), usageSent(false))},
	{fault: "usage_in_error", plan: "fault: usage_in_error", check: whole(has("500 Internal", `"choices"`), usageSent(true), func(t *testing.T, w wireSeen) {
		t.Helper()
		if w.entry.Usage.Total != 50 {
			t.Errorf("journal's usage %+v", w.entry.Usage)
		}
	})},
	{fault: "refuse_stream_options", plan: "fault: refuse_stream_options", check: whole(has("400 Bad Request", "stream_options"), usageSent(false))},
	{plan: "fault: refuse_stream_options", body: `{"model":"m","stream":true}`, check: whole(has("200 OK", doneEvent))},
	{plan: "body_raw: eyJ4IjoxfQ==", body: chatBody, check: whole(has("\r\n\r\n{\"x\":1}"))},
}

func TestEveryFaultOnTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range wireCases {
		t.Run(c.plan, func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{KeepSent: 4 << 20}, func(b *bench) {
				p := plan(t, "{usage: 10/40, content: {chunks: 2}}").Merge(plan(t, c.plan))
				begun := time.Now()
				raw, closed := b.wire(chatPath, firstOf(c.body, streamBody), p)
				w := wireSeen{raw: string(raw), closed: closed, took: time.Since(begun), entry: b.last("wire")}
				if len(raw) > 0 {
					var body []byte
					w.head, body, w.err = parts(t, final(raw))
					w.body = string(body)
				}
				c.check(t, w)
				want := "complete"
				if c.fault != "" {
					want = "fault:" + c.fault
				}
				if w.entry.End != want {
					t.Errorf("end %q, want %q", w.entry.End, want)
				}
				if c.fault != "short_length" && w.body != string(w.entry.Sent.Body) {
					t.Errorf("the journal's bytes are not the client's:\n%q\n%q", w.entry.Sent.Body, w.body)
				}
			})
		})
	}
}

// final drops 1xx responses.
func final(raw []byte) []byte {
	for bytes.HasPrefix(raw, []byte("HTTP/1.1 1")) {
		_, raw, _ = bytes.Cut(raw, []byte("\r\n\r\n"))
	}
	return raw
}

func TestEveryFaultHasAWireTest(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, c := range wireCases {
		tested[c.fault] = true
	}
	for _, f := range Faults() {
		if !tested[f.Name] {
			t.Errorf("%s has no row in wireCases", f.Name)
		}
		if f.Doc == "" {
			t.Errorf("%s has no line of documentation", f.Name)
		}
	}
	if len(faults) != len(slices.Collect(maps.Keys(faults))) || len(faults) < 30 {
		t.Errorf("%d faults", len(faults))
	}
}

// No fault makes the mock itself fail, in any dialect, streaming or not, over HTTP/1 and HTTP/2.
func TestEveryFaultInEveryDialect(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		inBubble(t, Options{}, func(b *bench) {
			c := b.client(h2)
			for endpoint, e := range endpoints {
				for _, kind := range faultNames() {
					id := strings.ReplaceAll(endpoint, " ", "-") + "." + kind
					b.SetPlan(id, Plan{Fault: Fault{Kind: kind, For: Every(time.Second)}})
					_, _, err := b.postOn(c, e.path, e.body, "id="+id)
					entry := b.last(id)
					if want := "fault:" + kind; entry.End != want && (kind != "refuse_stream_options" || entry.End != "complete") {
						t.Errorf("h2 %v, %s: end %q, want %q (client: %v)", h2, id, entry.End, want, err)
					}
				}
			}
		})
	}
}

func TestFaultsOnHTTP2(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Plan: Plan{Usage: Usage{In: Count(10), Out: Count(40)}}}, func(b *bench) {
		res, body, err := b.postOn(b.client(true), chatPath, streamBody, "id=ok")
		if err != nil || res.ProtoMajor != 2 || !strings.HasSuffix(string(body), doneEvent) {
			t.Fatalf("%v, %v: %s", res, err, body)
		}
		for _, kind := range []string{"reset", "fin"} {
			_, body, err := b.postOn(b.client(true), chatPath, streamBody, "id="+kind+" f="+kind+"@3")
			if err == nil || !strings.Contains(err.Error(), "INTERNAL_ERROR") {
				t.Errorf("%s: %v after %q, want RST_STREAM", kind, err, body)
			}
			if n := strings.Count(string(body), `"content":`) - 1; n != 3 {
				t.Errorf("%s: %d pieces of text, want 3", kind, n)
			}
		}
	})
}

func TestFaultByTime(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		p := plan(t, "{timing: {ttft: 1s, itl: 10ms}, fault: fin@25ms}")
		begun := time.Now()
		raw, _ := b.wire(chatPath, streamBody, p)
		if n := bytes.Count(raw, []byte(`"delta":{"content"`)); n != 3 {
			t.Errorf("%d pieces of text, want those at 0, 10 and 20 ms", n)
		}
		if took := time.Since(begun); took < 1025*time.Millisecond || took > 1026*time.Millisecond {
			t.Errorf("took %v, want 1.025s", took)
		}
		if e := b.last("wire"); e.Sent.Status != http.StatusOK || e.End != "fault:fin" {
			t.Errorf("%d %s", e.Sent.Status, e.End)
		}
	})
}
