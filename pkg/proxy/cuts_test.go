package proxy_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

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
