package llmapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Rejection is a refusal before it has the form of an API.
type Rejection struct {
	// Status is the HTTP status of the answer; 0 means 429.
	Status int
	// Reason is the machine-readable reason: "tpm_exceeded", "invalid_request_body".
	Reason string
	// Message overrides the text that is otherwise made of the fields below.
	Message string
	// Dimension is what ran out, for people: "tokens per min (TPM)".
	Dimension string
	// Limit, Used and Requested are amounts of the dimension; all zero if they mean nothing here.
	Limit, Used, Requested int64
	// Wait is how long to wait until the same request can pass; 0 if no wait helps or none is known.
	Wait time.Duration
	// Permanent tells that no wait can help.
	Permanent bool
	// RequestID names the request in the answer, where the API has a place for it.
	RequestID string
}

// Reply is a whole answer.
type Reply struct {
	Status int
	// Header holds what belongs to the form of the API: at least Content-Type. Retry-After and the x-llmlimit-*
	// headers are the same for every API and are not set here.
	Header http.Header
	Body   []byte
}

// status is the status of the answer.
func (r Rejection) status() int {
	if r.Status == 0 {
		return http.StatusTooManyRequests
	}
	return r.Status
}

// Text is the message for people. It has the words of OpenAI's messages, "Limit", "Used", "Requested" and "try again
// in", because there are programs that read them.
func (r Rejection) Text() string {
	if r.Message != "" {
		return r.Message
	}
	var b strings.Builder
	switch {
	case r.Permanent:
		b.WriteString("Request too large")
	case r.status() == http.StatusTooManyRequests:
		b.WriteString("Rate limit reached")
	default:
		b.WriteString("Request rejected: " + r.Reason)
	}
	if r.Dimension != "" {
		b.WriteString(" on " + r.Dimension)
	}
	if r.Limit != 0 || r.Used != 0 || r.Requested != 0 {
		fmt.Fprintf(&b, ": Limit %d, ", r.Limit)
		if !r.Permanent {
			fmt.Fprintf(&b, "Used %d, ", r.Used)
		}
		fmt.Fprintf(&b, "Requested %d", r.Requested)
	}
	b.WriteString(".")
	switch {
	case r.Permanent:
		b.WriteString(" No wait can help: ask for fewer tokens.")
	case r.Wait > 0:
		b.WriteString(" Please try again in " + upTo(r.Wait, time.Millisecond).String() + ".")
	}
	return b.String()
}

// upTo rounds a wait up, never down: a client that obeys must not come too early.
func upTo(d, unit time.Duration) time.Duration {
	if rest := d % unit; rest > 0 {
		d += unit - rest
	}
	return d
}

// jsonReply is a reply with a JSON body.
func jsonReply(r Rejection, body any) Reply {
	return Reply{
		Status: r.status(),
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   mustJSON(body),
	}
}

// mustJSON encodes a value that has nothing in it but maps, strings and numbers, so that it cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("llmapi: encoding a reply: %v", err))
	}
	return b
}

// openAIError is the error object of OpenAI, for replies and for events of a stream.
type openAIError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    string  `json:"code"`
}

func openAIErrorOf(r Rejection) openAIError {
	e := openAIError{Message: r.Text(), Code: r.Reason}
	switch status := r.status(); {
	case r.Reason == "budget_exceeded":
		e.Type = "insufficient_quota"
	case status == http.StatusTooManyRequests:
		e.Type = "rate_limit_error"
	case status == http.StatusUnauthorized:
		e.Type = "authentication_error"
	case status >= http.StatusInternalServerError:
		e.Type = "server_error"
	default:
		e.Type = "invalid_request_error"
	}
	return e
}

func rejectOpenAI(r Rejection) Reply {
	return jsonReply(r, map[string]any{"error": openAIErrorOf(r)})
}

// rejectMistral writes Mistral's error, which is flat.
func rejectMistral(r Rejection) Reply {
	e := openAIErrorOf(r)
	return jsonReply(r, map[string]any{"object": "error", "message": e.Message, "type": e.Type, "param": nil, "code": e.Code})
}

// rejectAzure writes Azure's error, whose code is the status.
func rejectAzure(r Rejection) Reply {
	return jsonReply(r, map[string]any{"error": map[string]any{"code": strconv.Itoa(r.status()), "message": r.Text()}})
}

// rejectPlain writes an error that is a message and nothing else.
func rejectPlain(r Rejection) Reply {
	return jsonReply(r, map[string]any{"message": r.Text()})
}
