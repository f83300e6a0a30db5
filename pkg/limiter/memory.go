package limiter

import "time"

// account is one bucket, window or counter.
type account struct{ _ int }

// Options of a Memory store. The zero value is ready to use.
type Options struct {
	// MaxAccounts is the most accounts that exist at the same time; 0 means 1 000 000.
	MaxAccounts int
	// KeepIdle is how long an account that equals an absent one is kept, untouched, for the sake of its ledger; 0 means
	// 24 hours. When half of MaxAccounts is in use, idle accounts are dropped at once.
	KeepIdle time.Duration
	// Remember is how many settled reservations are remembered, so that a second settlement can be given the first
	// result; 0 means 16 384. One that is forgotten is ErrUnknown: it is never settled twice.
	Remember int
}

// Memory is a Store in this process.
type Memory struct{}

// New returns an empty store.
func New(Options) *Memory { return &Memory{} }

// Reserve implements Store.
func (m *Memory) Reserve(time.Time, *Request) (Decision, error) { return Decision{}, ErrInvalid }

// Extend implements Store.
func (m *Memory) Extend(time.Time, ID, time.Duration) error { return ErrUnknown }

// Settle implements Store.
func (m *Memory) Settle(time.Time, ID, []int64) (Settlement, error) { return Settlement{}, ErrUnknown }

// Sweep implements Store.
func (m *Memory) Sweep(time.Time) (Swept, error) { return Swept{}, nil }

// Release implements Releaser.
func (m *Memory) Release(time.Time, ID) error { return ErrUnknown }

// Inspect implements Inspector.
func (m *Memory) Inspect(time.Time, func(Account) bool) []AccountState { return nil }

// Find implements Inspector.
func (m *Memory) Find(ID) (Reservation, bool) { return Reservation{}, false }

// Stats implements Inspector.
func (m *Memory) Stats() Stats { return Stats{} }
