package judge

// Dimension is what a limit counts.
type Dimension string

// The dimensions. Cost counts money-like units that do not follow the usage.
const (
	Tokens      Dimension = "tokens"
	Requests    Dimension = "requests"
	Cost        Dimension = "cost"
	Concurrency Dimension = "concurrency"
)

// WindowKind says how a limit forgets.
type WindowKind string

// The kinds of windows. A bucket refills continuously; calendar windows are
// aligned to UTC (Monday for 7 days); first-hit windows begin with a request;
// a sliding one looks back from each request. Of the last three and of an
// unknown one only what holds for all of them is judged.
const (
	WindowUnknown  WindowKind = "unknown"
	WindowBucket   WindowKind = "bucket"
	WindowCalendar WindowKind = "calendar"
	WindowFirstHit WindowKind = "first-hit"
	WindowSliding  WindowKind = "sliding"
)

// Refund says how a bucket takes back what was not used.
type Refund string

// The refund modes (semantics.md 4).
const (
	RefundCapped      Refund = "capped"
	RefundRetroactive Refund = "retroactive"
)

// Limit is one limit of the target as the judge reads it.
type Limit struct {
	// ID is unique in a history: policy/rule, /day appended for the daily window of
	// a token rule, @N for the N-th reload.
	ID string `json:"id"`
	// Rule is the ID without @N: state survives a reload under it.
	Rule      string     `json:"rule,omitempty"`
	Dimension Dimension  `json:"dimension"`
	Window    WindowKind `json:"window,omitempty"`
	// Amount per Per (ns), as an interval where it is only known within bounds. A
	// bucket refills at this rate. Concurrency: Amount is the most in flight.
	// AmountMicro counts Amount in millionths, for fractional rates of requests.
	Amount      Span  `json:"amount"`
	AmountMicro bool  `json:"amount_micro,omitempty"`
	Per         int64 `json:"per,omitempty"`
	// Burst is the most a full bucket holds.
	Burst Span `json:"burst,omitzero"`
	// Settles: the reservation is replaced by the actual cost. False for requests
	// and fixed costs.
	Settles bool   `json:"settles,omitempty"`
	Refund  Refund `json:"refund,omitempty"`
	// Weights in thousandths; nil: every token counts once.
	Weights *Weights `json:"weights,omitempty"`
	// OnDisconnect and KeepOn5xx are the rule's settle options.
	OnDisconnect Disconnect `json:"on_disconnect,omitempty"`
	KeepOn5xx    bool       `json:"keep_on_5xx,omitempty"`
	// Parseable is how large a whole response may be whose usage is read; zero: not
	// known to be bounded.
	Parseable int64 `json:"parseable,omitempty"`
	// From is the instant of the reload that brought it; zero: the start.
	From int64 `json:"from,omitempty"`
}

// follows reports whether an account goes on when one limit takes the place of the
// other: both count alike, however much they allow.
func (l *Limit) follows(other *Limit) bool {
	return l.Dimension == other.Dimension && l.Window == other.Window && (l.Window != WindowCalendar || l.Per == other.Per)
}

// Weights price the classes of tokens in thousandths.
type Weights struct {
	Input       int64 `json:"input"`
	CachedInput int64 `json:"cached_input"`
	CacheWrite  int64 `json:"cache_write"`
	Output      int64 `json:"output"`
	Reasoning   int64 `json:"reasoning"`
}
