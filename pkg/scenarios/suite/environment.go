package suite

import "time"

// Environment is what an expression sees. The runner fills it before each
// evaluation; [Expression.Uses] tells which parts are worth fetching. Names in
// expressions are the expr tags. A nil pointer is nil in expressions: a check
// on an absent header fails, it does not pretend to be 0.
type Environment struct {
	Res      *Response              // last response of this list of steps
	Steps    map[string]*StepResult // by step id
	Load     *LoadTotals            // of this step
	Drain    *DrainTotals           // of this step
	Save     map[string]any
	Ledger   *Ledger // the target's own account
	Judge    *JudgeTotals
	Targeted *TargetView // nil: what the suite declares; in-process, limits as the judge reads them

	// Header reads a header of Res, empty if absent.
	Header func(name string) string
	// Delta scrapes and compares with the scenario's start: a Prometheus
	// selector with the full name.
	Delta func(selector string) (float64, error)
	// LedgerOf reads the ledger of one rule and window, if several bind.
	LedgerOf func(rule, window string) (*Ledger, error)
}

// Response is one response as the client saw it. Durations count from the
// send.
type Response struct {
	Status     int64          `expr:"status"` // 0: no response
	Reason     string         `expr:"reason"` // of a rejection: x-llmlimit-reason, or the error's code
	Error      string         `expr:"error"`  // of the transport; empty if none
	Outcome    string         `expr:"outcome"`
	Headers    map[string]any `expr:"headers"` // lower-case name → value
	Body       string         `expr:"body"`    // decoded
	Bytes      int64          `expr:"bytes"`   // received, as on the wire
	Usage      *Usage         `expr:"usage"`   // what the client was told; nil if nothing
	Limit      *int64         `expr:"limit"`   // rate-limit headers, whatever their dialect
	Remaining  *int64         `expr:"remaining"`
	Reset      *time.Duration `expr:"reset"`
	RetryAfter *time.Duration `expr:"retry_after"`
	Reserved   *int64         `expr:"reserved"` // what the target says it reserved
	TTFT       time.Duration  `expr:"ttft"`     // first content event, else first byte
	Duration   time.Duration  `expr:"duration"`
	Events     []Event        `expr:"events"`
	Mock       *MockEntry     `expr:"mock"` // its line of the mock's journal; nil if the mock never saw it
	Upstream   int64          `expr:"upstream"`
}

// Usage is a count of tokens.
type Usage struct {
	In    int64 `expr:"in" json:"in"`
	Out   int64 `expr:"out"   json:"out"`
	Total int64 `expr:"total" json:"total"`
}

// Event is one event of a streamed response.
type Event struct {
	Name string        `expr:"name"`
	Data string        `expr:"data"`
	At   time.Duration `expr:"at"` // since the send
}

// MockEntry is a line of the mock's journal, as far as expressions see it.
type MockEntry struct {
	ID           string        `expr:"id"`
	Seq          int64         `expr:"seq"`
	Method       string        `expr:"method"`
	Path         string        `expr:"path"`
	Body         string        `expr:"body"`
	Model        string        `expr:"model"`
	Stream       bool          `expr:"stream"`
	IncludeUsage bool          `expr:"include_usage"`
	MaxTokens    int64         `expr:"max_tokens"`
	Usage        Usage         `expr:"usage"` // the true one
	Sent         MockSent      `expr:"sent"`
	End          string        `expr:"end"` // complete, client_gone, fault:KIND
	GoneAfter    time.Duration `expr:"gone_after"`
	Attempt      int64         `expr:"attempt_no"`
}

// MockSent is what the mock really wrote.
type MockSent struct {
	Status   int64 `expr:"status"`
	Bytes    int64 `expr:"bytes"`
	Segments int64 `expr:"segments"`
	Flushes  int64 `expr:"flushes"`
}

// StepResult is what a step with an id left behind.
type StepResult struct {
	Results []*Response  `expr:"results"` // one per request, in the order of sending
	Load    *LoadTotals  `expr:"load"`
	Drain   *DrainTotals `expr:"drain"`
}

// LoadTotals sums up a load. Warm-up stages count in none of them.
type LoadTotals struct {
	Count          int64            `expr:"count" json:"count"`       // sent
	Admitted       int64            `expr:"admitted" json:"admitted"` // reached the mock
	Rejected       int64            `expr:"rejected" json:"rejected"` // by the limiter
	Errors         int64            `expr:"errors" json:"errors"`     // neither
	Cancelled      int64            `expr:"cancelled" json:"cancelled"`
	Dropped        int64            `expr:"dropped" json:"dropped"` // due while max-in-flight was reached
	Goodput        int64            `expr:"goodput" json:"goodput"` // whole 200s
	AdmittedTokens int64            `expr:"admitted_tokens" json:"admitted_tokens"`
	Statuses       map[string]int64 `expr:"statuses" json:"statuses"` // "200", and classes: "5xx"
	PlannedRate    float64          `expr:"planned_rate" json:"planned_rate"`
	AchievedRate   float64          `expr:"achieved_rate" json:"achieved_rate"`
	MaxInFlight    int64            `expr:"max_in_flight" json:"max_in_flight"`
	Duration       time.Duration    `expr:"duration" json:"duration_ns"`
	Latency        Quantiles        `expr:"latency" json:"latency"`   // from due
	Service        Quantiles        `expr:"service" json:"service"`   // from sent
	TTFT           Quantiles        `expr:"ttft" json:"ttft"`         // from sent
	Gap            Quantiles        `expr:"gap" json:"gap"`           // between events
	Overhead       Quantiles        `expr:"overhead" json:"overhead"` // through the target less the mock's own time
	SenderLag      Quantiles        `expr:"sender_lag" json:"sender_lag"`
}

// Quantiles of a distribution of durations.
type Quantiles struct {
	Min  time.Duration `expr:"min" json:"min_ns"`
	Mean time.Duration `expr:"mean" json:"mean_ns"`
	P50  time.Duration `expr:"p50" json:"p50_ns"`
	P90  time.Duration `expr:"p90" json:"p90_ns"`
	P95  time.Duration `expr:"p95" json:"p95_ns"`
	P99  time.Duration `expr:"p99" json:"p99_ns"`
	P999 time.Duration `expr:"p999" json:"p999_ns"`
	Max  time.Duration `expr:"max" json:"max_ns"`
}

// DrainTotals sums up a drain.
type DrainTotals struct {
	Count          int64         `expr:"count" json:"count"`
	Admitted       int64         `expr:"admitted" json:"admitted"`
	Rejected       int64         `expr:"rejected" json:"rejected"`
	AdmittedTokens int64         `expr:"admitted_tokens" json:"admitted_tokens"`
	Duration       time.Duration `expr:"duration" json:"duration_ns"`
}

// Ledger is the target's own account, in tokens.
type Ledger struct {
	Reserved    int64 `expr:"reserved"`
	Actual      int64 `expr:"actual"`
	Refunded    int64 `expr:"refunded"`
	Debited     int64 `expr:"debited"`
	WrittenOff  int64 `expr:"written_off"`
	Outstanding int64 `expr:"outstanding"`
}

// JudgeTotals is our own account, in tokens.
type JudgeTotals struct {
	Reserved        int64 `expr:"reserved"`
	Charged         int64 `expr:"charged"`
	OverAdmitted    int64 `expr:"over_admitted"`    // proven
	WronglyRejected int64 `expr:"wrongly_rejected"` // proven
}

// TargetView is `target` in expressions.
type TargetView struct {
	Settle    time.Duration
	Tolerance float64 // a fraction
	Limits    map[string]LimitView
}

// LimitView is `target.limits.NAME`.
type LimitView struct {
	Amount int64         `expr:"amount"`
	Per    time.Duration `expr:"per"`
	Burst  int64         `expr:"burst"`
	Rate   float64       `expr:"rate"`   // tokens per second
	Window string        `expr:"window"` // bucket, calendar, first-hit, sliding, unknown
	// AtOnce is the most that can be right within a moment: the burst, or that of two
	// windows where one may end in between.
	AtOnce int64 `expr:"at_once"`
}
