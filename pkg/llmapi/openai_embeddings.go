package llmapi

// openAIEmbeddings produce no output tokens: their allowance is declared, and 0, whatever the client writes.
var openAIEmbeddings = &endpoint{
	name:     "openai.embeddings",
	match:    endsWith("/embeddings"),
	prompt:   embeddingsPrompt,
	path:     func(_ string, f *Facts) { f.Output, f.Declared = 0, true },
	response: responseReader{read: readChat},
	reject:   rejectOpenAI,
	rate:     setOpenAIRate,
}

func embeddingsPrompt(q *request) bool {
	if string(q.key) != "input" {
		return false
	}
	q.addPrompts()
	return true
}
