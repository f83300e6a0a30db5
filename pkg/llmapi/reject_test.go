package llmapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

func TestReject(t *testing.T) {
	tokens := llmapi.Rejection{
		Reason: "tpm_exceeded", Dimension: "tokens per min (TPM)",
		Limit: 30000, Used: 14567, Requested: 24754, Wait: 18*time.Second + 641_200*time.Microsecond,
	}
	const text = "Rate limit reached on tokens per min (TPM): Limit 30000, Used 14567, Requested 24754. Please try again in 18.642s."
	large := tokens
	large.Reason, large.Permanent = "request_too_large", true
	const tooLarge = "Request too large on tokens per min (TPM): Limit 30000, Requested 24754. No wait can help: ask for fewer tokens."
	budget := llmapi.Rejection{Reason: "budget_exceeded", Message: "spent"}
	invalid := llmapi.Rejection{Status: 400, Reason: "invalid_request_body", Message: "bad"}
	tests := []struct {
		name string
		host string
		path string
		r    llmapi.Rejection
		want string
	}{
		{"openai", "", chatPath, tokens, `{"error":{"message":"` + text + `","type":"rate_limit_error","param":null,"code":"tpm_exceeded"}}`},
		{"openai, too large", "", chatPath, large, `{"error":{"message":"` + tooLarge + `","type":"rate_limit_error","param":null,"code":"request_too_large"}}`},
		{"openai, budget", "", responsesPath, budget, `{"error":{"message":"spent","type":"insufficient_quota","param":null,"code":"budget_exceeded"}}`},
		{"openai, invalid", "", "/v1/embeddings", invalid, `{"error":{"message":"bad","type":"invalid_request_error","param":null,"code":"invalid_request_body"}}`},
		{"anthropic", "", messagesPath, tokens, `{"error":{"message":"` + text + `","type":"rate_limit_error"},"type":"error"}`},
		{"anthropic, invalid", "", messagesPath, invalid, `{"error":{"message":"bad","type":"invalid_request_error"},"type":"error"}`},
		{"gemini", "", geminiPath, tokens, `{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"llmlimit","reason":"tpm_exceeded"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"18.642s"}],"message":"` + text + `","status":"RESOURCE_EXHAUSTED"}}`},
		{"bedrock", "", conversePath, tokens, `{"message":"` + text + `"}`},
		{"azure", "", "/openai/deployments/m/chat/completions", tokens, `{"error":{"code":"429","message":"` + text + `"}}`},
		{"mistral", "api.mistral.ai", chatPath, invalid, `{"code":"invalid_request_body","message":"bad","object":"error","param":null,"type":"invalid_request_error"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := dialectOf(t, tt.host, tt.path).Reject(tt.r)
			status := tt.r.Status
			if status == 0 {
				status = http.StatusTooManyRequests
			}
			if string(got.Body) != tt.want || got.Status != status {
				t.Errorf("got %d %s\nwant %d %s", got.Status, got.Body, status, tt.want)
			}
		})
	}
	if got := dialectOf(t, "", conversePath).Reject(tokens).Header.Get("X-Amzn-Errortype"); got != "ThrottlingException" {
		t.Errorf("bedrock's error type: got %q", got)
	}
}

func TestRateHeaders(t *testing.T) {
	state := llmapi.RateState{
		Now:      time.Date(2030, 1, 2, 12, 0, 0, 500, time.UTC),
		Requests: &llmapi.RateWindow{Limit: 500, Remaining: 499, Reset: 119_000_001},
		Tokens:   &llmapi.RateWindow{Limit: 30000, Remaining: -5, Reset: 6 * time.Minute},
	}
	tests := []struct {
		path string
		want map[string]string
	}{
		{chatPath, map[string]string{
			"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "499", "x-ratelimit-reset-requests": "120ms",
			"x-ratelimit-limit-tokens": "30000", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s",
		}},
		{"/openai/deployments/m/chat/completions", map[string]string{
			"x-ratelimit-reset-requests": "1", "x-ratelimit-reset-tokens": "360", "x-ratelimit-limit-tokens": "30000",
		}},
		{messagesPath, map[string]string{
			"x-ratelimit-reset-tokens":           "6m0s",
			"anthropic-ratelimit-requests-limit": "500", "anthropic-ratelimit-requests-remaining": "499",
			"anthropic-ratelimit-requests-reset": "2030-01-02T12:00:01Z", "anthropic-ratelimit-tokens-limit": "30000",
			"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2030-01-02T12:06:01Z",
		}},
	}
	for _, tt := range tests {
		h := http.Header{}
		dialectOf(t, "", tt.path).RateHeaders(h, state)
		for name, want := range tt.want {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", tt.path, name, got, want)
			}
		}
	}
	h := http.Header{}
	dialectOf(t, "", messagesPath).RateHeaders(h, llmapi.RateState{Now: state.Now})
	if len(h) != 0 {
		t.Errorf("without a limit: got %v", h)
	}
}

func TestFor(t *testing.T) {
	tests := []struct{ method, host, path, want string }{
		{"POST", "", "/v1/chat/completions", "openai.chat"},
		{"POST", "", "/v1/chat/completions/", "openai.chat"},
		{"POST", "", "/openai/v1/chat/completions", "openai.chat"},
		{"POST", "", "/p/plan/v1/chat/completions", "openai.chat"},
		{"POST", "api.mistral.ai", "/v1/chat/completions", "mistral.chat"},
		{"POST", "api.deepseek.com", "/chat/completions", "deepseek.chat"},
		{"POST", "api.mistral.ai", "/v1/embeddings", "openai.embeddings"},
		{"POST", "", "/openai/deployments/d/chat/completions", "azure.chat"},
		{"POST", "", "/openai/deployments/d/embeddings", "openai.embeddings"},
		{"POST", "", "/v1/completions", "openai.completions"},
		{"POST", "", "/v1/responses", "openai.responses"},
		{"POST", "", "/v1/messages", "anthropic.messages"},
		{"POST", "", "/v1/messages/count_tokens", ""},
		{"POST", "", "/v1/threads/t/messages", ""},
		{"POST", "", "/v1beta/models/gemini-2.5-flash:generateContent", "gemini.generate"},
		{"POST", "", "/v1beta/models/gemini-2.5-flash:streamGenerateContent", "gemini.generate"},
		{"POST", "", "/model/a.b-v1:0/converse", "bedrock.converse"},
		{"POST", "", "/model/a.b-v1:0/converse-stream", "bedrock.converse"},
		{"POST", "", "/model/a.b-v1:0/invoke", "bedrock.invoke"},
		{"POST", "", "/model/a.b-v1:0/invoke-with-response-stream", "bedrock.invoke"},
		{"POST", "", "/v2/chat", "cohere.chat"},
		{"GET", "", "/v1/chat/completions", ""},
		{"POST", "", "/v1/models", ""},
	}
	for _, tt := range tests {
		got := ""
		if d := llmapi.ForBackend(tt.host, tt.method, tt.path); d != nil {
			got = d.Name()
		}
		if got != tt.want {
			t.Errorf("%s %s%s: got %q, want %q", tt.method, tt.host, tt.path, got, tt.want)
		}
	}
}

// TestFacts: what is not an amount.
func TestFacts(t *testing.T) {
	tests := []struct {
		path, body  string
		model, user string
		stream      bool
		asked       bool
	}{
		{chatPath, `{"model":"gpt","user":"u\u0031","stream":true,"stream_options":{"include_usage":true}}`, "gpt", "u1", true, true},
		{chatPath, `{"model":"gpt","stream":true,"stream_options":{"include_usage":false}}`, "gpt", "", true, false},
		{chatPath, `{"model":5,"stream":"true"}`, "", "", false, false},
		{messagesPath, `{"model":"claude","metadata":{"user_id":"u1"},"stream":true}`, "claude", "u1", true, false},
		{"/openai/deployments/my%20gpt/chat/completions", `{}`, "my gpt", "", false, false},
		{"/v1beta/models/gemini:streamGenerateContent", `{}`, "gemini", "", true, false},
		{"/v1beta/models/gemini:generateContent", `{}`, "gemini", "", false, false},
		{"/model/arn:aws:bedrock:x/y/converse-stream", `{}`, "arn:aws:bedrock:x/y", "", true, false},
		{"/model/m/invoke", `{}`, "m", "", false, false},
	}
	for _, tt := range tests {
		got, err := dialectOf(t, "", tt.path).ParseRequest(tt.path, []byte(tt.body))
		if err != nil || got.Model != tt.model || got.User != tt.user || got.Stream != tt.stream || got.UsageAsked != tt.asked {
			t.Errorf("%s %s: got %+v, %v", tt.path, tt.body, got, err)
		}
	}
}
