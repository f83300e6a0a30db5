package llmapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// gemini is generateContent and streamGenerateContent, the latter as server-sent events or as a JSON array. The model
// and the wish to stream are in the path. Every chunk carries a usage so far; thoughts are counted beside the candidates.
var gemini = &capping{
	endpoint: endpoint{
		name:     "gemini.generate",
		match:    matchGemini,
		prompt:   geminiPrompt,
		path:     geminiPath,
		response: responseReader{read: readGemini, bodyEnds: true, end: endGemini},
		reject:   rejectGemini,
		rate:     setOpenAIRate,
	},
	own: capField{object: "generationConfig", name: "maxOutputTokens"},
}

func matchGemini(path string) bool {
	return strings.Contains(path, "/models/") &&
		(strings.HasSuffix(path, ":generateContent") || strings.HasSuffix(path, ":streamGenerateContent"))
}

func geminiPath(path string, f *Facts) {
	f.Model = between(path, "/models/", ":")
	f.Stream = strings.HasSuffix(path, ":streamGenerateContent")
}

func geminiPrompt(q *request) bool {
	switch string(q.key) {
	case "systemInstruction", "system_instruction":
		if !q.isNull() {
			q.tokens += tokensPerMessage
			geminiContent(q)
		}
	case "contents": // a list, or one that stands without it
		if q.peek() == '{' {
			q.tokens += tokensPerMessage
			geminiContent(q)
		} else {
			q.addMessages(geminiContent)
		}
	default:
		return false
	}
	return true
}

func geminiContent(q *request) {
	for ok := q.object(); ok && q.more(); {
		if string(q.key) == "parts" {
			q.addContent(&geminiParts)
		} else {
			q.skip()
		}
	}
}

var geminiParts = partReader{member: func(q *request) bool {
	switch string(q.key) {
	case "text":
		q.addText()
	case "functionCall", "functionResponse", "function_call", "function_response":
		q.addCompact()
	default:
		return false
	}
	return true
}}

// readGemini reads a chunk or a whole response; the command-line client's service wraps both in "response".
func readGemini(e *event) {
	for ok := e.object(); ok && e.more(); {
		if string(e.key) != "response" {
			readGeminiMember(e)
			continue
		}
		for ok := e.object(); ok && e.more(); {
			readGeminiMember(e)
		}
	}
}

func readGeminiMember(e *event) {
	switch string(e.key) {
	case "candidates":
		for ok := e.array(); ok && e.more(); {
			readCandidate(e)
		}
	case "promptFeedback": // a prompt that was blocked has no candidates, and nothing more will come
		for ok := e.object(); ok && e.more(); {
			if string(e.key) == "blockReason" && len(e.str()) > 0 {
				e.choices.add(0)
				e.finished.add(0)
			} else if string(e.key) != "blockReason" {
				e.skip()
			}
		}
	case "usageMetadata":
		e.counts.readGemini(&e.jsonReader)
	case "error":
		e.readError()
	default:
		e.skip()
	}
}

func readCandidate(e *event) {
	var index int64
	finished := false
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "index":
			index, _ = e.whole()
		case "finishReason":
			finished = len(e.str()) > 0 // some write an empty one until there is a reason
		case "content":
			for ok := e.object(); ok && e.more(); {
				if string(e.key) == "parts" {
					readGeminiParts(e)
				} else {
					e.skip()
				}
			}
		default:
			e.skip()
		}
	}
	e.choices.add(index)
	if finished {
		e.finished.add(index)
	}
}

func readGeminiParts(e *event) {
	for ok := e.array(); ok && e.more(); {
		for ok := e.object(); ok && e.more(); {
			switch string(e.key) {
			case "text":
				e.addText()
			case "functionCall":
				for ok := e.object(); ok && e.more(); {
					if string(e.key) == "args" {
						e.addCompact()
					} else {
						e.skip()
					}
				}
			default:
				e.skip()
			}
		}
	}
}

// readGemini reads usageMetadata: the prompt includes what was cached, the candidates do not include the thoughts.
func (c *counts) readGemini(r *jsonReader) {
	var prompt, tools, candidates int64
	for ok := c.object(r); ok && r.more(); {
		switch string(r.key) {
		case "promptTokenCount":
			c.figure(r, &prompt)
		case "toolUsePromptTokenCount":
			c.figure(r, &tools)
		case "candidatesTokenCount":
			c.figure(r, &candidates)
		case "thoughtsTokenCount":
			c.figure(r, &c.reasoning)
		case "cachedContentTokenCount":
			c.detail(r, &c.cached)
		case "totalTokenCount":
			c.figure(r, &c.total)
		default:
			r.skip()
		}
	}
	c.input = max(c.input, prompt+tools)
	c.output = max(c.output, candidates+c.reasoning)
}

// geminiStatuses are the names that Google's services give to HTTP statuses.
var geminiStatuses = map[int]string{
	http.StatusBadRequest:            "INVALID_ARGUMENT",
	http.StatusRequestEntityTooLarge: "INVALID_ARGUMENT",
	http.StatusUnsupportedMediaType:  "INVALID_ARGUMENT",
	http.StatusUnauthorized:          "UNAUTHENTICATED",
	http.StatusForbidden:             "PERMISSION_DENIED",
	http.StatusTooManyRequests:       "RESOURCE_EXHAUSTED",
	http.StatusServiceUnavailable:    "UNAVAILABLE",
}

func geminiErrorOf(r Rejection) map[string]any {
	status := geminiStatuses[r.status()]
	if status == "" {
		status = "INTERNAL"
	}
	e := map[string]any{"code": r.status(), "message": r.Text(), "status": status}
	details := []any{map[string]any{
		"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": r.Reason, "domain": "llmlimit",
	}}
	if r.Wait > 0 && !r.Permanent {
		seconds := strconv.FormatFloat(upTo(r.Wait, time.Millisecond).Seconds(), 'f', -1, 64)
		details = append(details, map[string]any{
			"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": seconds + "s",
		})
	}
	e["details"] = details
	return map[string]any{"error": e}
}

func rejectGemini(r Rejection) Reply { return jsonReply(r, geminiErrorOf(r)) }
