package llmapi

// cohereChat is Cohere's chat, version 2. It reports two counts: the tokens that the model read and wrote, and those
// that are billed. What is charged here is the former, because a token limit is about the model's work; the billed
// units count where there is nothing else.
var cohereChat = &capping{
	endpoint: endpoint{
		name:     "cohere.chat",
		match:    endsWith("/v2/chat"),
		prompt:   chatPrompt,
		response: responseReader{read: readCohere},
		reject:   rejectPlain,
		rate:     setOpenAIRate,
	},
	own: capField{name: "max_tokens"},
}

// readCohere reads an event or a whole response. In a stream, delta holds what a whole response has at the top.
func readCohere(e *event) {
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "type":
			e.terminal = string(e.str()) == "message-end"
		case "delta":
			for ok := e.object(); ok && e.more(); {
				readCohereMember(e)
			}
		case "error":
			e.readError()
		default:
			readCohereMember(e)
		}
	}
}

func readCohereMember(e *event) {
	switch string(e.key) {
	case "usage":
		e.counts.readCohere(&e.jsonReader)
	case "message":
		for ok := e.object(); ok && e.more(); {
			switch string(e.key) {
			case "content":
				e.addParts()
			case "tool_plan":
				e.addText()
			case "tool_calls":
				readCohereCalls(e)
			default:
				e.skip()
			}
		}
	default:
		e.skip()
	}
}

// readCohereCalls reads tool calls: a list, or one object in a stream.
func readCohereCalls(e *event) {
	if e.peek() == '[' {
		for ok := e.array(); ok && e.more(); {
			readCohereCalls(e)
		}
		return
	}
	for ok := e.object(); ok && e.more(); {
		if string(e.key) == "function" {
			e.addMemberText("arguments")
		} else {
			e.skip()
		}
	}
}

func (c *counts) readCohere(r *jsonReader) {
	var billed, tokens counts
	for ok := c.object(r); ok && r.more(); {
		switch string(r.key) {
		case "billed_units":
			billed.readOpenAI(r)
		case "tokens":
			tokens.readOpenAI(r)
		default:
			r.skip()
		}
	}
	if !tokens.some && !tokens.bad {
		tokens = billed
	}
	c.merge(tokens)
}
