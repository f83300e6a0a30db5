package limiter

import (
	"encoding/hex"
	"errors"
	"time"
)

// Store keeps accounts and decides requests. It is shaped by reservations, never by get and set, so that a store in
// another process can decide in one step of its own. All methods are safe for concurrent use.
//
// The instant comes from the caller. Stores that several processes share need clocks that agree; a store must not let
// an account's clock go back, whoever asks.
//
// # Resolution
//
// A store keeps exact amounts. Levels of token buckets are whole micro-tokens and a remainder of 1/60 000 micro-token,
// levels of request buckets whole micro-requests and a remainder of 1/10^9, windows whole tokens. A store whose numbers
// are doubles (a script in Redis or Valkey) counts exactly up to 2^53 only. It keeps a bucket as three numbers: whole
// tokens (requests), micro-tokens (micro-requests) below one, and the remainder; and an instant as seconds and
// nanoseconds. The product of elapsed nanoseconds and rate then has to be formed in parts below 2^53, and is cut off at
// the instant at which the bucket is full. Costs, actuals and amounts above [MaxAmount] are refused by every store.
type Store interface {
	// Reserve admits or rejects a request as a whole. An admitted one holds its cost in every account until it is
	// settled or its lease ends; a rejected one leaves no trace. The error is ErrInvalid, ErrReused, ErrTooManyAccounts
	// or the failure of a remote store; then nothing was reserved.
	Reserve(now time.Time, req *Request) (Decision, error)

	// Extend moves the end of an open reservation's lease to now + lease; it never shortens it. ErrUnknown means that the
	// reservation is settled or was never made.
	Extend(now time.Time, id ID, lease time.Duration) error

	// Settle replaces the reserved cost of each hold by the actual one, in the order of the request. The first
	// settlement counts; another one, or one that comes after the lease, changes nothing and returns the first result
	// with Duplicate set. Actuals of request buckets and concurrency are ignored: requests are never given back, slots
	// always. ErrUnknown means that the store does not know the reservation, or no longer; nothing was changed.
	Settle(now time.Time, id ID, actual []int64) (Settlement, error)

	// Sweep settles reservations whose lease has ended and drops accounts that equal absent ones. It may be called at
	// any time by anyone, and must be called every second or so by someone. It never blocks other calls for long, and may
	// leave accounts to the next call.
	Sweep(now time.Time) (Swept, error)
}

// Releaser is a Store that can give back the slots of a reservation before the rest of it is settled: a client that has
// left holds no slot while its response is still read for the usage.
type Releaser interface {
	// Release gives back the concurrency slots of an open reservation, at once and only once. ErrUnknown means that it is
	// settled, with its slots, or was never made.
	Release(now time.Time, id ID) error
}

// Reloader is a Store that can put accounts under other limits at one instant. Without it, an account goes on under
// another limit of the same kind from the first request that names it.
type Reloader interface {
	// Reload puts all accounts under each Old limit under the New one, as of now: a level over the new burst becomes the
	// burst, what a window has used and what is reserved stays. Limits must agree in Kind and Period.
	Reload(now time.Time, changes []Change) error
}

// Change is a limit and the one that replaces it.
type Change struct{ Old, New *Limit }

// Inspector is a Store that shows its books.
type Inspector interface {
	// Inspect returns the state of every account that match accepts, brought to now, in no order. Match runs under the
	// store's lock: it must be quick and must not call the store.
	Inspect(now time.Time, match func(Account) bool) []AccountState

	// Find returns what is known of a reservation, open or lately settled.
	Find(id ID) (Reservation, bool)

	// Stats returns counts of the whole store.
	Stats() Stats
}

// Errors of a Store. Each is wrapped with what was found; compare with errors.Is.
var (
	// ErrInvalid means that the call itself is wrong: a negative cost, one account twice, a wrong number of actuals.
	ErrInvalid = errors.New("invalid call of the limiter")
	// ErrReused means that the id belongs to another reservation.
	ErrReused = errors.New("reservation id used before")
	// ErrUnknown means that there is no such reservation, or that it was settled too long ago to be remembered.
	ErrUnknown = errors.New("unknown reservation")
	// ErrTooManyAccounts means that a new account is needed and that the store is full of live ones.
	ErrTooManyAccounts = errors.New("too many accounts")
)

// ID names a reservation: 128 random bits, given by the caller.
type ID [16]byte

// String returns the id as 32 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads an id as String writes it.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != hex.EncodedLen(len(id)) {
		return ID{}, errors.New("reservation id is not 32 hex digits long")
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, errors.New("reservation id contains something else than hex digits")
	}
	return id, nil
}

// Account is one limit for one paying key. Key alone identifies it, across reloads too, so it must name the rule and
// the limit as well as the values that the request is keyed by, in a form without collisions. An account whose limit
// changes its Kind or Period starts anew.
type Account struct {
	Key   string
	Limit *Limit
}

// Hold is what a request takes from one account.
type Hold struct {
	Account Account
	Cost    int64 // in the unit of the limit's Kind; 1 for Concurrency
}

// Request asks for a reservation. It may be used again once its Decision has been read, which saves an allocation; it
// must not be shared between goroutines.
type Request struct {
	ID     ID
	Holds  []Hold
	Prompt int64         // P, the estimate of the prompt in tokens; kept for Find
	Lease  time.Duration // until the reservation settles itself at its cost

	states []HoldState // memory of Decision.Holds
	owner  *Memory     // of found
	found  []*account  // the accounts of the last Reserve, a guess at those of the next
}

// Decision is the answer to a Request.
type Decision struct {
	Admitted bool

	// Permanent means that no wait can help: some hold exceeds the capacity of its limit. RetryAfter is 0 then.
	Permanent bool

	// RetryAfter is the shortest wait after which the same request is admitted, if nothing else happens meanwhile and
	// nothing is in flight: exact to the nanosecond, and the longest of all rejecting holds. Slots are an exception: it
	// is not known when one comes back, and the wait is one second.
	RetryAfter time.Duration

	// Reason is that of the longest wait, or ReasonTooLarge; empty if admitted.
	Reason string

	// Holds has one state for each hold of the request, in its order. It is valid until the Request is used again.
	Holds []HoldState
}

// ReasonTooLarge is the reason of a permanent rejection.
const ReasonTooLarge = "request_too_large"

// HoldState is an account as the decision left it, with the holds of the request taken if it was admitted.
type HoldState struct {
	Rejected  bool
	Permanent bool          // the cost exceeds the limit's capacity
	Wait      time.Duration // until this account alone would admit; 0 if it does, or never will

	Limit     int64         // burst, amount or slots; whole tokens, requests or slots
	Remaining int64         // of it, rounded down, at least 0
	Reset     time.Duration // until the bucket is full or the window ends; 0 for concurrency

	Action Action        // of the window's stage
	Delay  time.Duration // of Throttle
}

// Settlement is the result of the first settlement of a reservation.
type Settlement struct {
	Duplicate bool // this call changed nothing
	Expired   bool // the lease settled the reservation, at its cost

	n    int
	few  [4]HoldSettlement // a request bound by at most four limits settles without an allocation
	many []HoldSettlement
}

// Holds returns one result for each hold of the request, in its order.
func (s *Settlement) Holds() []HoldSettlement {
	if s.many != nil {
		return s.many
	}
	return s.few[:s.n]
}

// NewSettlement returns a settlement with room for n holds; it is for stores.
func NewSettlement(n int) Settlement {
	s := Settlement{n: n}
	if n > len(s.few) {
		s.many = make([]HoldSettlement, n)
	}
	return s
}

// HoldSettlement is what became of one hold, in the unit of its cost. Refunded and Debited are nominal: what the
// difference was, before cap and floor.
type HoldSettlement struct {
	Refunded   int64
	Debited    int64
	WrittenOff WrittenOff
}

// WrittenOff is an amount that fell below the debt floor: whole tokens, and micro-tokens from 0 to 999 999.
type WrittenOff struct {
	Tokens int64
	Micro  int64
}

// Swept says what a sweep did and what it left.
type Swept struct {
	Expired  int // reservations that were settled by their lease
	Dropped  int // accounts
	Accounts int // that are left
}

// Ledger is what an account counted since it exists, or what one of its windows counted, in the unit of its costs.
// Without anything outstanding, Reserved = Actual + Refunded - Debited.
type Ledger struct {
	Reserved    int64
	Actual      int64
	Refunded    int64 // nominal, before the cap
	Debited     int64 // nominal, before the floor
	WrittenOff  WrittenOff
	Outstanding int64 // reserved and not settled
}

// AccountState is an account as an Inspector shows it.
type AccountState struct {
	Account   Account
	Level     int64  // bucket: micro-tokens or micro-requests, may be negative; window: tokens used; concurrency: slots in use
	Remaining int64  // as in HoldState
	Open      int    // unsettled reservations
	Ledger    Ledger // of a Window: of the present one

	// Windows are the windows of a Window that are remembered, oldest first, the present one last: those with an open
	// reservation, and the one before the present. Nil for other kinds.
	Windows []WindowState
}

// WindowState is one period of a window's account.
type WindowState struct {
	Start, End time.Time
	Used       int64 // tokens
	Open       int
	Ledger     Ledger
}

// Reservation is a reservation as an Inspector shows it.
type Reservation struct {
	Holds    []Hold
	Prompt   int64
	Since    time.Time
	Deadline time.Time
	Settled  bool
}

// Stats counts over a whole store. Totals grow only.
type Stats struct {
	Accounts   int
	Open       int   // reservations
	Expired    int64 // reservations settled by their lease, in total
	Duplicates int64 // settlements that came second, in total
}
