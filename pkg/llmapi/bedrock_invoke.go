package llmapi

import "encoding/base64"

// bedrockInvoke is InvokeModel and InvokeModelWithResponseStream: the model's own format, with nothing around the body
// and a frame with {"bytes": base64} around each event. Anthropic's models are read as such; what other models report
// is read by the generic reader and by the metrics that Bedrock adds to the last event.
var bedrockInvoke = &capping{endpoint: endpoint{
	name:     "bedrock.invoke",
	match:    matchBedrock("/invoke", "/invoke-with-response-stream"),
	prompt:   invokePrompt,
	path:     bedrockPath,
	response: responseReader{read: readInvoke, merges: true},
	reject:   rejectBedrock,
	rate:     setOpenAIRate,
}}

func invokePrompt(q *request) bool {
	switch string(q.key) {
	case "prompt", "inputText": // models that are not chat models
		q.addText()
		return true
	}
	return anthropicPrompt(q)
}

// readInvoke reads a frame or a whole response.
func readInvoke(e *event) {
	if e.document {
		readGeneric(e)
		return
	}
	for ok := e.object(); ok && e.more(); {
		if string(e.key) == "bytes" {
			readWrapped(e)
		} else {
			e.skip()
		}
	}
}

// readWrapped reads the event that is wrapped in the string at hand, and fails with it.
func readWrapped(e *event) {
	wrapped := e.str()
	data := make([]byte, base64.StdEncoding.DecodedLen(len(wrapped)))
	n, err := base64.StdEncoding.Decode(data, wrapped)
	if err != nil {
		e.fail("base64")
		return
	}
	outer := e.jsonReader
	e.jsonReader = jsonReader{data: data[:n]}
	readGeneric(e)
	err = e.end()
	if e.jsonReader = outer; err != nil {
		e.fail("an event of JSON inside of base64")
	}
}

// readInvocation reads Bedrock's own count of an invocation.
func (a *apart) readInvocation(r *jsonReader) {
	for ok := a.object(r); ok && r.more(); {
		switch string(r.key) {
		case "inputTokenCount":
			a.figure(r, &a.input)
		case "outputTokenCount":
			a.figure(r, &a.output)
		case "cacheReadInputTokenCount":
			a.figure(r, &a.cached)
		case "cacheWriteInputTokenCount":
			a.figure(r, &a.cacheWrite)
		default:
			r.skip()
		}
	}
}
