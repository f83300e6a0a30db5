package llmapi

// Chat completions: OpenAI's, and those of the many who copied it. Where they deviate in what they send, the reader
// knows all of it at once, because the path does not tell who answers: usage on any chunk or on every one (vLLM, SGLang,
// xAI), inside x_groq (Groq) or inside a choice (Moonshot), DeepSeek's cache figure, reasoning as reasoning_content or
// reasoning, content as a list of parts (Mistral). Where they deviate in how they refuse, they have a row of their own.

// chat is the dialect of chat completions with the given name, path and way to refuse.
func chat(name string, match func(string) bool, reject func(Rejection) Reply) *asking {
	return &asking{capping{
		endpoint: endpoint{
			name:     name,
			match:    match,
			prompt:   chatPrompt,
			response: responseReader{read: readChat, doneEnds: true, end: endChat},
			reject:   reject,
			rate:     setOpenAIRate,
		},
		own: capField{name: "max_completion_tokens"},
	}}
}

var openAIChat = chat("openai.chat", endsWith("/chat/completions"), rejectOpenAI)

func chatPrompt(q *request) bool {
	if string(q.key) != "messages" {
		return false
	}
	q.addMessages(chatMessage)
	return true
}

func chatMessage(q *request) {
	for ok := q.object(); ok && q.more(); {
		switch string(q.key) {
		case "content":
			q.addContent(&openAIParts)
		case "tool_calls":
			for ok := q.array(); ok && q.more(); {
				toolCall(q)
			}
		case "function_call":
			functionCall(q)
		default:
			q.skip()
		}
	}
}

func toolCall(q *request) {
	for ok := q.object(); ok && q.more(); {
		if string(q.key) == "function" {
			functionCall(q)
		} else {
			q.skip()
		}
	}
}

func functionCall(q *request) {
	for ok := q.object(); ok && q.more(); {
		switch string(q.key) {
		case "name", "arguments":
			q.addText()
		default:
			q.skip()
		}
	}
}

var openAIParts = partReader{
	types: map[string]bool{
		"text": true, "input_text": true, "output_text": true, "refusal": true,
		"summary_text": true, "reasoning_text": true,
	},
	member: func(q *request) bool {
		known := string(q.key) == "text" || string(q.key) == "refusal"
		if known {
			q.addText()
		}
		return known
	},
}

// readChat reads a chunk or a whole completion.
func readChat(e *event) {
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "choices":
			for ok := e.array(); ok && e.more(); {
				readChoice(e)
			}
		case "usage":
			e.counts.readOpenAI(&e.jsonReader)
		case "x_groq":
			for ok := e.object(); ok && e.more(); {
				if string(e.key) == "usage" {
					e.counts.readOpenAI(&e.jsonReader)
				} else {
					e.skip()
				}
			}
		case "error":
			e.readError()
		default:
			e.skip()
		}
	}
}

func readChoice(e *event) {
	var index int64
	finished := false
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "index":
			index, _ = e.whole()
		case "finish_reason":
			finished = e.str() != nil
		case "delta", "message":
			readMessage(e)
		case "text":
			e.addText()
		case "usage":
			e.counts.readOpenAI(&e.jsonReader)
		default:
			e.skip()
		}
	}
	e.choices.add(index)
	if finished {
		e.finished.add(index)
	}
}

func readMessage(e *event) {
	var reasoning int64 // some servers send it under both names
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "content":
			e.addParts()
		case "refusal":
			e.addText()
		case "reasoning_content", "reasoning":
			n, _ := e.text()
			reasoning = max(reasoning, n)
		case "tool_calls":
			for ok := e.array(); ok && e.more(); {
				for ok := e.object(); ok && e.more(); {
					if string(e.key) == "function" {
						e.addMemberText("arguments")
					} else {
						e.skip()
					}
				}
			}
		case "function_call":
			e.addMemberText("arguments")
		default:
			e.skip()
		}
	}
	e.content += reasoning
}

// usageOnly tells whether data is a chunk with usage and without choices: the one that include_usage causes.
func usageOnly(data []byte) bool {
	e := event{jsonReader: jsonReader{data: data}}
	usage := false
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "choices":
			for ok := e.array(); ok && e.more(); {
				e.skip()
				e.choices.add(0)
			}
		case "usage":
			usage = e.peek() == '{'
			e.skip()
		case "error":
			e.readError()
		default:
			e.skip()
		}
	}
	return e.end() == nil && usage && e.choices.empty() && !e.failed
}
