package judge

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Said is what the headers of a response say about limits.
type Said struct {
	Retry    *RetryAfter
	Rates    []RateHeader
	Reserved *int64
	Reason   string
}

// Fill puts what was said into a request.
func (s Said) Fill(r *Request) {
	r.Retry, r.Rates, r.SaidReserved, r.Reason = s.Retry, s.Rates, s.Reserved, s.Reason
}

// rateDialect is one family of rate-limit headers: its three names for one
// dimension, and how it writes the reset.
type rateDialect struct {
	source                  string
	dimension               Dimension
	limit, remaining, reset string
	parse                   func(string, int64) (reset, resolution int64, ok bool)
}

var rateDialects = []rateDialect{
	{"openai", Tokens, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens", goReset},
	{"openai", Requests, "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests", goReset},
	{"anthropic", Tokens, "Anthropic-Ratelimit-Tokens-Limit", "Anthropic-Ratelimit-Tokens-Remaining", "Anthropic-Ratelimit-Tokens-Reset", dateReset},
	{"anthropic", Requests, "Anthropic-Ratelimit-Requests-Limit", "Anthropic-Ratelimit-Requests-Remaining", "Anthropic-Ratelimit-Requests-Reset", dateReset},
	{"envoy", Requests, "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", goReset},
}

// ReadSaid reads the rate-limit headers of a response whose head arrived at an
// instant (unix ns). What is malformed in a rate header is absent.
func ReadSaid(h http.Header, at int64) Said {
	s := Said{Retry: readRetry(h), Reason: h.Get("X-Llmlimit-Reason")}
	if v, ok := whole(h.Get("X-Llmlimit-Reserved")); ok {
		s.Reserved = &v
	}
	for _, d := range rateDialects {
		r := RateHeader{Source: d.source, Dimension: d.dimension}
		if v, ok := whole(h.Get(d.limit)); ok {
			r.Limit = &v
		}
		if v, ok := whole(h.Get(d.remaining)); ok {
			r.Remaining = &v
		}
		if v, unit, ok := d.parse(h.Get(d.reset), at); ok {
			r.Reset, r.Resolution = &v, unit
		}
		if r.Limit != nil || r.Remaining != nil {
			s.Rates = append(s.Rates, r)
		}
	}
	return s
}

func readRetry(h http.Header) *RetryAfter {
	var r RetryAfter
	if v := h.Get("Retry-After-Ms"); v != "" {
		if n, ok := whole(v); ok {
			r.Millis = &n
		} else {
			r.Malformed = v
		}
	}
	if v := h.Get("Retry-After"); v != "" {
		if n, ok := whole(v); ok {
			r.Seconds = &n
		} else if t, err := http.ParseTime(v); err == nil {
			r.Date = t.UnixNano()
		} else {
			r.Malformed = v
		}
	}
	if r == (RetryAfter{}) {
		return nil
	}
	return &r
}

// whole is an integer that is not negative.
func whole(s string) (int64, bool) {
	v, err := strconv.ParseInt(strings.TrimSpace(s), 10, 62)
	return v, err == nil && v >= 0
}

// goReset reads "6m0s", "120ms", or whole seconds.
func goReset(s string, _ int64) (reset, resolution int64, ok bool) {
	if v, ok := whole(s); ok && v < forever/second {
		return v * second, second, true
	}
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil || d < 0 {
		return 0, 0, false
	}
	if strings.Contains(s, "ms") || strings.Contains(s, ".") {
		return int64(d), milli, true
	}
	return int64(d), second, true
}

// dateReset reads an instant.
func dateReset(s string, at int64) (reset, resolution int64, ok bool) {
	t, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(s))
	if err != nil {
		return 0, 0, false
	}
	return max(0, t.UnixNano()-at), second, true
}
