package mockllm_test

import (
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
)

// What docs/mock-backend.md shows.
func TestWithoutABill(t *testing.T) {
	mock := mockllm.Start(t)
	t.Setenv("OPENAI_BASE_URL", mock.URL+"/v1")
	t.Setenv("OPENAI_API_KEY", "sk-mock")
	t.Setenv("ANTHROPIC_BASE_URL", mock.URL)
	t.Setenv("ANTHROPIC_API_KEY", "sk-mock")

	gpt := openai.NewClient()
	completion, err := gpt.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
		Model:    "gpt-x--u1200x300", // the usage that the mock is to report
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")},
	})
	if err != nil || completion.Usage.PromptTokens != 1200 || completion.Usage.CompletionTokens != 300 {
		t.Errorf("found %+v, %v", completion, err)
	}

	claude := anthropic.NewClient(option.WithHeader("x-llmlimit-mock", "usage=15/12")) // or by a header
	message, err := claude.Messages.New(t.Context(), anthropic.MessageNewParams{
		Model: "claude-x", MaxTokens: 100,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))},
	})
	if err != nil || message.Usage.InputTokens != 15 || message.Usage.OutputTokens != 12 {
		t.Errorf("found %+v, %v", message, err)
	}

	for _, e := range mock.Journal().Entries() {
		t.Log(e.Path, e.Model, e.Usage.Total, e.End)
	}
}
