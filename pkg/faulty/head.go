package faulty

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// headersMissingOnStreams tells the budget on whole answers only.
func headersMissingOnStreams(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") && t.Strikes() {
			dropRates(h)
		}
		return status
	})
}

// headersMissingOnSuccess tells the budget when it is spent.
func headersMissingOnSuccess(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if status/100 == 2 && t.Strikes() {
			dropRates(h)
		}
		return status
	})
}

func dropRates(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "X-Ratelimit-") || strings.HasPrefix(name, "Ratelimit") || strings.HasPrefix(name, "Anthropic-Ratelimit-") {
			delete(h, name)
		}
	}
}

// Names of the fields that most of the headers' faults are about.
const (
	remaining  = "X-Ratelimit-Remaining-Tokens"
	retryAfter = "Retry-After"
	retryMs    = "Retry-After-Ms"
	origin     = "X-Llmlimit-Origin"
)

// remainingBeforeReservation tells what was left before the request came.
func remainingBeforeReservation(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		left, err1 := strconv.ParseInt(h.Get(remaining), 10, 64)
		taken, err2 := strconv.ParseInt(h.Get("X-Llmlimit-Reserved"), 10, 64)
		if err1 == nil && err2 == nil && t.Strikes() {
			h.Set(remaining, strconv.FormatInt(left+taken, 10))
		}
		return status
	})
}

// remainingFrozen tells the limit in place of what is left of it.
func remainingFrozen(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if limit := h.Get("X-Ratelimit-Limit-Tokens"); limit != "" && t.Strikes() {
			h.Set(remaining, limit)
		}
		return status
	})
}

// resetZero says that the budget is whole at once.
func resetZero(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if h.Get("X-Ratelimit-Reset-Tokens") != "" && t.Strikes() {
			h.Set("X-Ratelimit-Reset-Tokens", "0s")
		}
		return status
	})
}

// reservedUnsaid does not tell what a request has reserved.
func reservedUnsaid(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if h.Get("X-Llmlimit-Reserved") != "" && t.Strikes() {
			h.Del("X-Llmlimit-Reserved")
		}
		return status
	})
}

// retryAfterEarly names half of the wait.
func retryAfterEarly(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeWait(cfg, t, func(ms int64) int64 { return ms / 2 })
}

// retryAfterJitteredDown spreads clients over the last quarter of the wait.
func retryAfterJitteredDown(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeWait(cfg, t, func(ms int64) int64 { return ms - ms/8 - ms%997*ms/8/997 })
}

// retryAfterRoundedDown names the whole seconds of the wait.
func retryAfterRoundedDown(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeWait(cfg, t, func(ms int64) int64 { return ms / 1000 * 1000 })
}

// retryAfterFlat names a minute, whatever the wait.
func retryAfterFlat(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeWait(cfg, t, func(int64) int64 { return 60_000 })
}

// changeWait wraps the front: a rejection names another wait.
func changeWait(cfg proxy.Config, t *Trigger, change func(ms int64) int64) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		ms, err := strconv.ParseInt(h.Get(retryMs), 10, 64)
		if err == nil && rejected(status, h) && t.Strikes() {
			ms = max(change(ms), 1)
			h.Set(retryMs, strconv.FormatInt(ms, 10))
			h.Set(retryAfter, strconv.FormatInt((ms+999)/1000, 10))
		}
		return status
	})
}

// retryAfterMissing names no wait.
func retryAfterMissing(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if rejected(status, h) && t.Strikes() {
			h.Del(retryAfter)
			h.Del(retryMs)
		}
		return status
	})
}

// permanentLooksTemporary names a wait that will not help.
func permanentLooksTemporary(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if rejected(status, h) && h.Get(retryAfter) == "" && t.Strikes() {
			h.Del("X-Should-Retry")
			h.Set("X-Llmlimit-Reason", "tpm_exceeded")
			h.Set(retryAfter, "60")
		}
		return status
	})
}

// originUnknown does not say whose answer an answer is.
func originUnknown(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if h.Get(origin) != "" && t.Strikes() {
			h.Del(origin)
			h.Del("X-Llmlimit-Reason")
		}
		return status
	})
}

// rejectsWith503 takes a spent budget for a limiter that is out of order.
func rejectsWith503(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if rejected(status, h) && t.Strikes() {
			return http.StatusServiceUnavailable
		}
		return status
	})
}

// shadowSilent does not say what a shadow policy would have done.
func shadowSilent(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if h.Get("X-Llmlimit-Shadow") != "" && t.Strikes() {
			h.Del("X-Llmlimit-Shadow")
		}
		return status
	})
}

// warningsUnsaid does not say that a budget is nearly spent.
func warningsUnsaid(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if h.Get("X-Llmlimit-Warning") != "" && t.Strikes() {
			h.Del("X-Llmlimit-Warning")
		}
		return status
	})
}

// errorBodyPlain rejects in a form that no client library reads.
func errorBodyPlain(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeAnswers(cfg, func(_ *http.Request, w http.ResponseWriter) *answerWriter {
		a := &answerWriter{ResponseWriter: w}
		a.head = func(status int, h http.Header) int {
			if rejected(status, h) && t.Strikes() {
				h.Set("Content-Type", "text/plain")
				h.Del("Content-Length")
				a.body = func([]byte) []byte { return nil }
				a.rest = func() []byte { return []byte("rate limit exceeded\n") }
			}
			return status
		}
		return a
	})
}

// rejectsAsOpenAI rejects in OpenAI's form, whatever the client speaks.
func rejectsAsOpenAI(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeDialects(cfg, func(d dialect) llmapi.Dialect { return oneForm{d, t} })
}

type oneForm struct {
	dialect
	trigger *Trigger
}

// Reject implements [llmapi.Dialect].
func (o oneForm) Reject(r llmapi.Rejection) llmapi.Reply {
	if chat := llmapi.For(http.MethodPost, "/v1/chat/completions"); o.trigger.Strikes() && chat != nil {
		return chat.Reject(r)
	}
	return o.Dialect.Reject(r)
}

// providerWaitLost drops what a provider's own 429 says of the wait.
func providerWaitLost(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Transport = changeResponse(cfg.Transport, func(resp *http.Response) error {
		if resp.StatusCode == http.StatusTooManyRequests && t.Strikes() {
			resp.Header.Del(retryAfter)
		}
		return nil
	})
	return cfg
}

// providerLimitsShown tells the client what is left of a budget that is not the client's.
func providerLimitsShown(cfg proxy.Config, t *Trigger) proxy.Config {
	const kept = "X-Kept-Remaining"
	cfg.Transport = changeResponse(cfg.Transport, func(resp *http.Response) error {
		if left := resp.Header.Get(remaining); left != "" && t.Strikes() {
			resp.Header.Set(kept, left)
		}
		return nil
	})
	return changeHead(cfg, func(_ *http.Request, status int, h http.Header) int {
		if left := h.Get(kept); left != "" {
			h.Set(remaining, left)
			h.Del(kept)
		}
		return status
	})
}
