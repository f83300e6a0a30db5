package judge

// History is all that was seen of one scenario cell against one target.
//
// Instants are nanoseconds since the Unix epoch, UTC, on one clock; zero means
// "never". Amounts are tokens (requests, in a limit that counts requests). The
// order of Requests does not matter.
type History struct {
	Header   Header
	Requests []Request
	Ledger   []LedgerEntry
}

// Header says what is known about the target before any request was sent.
type Header struct {
	// Cell names the scenario and its matrix cell; it is unique in a file of
	// histories and ties the lines of one history together.
	Cell string `json:"cell"`
	// Suite, Scenario and Seed reproduce the run; the judge only passes them on.
	Suite    string `json:"suite,omitempty"`
	Scenario string `json:"scenario,omitempty"`
	Seed     uint64 `json:"seed,omitempty"`
	// Start is an instant before the first request, and End one at which nothing
	// more was observed. End zero means the last instant of any request.
	Start int64 `json:"start"`
	End   int64 `json:"end,omitempty"`
	// Limits are those of the target. After a reload the new ones are appended
	// with their From set. None: no verdict about amounts is given.
	Limits []Limit `json:"limits,omitempty"`
	// Target is what the target declares, or is known to do.
	Target Target `json:"target"`
}

// Target declares how the target accounts. The zero value is a target of which
// nothing is known; [Bundled] gives the reference semantics.
type Target struct {
	Accounting Accounting `json:"accounting,omitempty"`
	DebtFloor  DebtFloor  `json:"debt_floor,omitempty"`
	// Known outcomes: the target charges each [Outcome] as semantics.md 5 says, so
	// that the actual cost is a point. Otherwise it is only bounded.
	KnownOutcomes bool `json:"known_outcomes,omitempty"`
	// SettleDelay (D, ns) is the longest time between the end of a request, as client
	// and mock see it, and its settlement; after a departure it includes the way from
	// the mock to the target. Zero in virtual time.
	SettleDelay int64 `json:"settle_delay,omitempty"`
	// Disconnect says what the target does with the upstream call when the client
	// leaves, and Drain (ns) for how long it may go on reading.
	Disconnect Disconnect `json:"disconnect,omitempty"`
	Drain      int64      `json:"drain,omitempty"`
	// Lease (ns) after which an open reservation may expire at its cost; zero: never.
	Lease int64 `json:"lease,omitempty"`
	// TolerancePPM widens every limit, in parts per million, both ways.
	TolerancePPM int64 `json:"tolerance_ppm,omitempty"`
	// ClockError (ns) is the error of the mock's clock against the runner's; zero
	// when both are one process.
	ClockError int64 `json:"clock_error,omitempty"`
	// UsedAccounts: the accounts may have been charged before Start, so that they
	// need not be full then.
	UsedAccounts bool `json:"used_accounts,omitempty"`
	// Claims says which headers the target promises, and how exactly.
	Claims Claims `json:"claims"`
	// Ledger: the target has a ledger, whose entries are compared with ours.
	Ledger bool `json:"ledger,omitempty"`
}

// Claims are promises about headers. What is not claimed is never a finding.
type Claims struct {
	// RetryAfter: a rejection that waiting cures says how long, and it is enough.
	RetryAfter bool `json:"retry_after,omitempty"`
	// ExactRetryAfter: moreover it is the shortest, rounded up to the unit of the
	// header, plus at most RetryJitter (ns).
	ExactRetryAfter bool  `json:"exact_retry_after,omitempty"`
	RetryJitter     int64 `json:"retry_jitter,omitempty"`
	// RateHeaders: limit and remaining are those of a binding account, after the
	// reservation. Reset: the time to full, or to the end of the window.
	RateHeaders bool `json:"rate_headers,omitempty"`
	Reset       bool `json:"reset,omitempty"`
	// Reserved: x-llmlimit-reserved is the largest token hold.
	Reserved bool `json:"reserved,omitempty"`
}

// Accounting says when a target charges.
type Accounting string

// The ways to account. Unknown is bounded by the other two.
const (
	AccountingUnknown     Accounting = ""
	AccountingReserve     Accounting = "reserve"
	AccountingSettleAfter Accounting = "settle-after"
)

// DebtFloor says how far below zero a level may go: to minus the burst, without
// end, or nobody knows.
type DebtFloor string

// The debt floors.
const (
	DebtFloorUnknown DebtFloor = ""
	DebtFloorBurst   DebtFloor = "burst"
	DebtFloorNone    DebtFloor = "none"
)

// Disconnect says what becomes of the upstream call when the client leaves.
type Disconnect string

// The ways to treat a client that left. Keep and observed cancel the upstream.
const (
	DisconnectUnknown  Disconnect = ""
	DisconnectDrain    Disconnect = "drain"
	DisconnectCancel   Disconnect = "cancel"
	DisconnectKeep     Disconnect = "keep"
	DisconnectObserved Disconnect = "observed"
)

// Bundled is what `llmlimit serve` declares in virtual time (semantics.md).
func Bundled() Target {
	return Target{
		Accounting:    AccountingReserve,
		DebtFloor:     DebtFloorBurst,
		KnownOutcomes: true,
		Disconnect:    DisconnectDrain,
		Drain:         10_000_000_000,
		Lease:         900_000_000_000,
		Claims:        Claims{RetryAfter: true, ExactRetryAfter: true, RateHeaders: true, Reset: true, Reserved: true},
		Ledger:        true,
	}
}

// Decision is the answer of the limiter to one request.
type Decision string

// The decisions. Admitted: it reached the mock, or was answered as only an
// admitted request is. Rejected: the limiter said no. Refused: turned away
// before any limit was asked (400, 401, 404, 413, 415), nothing reserved.
// Undecided: nobody knows, for instance because the client left first.
const (
	Admitted  Decision = "admitted"
	Rejected  Decision = "rejected"
	Refused   Decision = "refused"
	Undecided Decision = "undecided"
)

// Request is one request and all that happened to it.
//
// The runner fills it: the client knows Sent, Headers, Ended, Left, status and
// headers; the mock's journal knows Received, UsageAt, Finished, Calls, Usage and
// Content; [Rules.Bind] knows Estimate and Holds.
type Request struct {
	// ID is unique in the history and is also the mock's correlation id.
	ID   string `json:"id"`
	Step string `json:"step,omitempty"`

	// Sent (s): the client began to send. Always known.
	Sent int64 `json:"s"`
	// Received (m): the mock had the first call's request head.
	Received int64 `json:"m,omitempty"`
	// UsageAt (w): the mock wrote the last byte of its usage; zero if it never did.
	UsageAt int64 `json:"w,omitempty"`
	// Finished (d): the mock finished or aborted the last call; zero: never seen.
	Finished int64 `json:"d,omitempty"`
	// HeadersAt: the client had the response head.
	HeadersAt int64 `json:"h,omitempty"`
	// Ended (r): the client had the rejection or the last byte, or left.
	Ended int64 `json:"r,omitempty"`
	// Left: the client went away before the end, at this instant.
	Left int64 `json:"left,omitempty"`

	Decision Decision `json:"decision"`
	Status   int      `json:"status,omitempty"`
	// Reason is the target's own word for a rejection, as it was sent.
	Reason string `json:"reason,omitempty"`
	// Retry is what a rejection said about waiting; nil if it said nothing.
	Retry *RetryAfter `json:"retry,omitempty"`
	// Rates are the rate-limit headers, normalised.
	Rates []RateHeader `json:"rates,omitempty"`
	// SaidReserved is x-llmlimit-reserved: checked, never believed.
	SaidReserved *int64 `json:"said_reserved,omitempty"`

	// Estimate is ours; the zero value where no estimator applies.
	Estimate Estimate `json:"estimate"`
	// Holds are the limits that bind this request.
	Holds []Hold `json:"holds,omitempty"`
	// Guarded: a check without state (kill switch, loop detection, circuit
	// breaker) is configured and may have rejected it.
	Guarded bool `json:"guarded,omitempty"`

	Outcome Outcome `json:"outcome,omitempty"`
	// Usage is what the mock truly wrote, in the classes that the dialect conveys;
	// nil if it wrote none that is valid.
	Usage *Usage `json:"usage,omitempty"`
	// Early is the most that a stream without a valid usage at its end may have told
	// before it broke off; nil if it told nothing.
	Early *Usage `json:"early,omitempty"`
	// EarlyEnds: Early, or as much of its output as there was, may have come with the
	// dialect's end, so that a reader takes it for the usage of a whole stream.
	EarlyEnds bool `json:"early_ends,omitempty"`
	// Content is how many bytes of decoded text, reasoning and tool arguments the
	// target may have seen: from what the client got to what the mock wrote.
	Content Span `json:"content,omitzero"`
	// Document is the size of a whole response body, decoded; zero for streams and
	// where nobody knows. Beyond the cap of a rule its usage may not be read.
	Document int64 `json:"document,omitempty"`

	// Calls counts the upstream calls; ExemptCalls of them are second calls after a
	// 400 that named stream_options.
	Calls       int `json:"calls,omitempty"`
	ExemptCalls int `json:"exempt_calls,omitempty"`

	// Curl sends the request again; masked, one line.
	Curl string `json:"curl,omitempty"`
}

// Hold is one limit that binds a request.
type Hold struct {
	// Limit is the ID of one of the header's limits.
	Limit string `json:"limit"`
	// Key is the account's key; equal bytes are the same account.
	Key string `json:"key,omitempty"`
	// Reserved (e) is what is held from the decision to the settlement.
	Reserved Span `json:"e"`
	// Prompt is the part of it that is never given back by an observation (P).
	Prompt Span `json:"p,omitzero"`
	// Actual (a) overrides what the judge derives from the outcome.
	Actual *Span `json:"a,omitempty"`
	// Permanent: no wait can help, because the cost is above what the account ever
	// holds, or a ceiling per request is passed.
	Permanent Certainty `json:"permanent,omitempty"`
}

// Certainty is a truth value of an observer.
type Certainty string

// The certainties.
const (
	No    Certainty = ""
	Maybe Certainty = "maybe"
	Yes   Certainty = "yes"
)

// Estimate is what a request asks for, by our own reading: P, C and n of
// semantics.md 1.
type Estimate struct {
	Prompt   Span  `json:"p,omitzero"`
	Output   int64 `json:"c,omitempty"`
	Declared bool  `json:"declared,omitempty"`
	N        int64 `json:"n,omitempty"`
}

// Usage is the true usage in dialect-neutral, inclusive classes: Cached and
// CacheWrite are parts of In, Reasoning is a part of Out.
type Usage struct {
	In         int64 `json:"in"`
	Out        int64 `json:"out"`
	Cached     int64 `json:"cached,omitempty"`
	CacheWrite int64 `json:"cache_write,omitempty"`
	Reasoning  int64 `json:"reasoning,omitempty"`
	// Total as written; the larger of it and In + Out counts.
	Total int64 `json:"total,omitempty"`
}

// RetryAfter is what a rejection said about waiting, in the forms it used.
type RetryAfter struct {
	// Seconds is Retry-After in whole seconds, Millis is retry-after-ms.
	Seconds *int64 `json:"s,omitempty"`
	Millis  *int64 `json:"ms,omitempty"`
	// Date is Retry-After as an HTTP date, an instant.
	Date int64 `json:"date,omitempty"`
	// Malformed holds a value that is none of these.
	Malformed string `json:"malformed,omitempty"`
}

// RateHeader is one family of rate-limit headers, normalised.
type RateHeader struct {
	// Source names the dialect: openai, ietf, anthropic and so on.
	Source string `json:"source"`
	// Name is the policy's name where the dialect has one.
	Name string `json:"name,omitempty"`
	// Dimension is what it counts: tokens or requests.
	Dimension Dimension `json:"dimension"`
	Limit     *int64    `json:"limit,omitempty"`
	Remaining *int64    `json:"remaining,omitempty"`
	// Reset is the time until the account is full or the window ends, in ns;
	// Resolution (ns) is the rounding of the header (1 s, 1 ms).
	Reset      *int64 `json:"reset,omitempty"`
	Resolution int64  `json:"resolution,omitempty"`
}

// LedgerEntry is the target's own account of one limit and key, as it counts
// (GET /debug/ledger), at an instant.
type LedgerEntry struct {
	At    int64  `json:"at"`
	Limit string `json:"limit"`
	Key   string `json:"key,omitempty"`
	// Window is the start of the window; zero for a bucket, or for the sum over all
	// windows.
	Window      int64 `json:"window,omitempty"`
	Reserved    int64 `json:"reserved"`
	Actual      int64 `json:"actual"`
	Refunded    int64 `json:"refunded"`
	Debited     int64 `json:"debited"`
	WrittenOff  int64 `json:"written_off"`
	Outstanding int64 `json:"outstanding"`
}

// Outcome is how an admitted request ended; each has its row in semantics.md 5.
type Outcome string

// The outcomes.
const (
	OutcomeUnknown     Outcome = ""              // anything may have been charged
	OutcomeUsage       Outcome = "usage"         // whole, with a valid usage
	OutcomeNoUsage     Outcome = "no-usage"      // 2xx, whole, usage absent, invalid or unreadable
	OutcomeEmpty       Outcome = "empty"         // 204, 205, 3xx or 1xx only
	OutcomeCut         Outcome = "cut"           // the stream ended without its terminal event
	OutcomeLeft        Outcome = "left"          // the client left after the upstream's headers
	OutcomeLeftEarly   Outcome = "left-early"    // the client left before the upstream's headers
	OutcomeUnreachable Outcome = "unreachable"   // dial, TLS or DNS error: nothing was written upstream
	OutcomeClientError Outcome = "upstream-4xx"  // without usage
	OutcomeServerError Outcome = "upstream-5xx"  // without usage
	OutcomeTimeout     Outcome = "timeout"       // after the request was written
	OutcomeCutByTarget Outcome = "cut-by-target" // mid-stream limit
	OutcomeInternal    Outcome = "internal"      // error inside the target after the reservation
)
