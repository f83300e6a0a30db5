package proxy

import (
	"net/http"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// Outcome is the way in which an admitted request ended: the row of the charge table that applies to it.
type Outcome string

// The outcomes. A usage that the response itself reported, valid and read to its end, is charged whatever the outcome.
const (
	OutcomeRejected    Outcome = "rejected"     // not admitted; nothing was reserved or sent
	OutcomeDone        Outcome = "done"         // the response passed to its end
	OutcomeBroken      Outcome = "broken"       // the upstream broke off in the body
	OutcomeLeft        Outcome = "left"         // the client left after the upstream's headers
	OutcomeLeftEarly   Outcome = "left_early"   // the client left before them, and something had been written upstream
	OutcomeUnreachable Outcome = "unreachable"  // nothing was written upstream: dial, TLS, DNS, or the client was faster
	OutcomeNoAnswer    Outcome = "no_answer"    // written upstream, and the connection ended without headers
	OutcomeInterimOnly Outcome = "interim_only" // likewise, after nothing but 1xx
	OutcomeTimeout     Outcome = "timeout"      // written upstream, and a timeout passed
	OutcomeCut         Outcome = "cut"          // the proxy ended the stream at the output limit
	OutcomeInternal    Outcome = "internal"     // an error in the proxy after the reservation
)

// ending is how an exchange ended, with all that a charge depends on.
type ending struct {
	outcome Outcome
	status  int // of the upstream's response; 0 if there was none
	reading llmapi.Reading
	framing Framing
}

// charge is what one hold of an admitted request costs in the end. Holds that do not count tokens cost what they cost.
func (e *ending) charge(b *policy.Bound, h limiter.Hold) int64 {
	tokens := b.Rule.Tokens
	if tokens == nil {
		return h.Cost
	}
	if e.reading.Reported {
		return b.Actual(h, classes(e.reading.Usage))
	}
	switch e.outcome {
	case OutcomeRejected, OutcomeUnreachable, OutcomeInterimOnly, OutcomeInternal:
		return 0
	case OutcomeCut:
		return b.Observed(h, e.reading.ContentBytes)
	case OutcomeLeft:
		if tokens.OnDisconnect == policy.DisconnectObserved {
			return b.Observed(h, e.reading.ContentBytes)
		}
	case OutcomeDone, OutcomeBroken, OutcomeLeftEarly, OutcomeNoAnswer, OutcomeTimeout:
	}
	if e.status != 0 && free(e.status, tokens.Keep5xx) {
		return 0
	}
	// A usage that was seen before the response broke counts where it is larger.
	return max(b.Keep(h, e.reading.ContentBytes), b.Actual(h, classes(e.reading.Usage)))
}

// free reports whether a response of this status costs nothing unless it says so itself.
func free(status int, keep5xx bool) bool {
	switch {
	case status == http.StatusNoContent, status == http.StatusResetContent, status >= 300 && status < 500:
		return true
	case status >= 500:
		return !keep5xx
	}
	return false
}

func classes(u llmapi.Usage) limiter.Classes {
	return limiter.Classes{Input: u.Input, CachedInput: u.CachedInput, CacheWrite: u.CacheWrite, Output: u.Output, Reasoning: u.Reasoning}
}
