package llmapi

import "strings"

// The providers that copied chat completions and deviate in more than what the common reader knows: in how they refuse,
// in their rate-limit headers, or in the only field that they take an allowance from.
var (
	azureChat    = newAzureChat()
	mistralChat  = withMaxTokens(chat("mistral.chat", endsWith("/chat/completions"), rejectMistral))
	deepSeekChat = withMaxTokens(chat("deepseek.chat", endsWith("/chat/completions"), rejectOpenAI))
)

func newAzureChat() *asking {
	d := chat("azure.chat", func(path string) bool {
		return strings.Contains(path, "/openai/deployments/") && strings.HasSuffix(path, "/chat/completions")
	}, rejectAzure)
	d.path, d.rate = azurePath, setAzureRate
	return d
}

// azurePath reads the deployment, which names the model for the client.
func azurePath(path string, f *Facts) {
	if f.Model == "" {
		f.Model = between(path, "/deployments/", "/")
	}
}

// withMaxTokens is for those who do not know max_completion_tokens.
func withMaxTokens(d *asking) *asking {
	d.own = capField{name: "max_tokens"}
	return d
}
