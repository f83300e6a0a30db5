package llmapi

import (
	"net/http"
	"strings"
)

// bedrockConverse is Converse and ConverseStream. The stream is binary frames; its usage is in the metadata frame, which
// is also its end where the message has stopped before it. A metadata frame inside of a message tells the usage so far.
var bedrockConverse = &capping{
	endpoint: endpoint{
		name:     "bedrock.converse",
		match:    matchBedrock("/converse", "/converse-stream"),
		prompt:   conversePrompt,
		path:     bedrockPath,
		response: responseReader{read: readConverse},
		reject:   rejectBedrock,
		rate:     setOpenAIRate,
	},
	own: capField{object: "inferenceConfig", name: "maxTokens"},
}

func matchBedrock(suffixes ...string) func(string) bool {
	return func(path string) bool {
		for _, suffix := range suffixes {
			if strings.HasSuffix(path, suffix) && strings.Contains(path, "/model/") {
				return true
			}
		}
		return false
	}
}

// bedrockPath reads the model, whose name may have slashes, and the wish to stream.
func bedrockPath(path string, f *Facts) {
	end := max(0, strings.LastIndexByte(path, '/'))
	f.Model = between(path[:end], "/model/", "\n")
	f.Stream = strings.HasSuffix(path, "-stream")
}

func conversePrompt(q *request) bool {
	switch string(q.key) {
	case "system":
		if !q.isNull() {
			q.tokens += tokensPerMessage
			q.addContent(&converseParts)
		}
	case "messages":
		q.addMessages(func(q *request) {
			for ok := q.object(); ok && q.more(); {
				if string(q.key) == "content" {
					q.addContent(&converseParts)
				} else {
					q.skip()
				}
			}
		})
	default:
		return false
	}
	return true
}

var converseParts = partReader{member: func(q *request) bool {
	switch string(q.key) {
	case "text":
		q.addText()
	case "toolUse", "toolResult":
		q.addCompact()
	default:
		return false
	}
	return true
}}

// readConverse reads a frame, or a whole response.
func readConverse(e *event) {
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "usage":
			e.counts.readConverse(&e.jsonReader)
		case "output":
			for ok := e.object(); ok && e.more(); {
				if string(e.key) == "message" {
					readConverseMessage(e)
				} else {
					e.skip()
				}
			}
		case "delta":
			readConverseBlock(e)
		default:
			e.skip()
		}
	}
	switch e.name {
	case "messageStart":
		e.choices.add(0)
	case "messageStop":
		e.finished.add(0)
	case "metadata":
		e.trailing = true
	}
}

func readConverseMessage(e *event) {
	for ok := e.object(); ok && e.more(); {
		if string(e.key) != "content" {
			e.skip()
			continue
		}
		for ok := e.array(); ok && e.more(); {
			readConverseBlock(e)
		}
	}
}

// readConverseBlock reads a content block or a piece of one. The input of a tool is an object in a whole response and
// comes as pieces of text in a stream.
func readConverseBlock(e *event) {
	for ok := e.object(); ok && e.more(); {
		switch string(e.key) {
		case "text":
			e.addText()
		case "reasoningText":
			e.addMemberText("text")
		case "reasoningContent":
			readConverseBlock(e)
		case "toolUse":
			for ok := e.object(); ok && e.more(); {
				switch {
				case string(e.key) != "input":
					e.skip()
				case e.peek() == '"':
					e.addText()
				default:
					e.addCompact()
				}
			}
		default:
			e.skip()
		}
	}
}

// readConverse reads usage. Whether inputTokens includes what was cached differs from model to model; where a total is
// given it tells, and where it is not, the cached tokens are taken to come on top.
func (c *counts) readConverse(r *jsonReader) {
	var input int64
	for ok := c.object(r); ok && r.more(); {
		switch string(r.key) {
		case "inputTokens":
			c.figure(r, &input)
		case "outputTokens":
			c.figure(r, &c.output)
		case "totalTokens":
			c.figure(r, &c.total)
		case "cacheReadInputTokens", "cacheReadInputTokenCount":
			c.figure(r, &c.cached)
		case "cacheWriteInputTokens", "cacheWriteInputTokenCount":
			c.figure(r, &c.cacheWrite)
		default:
			r.skip()
		}
	}
	if cached := c.cached + c.cacheWrite; c.total == 0 || c.total >= input+cached+c.output {
		input += cached
	}
	c.input = max(c.input, input)
}

// bedrockErrors are the names of Bedrock's exceptions by status.
var bedrockErrors = map[int]string{
	http.StatusBadRequest:         "ValidationException",
	http.StatusUnauthorized:       "AccessDeniedException",
	http.StatusForbidden:          "AccessDeniedException",
	http.StatusTooManyRequests:    "ThrottlingException",
	http.StatusServiceUnavailable: "ServiceUnavailableException",
}

func rejectBedrock(r Rejection) Reply {
	kind := bedrockErrors[r.status()]
	switch {
	case kind != "":
	case r.status() >= http.StatusInternalServerError:
		kind = "InternalServerException"
	default:
		kind = "ValidationException"
	}
	reply := rejectPlain(r)
	reply.Header.Set("X-Amzn-Errortype", kind)
	return reply
}
