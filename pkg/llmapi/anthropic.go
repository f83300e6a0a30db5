package llmapi

import "net/http"

// anthropicMessages is the Messages API. Cached input is counted beside the input; in a stream the usage begins with
// message_start and is completed by every message_delta, whose figures are cumulative.
var anthropicMessages = &capping{
	endpoint: endpoint{
		name:     "anthropic.messages",
		match:    endsWith("/v1/messages"),
		prompt:   anthropicPrompt,
		response: responseReader{read: readAnthropic, merges: true, end: endAnthropic},
		reject:   rejectAnthropic,
		rate:     setAnthropicRate,
	},
	own: capField{name: "max_tokens"},
}

func anthropicPrompt(q *request) bool {
	switch string(q.key) {
	case "system":
		if !q.isNull() {
			q.tokens += tokensPerMessage
			anthropicContent(q)
		}
	case "messages":
		q.addMessages(anthropicMessage)
	case "metadata":
		for ok := q.object(); ok && q.more(); {
			if string(q.key) == "user_id" {
				q.facts.User = string(q.str())
			} else {
				q.skip()
			}
		}
	default:
		return false
	}
	return true
}

func anthropicMessage(q *request) {
	for ok := q.object(); ok && q.more(); {
		if string(q.key) == "content" {
			anthropicContent(q)
		} else {
			q.skip()
		}
	}
}

var anthropicTypes = map[string]bool{"text": true, "thinking": true, "tool_use": true, "tool_result": true}

func anthropicContent(q *request) {
	q.addContent(&partReader{types: anthropicTypes, member: anthropicPart})
}

func anthropicPart(q *request) bool {
	switch string(q.key) {
	case "text", "thinking":
		q.addText()
	case "input":
		q.addCompact()
	case "content": // of a tool result: parts again
		anthropicContent(q)
	default:
		return false
	}
	return true
}

// readAnthropic reads an event, or a whole message, which has the same members as the one inside message_start.
func readAnthropic(e *event) {
	var kind string
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "type":
			kind = anthropicKind(e.str())
		case "message":
			for ok := e.object(); ok && e.more(); {
				readAnthropicMember(e)
			}
		case "index":
			e.block, _ = e.whole()
		case "amazon-bedrock-invocationMetrics":
			e.apart.readInvocation(&e.jsonReader)
			e.terminal = true
		default:
			readAnthropicMember(e)
		}
	}
	switch kind {
	case "message_start":
		e.provisional = true
	case "message_stop":
		e.terminal = true
	case "error":
		e.failed = true
	case "content_block_start":
		e.opens = true
	case "content_block_stop":
		e.closes = true
	}
}

// anthropicKinds are the types of events that mean something here.
var anthropicKinds = map[string]string{
	"message_start": "message_start", "message_stop": "message_stop", "error": "error",
	"content_block_start": "content_block_start", "content_block_stop": "content_block_stop",
}

// anthropicKind keeps a type without allocating.
func anthropicKind(b []byte) string { return anthropicKinds[string(b)] }

func readAnthropicMember(e *event) {
	switch string(e.key) {
	case "usage":
		e.apart.readAnthropic(&e.jsonReader)
	case "content":
		for ok := e.array(); ok && e.more(); {
			readAnthropicBlock(e)
		}
	case "delta", "content_block":
		readAnthropicBlock(e)
	default:
		e.skip()
	}
}

func readAnthropicBlock(e *event) {
	for ok := e.object(); ok && e.more(); {
		readAnthropicBlockMember(e)
	}
}

func readAnthropicBlockMember(e *event) {
	switch string(e.key) {
	case "text", "thinking", "partial_json":
		e.addText()
	case "input":
		if e.document { // in a stream it begins as {} and comes in pieces
			e.addCompact()
		} else {
			e.skip()
		}
	default:
		e.skip()
	}
}

// anthropicErrors are the types of Anthropic's errors by status.
var anthropicErrors = map[int]string{
	http.StatusBadRequest:            "invalid_request_error",
	http.StatusUnauthorized:          "authentication_error",
	http.StatusForbidden:             "permission_error",
	http.StatusNotFound:              "not_found_error",
	http.StatusRequestEntityTooLarge: "request_too_large",
	http.StatusTooManyRequests:       "rate_limit_error",
	http.StatusServiceUnavailable:    "overloaded_error",
}

func anthropicErrorOf(r Rejection) map[string]any {
	kind := anthropicErrors[r.status()]
	switch {
	case kind != "":
	case r.status() >= http.StatusInternalServerError:
		kind = "api_error"
	default:
		kind = "invalid_request_error"
	}
	e := map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": r.Text()}}
	if r.RequestID != "" {
		e["request_id"] = r.RequestID
	}
	return e
}

func rejectAnthropic(r Rejection) Reply { return jsonReply(r, anthropicErrorOf(r)) }
