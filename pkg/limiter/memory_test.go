package limiter_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/limiter/limitertest"
)

func newMemory(testing.TB) limiter.Store { return limiter.New(limiter.Options{}) }

func TestStore(t *testing.T) { limitertest.TestStore(t, newMemory) }

func BenchmarkStore(b *testing.B) { limitertest.BenchmarkStore(b, newMemory) }

// ask reserves cost of one account and fails if there is an error.
func ask(t *testing.T, m *limiter.Memory, now time.Time, id byte, l *limiter.Limit, key string, cost int64) limiter.Decision {
	t.Helper()
	d, err := m.Reserve(now, &limiter.Request{ID: limiter.ID{id}, Lease: time.Hour, Holds: []limiter.Hold{
		{Account: limiter.Account{Key: key, Limit: l}, Cost: cost},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestMaxAccounts: a live account is never dropped for a new one, an idle one is, and a rejected request needs none.
func TestMaxAccounts(t *testing.T) {
	l := &limiter.Limit{Name: "tpm", Kind: limiter.TokenBucket, Burst: 60, TokensPerMinute: 60}
	m := limiter.New(limiter.Options{MaxAccounts: 2})
	ask(t, m, t0, 1, l, "a", 60)
	ask(t, m, t0, 2, l, "b", 10)
	full := &limiter.Request{ID: limiter.ID{3}, Lease: time.Hour, Holds: []limiter.Hold{
		{Account: limiter.Account{Key: "b", Limit: l}, Cost: 1},
		{Account: limiter.Account{Key: "c", Limit: l}, Cost: 1},
	}}
	if _, err := m.Reserve(t0, full); !errors.Is(err, limiter.ErrTooManyAccounts) {
		t.Fatalf("a third account: %v, expected ErrTooManyAccounts", err)
	}
	if d := ask(t, m, t0, 4, l, "c", 61); d.Admitted || !d.Permanent {
		t.Fatalf("a rejected request of a third account: %+v", d)
	}
	if d := ask(t, m, t0, 5, l, "b", 49); !d.Admitted || d.Holds[0].Remaining != 1 {
		t.Fatalf("the request that failed took something of b: %+v", d)
	}
	if _, err := m.Settle(t0, limiter.ID{1}, []int64{60}); err != nil {
		t.Fatal(err)
	}
	later := t0.Add(time.Minute) // a is full and idle, b still has open reservations
	if _, err := m.Reserve(later, full); err != nil {
		t.Fatalf("an idle account was not dropped for a new one: %v", err)
	}
	if s := m.Stats(); s.Accounts != 2 || s.Open != 3 {
		t.Fatalf("%+v", s)
	}
}

// TestRoomAmongOwnAccounts: the idle account that is dropped to make room may be one that the request needs.
func TestRoomAmongOwnAccounts(t *testing.T) {
	l := &limiter.Limit{Name: "tpm", Kind: limiter.TokenBucket, Burst: 60, TokensPerMinute: 60}
	m := limiter.New(limiter.Options{MaxAccounts: 2})
	for id, key := range []string{"a", "b"} {
		ask(t, m, t0, byte(id+1), l, key, 0)
		if _, err := m.Settle(t0, limiter.ID{byte(id + 1)}, []int64{0}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := m.Reserve(t0, &limiter.Request{ID: limiter.ID{3}, Lease: time.Hour, Holds: []limiter.Hold{
		{Account: limiter.Account{Key: "a", Limit: l}, Cost: 60},
		{Account: limiter.Account{Key: "c", Limit: l}, Cost: 60},
	}})
	if err != nil || !d.Admitted {
		t.Fatalf("%+v, %v", d, err)
	}
	for id, key := range []string{"a", "c"} {
		if d := ask(t, m, t0, byte(id+4), l, key, 1); d.Admitted {
			t.Errorf("%s: 1 token more than the burst was admitted", key)
		}
	}
}

// TestSweepDropsIdle: only what is full, idle and untouched for long enough goes.
func TestSweepDropsIdle(t *testing.T) {
	tpm := &limiter.Limit{Name: "tpm", Kind: limiter.TokenBucket, Burst: 60, TokensPerMinute: 60}
	day := &limiter.Limit{Name: "tpd", Kind: limiter.Window, Period: limiter.Day, Amount: 60}
	m := limiter.New(limiter.Options{KeepIdle: time.Hour})
	ask(t, m, t0, 1, tpm, "bucket", 60)
	ask(t, m, t0, 2, day, "day", 60)
	ask(t, m, t0, 3, tpm, "open", 0)
	for id := range byte(2) {
		if _, err := m.Settle(t0, limiter.ID{id + 1}, []int64{60}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		after time.Duration
		want  limiter.Swept
	}{
		{time.Hour - 1, limiter.Swept{Accounts: 3}},
		{time.Hour, limiter.Swept{Expired: 1, Dropped: 1, Accounts: 2}},
		{13 * time.Hour, limiter.Swept{Dropped: 2}},
	} {
		if got, err := m.Sweep(t0.Add(c.after)); err != nil || got != c.want {
			t.Errorf("after %v: %+v, %v; expected %+v", c.after, got, err, c.want)
		}
	}
}

// TestForgotten: a settlement that is no longer remembered is unknown, and changes nothing.
func TestForgotten(t *testing.T) {
	day := &limiter.Limit{Name: "tpd", Kind: limiter.Window, Period: limiter.Day, Amount: 100}
	m := limiter.New(limiter.Options{Remember: 2})
	for id := range byte(3) {
		ask(t, m, t0, id+1, day, "a", 10)
		if _, err := m.Settle(t0, limiter.ID{id + 1}, []int64{10}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Settle(t0, limiter.ID{1}, []int64{0}); !errors.Is(err, limiter.ErrUnknown) {
		t.Errorf("the oldest of three: %v, expected ErrUnknown", err)
	}
	for id := byte(2); id <= 3; id++ {
		if s, err := m.Settle(t0, limiter.ID{id}, []int64{0}); err != nil || !s.Duplicate {
			t.Errorf("reservation %d: %+v, %v", id, s, err)
		}
	}
	if d := ask(t, m, t0, 9, day, "a", 0); d.Holds[0].Remaining != 70 {
		t.Errorf("%d left, expected 70", d.Holds[0].Remaining)
	}
}

// TestAnotherKind: an account whose limit becomes one of another kind begins anew; what is open settles unseen.
func TestAnotherKind(t *testing.T) {
	bucket := &limiter.Limit{Name: "x", Kind: limiter.TokenBucket, Burst: 60, TokensPerMinute: 60}
	day := &limiter.Limit{Name: "x", Kind: limiter.Window, Period: limiter.Day, Amount: 100}
	m := limiter.New(limiter.Options{})
	ask(t, m, t0, 1, bucket, "a", 60)
	if err := m.Reload(t0, []limiter.Change{{Old: bucket, New: day}}); !errors.Is(err, limiter.ErrInvalid) {
		t.Errorf("reloading to another kind: %v, expected ErrInvalid", err)
	}
	if d := ask(t, m, t0, 2, day, "a", 10); !d.Admitted || d.Holds[0].Remaining != 90 {
		t.Errorf("%+v", d)
	}
	if _, err := m.Settle(t0, limiter.ID{1}, []int64{0}); err != nil {
		t.Error(err)
	}
	if d := ask(t, m, t0, 3, day, "a", 10); d.Holds[0].Remaining != 80 || m.Stats().Accounts != 1 {
		t.Errorf("%+v, %+v", d, m.Stats())
	}
}

// TestReloadThereAndBack: reversing a reload, and a request that was bound before it, do not go round in circles.
func TestReloadThereAndBack(t *testing.T) {
	wide := &limiter.Limit{Name: "x", Kind: limiter.TokenBucket, Burst: 60, TokensPerMinute: 60}
	narrow := &limiter.Limit{Name: "x", Kind: limiter.TokenBucket, Burst: 10, TokensPerMinute: 60}
	m := limiter.New(limiter.Options{})
	ask(t, m, t0, 1, wide, "a", 1)
	for i, c := range []struct {
		change limiter.Change
		want   int64 // left of the account for a request that still names wide
	}{{limiter.Change{Old: wide, New: narrow}, 10}, {limiter.Change{Old: narrow, New: wide}, 10}} {
		if err := m.Reload(t0, []limiter.Change{c.change}); err != nil {
			t.Fatal(err)
		}
		if d := ask(t, m, t0, byte(i)+2, wide, "a", 0); d.Holds[0].Remaining != c.want || d.Holds[0].Limit != c.change.New.Burst {
			t.Errorf("reload %d: %+v", i, d.Holds[0])
		}
	}
	for range 3 {
		if _, err := m.Sweep(t0); err != nil {
			t.Fatal(err)
		}
	}
	if d := ask(t, m, t0, 9, wide, "a", 0); d.Holds[0].Limit != 60 {
		t.Errorf("after everybody has heard of it: %+v", d.Holds[0])
	}
}

// TestReplayAgain: what was reserved under retroactive refunds is given back, also when they were switched off and on again.
func TestReplayAgain(t *testing.T) {
	retroactive := &limiter.Limit{Name: "x", Kind: limiter.TokenBucket, Burst: 60, TokensPerMinute: 60, Refund: limiter.Retroactive}
	capped, again := *retroactive, *retroactive
	capped.Refund = limiter.Capped
	m := limiter.New(limiter.Options{})
	ask(t, m, t0, 1, retroactive, "a", 50)
	for i, c := range []limiter.Change{{Old: retroactive, New: &capped}, {Old: &capped, New: &again}} {
		if err := m.Reload(t0, []limiter.Change{c}); err != nil {
			t.Fatal(err)
		}
		if d := ask(t, m, t0, byte(i)+2, c.New, "a", 1); d.Holds[0].Remaining != int64(9-i) {
			t.Errorf("reload %d: %d left", i, d.Holds[0].Remaining)
		}
	}
	if _, err := m.Settle(t0, limiter.ID{1}, []int64{20}); err != nil {
		t.Fatal(err)
	}
	if d := ask(t, m, t0, 9, &again, "a", 0); d.Holds[0].Remaining != 38 {
		t.Errorf("%d left, expected 38: 30 came back", d.Holds[0].Remaining)
	}
}

// TestSweepAmongRequests lets 64 goroutines reserve and settle one key, and others of their own, while the store is
// swept, inspected and reloaded. In the end every token is accounted for.
func TestSweepAmongRequests(t *testing.T) {
	m := limiter.New(limiter.Options{KeepIdle: time.Nanosecond})
	team := &limiter.Limit{Name: "team", Kind: limiter.Window, Period: limiter.Week, Amount: 1 << 40}
	user := &limiter.Limit{Name: "user", Kind: limiter.TokenBucket, Burst: 1000, TokensPerMinute: 1 << 40}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := m.Sweep(t0); err != nil {
				t.Error(err)
			}
			m.Inspect(t0, func(limiter.Account) bool { return true })
			if err := m.Reload(t0, []limiter.Change{{Old: user, New: user}}); err != nil {
				t.Error(err)
			}
		}
	}()
	const goroutines, each = 64, 50
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			now := t0
			for i := range each {
				now = now.Add(time.Millisecond)
				id := limiter.ID{byte(g), byte(i), 1}
				d, err := m.Reserve(now, &limiter.Request{ID: id, Lease: time.Hour, Holds: []limiter.Hold{
					{Account: limiter.Account{Key: "team", Limit: team}, Cost: 10},
					{Account: limiter.Account{Key: fmt.Sprintf("user-%d", g), Limit: user}, Cost: 10},
				}})
				if err != nil || !d.Admitted {
					t.Errorf("%+v, %v", d, err)
				}
				if _, err := m.Settle(now, id, []int64{3, 3}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(done)
	<-stopped
	states := m.Inspect(t0, func(a limiter.Account) bool { return a.Key == "team" })
	want := limiter.Ledger{Reserved: 10 * goroutines * each, Actual: 3 * goroutines * each, Refunded: 7 * goroutines * each}
	if len(states) != 1 || states[0].Ledger != want || states[0].Level != want.Actual {
		t.Errorf("%+v, expected %+v", states, want)
	}
}

// TestNoAllocation: a request that has been used before reserves and settles without one.
func TestNoAllocation(t *testing.T) {
	m := limiter.New(limiter.Options{Remember: 16})
	next, actual := ids(1), []int64{250, 250, limiter.Micro, 1}
	req := &limiter.Request{Lease: time.Minute, Holds: fourHolds(fourLimits(), "org")}
	once := func() {
		req.ID = next()
		if d, err := m.Reserve(t0, req); err != nil || !d.Admitted {
			t.Fatalf("%+v, %v", d, err)
		}
		if _, err := m.Settle(t0, req.ID, actual); err != nil {
			t.Fatal(err)
		}
	}
	for range 64 {
		once()
	}
	if n := testing.AllocsPerRun(100, once); n != 0 {
		t.Errorf("%v allocations, expected none", n)
	}
}

func ExampleMemory() {
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC) // the caller's clock
	tpm := &limiter.Limit{Name: "team/tpm", Kind: limiter.TokenBucket, Reason: "tpm_exceeded", Burst: 6000, TokensPerMinute: 6000}
	store := limiter.New(limiter.Options{})

	req := &limiter.Request{
		ID:    limiter.ID{1}, // 128 random bits
		Lease: 15 * time.Minute,
		Holds: []limiter.Hold{{Account: limiter.Account{Key: "team/tpm/red", Limit: tpm}, Cost: 5536}},
	}
	d, _ := store.Reserve(now, req)
	fmt.Println(d.Admitted, d.Holds[0].Remaining)

	// The answer was short: most of it comes back.
	s, _ := store.Settle(now, req.ID, []int64{50})
	fmt.Println(s.Holds()[0].Refunded)

	req.ID = limiter.ID{2}
	req.Holds[0].Cost = 6000
	d, _ = store.Reserve(now, req)
	fmt.Println(d.Admitted, d.Reason, d.RetryAfter)
	// Output:
	// true 464
	// 5486
	// false tpm_exceeded 500ms
}

// TestLeaseBeforeTheEpoch: leases end at any instant that fits in 64 bits, and one that would end beyond ends with them.
func TestLeaseBeforeTheEpoch(t *testing.T) {
	l := &limiter.Limit{Name: "slots", Kind: limiter.Concurrency, MaxConcurrent: 1}
	for _, year := range []int{1700, 1960, 2030, 2262} {
		at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		m := limiter.New(limiter.Options{})
		ask(t, m, at, 1, l, "a", 1)
		if swept, err := m.Sweep(at.Add(time.Hour - 1)); err != nil || swept.Expired != 0 {
			t.Errorf("%d: %d leases ended before their time, %v", year, swept.Expired, err)
		}
		if swept, err := m.Sweep(at.Add(time.Hour)); err != nil || swept.Expired != 1 {
			t.Errorf("%d: %d leases ended in time, expected 1, %v", year, swept.Expired, err)
		}
	}
	m := limiter.New(limiter.Options{})
	at := time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	req := &limiter.Request{ID: limiter.ID{1}, Lease: 1<<63 - 1, Holds: []limiter.Hold{{Account: limiter.Account{Key: "a", Limit: l}, Cost: 1}}}
	if _, err := m.Reserve(at, req); err != nil {
		t.Fatal(err)
	}
	if swept, err := m.Sweep(at.AddDate(50, 0, 0)); err != nil || swept.Expired != 0 {
		t.Errorf("%d leases without an end ended, %v", swept.Expired, err)
	}
}
