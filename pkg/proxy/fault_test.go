package proxy_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// endpoint is a request of one dialect, whole and as a stream; "" if the dialect has none.
type endpoint struct {
	name, path, body, streamPath, stream string
}

var endpoints = []endpoint{
	{"chat", chatPath, chatBody, chatPath, streamBody},
	{
		"completions", "/v1/completions", `{"model":"m","max_tokens":1000,"prompt":"hello"}`,
		"/v1/completions", `{"model":"m","max_tokens":1000,"prompt":"hello","stream":true}`,
	},
	{
		"responses", "/v1/responses", `{"model":"m","max_output_tokens":1000,"input":"hello"}`,
		"/v1/responses", `{"model":"m","max_output_tokens":1000,"input":"hello","stream":true}`,
	},
	{"embeddings", "/v1/embeddings", `{"model":"m","input":"hello"}`, "", ""},
	{
		"messages", "/v1/messages", `{"model":"m","max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}`,
		"/v1/messages", `{"model":"m","max_tokens":1000,"stream":true,"messages":[{"role":"user","content":"hello"}]}`,
	},
	{
		"gemini", "/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"hello"}]}],"generationConfig":{"maxOutputTokens":1000}}`,
		"/v1beta/models/m:streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"hello"}]}],"generationConfig":{"maxOutputTokens":1000}}`,
	},
	{
		"converse", "/model/m/converse", `{"messages":[{"role":"user","content":[{"text":"hello"}]}],"inferenceConfig":{"maxTokens":1000}}`,
		"/model/m/converse-stream", `{"messages":[{"role":"user","content":[{"text":"hello"}]}],"inferenceConfig":{"maxTokens":1000}}`,
	},
	{
		"gemini array", "", "",
		"/v1beta/models/m:streamGenerateContent", `{"contents":[{"parts":[{"text":"hello"}]}],"generationConfig":{"maxOutputTokens":1000}}`,
	},
	{
		"invoke", "/model/anthropic.m/invoke", `{"max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}`,
		"/model/anthropic.m/invoke-with-response-stream", `{"max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}`,
	},
	{
		"cohere", "/v2/chat", `{"model":"m","max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}`,
		"/v2/chat", `{"model":"m","max_tokens":1000,"stream":true,"messages":[{"role":"user","content":"hello"}]}`,
	},
}

// TestEveryFault plays every fault of the mock in every dialect, and as stream or not: the client receives what the mock sent, the
// reservation settles once, and nothing is given back that the response did not earn.
func TestEveryFault(t *testing.T) {
	for _, fault := range append([]mockllm.FaultKind{{Name: "none"}}, mockllm.Faults()...) {
		t.Run(fault.Name, func(t *testing.T) {
			for _, e := range endpoints {
				if e.body != "" {
					playFault(t, fault.Name, e.name, e.path, e.body)
				}
				if e.stream != "" {
					playFault(t, fault.Name, e.name+" stream", e.streamPath, e.stream)
				}
			}
		})
	}
}

// disguised are faults that make the event which we caused unrecognisable, or tear it: it passes like any other bytes.
var disguised = map[string]bool{
	"deep_nesting": true, "long_line": true, "nested_usage": true, "short_length": true, "two_documents": true, "unterminated": true,
}

// early are faults after which the usage that was told last is that of the beginning, and is what counts.
var early = map[string]bool{"error_event": true, "data_after_done": true}

func playFault(t *testing.T, fault, name, path, body string) {
	t.Helper()
	inSystem(t, tpmRules, nil, func(s *system) {
		header := s.plan(plan(t, `{usage: 10/40, content: {chunks: 6}, timing: {itl: 1ms}, fault: {kind: `+fault+`, for: 1s}}`))
		header.Set("X-Tenant", "t")
		resp, err := s.client.Transport.RoundTrip(s.request(s.t.Context(), path, body, header))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		r, sent := s.last(), s.entry()
		whole := sent.Sent.Body
		passes := disguised[fault] && bytes.HasPrefix(whole, got)
		if u := sent.Sent.UsageEvent; u != nil && sent.IncludeUsage && !passes {
			whole = append(bytes.Clone(whole[:u.From]), whole[u.To:]...)
		}
		fromUpstream := resp.Header.Get("X-Llmlimit-Origin") == "upstream"
		switch {
		case fromUpstream && !bytes.HasPrefix(whole, got):
			t.Errorf("%s: the client received\n%q\nexpected\n%q", name, got, whole)
		case fromUpstream && err == nil && r.Outcome == proxy.OutcomeDone && len(got) != len(whole) && fault != "short_length":
			t.Errorf("%s: the client received %d of %d bytes and believes that this is all", name, len(got), len(whole))
		}
		free := r.Upstream >= 300 && r.Actual == 0
		told := early[fault] && r.Reported && r.Actual == r.Usage.Total
		if r.Actual != 50 && r.Actual < r.Reserved && !free && !told {
			t.Errorf("%s: charged %d of %d after %s with status %d, expected 50 or what was reserved", name, r.Actual, r.Reserved, r.Outcome, r.Upstream)
		}
		if fault == "none" && r.Actual != 50 && !strings.HasPrefix(name, "embeddings") {
			t.Errorf("%s: charged %d, expected 50 (%s)", name, r.Actual, r.Missing)
		}
		s.charged(r.Outcome, r.Actual)
	})
}

// TestEveryCut: usage is read all the same, however the bytes are cut, whatever ends a line.
func TestEveryCut(t *testing.T) {
	for _, split := range []string{"event", "1byte", "n:7", "random", "at:usage"} {
		for _, eol := range []string{"lf", "crlf", "cr"} {
			for _, space := range []string{"true", "false"} {
				t.Run(split+"/"+eol+"/"+space, func(t *testing.T) {
					inSystem(t, tpmRules, nil, func(s *system) {
						text := `{usage: 10/40, sse: {split: "` + split + `", eol: ` + eol + `, space: ` + space + `, comments: "every:2"}}`
						got := s.post(chatPath, streamBody, s.plan(plan(t, text)))
						s.charged(proxy.OutcomeDone, 50)
						s.sameBytes(got.body)
						if bytes.Contains(got.body, []byte(`"usage":{`)) {
							t.Error("the client sees the usage that it did not ask for")
						}
					})
				})
			}
		}
	}
}

// TestAskedUsageStays: a client that asks for usage receives it.
func TestAskedUsageStays(t *testing.T) {
	inSystem(t, tpmRules, nil, func(s *system) {
		got := s.post(chatPath, strings.Replace(streamBody, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1), nil)
		if got.StatusCode != http.StatusOK || !bytes.Equal(got.body, s.entry().Sent.Body) {
			t.Errorf("the client received %q, expected %q", got.body, s.entry().Sent.Body)
		}
		s.charged(proxy.OutcomeDone, 50)
	})
}
