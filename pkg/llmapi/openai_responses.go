package llmapi

import "bytes"

// openAIResponses is the Responses API. Its usage is in the terminal event, inside the whole response; it has no [DONE].
var openAIResponses = &capping{
	endpoint: endpoint{
		name:     "openai.responses",
		match:    endsWith("/responses"),
		prompt:   responsesPrompt,
		response: responseReader{read: readResponses, end: endResponses},
		reject:   rejectOpenAI,
		rate:     setOpenAIRate,
	},
	own: capField{name: "max_output_tokens"},
}

func responsesPrompt(q *request) bool {
	switch string(q.key) {
	case "instructions":
		if !q.isNull() {
			q.tokens += tokensPerMessage
			q.addContent(&openAIParts)
		}
	case "input":
		if q.peek() == '"' {
			q.addText()
		} else {
			q.addMessages(responsesItem)
		}
	default:
		return false
	}
	return true
}

func responsesItem(q *request) {
	for ok := q.object(); ok && q.more(); {
		switch string(q.key) {
		case "content", "output":
			q.addContent(&openAIParts)
		case "arguments":
			q.addText()
		default:
			q.skip()
		}
	}
}

// readResponses reads an event, or a whole response, which has the same members as the one inside a terminal event.
func readResponses(e *event) {
	var delta int64
	var kind []byte
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "type":
			kind = append(kind, e.str()...)
		case "delta":
			n, _ := e.text()
			delta += n
		case "response":
			for ok := e.object(); ok && e.more(); {
				readResponse(e)
			}
		default:
			readResponse(e)
		}
	}
	switch string(kind) {
	case "response.completed", "response.incomplete":
		e.terminal = true
	case "response.failed":
		e.terminal, e.failed = true, true
	case "error":
		e.failed = true
	}
	// Audio arrives as a delta too, in base64: it is no text.
	if bytes.HasSuffix(kind, []byte(".delta")) && !bytes.HasSuffix(kind, []byte("audio.delta")) {
		e.content += delta
	}
}

// readResponse reads one member of a response.
func readResponse(e *event) {
	switch string(e.key) {
	case "usage":
		e.counts.readOpenAI(&e.jsonReader)
	case "error":
		e.readError()
	case "output":
		e.repeated += e.outputItems()
	default:
		e.skip()
	}
}

// outputItems consumes the output of a response and returns the content bytes in it.
func (e *event) outputItems() int64 {
	before := e.content
	for ok := e.array(); ok && e.more(); {
		for ok := e.object(); ok && e.more(); {
			switch string(e.key) {
			case "content", "summary":
				e.addParts()
			case "arguments", "input":
				e.addText()
			default:
				e.skip()
			}
		}
	}
	n := e.content - before
	e.content = before
	return n
}
