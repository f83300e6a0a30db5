package judge

import "net/http"

// Said is what the headers of a response say about limits.
type Said struct {
	Retry    *RetryAfter
	Rates    []RateHeader
	Reserved *int64
	Reason   string
}

// ReadSaid reads the rate-limit headers of a response that arrived at an instant
// (unix ns), in the dialects of a table: OpenAI, IETF, Anthropic, Azure.
func ReadSaid(h http.Header, at int64) Said { return Said{} }
