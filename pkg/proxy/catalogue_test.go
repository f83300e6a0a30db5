package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// What a request of the catalogue is charged in the end, where it is no number.
const (
	free  = 0
	usage = -1 // what the provider counted: 50, or 10 for embeddings
	keep  = -2 // what was reserved
)

// deviation is one way in which a provider may answer, and what every endpoint is charged for it.
type deviation struct {
	name, plan    string
	whole, stream int64 // the charge
	but           map[string]int64
	// disguised: the event that we caused cannot be told from others, or is torn, so that it passes.
	disguised bool
	// torn: the client must see that something is missing. short: it cannot.
	torn, short bool
	// http1: HTTP/2 has no such form.
	http1 bool
	// head: fields that pass as they are.
	head map[string]string
}

// catalogue is every way to answer that a reader of usage has been seen to stumble over, or that the mock knows.
var catalogue = []deviation{
	{name: "as it should be", plan: `{}`, whole: usage, stream: usage},

	// Lines.
	{name: "CRLF", plan: `sse: {eol: crlf}`, whole: usage, stream: usage},
	{name: "CR", plan: `sse: {eol: cr}`, whole: usage, stream: usage},
	{name: "no space", plan: `sse: {space: false}`, whole: usage, stream: usage},
	{name: "comments first", plan: `sse: {comments: first}`, whole: usage, stream: usage},
	{name: "comments last", plan: `sse: {comments: last}`, whole: usage, stream: usage},
	{name: "comments inside", plan: `sse: {comments: inside}`, whole: usage, stream: usage},
	{name: "comments between", plan: `sse: {comments: between}`, whole: usage, stream: usage},
	{name: "event lines", plan: `sse: {event_lines: always}`, whole: usage, stream: usage},
	{name: "no event lines", plan: `sse: {event_lines: never}`, whole: usage, stream: usage},
	{name: "id lines", plan: `sse: {event_lines: id}`, whole: usage, stream: usage},
	{name: "retry lines", plan: `sse: {event_lines: retry}`, whole: usage, stream: usage},
	{name: "all lines", plan: `sse: {event_lines: all, comments: inside, eol: crlf, space: false}`, whole: usage, stream: usage},
	{name: "BOM", plan: `fault: bom`, whole: usage, stream: usage},
	{name: "several data lines", plan: `fault: multiline_data`, whole: usage, stream: usage},
	{name: "blank lines before", plan: `fault: leading_blanks`, whole: usage, stream: usage},
	{name: "no blank line at the end", plan: `fault: unterminated`, whole: usage, stream: keep, but: notSSE(usage)},
	{name: "no [DONE]", plan: `sse: {done: false}`, whole: usage, stream: usage},
	{name: "data behind [DONE]", plan: `fault: data_after_done`, whole: usage, stream: usage, but: gemini(16)},
	{name: "lines that are no field", plan: `fault: malformed_sse`, whole: keep, stream: usage, but: notSSE(keep)},
	{name: "garbage behind", plan: `fault: garbage`, whole: keep, stream: usage, but: map[string]int64{"gemini array stream": keep}},
	{name: "garbage in the middle", plan: `fault: garbage@3`, whole: keep, stream: usage, but: notSSE(keep)},

	// Where the usage is, and what.
	{name: "usage nowhere", plan: `usage_at: none`, whole: keep, stream: keep},
	{name: "usage at the end", plan: `usage_at: final`, whole: usage, stream: usage},
	{name: "usage on every chunk", plan: `usage_at: every`, whole: usage, stream: usage},
	{name: "usage on an early chunk", plan: `usage_at: early`, whole: usage, stream: usage, but: map[string]int64{"messages stream": keep}},
	{name: "usage on the last choice", plan: `usage_at: finish_chunk`, whole: usage, stream: usage},
	{name: "usage in x_groq", plan: `usage_at: x_groq`, whole: usage, stream: usage},
	{name: "usage behind [DONE]", plan: `usage_at: after_done`, whole: usage, stream: usage},
	{name: "usage twice", plan: `usage_at: twice`, whole: usage, stream: usage},
	{name: "usage null", plan: `usage_at: null_value`, whole: keep, stream: keep},
	{name: "usage {}", plan: `usage_at: empty_object`, whole: keep, stream: keep},
	{name: "usage in text", plan: `usage_raw: '{"total_tokens":"50","output_tokens":"40","totalTokenCount":"50"}'`, whole: keep, stream: keep},
	{name: "usage of floats", plan: `usage_raw: '{"prompt_tokens":1.5,"completion_tokens":2.5,"output_tokens":2.5,"totalTokenCount":2.5}'`, whole: keep, stream: keep},
	{name: "usage negative", plan: `usage_raw: '{"prompt_tokens":-5,"input_tokens":-5,"total_tokens":-10,"totalTokenCount":-10}'`, whole: keep, stream: keep},
	{name: "usage above 2^53", plan: `usage_raw: '{"total_tokens":9007199254740993,"output_tokens":9007199254740993,"totalTokenCount":9007199254740993}'`, whole: keep, stream: keep},
	{name: "usage of zeros", plan: `usage_raw: '{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,"totalTokenCount":0}'`, whole: keep, stream: keep, but: map[string]int64{"invoke stream": 11}},
	{name: "usage is no object", plan: `usage_raw: '50'`, whole: keep, stream: keep},
	{name: "usage is no JSON", plan: `usage_raw: '{"total_tokens":'`, whole: keep, stream: keep},
	{name: "usage's key twice", plan: `fault: duplicate_usage`, whole: usage, stream: usage},
	{name: "usage's key escaped", plan: `fault: escaped_key`, whole: usage, stream: usage},
	{name: "usage elsewhere", plan: `fault: nested_usage`, whole: keep, stream: keep, but: map[string]int64{
		"responses": usage, "gemini": usage, "gemini stream": usage, "gemini array stream": usage, "invoke": usage, "invoke stream": usage,
	}},
	{name: "usage said by the model", plan: `fault: usage_in_text`, whole: usage, stream: usage},
	{name: "usage said by the model, and none else", plan: `{usage_at: none, content: {text: '"usage":{"total_tokens":0}'}}`, whole: keep, stream: keep},
	{name: "deep nesting", plan: `fault: deep_nesting`, whole: keep, stream: keep, disguised: true},
	{name: "a line of a mebibyte", plan: `fault: long_line`, whole: keep, stream: usage, disguised: true},
	{name: "one torn event", plan: `fault: malformed_json`, whole: keep, stream: usage, but: map[string]int64{"messages stream": keep, "gemini array stream": keep, "invoke stream": keep}},
	{name: "the usage's event torn", plan: `fault: {kind: malformed_json, after: {before_usage: true}}`, whole: keep, stream: keep},
	{name: "two documents", plan: `fault: two_documents`, whole: keep, stream: keep},

	// Cuts.
	{name: "one byte at a time", plan: `sse: {split: 1byte}`, whole: usage, stream: usage},
	{name: "seven bytes at a time", plan: `sse: {split: 'n:7', eol: crlf}`, whole: usage, stream: usage},
	{name: "random cuts", plan: `sse: {split: random}`, whole: usage, stream: usage},
	{name: "cut in the usage", plan: `sse: {split: 'at:usage'}`, whole: usage, stream: usage},
	{name: "cut in CRLF", plan: `sse: {split: 'at:crlf', eol: crlf}`, whole: usage, stream: usage},
	{name: "cut in an escape", plan: `{sse: {split: 'at:escape'}, content: {text: "\u0001\u2028"}}`, whole: usage, stream: usage},
	{name: "cut in a rune", plan: `{sse: {split: 'at:rune'}, content: {text: 世界}}`, whole: usage, stream: usage},

	// Encodings and lengths.
	{name: "gzip", plan: `http: {encoding: gzip}`, whole: usage, stream: usage, disguised: true},
	{name: "gzip, flushed", plan: `http: {encoding: gzip-flush}`, whole: usage, stream: usage, disguised: true},
	{name: "deflate", plan: `http: {encoding: deflate}`, whole: usage, stream: usage, disguised: true},
	{name: "brotli", plan: `http: {encoding: br}`, whole: usage, stream: usage, disguised: true},
	{name: "zstd", plan: `http: {encoding: zstd}`, whole: usage, stream: usage, disguised: true},
	{name: "gzip over nothing", plan: `fault: empty_encoded`, whole: keep, stream: keep},
	{name: "an encoding that is not there", plan: `http: {headers: {content-encoding: gzip}}`, whole: keep, stream: keep, disguised: true},
	{name: "an encoding that nobody knows", plan: `http: {headers: {content-encoding: rot13}}`, whole: keep, stream: keep, disguised: true},
	{name: "a length", plan: `http: {framing: length}`, whole: usage, stream: usage},
	{name: "chunks", plan: `http: {framing: chunked}`, whole: usage, stream: usage},
	{name: "until the connection's end", plan: `http: {framing: close}`, whole: usage, stream: usage},
	{name: "HTTP/1.0", plan: `http: {proto: '1.0'}`, whole: usage, stream: usage, http1: true},
	{name: "a length that is too small", plan: `fault: short_length`, whole: keep, stream: keep, disguised: true, short: true, http1: true},
	{name: "a length that is too large", plan: `fault: long_length`, whole: usage, stream: usage, but: gemini(keep), torn: true, http1: true},
	{name: "a length of 10 GiB", plan: `fault: {kind: long_length, after: {bytes: 10737418240}}`, whole: usage, stream: usage, but: gemini(keep), torn: true, http1: true},
	{name: "trailers", plan: `http: {framing: chunked, trailers: {x-sum: '1'}}`, whole: usage, stream: usage},
	{name: "the connection is closed behind it", plan: `fault: goaway`, whole: usage, stream: usage},

	// Types and statuses.
	{name: "a stream called JSON, JSON called a stream", plan: `http: {headers: {content-type: application/json}}`, whole: usage, stream: usage, head: map[string]string{"content-type": "application/json"}},
	{name: "JSON called a stream", plan: `http: {headers: {content-type: text/event-stream}}`, whole: usage, stream: usage},
	{name: "with a charset", plan: `http: {headers: {content-type: 'text/event-stream;charset=utf-8'}}`, whole: usage, stream: usage},
	{name: "without a type", plan: `http: {headers: {content-type: ''}}`, whole: usage, stream: usage, head: map[string]string{"content-type": ""}},
	{name: "a stream that nobody asked for", plan: `fault: stream_unasked`, whole: usage, stream: usage, but: map[string]int64{"chat": keep, "completions": keep}},
	{name: "a body for a stream", plan: `fault: body_for_stream`, whole: usage, stream: usage},
	{name: "200 with an error", plan: `fault: error_body`, whole: keep, stream: keep},
	{name: "500 with usage", plan: `fault: usage_in_error`, whole: usage, stream: usage},
	{name: "500", plan: `http: {status: 500}`, whole: free, stream: free},
	{name: "400", plan: `http: {status: 400}`, whole: free, stream: free},
	{name: "stream_options refused", plan: `fault: refuse_stream_options`, whole: usage, stream: usage, but: map[string]int64{"chat stream": keep, "completions stream": keep}},
	{name: "204", plan: `http: {status: 204}`, whole: free, stream: free},
	{name: "302", plan: `http: {status: 302, headers: {location: 'http://elsewhere/'}}`, whole: free, stream: free, head: map[string]string{"location": "http://elsewhere/"}},
	{name: "304", plan: `http: {status: 304}`, whole: free, stream: free},
	{name: "429", plan: `http: {status: 429}`, whole: free, stream: free, head: map[string]string{"retry-after": ""}},
	{name: "429, seconds", plan: `http: {status: 429, headers: {retry-after: '7'}}`, whole: free, stream: free, head: map[string]string{"retry-after": "7"}},
	{name: "429, ms", plan: `http: {status: 429, headers: {retry-after-ms: '250'}}`, whole: free, stream: free, head: map[string]string{"retry-after": "", "retry-after-ms": "250"}},
	{
		name: "429, a date", plan: `http: {status: 429, headers: {retry-after: 'Wed, 02 Jan 2030 12:00:00 GMT'}}`,
		whole: free, stream: free, head: map[string]string{"retry-after": "Wed, 02 Jan 2030 12:00:00 GMT"},
	},
	{name: "429, zero", plan: `http: {status: 429, headers: {retry-after: '0'}}`, whole: free, stream: free, head: map[string]string{"retry-after": "0"}},
	{name: "429, negative", plan: `http: {status: 429, headers: {retry-after: '-1'}}`, whole: free, stream: free, head: map[string]string{"retry-after": "-1"}},
	{name: "103", plan: `http: {informational: [103]}`, whole: usage, stream: usage},
	{name: "100", plan: `http: {informational: [100]}`, whole: usage, stream: usage},

	// How it ends.
	{name: "FIN", plan: `fault: fin`, whole: keep, stream: keep, torn: true},
	{name: "FIN behind the usage", plan: `fault: {kind: fin, after: {after_usage: true}}`, whole: keep, stream: keep, torn: true},
	{name: "FIN in place of the last chunk", plan: `{http: {framing: chunked}, fault: {kind: fin, after: {bytes: 1000000}}}`, whole: usage, stream: usage, but: gemini(keep), torn: true},
	{name: "a reset behind everything", plan: `{http: {framing: chunked}, fault: {kind: reset, after: {bytes: 1000000}}}`, whole: usage, stream: usage, but: gemini(keep), torn: true},
	{name: "FIN where it is the end", plan: `{http: {framing: close}, fault: {kind: fin, after: {bytes: 1000000}}}`, whole: usage, stream: usage, http1: true},
	{name: "reset", plan: `fault: reset`, whole: keep, stream: keep, torn: true},
	{name: "reset in the middle", plan: `fault: reset@3`, whole: keep, stream: keep, torn: true},
	{name: "stall, then FIN", plan: `fault: {kind: stall, for: 1s}`, whole: keep, stream: keep, torn: true},
	{name: "silence, then FIN", plan: `fault: {kind: hang_before_headers, for: 1s}`, whole: keep, stream: keep},
	{name: "103, then FIN", plan: `{http: {informational: [103]}, fault: {kind: hang_before_headers, for: 1s}}`, whole: free, stream: free},
	{name: "a body without its end", plan: `fault: truncate`, whole: keep, stream: keep},
	{name: "a body that ends behind its usage", plan: `fault: {kind: truncate, after: {after_usage: true}}`, whole: keep, stream: keep, disguised: true},
	{name: "an error in the stream", plan: `fault: error_event`, whole: free, stream: keep, but: map[string]int64{
		"messages stream": 11, "gemini stream": 43, "gemini array stream": 43, "invoke stream": 50, // what was told before it
	}},
}

// gemini is the charge of streams whose only end is that of their body.
func gemini(charge int64) map[string]int64 {
	return map[string]int64{"gemini stream": charge, "gemini array stream": charge}
}

// notSSE is the charge at the endpoints whose streams are no server-sent events.
func notSSE(charge int64) map[string]int64 {
	return map[string]int64{"converse stream": charge, "gemini array stream": charge, "invoke stream": charge}
}

// TestCatalogue plays every deviation at every endpoint, whole and as a stream, over HTTP/1.1 and HTTP/2: the charge is the table's,
// the client receives what the mock sent, the reservation settles once, and nothing is left running.
func TestCatalogue(t *testing.T) {
	for _, d := range catalogue {
		t.Run(d.name, func(t *testing.T) {
			for _, e := range endpoints {
				for _, h2 := range []bool{false, true} {
					d.play(t, h2, e.name, e.path, e.body, d.whole)
					d.play(t, h2, e.name+" stream", e.streamPath, e.stream, d.stream)
				}
			}
		})
	}
}

// TestCatalogueIsWhole: what the mock learns to do wrong is played here too.
func TestCatalogueIsWhole(t *testing.T) {
	played := map[string]bool{}
	for _, d := range catalogue {
		played[plan(t, d.plan).Fault.Kind] = true
	}
	for _, f := range mockllm.Faults() {
		if !played[f.Name] {
			t.Errorf("%s is not in the catalogue", f.Name)
		}
	}
}

func (d *deviation) play(t *testing.T, h2 bool, name, path, body string, want int64) {
	t.Helper()
	if other, ok := d.but[name]; ok {
		want = other
	}
	if path == "" || h2 && d.http1 {
		return
	}
	inSystem(t, tpmRules, speaking(h2), func(s *system) {
		header := s.plan(plan(t, `{usage: 10/40, content: {chunks: 6}}`).Merge(plan(t, d.plan)))
		client := s.newClient(h2)
		defer client.CloseIdleConnections()
		resp, err := client.Transport.RoundTrip(s.request(s.t.Context(), path, body, header))
		if err != nil {
			t.Fatalf("%s, HTTP/2 %v: %v", name, h2, err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		r := s.last()
		switch {
		case want == usage && name == "embeddings":
			want = 10
		case want == usage:
			want = 50
		case want == keep:
			want = r.Reserved
		}
		if r.Actual != want || r.Reserved < 2 {
			t.Errorf("%s, HTTP/2 %v: charged %d of %d after %s with status %d (%s), expected %d", name, h2, r.Actual, r.Reserved, r.Outcome, r.Upstream, r.Missing, want)
		}
		s.charged(r.Outcome, r.Actual)
		if out := s.entry().Proto == "HTTP/2.0"; out != h2 {
			t.Errorf("%s, HTTP/2 %v: the upstream was spoken to in %s", name, h2, s.entry().Proto)
		}
		if problem := d.passed(s, r, resp, got, err); problem != "" {
			t.Errorf("%s, HTTP/2 %v: %s", name, h2, problem)
		}
	})
}

// passed compares what the client received with what the mock sent.
func (d *deviation) passed(s *system, r proxy.Record, resp *http.Response, got []byte, err error) string {
	if resp.Header.Get("X-Llmlimit-Origin") != "upstream" {
		if r.Upstream != 0 {
			return fmt.Sprintf("the answer is not the upstream's, which said %d", r.Upstream)
		}
		return ""
	}
	sent := s.entry()
	want := sent.Sent.Body
	if u := sent.Sent.UsageEvent; u != nil && sent.IncludeUsage && !d.disguised {
		want = append(bytes.Clone(want[:u.From]), want[u.To:]...)
	}
	for field, value := range d.head {
		if given := resp.Header.Get(field); given != value {
			return fmt.Sprintf("%s is %q, expected %q", field, given, value)
		}
	}
	switch {
	case resp.StatusCode != sent.Sent.Status:
		return fmt.Sprintf("status %d, and the mock sent %d", resp.StatusCode, sent.Sent.Status)
	case d.torn != (err != nil):
		return fmt.Sprintf("the client was told %v", err)
	case d.short && len(got) < len(want) && bytes.HasPrefix(want, got):
	case d.short || !bytes.Equal(got, want):
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		return fmt.Sprintf("behind %d equal bytes the client received %.200q, expected %.200q", at, got[at:], want[at:])
	}
	return ""
}
