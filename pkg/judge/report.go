package judge

import (
	"fmt"
	"time"
)

// Report is the judgement of one history. It is a pure function of the history.
type Report struct {
	Cell string `json:"cell"`
	// Findings prove the target wrong: first wrong decisions, then tokens and calls
	// that do not add up, then what the target says of itself; each in order of
	// instant, kind, request and limit.
	Findings []Finding `json:"findings,omitempty"`
	// Notes are worth knowing and prove nothing.
	Notes []Finding `json:"notes,omitempty"`
	// Dropped counts the findings and notes beyond the [MaxFindings] that are listed
	// for each kind.
	Dropped int    `json:"dropped,omitempty"`
	Totals  Totals `json:"totals"`
	// Accounts, by limit and key, in that order.
	Accounts []AccountReport `json:"accounts,omitempty"`
}

// Failed reports whether anything was proved wrong.
func (r *Report) Failed() bool { return len(r.Findings) > 0 }

// Totals are sums over a history. Amounts count tokens: of limits that do not
// settle (requests, concurrency) only the verdicts are counted.
type Totals struct {
	Requests int `json:"requests"`
	Admitted int `json:"admitted"`
	Rejected int `json:"rejected"`
	// OverAdmitted and WronglyRejected are proven tokens: the largest shortfall of
	// any admission, and the largest surplus of any rejection, summed over accounts.
	OverAdmitted    int64 `json:"over_admitted"`
	WronglyRejected int64 `json:"wrongly_rejected"`
	// OverAdmissions and WrongfulRejections count the requests they were proved on.
	OverAdmissions     int `json:"over_admissions"`
	WrongfulRejections int `json:"wrongful_rejections"`
	// Right were proved right, Undecidable lie between the bounds, Unjudged are bound
	// by no known limit.
	Right       int `json:"right"`
	Undecidable int `json:"undecidable"`
	Unjudged    int `json:"unjudged"`
	// Reserved and Charged sum e and a over the admitted, each request counted once
	// by its largest token hold.
	Reserved Span `json:"reserved"`
	Charged  Span `json:"charged"`
}

// MaxFindings is how many findings of one kind are listed; all are counted.
const MaxFindings = 100

// Kind names what a finding is about.
type Kind string

// The kinds of findings.
const (
	OverAdmission      Kind = "over-admission"
	WrongfulRejection  Kind = "wrongful-rejection"
	Isolation          Kind = "isolation" // a wrongful rejection that another key's traffic explains
	Conservation       Kind = "conservation"
	Residue            Kind = "residue" // reservations that never settled
	RetryTooEarly      Kind = "retry-after-too-early"
	RetryTooLate       Kind = "retry-after-too-late"
	RetryImpossible    Kind = "retry-after-impossible" // a finite wait, and none can help
	RetryMissing       Kind = "retry-after-missing"
	RetryForm          Kind = "retry-after-form" // a date, or malformed
	HeaderLimit        Kind = "header-limit"
	HeaderRemaining    Kind = "header-remaining"
	HeaderReset        Kind = "header-reset"
	HeaderReserved     Kind = "header-reserved"
	RepeatedCall       Kind = "repeated-upstream-call"
	RejectedCall       Kind = "rejected-reached-upstream"
	UpstreamNotStopped Kind = "upstream-not-stopped"
	NotJudged          Kind = "not-judged" // a note: why something has no verdict
)

// weight orders what a reader should see first: a header is often wrong only because
// the budget is, and never the other way round.
func (k Kind) weight() int {
	switch k {
	case OverAdmission, WrongfulRejection, Isolation, RejectedCall:
		return 0
	case Conservation, Residue, RepeatedCall, UpstreamNotStopped:
		return 1
	case RetryTooEarly, RetryTooLate, RetryImpossible, RetryMissing, RetryForm,
		HeaderLimit, HeaderRemaining, HeaderReset, HeaderReserved, NotJudged:
	}
	return 2
}

// Finding is one thing that is proved, or noted.
type Finding struct {
	Kind Kind `json:"kind"`
	// Request, Step, Limit and Key say where; empty where they do not apply.
	Request string `json:"request,omitempty"`
	Step    string `json:"step,omitempty"`
	Limit   string `json:"limit,omitempty"`
	Key     string `json:"key,omitempty"`
	// At is the instant of the decision or observation.
	At int64 `json:"at"`
	// Bound is the most that can have been left (over-admission) or the least
	// (wrongful rejection), or the nearest value that would have been right.
	Bound int64 `json:"bound"`
	// Tokens is by how much it is wrong, at least. Headers: in their own unit;
	// retry-after: in ns.
	Tokens int64 `json:"tokens"`
	// From and To bound the smallest stretch of the history that proves it, and
	// Events counts the charges and refunds of the account in it.
	From   int64 `json:"from,omitempty"`
	To     int64 `json:"to,omitempty"`
	Events int   `json:"events,omitempty"`
	// Message says all this in one line.
	Message string `json:"message"`
	Curl    string `json:"curl,omitempty"`
}

// Proof says, for people, how long after the start the finding was made, and which
// stretch of the history shows it.
func (f *Finding) Proof(start int64) string {
	since := func(at int64) time.Duration { return time.Duration(at - start).Round(time.Microsecond) }
	switch {
	case f.Events == 0 || f.From >= f.To:
		return fmt.Sprintf("%s after the start", since(f.At))
	case f.Events == 1:
		return fmt.Sprintf("%s after the start, by what happened to the account since %s", since(f.At), since(f.From))
	}
	return fmt.Sprintf("%s after the start, by the %d instants since %s at which the account changed", since(f.At), f.Events, since(f.From))
}

// AccountReport is the course of one account.
type AccountReport struct {
	Limit     string    `json:"limit"`
	Key       string    `json:"key,omitempty"`
	Dimension Dimension `json:"dimension"`
	Requests  int       `json:"requests"`
	Reserved  Span      `json:"reserved"`
	Charged   Span      `json:"charged"`
	// OverAdmitted and WronglyRejected are the largest proven amounts here.
	OverAdmitted    int64 `json:"over_admitted,omitempty"`
	WronglyRejected int64 `json:"wrongly_rejected,omitempty"`
	// Level holds at most [MaxSamples] samples of the bounds, for plots: what is left
	// in a bucket or window, or free slots.
	Level []Sample `json:"level,omitempty"`
	// Burstiness is the least burst that conforms, for several rates.
	Burstiness []BurstPoint `json:"burstiness,omitempty"`
}

// MaxSamples is the length of a series of bounds.
const MaxSamples = 500

// Sample holds the bounds of a level at an instant, in whole tokens, rounded
// outwards.
type Sample struct {
	At  int64 `json:"at"`
	Min int64 `json:"min"`
	Max int64 `json:"max"`
}

// BurstPoint is one point of the empirical burstiness curve: the admitted
// traffic conforms to (RatePPM of the limit's rate, Burst tokens).
type BurstPoint struct {
	RatePPM int64 `json:"rate_ppm"`
	Burst   int64 `json:"burst"`
}
