package llmapi

// openAICompletions are the legacy completions.
var openAICompletions = &asking{capping{
	endpoint: endpoint{
		name:     "openai.completions",
		match:    endsWith("/completions"),
		prompt:   completionPrompt,
		response: responseReader{read: readChat, doneEnds: true, end: endCompletion},
		reject:   rejectOpenAI,
		rate:     setOpenAIRate,
	},
	own: capField{name: "max_tokens"},
}}

func completionPrompt(q *request) bool {
	if string(q.key) != "prompt" {
		return false
	}
	q.prompts = max(q.prompts, q.addPrompts())
	return true
}

// addPrompts counts the four forms of a prompt: a string, a list of strings, a list of tokens, a list of lists of
// tokens. Tokens count one each. It returns the number of prompts.
func (q *request) addPrompts() int64 {
	if q.addNonList() {
		return 1
	}
	var prompts int64
	for ok := q.array(); ok && q.more(); {
		switch q.peek() {
		case '"':
			q.addText()
			prompts++
		case '[':
			for ok := q.array(); ok && q.more(); {
				q.addNonList()
			}
			prompts++
		default: // one token of the only prompt
			q.addNonList()
			prompts = max(prompts, 1)
		}
	}
	return max(prompts, 1)
}

// addNonList counts a string or a token; it consumes nothing and returns false if a list is at hand.
func (q *request) addNonList() bool {
	switch q.peek() {
	case '[':
		return false
	case '"':
		q.addText()
	default:
		if _, ok := q.whole(); ok {
			q.tokens++
		}
	}
	return true
}
