package llmapi

import "net/http"

// generic is the dialect of endpoints that nobody knows. It charges the bytes of the request and believes every usage
// that has a known form.
type generic struct{ endpoint }

var genericDialect = &generic{endpoint{
	name:     "generic",
	match:    func(string) bool { return true },
	response: responseReader{read: readGeneric, merges: true, doneEnds: true},
	reject:   rejectOpenAI,
	rate:     setOpenAIRate,
}}

// Generic returns the dialect of endpoints that [For] does not know. It matches every POST, and no request is invalid
// to it: the prompt estimate is a quarter of the body's bytes, the output allowance is never declared. The model and the
// user are read where the body happens to be a JSON object.
func Generic() Dialect { return genericDialect }

// ParseRequest implements [Dialect].
func (g *generic) ParseRequest(_ string, body []byte) (Facts, error) {
	f, err := readRequest(body, func(*request) bool { return false })
	if err != nil {
		f = Facts{}
	}
	return Facts{Prompt: ceil4(int64(len(body))), N: 1, Stream: f.Stream, Model: f.Model, User: f.User}, nil
}

// Match implements [Dialect].
func (g *generic) Match(method, _ string) bool { return method == http.MethodPost }

// readGeneric reads whatever has the form of a known response: at the top, or one level down in response, message or
// delta. Its figures are cumulative or given once in every known API, so the largest of each counts.
func readGeneric(e *event) {
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "response":
			for ok := e.object(); ok && e.more(); {
				readGenericMember(e)
			}
		case "message":
			readGenericMessage(e)
		case "type":
			readGenericType(e, e.str())
		case "index":
			e.block, _ = e.whole()
		default:
			readGenericMember(e)
		}
	}
	if e.counts.some || e.counts.bad { // one scale for all: with what was cached apart
		c := e.counts
		c.input -= min(c.input, c.cached+c.cacheWrite)
		e.apart.merge(c)
	}
}

// readGenericMessage reads the message of Anthropic's message_start or of Ollama's and Cohere's chunks.
func readGenericMessage(e *event) {
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "usage":
			e.apart.readGenericUsage(&e.jsonReader)
		case "content":
			e.addParts()
		default:
			e.skip()
		}
	}
}

func readGenericType(e *event, kind []byte) {
	switch string(kind) {
	case "message_start":
		e.provisional = true
	case "message_stop", "message-end", "response.completed", "response.incomplete":
		e.terminal = true
	case "response.failed":
		e.terminal, e.failed = true, true
	case "error":
		e.failed = true
	}
}

func readGenericMember(e *event) {
	switch string(e.key) {
	case "usage":
		e.apart.readGenericUsage(&e.jsonReader)
	case "usageMetadata":
		e.counts.readGemini(&e.jsonReader)
	case "x_groq":
		for ok := e.object(); ok && e.more(); {
			readGenericMember(e)
		}
	case "amazon-bedrock-invocationMetrics":
		e.apart.readInvocation(&e.jsonReader)
		e.terminal = true
	case "choices":
		for ok := e.array(); ok && e.more(); {
			readChoice(e)
		}
	case "candidates":
		for ok := e.array(); ok && e.more(); {
			readCandidate(e)
		}
	case "content":
		e.addParts()
	case "delta":
		readGenericDelta(e)
	case "error":
		e.readError()
	default:
		e.skip()
	}
}

// readGenericDelta reads a delta: a text, or an object that may hold the usage, as Cohere's last one does.
func readGenericDelta(e *event) {
	if e.peek() == '"' {
		e.addText()
		return
	}
	for ok := e.object(); ok && e.more(); {
		if string(e.key) == "usage" {
			e.apart.readGenericUsage(&e.jsonReader)
		} else {
			readAnthropicBlockMember(e)
		}
	}
}

// readGenericUsage reads a usage object by every name that is known. Figures under Anthropic's names for the cache are
// beside the input; all others are inside it.
func (a *apart) readGenericUsage(r *jsonReader) {
	var inside counts
	var tools, thoughts int64 // Gemini's, beside its prompt and its candidates
	for ok := a.object(r); ok && r.more(); {
		switch string(r.key) {
		case "prompt_tokens", "input_tokens", "inputTokens", "promptTokenCount":
			inside.figure(r, &inside.input)
		case "completion_tokens", "output_tokens", "outputTokens", "candidatesTokenCount":
			inside.figure(r, &inside.output)
		case "total_tokens", "totalTokens", "totalTokenCount":
			inside.figure(r, &inside.total)
		case "prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details":
			inside.readDetails(r)
		case "toolUsePromptTokenCount":
			inside.figure(r, &tools)
		case "thoughtsTokenCount":
			inside.figure(r, &thoughts)
		case "cachedContentTokenCount":
			inside.detail(r, &inside.cached)
		case "cache_read_input_tokens", "cacheReadInputTokens":
			a.figure(r, &a.cached)
		case "cache_creation_input_tokens", "cacheWriteInputTokens":
			a.figure(r, &a.cacheWrite)
		case "billed_units", "tokens":
			inside.readOpenAI(r)
		default:
			r.skip()
		}
	}
	inside.input += tools
	inside.output += thoughts
	inside.reasoning = max(inside.reasoning, thoughts)
	inside.input -= min(inside.input, inside.cached+inside.cacheWrite)
	a.merge(inside)
}

// anyUsage reads a usage object of any known form.
func anyUsage(r *jsonReader) counts {
	var a apart
	a.readGenericUsage(r)
	return a.together()
}
