package llmapi

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// The parts of a prompt estimate that are not text, in tokens.
const (
	tokensPerMessage = 4
	tokensPerPart    = 1000 // an image, a sound, a file: whatever is not known to be text
)

// request collects the facts of one request body while it is read (semantics 1).
type request struct {
	jsonReader
	facts Facts
	// textBytes are divided by four once, at the end; tokens are counted as such.
	textBytes, tokens int64
	// prompts is the number of independent prompts of a legacy completion.
	prompts int64
}

// readRequest reads a whole body. For every member it asks the dialect's own reader first, which consumes the value of
// a member that it knows and returns false, with nothing consumed, for any other.
func readRequest(body []byte, own func(*request) bool) (Facts, error) {
	if !utf8.Valid(body) {
		return Facts{}, fmt.Errorf("%w: not valid UTF-8", ErrInvalidBody)
	}
	q := &request{jsonReader: jsonReader{data: body}, facts: Facts{N: 1}, prompts: 1}
	object := q.object()
	for object && q.more() {
		if !own(q) {
			q.common()
		}
	}
	if err := q.end(); err != nil {
		return Facts{}, fmt.Errorf("%w: %w", ErrInvalidBody, err)
	}
	if !object {
		return Facts{}, fmt.Errorf("%w: expected a JSON object, found %q", ErrInvalidBody, bytes.TrimSpace(body)[0])
	}
	f := q.facts
	f.Prompt = q.tokens + ceil4(q.textBytes)
	if f.N > maxExact/q.prompts {
		f.N = maxExact
	} else {
		f.N *= q.prompts
	}
	return f, nil
}

// common reads the members that mean the same in every dialect. They are read in every dialect, known there or not:
// a field that the provider ignores makes a reservation too large at worst, and the settlement gives that back.
func (q *request) common() {
	switch string(q.key) {
	case "max_tokens", "max_completion_tokens", "max_output_tokens":
		q.allowance()
	case "n", "best_of", "candidateCount":
		q.choices()
	case "generationConfig", "inferenceConfig":
		q.config()
	case "tools", "functions", "toolConfig":
		q.addCompact()
	case "response_format":
		q.addMember("json_schema")
	case "text":
		q.addMember("format")
	case "model":
		q.facts.Model = string(q.str())
	case "user":
		q.facts.User = string(q.str())
	case "stream":
		q.facts.Stream = q.isTrue()
	case "stream_options":
		q.facts.UsageAsked = false
		for ok := q.object(); ok && q.more(); {
			if string(q.key) == "include_usage" {
				q.facts.UsageAsked = q.isTrue()
			} else {
				q.skip()
			}
		}
	default:
		q.skip()
	}
}

// allowance reads one of the fields that bound the output. The largest of them counts, also among equal names.
func (q *request) allowance() {
	if n, ok := q.whole(); ok && n >= 1 {
		q.facts.Output = max(q.facts.Output, min(n, maxAllowance))
		q.facts.Declared = true
	}
}

// choices reads one of the fields that multiply the output.
func (q *request) choices() {
	if n, ok := q.whole(); ok {
		q.facts.N = max(q.facts.N, min(n, maxAllowance))
	}
}

// config reads Gemini's generationConfig and Bedrock's inferenceConfig.
func (q *request) config() {
	inference := string(q.key) == "inferenceConfig"
	for ok := q.object(); ok && q.more(); {
		switch key := string(q.key); {
		case inference && key == "maxTokens", !inference && key == "maxOutputTokens":
			q.allowance()
		case !inference && key == "candidateCount":
			q.choices()
		default:
			q.skip()
		}
	}
}

// addText counts the string at hand and tells whether it is one.
func (q *request) addText() bool {
	n, ok := q.text()
	q.textBytes += n
	return ok
}

// addCompact counts the value at hand in its compact form; null is as good as absent.
func (q *request) addCompact() {
	if !q.isNull() {
		q.textBytes += q.compact()
	}
}

// addMember counts one member of the object at hand in its compact form.
func (q *request) addMember(name string) {
	for ok := q.object(); ok && q.more(); {
		if string(q.key) == name {
			q.addCompact()
		} else {
			q.skip()
		}
	}
}

// addMessages counts a list of messages, each by the given reader, which consumes one message.
func (q *request) addMessages(message func(*request)) {
	for ok := q.array(); ok && q.more(); {
		q.tokens += tokensPerMessage
		message(q)
	}
}

// addContent counts the content of a message: a string, or a list of parts.
func (q *request) addContent(p *partReader) {
	switch q.peek() {
	case '"':
		q.addText()
	case '[':
		for ok := q.array(); ok && q.more(); {
			q.addPart(p)
		}
	case '{':
		q.addPart(p)
	default:
		q.skip()
	}
}

// partReader knows the parts of one dialect's content.
type partReader struct {
	// types are the values of "type" that are known to be text; nil in dialects whose parts have no type.
	types map[string]bool
	// member consumes the value of a member that counts and tells whether it did; with false, nothing is consumed.
	member func(*request) bool
}

// addPart counts one part: what its dialect knows in it, or a flat amount if it is not known to be text. A part that
// does not say its type is known by its members.
func (q *request) addPart(p *partReader) {
	if q.peek() == '"' {
		q.addText()
		return
	}
	textBytes, tokens := q.textBytes, q.tokens
	typed, known, seen := false, false, false
	for ok := q.object(); ok && q.more(); {
		switch {
		case p.types != nil && string(q.key) == "type":
			typed, known = true, p.types[string(q.str())]
		case p.member(q):
			seen = true
		default:
			q.skip()
		}
	}
	if !typed {
		known = seen
	}
	if !known {
		q.textBytes, q.tokens = textBytes, tokens+tokensPerPart
	}
}

// WithHint raises the prompt estimate to what the client itself claims in X-Token-Estimate: an integer from 1 to 2^31
// in plain digits. It never lowers the estimate. Anything else is ignored, and false.
func (f Facts) WithHint(hint string) (Facts, bool) {
	n, ok := plainDigits([]byte(hint))
	if !ok || n < 1 || n > 1<<31 {
		return f, false
	}
	f.Prompt = max(f.Prompt, n)
	return f, true
}
