package mockllm

import (
	"context"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

// sdkPlans are fault-free answers that differ in everything a reader may stumble over. Lines that end with CR alone are not among
// them, and neither are deflate, brotli and zstd: the SDKs for Go read none of these.
var sdkPlans = map[string]string{
	"plain":            "usage: 11/22",
	"details":          "usage: {in: 100, out: 50, cached: 30, cache_write: 20, reasoning: 40}",
	"crlf":             "{usage: 11/22, sse: {eol: crlf, space: false}}",
	"comments first":   "{usage: 11/22, sse: {comments: first, event_lines: id}}",
	"comments last":    "{usage: 11/22, sse: {comments: last, event_lines: retry}}",
	"comments inside":  "{usage: 11/22, sse: {comments: inside}}",
	"comments between": "{usage: 11/22, sse: {comments: between, event_lines: all}}",
	"comments at 3":    "{usage: 11/22, sse: {comments: 'every:3'}}",
	"no [DONE]":        "{usage: 11/22, sse: {done: false}}",
	"one byte":         "{usage: 11/22, sse: {split: 1byte}}",
	"seven bytes":      "{usage: 11/22, sse: {split: 'n:7', eol: crlf}}",
	"random":           "{usage: 11/22, sse: {split: random}}",
	"in the usage":     "{usage: 11/22, sse: {split: 'at:usage'}}",
	"in CRLF":          "{usage: 11/22, sse: {split: 'at:crlf', eol: crlf}}",
	"in an escape":     `{usage: 11/22, sse: {split: 'at:escape'}, content: {text: "a\u0001b\u2028c"}}`,
	"in a rune":        "{usage: 11/22, sse: {split: 'at:rune'}, content: {text: Grüße 世界}}",
	"gzip":             "{usage: 11/22, http: {encoding: gzip}}",
	"flushed":          "{usage: 11/22, http: {encoding: gzip-flush}}",
	"by close":         "{usage: 11/22, http: {framing: close}}",
	"chunked":          "{usage: 11/22, http: {framing: chunked, trailers: {x-sum: '1'}, informational: [103]}}",
	"http 1.0":         "{usage: 11/22, http: {proto: '1.0'}}",
	"length":           "{usage: 11/22, http: {framing: length}}",
	"unicode":          `{usage: 11/22, content: {text: "Grüße, 世界\n\"quoted\" \u2028 <&>", chunks: 7}}`,
	"large":            "{usage: 11/22, content: {bytes: 100000, chunks: 3}}",
	"one piece":        "{usage: 11/22, content: {chunks: 1}}",
	"usage final":      "{usage: 11/22, usage_at: final}",
	"usage every":      "{usage: 11/22, usage_at: every}",
	"usage twice":      "{usage: 11/22, usage_at: twice}",
	"usage at finish":  "{usage: 11/22, usage_at: finish_chunk}",
	"usage in x_groq":  "{usage: 11/22, usage_at: x_groq}",
	"usage early":      "{usage: 11/22, usage_at: early}",
}

// sdkCase is one plan on a mock of its own; want is what the mock says it said.
func forEachSDKPlan(t *testing.T, test func(t *testing.T, s *Server, text string, want Totals)) {
	t.Helper()
	for name, plan := range sdkPlans {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := ParsePlan([]byte(plan))
			if err != nil {
				t.Fatal(err)
			}
			p.ID = "sdk"
			x := newExchange(ask{choices: 1}, p, 0, "", 0, 0)
			test(t, Start(t, Options{Plan: p}), x.text, x.told)
		})
	}
}

// hidden are the deviations that hide the usage from an SDK, which looks in one place, once.
var hidden = map[string]bool{
	"usage_twice, chat": true, "usage_twice, completions": true, // a key given twice in one document: the first one counts
	"usage_in_x_groq, chat": true, "usage_in_x_groq, completions": true, // a whole answer has it there alone
	"usage_early, responses stream": true, "usage_early, messages stream": true, // the terminal event says nothing
}

func checkUsage(t *testing.T, what string, got, want Totals) {
	t.Helper()
	_, plan, _ := strings.Cut(t.Name(), "/")
	if hidden[plan+", "+what] == (got == want) {
		t.Errorf("%s: usage %+v, want %+v, or hidden", what, got, want)
	}
}

func checkText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: text %.80q, want %.80q", what, got, want)
	}
}

func TestOpenAISDKReadsChat(t *testing.T) {
	t.Parallel()
	forEachSDKPlan(t, func(t *testing.T, s *Server, text string, want Totals) {
		t.Helper()
		want.CacheWrite = 0 // chat completions do not tell it
		client := openai.NewClient(option.WithBaseURL(s.URL+"/v1"), option.WithAPIKey("sk-x"), option.WithMaxRetries(0))
		params := openai.ChatCompletionNewParams{
			Model: "gpt-mock", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")},
		}
		res, err := client.Chat.Completions.New(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		checkText(t, "whole", res.Choices[0].Message.Content, text)
		checkUsage(t, "chat", chatTotals(res.Usage), want)

		params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
		stream := client.Chat.Completions.NewStreaming(t.Context(), params)
		acc := openai.ChatCompletionAccumulator{}
		var usage openai.CompletionUsage // the accumulator adds up what a stream says more than once
		for stream.Next() {
			chunk := stream.Current()
			acc.AddChunk(chunk)
			if chunk.Usage.TotalTokens > 0 {
				usage = chunk.Usage
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		checkText(t, "stream", acc.Choices[0].Message.Content, text)
		checkUsage(t, "chat stream", chatTotals(usage), want)
	})
}

func chatTotals(u openai.CompletionUsage) Totals {
	return Totals{
		In: u.PromptTokens, Out: u.CompletionTokens, Total: u.TotalTokens,
		Cached: u.PromptTokensDetails.CachedTokens, Reasoning: u.CompletionTokensDetails.ReasoningTokens,
	}
}

func TestOpenAISDKReadsCompletionsAndEmbeddings(t *testing.T) {
	t.Parallel()
	forEachSDKPlan(t, func(t *testing.T, s *Server, text string, want Totals) {
		t.Helper()
		want.CacheWrite = 0
		client := openai.NewClient(option.WithBaseURL(s.URL+"/v1"), option.WithAPIKey("sk-x"), option.WithMaxRetries(0))
		params := openai.CompletionNewParams{
			Model: "m", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("hi")},
			StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
		}
		stream := client.Completions.NewStreaming(t.Context(), params)
		var got strings.Builder
		var usage openai.CompletionUsage
		for stream.Next() {
			c := stream.Current()
			for _, choice := range c.Choices {
				got.WriteString(choice.Text)
			}
			if c.Usage.TotalTokens > 0 {
				usage = c.Usage
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		checkText(t, "completions", got.String(), text)
		checkUsage(t, "completions stream", chatTotals(usage), want)

		whole, err := client.Completions.New(t.Context(), openai.CompletionNewParams{Model: "m", Prompt: params.Prompt})
		if err != nil {
			t.Fatal(err)
		}
		checkText(t, "completions whole", whole.Choices[0].Text, text)
		checkUsage(t, "completions", chatTotals(whole.Usage), want)

		vectors, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
			Model: "m", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(vectors.Data) != 2 || vectors.Usage.PromptTokens != want.In || vectors.Usage.TotalTokens != want.In {
			t.Errorf("embeddings: %d vectors, usage %+v", len(vectors.Data), vectors.Usage)
		}
	})
}

func TestOpenAISDKReadsResponses(t *testing.T) {
	t.Parallel()
	forEachSDKPlan(t, func(t *testing.T, s *Server, text string, want Totals) {
		t.Helper()
		client := openai.NewClient(option.WithBaseURL(s.URL+"/v1"), option.WithAPIKey("sk-x"), option.WithMaxRetries(0))
		params := responses.ResponseNewParams{
			Model: "m", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hi")},
		}
		res, err := client.Responses.New(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		checkText(t, "whole", res.OutputText(), text)
		checkUsage(t, "responses", responseTotals(res.Usage), want)

		stream := client.Responses.NewStreaming(t.Context(), params)
		var got strings.Builder
		var last responses.Response
		for stream.Next() {
			switch e := stream.Current(); e.Type {
			case "response.output_text.delta":
				got.WriteString(e.Delta)
			case "response.completed":
				last = e.Response
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		checkText(t, "stream", got.String(), text)
		checkText(t, "terminal event", last.OutputText(), text)
		checkUsage(t, "responses stream", responseTotals(last.Usage), want)
	})
}

func responseTotals(u responses.ResponseUsage) Totals {
	return Totals{
		In: u.InputTokens, Out: u.OutputTokens, Total: u.TotalTokens, Cached: u.InputTokensDetails.CachedTokens,
		CacheWrite: u.InputTokensDetails.CacheWriteTokens, Reasoning: u.OutputTokensDetails.ReasoningTokens,
	}
}

func TestAnthropicSDKReadsMessages(t *testing.T) {
	t.Parallel()
	forEachSDKPlan(t, func(t *testing.T, s *Server, text string, want Totals) {
		t.Helper()
		want.Reasoning = 0 // part of the output and not told apart
		client := anthropic.NewClient(
			anthropicoption.WithBaseURL(s.URL), anthropicoption.WithAPIKey("x"), anthropicoption.WithMaxRetries(0))
		params := anthropic.MessageNewParams{
			Model: "claude-mock", MaxTokens: 100,
			Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))},
		}
		res, err := client.Messages.New(context.Background(), params)
		if err != nil {
			t.Fatal(err)
		}
		checkText(t, "whole", res.Content[0].Text, text)
		checkUsage(t, "messages", anthropicTotals(res.Usage), want)

		stream := client.Messages.NewStreaming(context.Background(), params)
		acc := anthropic.Message{}
		for stream.Next() {
			if err := acc.Accumulate(stream.Current()); err != nil {
				t.Fatal(err)
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		checkText(t, "stream", acc.Content[0].Text, text)
		checkUsage(t, "messages stream", anthropicTotals(acc.Usage), want)
	})
}

func anthropicTotals(u anthropic.Usage) Totals {
	in := u.InputTokens + u.CacheReadInputTokens + u.CacheCreationInputTokens
	return Totals{
		In: in, Out: u.OutputTokens, Total: in + u.OutputTokens,
		Cached: u.CacheReadInputTokens, CacheWrite: u.CacheCreationInputTokens,
	}
}
