package llmapi

import (
	"net/http"
	"strconv"
	"time"
)

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

// setOpenAIRate sets the headers that every client of every API gets: x-ratelimit-{limit,remaining,reset}-{requests,
// tokens}. The reset is a duration such as 6m0s or 120ms.
func setOpenAIRate(h http.Header, s RateState) {
	if w := s.Requests; w != nil {
		h["X-Ratelimit-Limit-Requests"], h["X-Ratelimit-Remaining-Requests"], h["X-Ratelimit-Reset-Requests"] = w.fields()
	}
	if w := s.Tokens; w != nil {
		h["X-Ratelimit-Limit-Tokens"], h["X-Ratelimit-Remaining-Tokens"], h["X-Ratelimit-Reset-Tokens"] = w.fields()
	}
}

// fields are the window in OpenAI's form. They share one piece of memory: every answer has them.
func (w *RateWindow) fields() (limit, remaining, reset []string) {
	all := []string{
		strconv.FormatInt(w.Limit, 10), strconv.FormatInt(max(0, w.Remaining), 10), upTo(max(0, w.Reset), time.Millisecond).String(),
	}
	return all[0:1:1], all[1:2:2], all[2:3:3]
}

// setAzureRate is the same with resets in plain seconds.
func setAzureRate(h http.Header, s RateState) {
	setOpenAIRate(h, s)
	set := func(unit string, w *RateWindow) {
		if w != nil {
			seconds := upTo(max(0, w.Reset), time.Second) / time.Second
			h.Set("X-Ratelimit-Reset-"+unit, strconv.FormatInt(int64(seconds), 10))
		}
	}
	set("Requests", s.Requests)
	set("Tokens", s.Tokens)
}

// setAnthropicRate adds Anthropic's own headers, whose reset is an instant.
func setAnthropicRate(h http.Header, s RateState) {
	setOpenAIRate(h, s)
	set := func(unit string, w *RateWindow) {
		if w == nil {
			return
		}
		reset := s.Now.Add(max(0, w.Reset)).UTC()
		if whole := reset.Truncate(time.Second); whole.Before(reset) {
			reset = whole.Add(time.Second)
		}
		h.Set("Anthropic-Ratelimit-"+unit+"-Limit", strconv.FormatInt(w.Limit, 10))
		h.Set("Anthropic-Ratelimit-"+unit+"-Remaining", strconv.FormatInt(max(0, w.Remaining), 10))
		h.Set("Anthropic-Ratelimit-"+unit+"-Reset", reset.Format(time.RFC3339))
	}
	set("Requests", s.Requests)
	set("Tokens", s.Tokens)
}
