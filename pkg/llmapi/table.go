package llmapi

import (
	"maps"
	"slices"
)

// dialects is every dialect that is recognised by its path, in the order in which they are asked: an API that shares
// the end of its path with another stands before it. A new dialect is one file and one row here.
var dialects = []Dialect{
	azureChat,         // …/openai/deployments/{model}/chat/completions
	openAIChat,        // …/chat/completions: OpenAI, Groq, OpenRouter, xAI, vLLM and many more
	openAICompletions, // …/completions
	openAIResponses,   // …/responses
	openAIEmbeddings,  // …/embeddings
	anthropicMessages, // …/v1/messages
	gemini,            // …/models/{model}:generateContent, :streamGenerateContent
	bedrockConverse,   // /model/{model}/converse, /converse-stream
	bedrockInvoke,     // /model/{model}/invoke, /invoke-with-response-stream
	cohereChat,        // …/v2/chat
}

// backends are the dialects that share every path with OpenAI's: only the host that answers tells them apart.
var backends = map[string]Dialect{
	"api.deepseek.com": deepSeekChat,
	"api.mistral.ai":   mistralChat,
}

// For returns the dialect of an endpoint, or nil if no dialect has such an endpoint: see [Generic].
func For(method, path string) Dialect { return ForBackend("", method, path) }

// ForBackend is For where the host name of the upstream is known.
func ForBackend(host, method, path string) Dialect {
	if d := backends[host]; d != nil && d.Match(method, path) {
		return d
	}
	for _, d := range dialects {
		if d.Match(method, path) {
			return d
		}
	}
	return nil
}

// All returns every dialect but the generic one, always in the same order.
func All() []Dialect {
	all := slices.Clone(dialects)
	for _, host := range slices.Sorted(maps.Keys(backends)) {
		all = append(all, backends[host])
	}
	return all
}
