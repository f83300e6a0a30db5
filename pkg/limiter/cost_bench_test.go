package limiter_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// populate makes n live accounts: none is full, so no sweep drops any.
func populate(tb testing.TB, n int) *limiter.Memory {
	tb.Helper()
	m := limiter.New(limiter.Options{MaxAccounts: n + 10})
	l := &limiter.Limit{Name: "tpm", Kind: limiter.TokenBucket, Burst: 1 << 40, TokensPerMinute: 1}
	next := ids(99)
	for i := range n {
		req := &limiter.Request{ID: next(), Lease: time.Hour, Holds: []limiter.Hold{
			{Account: limiter.Account{Key: accountKey(i), Limit: l}, Cost: 1 << 30},
		}}
		if d, err := m.Reserve(t0, req); err != nil || !d.Admitted {
			tb.Fatalf("%+v, %v", d, err)
		}
		if _, err := m.Settle(t0, req.ID, []int64{1 << 30}); err != nil {
			tb.Fatal(err)
		}
	}
	return m
}

// accountKey is as long as keys of real policies are: a policy, a rule, a limit, an organization.
func accountKey(i int) string {
	return fmt.Sprintf("9:team-chat9:per-org-13:tpm26:org-%022d", i)
}

// TestBytesPerAccount is the ceiling of what a live account costs, its key and its place in the index included.
func TestBytesPerAccount(t *testing.T) {
	const n, ceiling = 100_000, 400
	before := heap()
	m := populate(t, n)
	if each := float64(heap()-before) / n; each > ceiling {
		t.Errorf("%.0f bytes per account, at most %d", each, ceiling)
	} else {
		t.Logf("%.0f bytes per account", each)
	}
	runtime.KeepAlive(m)
}

func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// BenchmarkSweep is one call on a million live accounts, a sixteenth of them; one portion of it is the longest that a
// request waits.
func BenchmarkSweep(b *testing.B) {
	const n, share, portion = 1_000_000, 16, 128
	m, now := populate(b, n), t0
	for b.Loop() {
		now = now.Add(25 * time.Hour) // nothing was touched for so long that every account has to be looked into
		if s, err := m.Sweep(now); err != nil || s.Accounts != n {
			b.Fatalf("%+v, %v", s, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n/share/portion)/1000, "µs/portion")
}

// BenchmarkReserveDuringSweep reserves and settles among a million accounts and reports how long the slowest took: alone,
// which shows what else the machine does, and while a sweep begins a hundred times a second.
func BenchmarkReserveDuringSweep(b *testing.B) {
	m, next := populate(b, 1_000_000), ids(1)
	for _, sweeping := range []bool{false, true} {
		b.Run(fmt.Sprintf("sweep=%v", sweeping), func(b *testing.B) {
			done, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for now := t0; ; now = now.Add(25 * time.Hour) {
					select {
					case <-done:
						return
					case <-tick.C:
					}
					if !sweeping {
						continue
					}
					if _, err := m.Sweep(now); err != nil {
						b.Error(err)
					}
				}
			}()
			reportSlowest(b, m, next)
			close(done)
			<-stopped
		})
	}
}

func reportSlowest(b *testing.B, m *limiter.Memory, next func() limiter.ID) {
	b.Helper()
	actual := []int64{250, 250, limiter.Micro, 1}
	req := &limiter.Request{Lease: time.Minute, Holds: fourHolds(fourLimits(), "org")}
	took := make([]time.Duration, 0, 1<<22)
	for b.Loop() {
		req.ID = next()
		begin := b.Elapsed()
		reserveSettle(b, m, t0, req, actual)
		if len(took) < cap(took) {
			took = append(took, b.Elapsed()-begin)
		}
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Nanoseconds()) / 1000
	}
	b.ReportMetric(at(0.99), "p99-µs")
	b.ReportMetric(at(0.9999), "p99.99-µs")
	b.ReportMetric(at(1), "max-µs")
}

// BenchmarkReplay is a settlement that replays retroactive refunds over many events.
func BenchmarkReplay(b *testing.B) {
	for _, events := range []int{1, 64, 4096} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			m := limiter.New(limiter.Options{})
			l := &limiter.Limit{Name: "tpm", Kind: limiter.TokenBucket, Burst: 1 << 40, TokensPerMinute: 1, Refund: limiter.Retroactive}
			newest, oldest := ids(1), ids(1)
			req := &limiter.Request{Lease: time.Hour, Holds: []limiter.Hold{{Account: limiter.Account{Key: "a", Limit: l}, Cost: 10}}}
			reserve := func() {
				req.ID = newest()
				if d, err := m.Reserve(t0, req); err != nil || !d.Admitted {
					b.Fatalf("%+v, %v", d, err)
				}
			}
			for range events - 1 {
				reserve()
			}
			for b.Loop() { // the oldest of so many open reservations settles
				reserve()
				if _, err := m.Settle(t0, oldest(), []int64{9}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
