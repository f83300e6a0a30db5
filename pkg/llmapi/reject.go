package llmapi

import (
	"net/http"
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

// RateState is what rate-limit headers tell.
type RateState struct {
	// Now turns waits into instants, for the APIs that send instants.
	Now time.Time
	// Requests and Tokens are the windows to tell about; nil if no limit binds in that dimension.
	Requests, Tokens *RateWindow
}

// RateWindow is the state of one limit.
type RateWindow struct {
	Limit, Remaining int64
	// Reset is the time until Remaining equals Limit again, if nothing else happens.
	Reset time.Duration
}
