package proxy

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// refusal is a request that is not forwarded, or not to its end, and why.
type refusal struct {
	llmapi.Rejection
	policy, rule, window, key string
}

// Reasons of refusals that no rule decides.
const (
	reasonInvalidBody = "invalid_request_body"
	reasonEncoding    = "unsupported_encoding"
	reasonTooLarge    = "request_body_too_large"
	reasonSlowBody    = "request_body_timeout"
	reasonUpgrade     = "upgrade_not_supported"
	reasonAccounts    = "too_many_accounts"
	reasonStore       = "store_unavailable"
	reasonDraining    = "shutting_down"
	reasonUpstream    = "upstream_unavailable"
	reasonTimeout     = "upstream_timeout"
	reasonInternal    = "internal_error"
)

// unreadable refuses a body that cannot be estimated.
func unreadable(err error) *refusal {
	r := llmapi.Rejection{Status: http.StatusBadRequest, Reason: reasonInvalidBody, Message: err.Error(), Permanent: true}
	switch {
	case errors.Is(err, llmapi.ErrUnsupportedEncoding):
		r.Status, r.Reason = http.StatusUnsupportedMediaType, reasonEncoding
	case errors.Is(err, llmapi.ErrTooLarge):
		r.Status, r.Reason = http.StatusRequestEntityTooLarge, reasonTooLarge
	}
	return &refusal{Rejection: r}
}

// storeFailed refuses what the store could not decide.
func storeFailed(err error) *refusal {
	r := llmapi.Rejection{Status: http.StatusServiceUnavailable, Reason: reasonStore, Message: "the limiter's store failed", Wait: time.Second}
	if errors.Is(err, limiter.ErrTooManyAccounts) {
		r.Reason, r.Message = reasonAccounts, "the limiter keeps no more accounts"
	}
	return &refusal{Rejection: r}
}

// turnedAway refuses what a check without accounts rejects.
func (e *engine) turnedAway(by *policy.Rejection) *refusal {
	r := &refusal{policy: by.Policy, rule: by.Rule, key: by.Key.String()}
	r.Rejection = llmapi.Rejection{
		Status: http.StatusTooManyRequests, Reason: string(by.Reason), Limit: by.Limit, Requested: by.Requested,
		Wait: by.Wait, Permanent: by.Permanent,
	}
	if by.Reason == policy.ReasonMissingKey {
		r.Status = http.StatusUnauthorized
	} else if by.Permanent {
		r.Status = e.cfg.PermanentStatus
	}
	switch by.Reason {
	case policy.ReasonPrompt:
		r.Dimension = "prompt tokens per request"
	case policy.ReasonPerRequest:
		r.Dimension = "tokens per request"
	case policy.ReasonKillSwitch:
		r.Message = "a kill switch is on"
	case policy.ReasonMissingKey:
		r.Message = "the request has no value for the limit key"
	case policy.ReasonLoop:
		r.Message = "the same request came too often"
	case policy.ReasonBreaker:
		r.Message = "the circuit breaker is open"
	}
	if by.Detail != "" && r.Message != "" {
		r.Message += ": " + by.Detail
	}
	return r
}

// exceeded refuses what the store rejected. Of several limits the client hears of the one with the longest wait; one that no
// wait can cure goes first.
func (e *engine) exceeded(r *reservation) *refusal {
	d := &r.decision
	worst := 0
	for i := range d.Holds {
		a, b := &d.Holds[i], &d.Holds[worst]
		if a.Rejected && (!b.Rejected || a.Permanent && !b.Permanent || a.Permanent == b.Permanent && a.Wait > b.Wait) {
			worst = i
		}
	}
	bound, hold, state := &r.set.Bound[worst], &r.set.Holds[worst], &d.Holds[worst]
	requested := hold.Cost
	if hold.Account.Limit.Kind == limiter.RequestBucket {
		requested = (requested + limiter.Micro - 1) / limiter.Micro
	}
	out := &refusal{policy: bound.Rule.Policy, rule: bound.Rule.Name, window: bound.Window, key: bound.Key.String()}
	out.Rejection = llmapi.Rejection{
		Status: http.StatusTooManyRequests, Reason: d.Reason, Dimension: dimension(bound, hold.Account.Limit),
		Limit: state.Limit, Used: state.Limit - state.Remaining, Requested: requested, Wait: d.RetryAfter, Permanent: d.Permanent,
	}
	if d.Permanent {
		out.Status, out.Wait = e.cfg.PermanentStatus, 0
	}
	return out
}

// dimension names what ran out, for people.
func dimension(b *policy.Bound, l *limiter.Limit) string {
	switch {
	case l.Kind == limiter.Concurrency:
		return "concurrent requests"
	case l.Kind == limiter.RequestBucket:
		return "requests"
	case l.Kind == limiter.TokenBucket:
		return "tokens per min (TPM)"
	case b.Window == "tpd":
		return "tokens per day (TPD)"
	}
	return "budget per " + l.Period.String()
}

// retryHeaders tells a client when to come again, if that helps.
func (r *refusal) retryHeaders(h http.Header) {
	h.Set("X-Llmlimit-Reason", r.Reason)
	if r.Permanent {
		h.Set("X-Should-Retry", "false")
		return
	}
	if r.Wait > 0 {
		h.Set("Retry-After", strconv.FormatInt(ceil(r.Wait, time.Second), 10))
		h.Set("Retry-After-Ms", strconv.FormatInt(ceil(r.Wait, time.Millisecond), 10))
	}
}

// ceil is d in units, rounded up.
func ceil(d, unit time.Duration) int64 { return int64((d + unit - 1) / unit) }
