package policy

import (
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// Ask is what a request wants, as its dialect read it.
type Ask struct {
	Prompt   int64 // P, tokens, without any hint
	Output   int64 // C, the declared output allowance in tokens; read only if Declared
	Declared bool  // the client declared an allowance (0 for endpoints that produce none, such as embeddings)
	N        int64 // answers asked for; 0 counts as 1
	Metered  bool  // a token endpoint: some dialect knows it
	ReadOnly bool  // GET, HEAD, OPTIONS: token rules do not bind

	// Fingerprint is a hash of what makes two requests identical: method, path, query and body. Only a policy that looks for loops asks
	// for it; nil is the hash of nothing.
	Fingerprint func() [32]byte
}

// Reason says which check rejected a request. It is the code that the client sees.
type Reason string

// The reasons that need no look at an account, in the order of their checks. Those of accounts are the limiter's.
const (
	ReasonKillSwitch Reason = "kill_switch"
	ReasonMissingKey Reason = "missing_limit_key"
	ReasonLoop       Reason = "loop_detected"
	ReasonBreaker    Reason = "circuit_breaker_open"
	ReasonPrompt     Reason = "prompt_tokens_exceeded"
	ReasonPerRequest Reason = "max_tokens_per_request_exceeded"
)

// Rejection is the answer of a check without accounts.
type Rejection struct {
	Reason    Reason
	Policy    string        // "" for a kill switch
	Rule      string        // "" for checks of a whole policy
	Key       Key           // of the rule; empty where there is none
	Detail    string        // for people: which descriptor is missing, the reason that an operator gave
	Limit     int64         // tokens, for the two token checks
	Requested int64         // tokens, likewise
	Wait      time.Duration // how long the condition lasts; 0 if nobody knows
	Permanent bool          // the same request can never pass
	Alert     bool          // the breaker opened just now, and its policy wants an alert
}

// Binding is everything that the policies say about one request.
type Binding struct {
	Enforced Set // rejects
	Shadow   Set // only says what it would do
}

// Bound reports whether any rule binds the request.
func (b *Binding) Bound() bool { return len(b.Enforced.Holds)+len(b.Shadow.Holds) > 0 }

// A Set is the holds that are reserved together, all or none.
type Set struct {
	Holds  []limiter.Hold // as the store takes them
	Bound  []Bound        // what each hold stands for, at the same index
	Reject *Rejection     // the first check that failed; nil if the store decides

	// Prompt is the largest prompt estimate of the rules, after hints.
	Prompt int64
	// OutputCap is the smallest max_completion_tokens of the rules; 0 is none. The forwarded body is rewritten to it.
	OutputCap int64
	// MidStream is the streaming part of the rule that OutputCap comes from, or nil if no rule cuts streams.
	MidStream *Streaming
	// Tokens is set if a rule counts tokens, so that usage is wanted.
	Tokens bool
	// Throttle is how long a guard delays the request; Warnings are for x-llmlimit-warning. Stages of a budget are the limiter's.
	Throttle time.Duration
	Warnings []string
	// HintIgnored is set if a rule reads X-Token-Estimate and could not use the one that came.
	HintIgnored bool

	parts       []part // of the keys
	guarded     []guarded
	fingerprint [32]byte
}

// Bound is the rule behind one hold.
type Bound struct {
	Rule   *Rule
	Window string // tpm, tpd, requests, budget or concurrency
	Key    Key
	Prompt int64 // P as this rule sees it: raised by the hint where the rule reads one
}
