// Package limitertest is the contract that every limiter.Store keeps, as a test and a benchmark. The test file of a store
// is five lines:
//
//	func TestStore(t *testing.T) {
//		limitertest.TestStore(t, func(testing.TB) limiter.Store { return mystore.New() })
//	}
//
// The contract speaks of what a caller can see, and of nothing else. All instants are arguments; nothing sleeps.
package limitertest

import (
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// NewStore makes an empty store. It registers its own cleanup.
type NewStore func(tb testing.TB) limiter.Store

// TestStore runs the whole contract, each part in a store of its own.
func TestStore(t *testing.T, newStore NewStore) {
	t.Helper()
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			c.test(&subject{TB: t, store: newStore(t), now: start})
		})
	}
}

// contract is what a store promises, one promise a row.
var contract = []struct {
	name string
	test func(*subject)
}{
	{"a new account is full", newAccountIsFull},
	{"retry-after is exact", retryAfterIsExact},
	{"refills carry the remainder", refillsCarryTheRemainder},
	{"all or none", allOrNone},
	{"a refund is capped at the burst", refundIsCapped},
	{"an overshoot is a debt with a floor", overshootIsDebt},
	{"a reservation settles once", settlesOnce},
	{"a refund goes to its own window", refundGoesToItsWindow},
	{"requests are never given back", requestsAreNotGivenBack},
	{"slots come back", slotsComeBack},
	{"a lease keeps the tokens and frees the slot", leaseEnds},
	{"the clock may go back", clockGoesBack},
	{"impossible is permanent", impossibleIsPermanent},
	{"retroactive refunds replay", retroactiveReplays},
	{"invalid calls change nothing", invalidCalls},
	{"concurrent requests share exactly", concurrentRequests},
}

// start is a Wednesday, half a day from both midnights.
var start = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

var (
	tpm   = &limiter.Limit{Name: "tpm", Kind: limiter.TokenBucket, Reason: "tpm_exceeded", Burst: 6000, TokensPerMinute: 7001}
	tpd   = &limiter.Limit{Name: "tpd", Kind: limiter.Window, Reason: "tpd_exceeded", Period: limiter.Day, Amount: 10_000}
	rps   = &limiter.Limit{Name: "rps", Kind: limiter.RequestBucket, Reason: "rate_limit_exceeded", Burst: 2 * limiter.Micro, MicroPerSecond: 300_007}
	slots = &limiter.Limit{Name: "slots", Kind: limiter.Concurrency, Reason: "concurrency_exceeded", MaxConcurrent: 2}
)

// subject is a store under test, at an instant.
type subject struct {
	testing.TB
	store limiter.Store
	now   time.Time
	ids   uint64
}

func hold(l *limiter.Limit, key string, cost int64) limiter.Hold {
	return limiter.Hold{Account: limiter.Account{Key: l.Name + "/" + key, Limit: l}, Cost: cost}
}

func (s *subject) id() (id limiter.ID) {
	s.ids++
	binary.BigEndian.PutUint64(id[:8], s.ids*0x9e3779b97f4a7c15)
	return id
}

func (s *subject) request(holds ...limiter.Hold) *limiter.Request {
	return &limiter.Request{ID: s.id(), Holds: holds, Lease: time.Minute}
}

// admit reserves what must be admitted.
func (s *subject) admit(holds ...limiter.Hold) limiter.ID {
	s.Helper()
	req := s.request(holds...)
	d, err := s.store.Reserve(s.now, req)
	if err != nil || !d.Admitted {
		s.Fatalf("Reserve at %v: %+v, %v; expected it to be admitted", s.now, d, err)
	}
	return req.ID
}

// reject asks for what must be rejected.
func (s *subject) reject(holds ...limiter.Hold) limiter.Decision {
	s.Helper()
	d, err := s.store.Reserve(s.now, s.request(holds...))
	if err != nil || d.Admitted {
		s.Fatalf("Reserve at %v: %+v, %v; expected it to be rejected", s.now, d, err)
	}
	return d
}

func (s *subject) settle(id limiter.ID, actual ...int64) limiter.Settlement {
	s.Helper()
	result, err := s.store.Settle(s.now, id, actual)
	if err != nil {
		s.Fatalf("Settle: %v", err)
	}
	return result
}

// left is what an account has left: the largest cost that is admitted. Looking for it changes nothing but the state of
// the asking, since each probe is given back, at once or by being rejected.
func (s *subject) left(l *limiter.Limit, key string) int64 {
	s.Helper()
	low, high := int64(0), l.Capacity()
	for low < high {
		cost := (low + high + 1) / 2
		req := s.request(hold(l, key, cost))
		d, err := s.store.Reserve(s.now, req)
		if err != nil {
			s.Fatal(err)
		}
		if !d.Admitted {
			high = cost - 1
			continue
		}
		s.settle(req.ID, 0)
		low = cost
	}
	return low
}

func (s *subject) wantLeft(l *limiter.Limit, key string, want int64) {
	s.Helper()
	if got := s.left(l, key); got != want {
		s.Fatalf("%s/%s has %d left at %v, expected %d", l.Name, key, got, s.now, want)
	}
}

func newAccountIsFull(s *subject) {
	s.wantLeft(tpm, "a", 6000)
	s.wantLeft(tpd, "a", 10_000)
}

// retryAfterIsExact: rejected one nanosecond before, admitted at it.
func retryAfterIsExact(s *subject) {
	for _, c := range []struct {
		limit       *limiter.Limit
		first, then int64
	}{{tpm, 6000, 17}, {tpd, 9999, 2}, {rps, 2 * limiter.Micro, limiter.Micro}} {
		s.admit(hold(c.limit, "a", c.first))
		d := s.reject(hold(c.limit, "a", c.then))
		if d.RetryAfter <= 0 || d.Permanent || d.Reason != c.limit.Reason || !d.Holds[0].Rejected || d.Holds[0].Wait != d.RetryAfter {
			s.Fatalf("%s: %+v", c.limit.Name, d)
		}
		s.now = s.now.Add(d.RetryAfter - 1)
		if again := s.reject(hold(c.limit, "a", c.then)); again.RetryAfter != 1 {
			s.Fatalf("%s: 1 ns before the end the wait is %v", c.limit.Name, again.RetryAfter)
		}
		s.now = s.now.Add(1)
		s.admit(hold(c.limit, "a", c.then))
	}
}

// refillsCarryTheRemainder: 7001 tokens a minute are no whole number of anything, and an hour in steps of 7 ms, each of
// them looked at, still gives exactly what an hour gives at once.
func refillsCarryTheRemainder(s *subject) {
	slow := &limiter.Limit{Name: "slow", Kind: limiter.TokenBucket, Burst: 1_000_000, TokensPerMinute: 7001}
	s.admit(hold(slow, "a", slow.Burst))
	for range 1000 {
		s.now = s.now.Add(7 * time.Millisecond)
		s.reject(hold(slow, "a", slow.Burst))
	}
	s.wantLeft(slow, "a", 7001*7/60)
}

func allOrNone(s *subject) {
	s.admit(hold(tpm, "user", 6000))
	d := s.reject(hold(tpd, "team", 100), hold(tpm, "user", 100), hold(rps, "user", limiter.Micro))
	if d.Holds[0].Rejected || !d.Holds[1].Rejected || d.Holds[2].Rejected {
		s.Fatalf("only the second hold rejects: %+v", d.Holds)
	}
	s.wantLeft(tpd, "team", 10_000)
}

func refundIsCapped(s *subject) {
	id := s.admit(hold(tpm, "a", 1000))
	s.now = s.now.Add(time.Second)
	result := s.settle(id, 0)
	if got := result.Holds()[0]; got != (limiter.HoldSettlement{Refunded: 1000}) {
		s.Fatalf("%+v", got)
	}
	s.wantLeft(tpm, "a", 6000)
}

func overshootIsDebt(s *subject) {
	id := s.admit(hold(tpm, "a", 6000))
	result := s.settle(id, 20_000)
	if got := result.Holds()[0]; got != (limiter.HoldSettlement{Debited: 14_000, WrittenOff: limiter.WrittenOff{Tokens: 8000}}) {
		s.Fatalf("%+v", got)
	}
	d := s.reject(hold(tpm, "a", 1))
	if want := time.Duration((6001*60_000_000_000 + 7000) / 7001); d.RetryAfter != want {
		s.Fatalf("a debt of one burst and 1 token: wait %v, expected %v", d.RetryAfter, want)
	}
}

func settlesOnce(s *subject) {
	id := s.admit(hold(tpm, "a", 6000), hold(tpd, "a", 6000))
	first := s.settle(id, 5000, 5000)
	second := s.settle(id, 0, 0)
	if first.Duplicate || !second.Duplicate {
		s.Fatalf("duplicate: %v, then %v", first.Duplicate, second.Duplicate)
	}
	for i := range first.Holds() {
		if first.Holds()[i] != second.Holds()[i] {
			s.Fatalf("hold %d: first %+v, then %+v", i, first.Holds()[i], second.Holds()[i])
		}
	}
	s.wantLeft(tpm, "a", 1000)
	s.wantLeft(tpd, "a", 5000)
	if _, err := s.store.Settle(s.now, s.id(), []int64{0}); !errors.Is(err, limiter.ErrUnknown) {
		s.Fatalf("settling an unknown reservation: %v", err)
	}
}

func refundGoesToItsWindow(s *subject) {
	id := s.admit(hold(tpd, "a", 9000))
	s.now = start.Add(12 * time.Hour)
	s.admit(hold(tpd, "a", 4000))
	s.settle(id, 0)
	s.wantLeft(tpd, "a", 6000)
}

func requestsAreNotGivenBack(s *subject) {
	id := s.admit(hold(rps, "a", 2*limiter.Micro))
	s.settle(id, 0)
	s.reject(hold(rps, "a", limiter.Micro))
}

func slotsComeBack(s *subject) {
	one := s.admit(hold(slots, "a", 1))
	s.admit(hold(slots, "a", 1))
	if d := s.reject(hold(slots, "a", 1)); d.RetryAfter != time.Second || d.Permanent {
		s.Fatalf("%+v", d)
	}
	s.settle(one, 0)
	s.settle(one, 0)
	s.admit(hold(slots, "a", 1))
	s.reject(hold(slots, "a", 1))
}

func leaseEnds(s *subject) {
	id := s.admit(hold(tpd, "a", 6000), hold(slots, "a", 1))
	s.now = s.now.Add(30 * time.Second)
	if err := s.store.Extend(s.now, id, time.Minute); err != nil {
		s.Fatal(err)
	}
	s.admit(hold(slots, "a", 1))
	s.now = start.Add(90*time.Second - 1)
	s.reject(hold(slots, "a", 1))
	s.now = s.now.Add(1)
	s.admit(hold(slots, "a", 1))
	late := s.settle(id, 0, 0)
	if !late.Duplicate || !late.Expired {
		s.Fatalf("settled after the lease: %+v", late)
	}
	if err := s.store.Extend(s.now, id, time.Minute); !errors.Is(err, limiter.ErrUnknown) {
		s.Fatalf("extended after the lease: %v", err)
	}
	s.wantLeft(tpd, "a", 4000)
	if _, err := s.store.Sweep(s.now.Add(time.Hour)); err != nil {
		s.Fatal(err)
	}
}

func clockGoesBack(s *subject) {
	s.now = start.Add(12 * time.Hour) // midnight
	s.admit(hold(tpm, "a", 6000), hold(tpd, "a", 10_000))
	s.now = s.now.Add(-time.Hour)
	if d := s.reject(hold(tpd, "a", 1)); d.RetryAfter != 25*time.Hour {
		s.Fatalf("an hour before midnight the day after it is %v away", d.RetryAfter)
	}
	if d := s.reject(hold(tpm, "a", 7001)); !d.Permanent {
		s.Fatalf("%+v", d)
	}
	d := s.reject(hold(tpm, "a", 6000))
	if _, err := s.store.Sweep(s.now); err != nil {
		s.Fatal(err)
	}
	s.now = s.now.Add(d.RetryAfter - 1)
	s.reject(hold(tpm, "a", 6000))
	s.now = s.now.Add(1)
	s.admit(hold(tpm, "a", 6000))
}

func impossibleIsPermanent(s *subject) {
	d := s.reject(hold(tpm, "a", 6000), hold(tpd, "a", 10_001))
	if !d.Permanent || d.RetryAfter != 0 || d.Reason != limiter.ReasonTooLarge || d.Holds[0].Permanent || !d.Holds[1].Permanent {
		s.Fatalf("%+v", d)
	}
	s.wantLeft(tpm, "a", 6000)
}

func retroactiveReplays(s *subject) {
	l := &limiter.Limit{Name: "replay", Kind: limiter.TokenBucket, Burst: 1000, TokensPerMinute: 600, Refund: limiter.Retroactive}
	id := s.admit(hold(l, "a", 600))
	s.now = s.now.Add(30 * time.Second)
	other := s.admit(hold(l, "a", 100))
	s.settle(id, 100)
	s.settle(other, 100)
	s.wantLeft(l, "a", 900)
}

func invalidCalls(s *subject) {
	refused := map[string]*limiter.Request{
		"a negative cost":      s.request(hold(tpm, "a", -1)),
		"one account twice":    s.request(hold(tpm, "a", 1), hold(tpm, "a", 1)),
		"two slots at once":    s.request(hold(slots, "a", 2)),
		"no limit":             s.request(limiter.Hold{Account: limiter.Account{Key: "x"}}),
		"a lease of no length": {ID: s.id(), Holds: []limiter.Hold{hold(tpm, "a", 1)}},
	}
	for what, req := range refused {
		if _, err := s.store.Reserve(s.now, req); !errors.Is(err, limiter.ErrInvalid) {
			s.Errorf("%s: %v, expected ErrInvalid", what, err)
		}
	}
	id := s.admit(hold(tpm, "a", 1000))
	reused := s.request(hold(tpm, "a", 1))
	reused.ID = id
	if _, err := s.store.Reserve(s.now, reused); !errors.Is(err, limiter.ErrReused) {
		s.Errorf("an id used twice: %v, expected ErrReused", err)
	}
	for _, actual := range [][]int64{{}, {1, 2}, {-1}, {limiter.MaxAmount + 1}} {
		if _, err := s.store.Settle(s.now, id, actual); !errors.Is(err, limiter.ErrInvalid) {
			s.Errorf("actuals %v: %v, expected ErrInvalid", actual, err)
		}
	}
	s.wantLeft(tpm, "a", 5000)
	s.settle(id, 0)
}

// concurrentRequests: 64 goroutines want the same account at the same instant. Nobody is lost and nothing is taken twice.
func concurrentRequests(s *subject) {
	const goroutines, each, cost, actual = 64, 20, 7, 5
	var wg sync.WaitGroup
	var mu sync.Mutex
	admitted, rejected := 0, 0
	for g := range goroutines {
		wg.Go(func() {
			var id limiter.ID
			for i := range each {
				binary.BigEndian.PutUint64(id[8:], uint64(g*each+i+1))
				req := &limiter.Request{ID: id, Lease: time.Minute, Holds: []limiter.Hold{hold(tpd, "a", cost), hold(tpm, "a", cost)}}
				d, err := s.store.Reserve(s.now, req)
				if err != nil {
					s.Errorf("Reserve: %v", err)
					return
				}
				mu.Lock()
				if d.Admitted {
					admitted++
				} else {
					rejected++
				}
				mu.Unlock()
				if !d.Admitted {
					continue
				}
				if _, err := s.store.Settle(s.now, id, []int64{actual, actual}); err != nil {
					s.Errorf("Settle: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if admitted+rejected != goroutines*each {
		s.Fatalf("%d admitted and %d rejected of %d", admitted, rejected, goroutines*each)
	}
	if fit := int(tpm.Burst) / actual; admitted > fit {
		s.Fatalf("%d admitted, at most %d fit", admitted, fit)
	}
	s.wantLeft(tpm, "a", tpm.Burst-int64(admitted*actual))
	s.wantLeft(tpd, "a", tpd.Amount-int64(admitted*actual))
}

// BenchmarkStore measures a request bound by a token bucket and a day, reserved and settled, on one hot account.
func BenchmarkStore(b *testing.B, newStore NewStore) {
	b.Helper()
	wide := &limiter.Limit{Name: "tpm", Kind: limiter.TokenBucket, Burst: limiter.MaxBurst, TokensPerMinute: limiter.MaxBurst}
	day := &limiter.Limit{Name: "tpd", Kind: limiter.Window, Period: limiter.Day, Amount: limiter.MaxAmount}
	s := &subject{TB: b, store: newStore(b), now: start}
	req := s.request(hold(wide, "a", 1000), hold(day, "a", 1000))
	actual := []int64{250, 250}
	b.ReportAllocs()
	for b.Loop() {
		req.ID = s.id()
		s.now = s.now.Add(time.Microsecond)
		if d, err := s.store.Reserve(s.now, req); err != nil || !d.Admitted {
			b.Fatalf("%+v, %v", d, err)
		}
		if _, err := s.store.Settle(s.now, req.ID, actual); err != nil {
			b.Fatal(err)
		}
	}
}
