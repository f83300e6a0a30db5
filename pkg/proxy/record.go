package proxy

import (
	"time"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

// The two decisions of a [Record].
const (
	Allow  = "allow"
	Reject = "reject"
)

// Record is what the proxy knows of one request when it is over: one line of a log. It holds no credential, no query and no
// content; keys are as [policy.Key.String] shows them. Amounts are tokens, of the largest token hold.
type Record struct {
	ID      string // of the reservation, 32 hex digits; empty if nothing was reserved
	Start   time.Time
	Method  string
	Path    string // without the query
	Dialect string
	Model   string
	Stream  bool // asked for
	Peer    string

	Decision string // allow or reject
	Reason   string // of a rejection, or of an error that the proxy answered in the upstream's place
	// Policy, Rule, Window and Key name what rejected, or, for an admitted request, the account with the least left. All are
	// empty if nothing binds the request.
	Policy, Rule, Window, Key string
	// Shadow says what the rules in shadow mode think; its Decision is empty if none binds.
	Shadow ShadowRecord

	Prompt     int64 // P, after hints
	Reserved   int64
	Actual     int64
	Refunded   int64
	Debited    int64
	WrittenOff int64
	Usage      llmapi.Usage
	Reported   bool           // the response said what it cost
	Missing    llmapi.Missing // why not

	Outcome       Outcome
	Status        int // sent to the client; 0 if nothing was
	Upstream      int // the upstream's status; 0 if there was none
	RequestBytes  int64
	ResponseBytes int64 // received from the upstream
	Retried       bool  // sent once more, without the wish for usage
	WouldCut      bool  // a shadow rule would have ended the stream

	Overhead  time.Duration // from the whole request to the moment when it was sent on, or refused
	FirstByte time.Duration // from the start to the upstream's headers
	Duration  time.Duration

	Err string // what went wrong, for people
}

// ShadowRecord is the decision of the rules in shadow mode.
type ShadowRecord struct {
	Decision, Reason          string
	Policy, Rule, Window, Key string
	Reserved, Actual          int64
}
