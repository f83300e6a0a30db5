package limiter_test

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

var t0 = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// fourLimits are the dimensions that bind a typical request.
func fourLimits() []*limiter.Limit {
	return []*limiter.Limit{
		{Name: "team/tpm", Kind: limiter.TokenBucket, Reason: "tpm_exceeded", Burst: 1 << 40, TokensPerMinute: 1 << 40},
		{Name: "team/tpd", Kind: limiter.Window, Reason: "tpd_exceeded", Period: limiter.Day, Amount: 1 << 52},
		{Name: "team/rpm", Kind: limiter.RequestBucket, Reason: "rate_limit_exceeded", Burst: 1 << 60, MicroPerSecond: 1 << 60},
		{Name: "team/slots", Kind: limiter.Concurrency, Reason: "concurrency_exceeded", MaxConcurrent: 1 << 20},
	}
}

// fourHolds is a request of one key.
func fourHolds(limits []*limiter.Limit, key string) []limiter.Hold {
	holds := make([]limiter.Hold, len(limits))
	for i, l := range limits {
		holds[i] = limiter.Hold{Account: limiter.Account{Key: l.Name + "|" + key, Limit: l}, Cost: 1}
	}
	holds[0].Cost, holds[1].Cost, holds[2].Cost = 1000, 1000, limiter.Micro
	return holds
}

// ids gives every goroutine of a benchmark its own ids, spread like random ones.
func ids(start uint64) func() limiter.ID {
	n := start << 40
	return func() (id limiter.ID) {
		n++
		binary.LittleEndian.PutUint64(id[:8], n*0x9e3779b97f4a7c15)
		binary.LittleEndian.PutUint64(id[8:], n)
		return id
	}
}

// BenchmarkReserveSettle is the cost of a request bound by four dimensions, admitted and settled.
func BenchmarkReserveSettle(b *testing.B) {
	actual := []int64{250, 250, limiter.Micro, 1}
	for _, keys := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("keys=%d/cores=1", keys), func(b *testing.B) {
			m := limiter.New(limiter.Options{})
			holds := manyHolds(keys)
			next, now, req := ids(1), t0, limiter.Request{Lease: time.Minute}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				req.ID, req.Holds = next(), holds[i]
				if i++; i == keys {
					i = 0
				}
				now = now.Add(time.Microsecond)
				reserveSettle(b, m, now, &req, actual)
			}
		})
		b.Run(fmt.Sprintf("keys=%d/cores=all", keys), func(b *testing.B) {
			m := limiter.New(limiter.Options{})
			holds := manyHolds(keys)
			var workers atomic.Uint64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				w := workers.Add(1)
				next, now, req := ids(w), t0, limiter.Request{Lease: time.Minute}
				i := int(w) * 7919 % keys
				for pb.Next() {
					req.ID, req.Holds = next(), holds[i]
					if i++; i == keys {
						i = 0
					}
					now = now.Add(time.Microsecond)
					reserveSettle(b, m, now, &req, actual)
				}
			})
		})
	}
}

func manyHolds(keys int) [][]limiter.Hold {
	limits := fourLimits()
	holds := make([][]limiter.Hold, keys)
	for i := range holds {
		holds[i] = fourHolds(limits, fmt.Sprintf("org-%d", i))
	}
	return holds
}

func reserveSettle(b *testing.B, m *limiter.Memory, now time.Time, req *limiter.Request, actual []int64) { //nolint:thelper // Helper itself would cost 100 ns
	d, err := m.Reserve(now, req)
	if err != nil || !d.Admitted {
		b.Fatalf("Reserve: %+v, %v", d, err)
	}
	if _, err := m.Settle(now, req.ID, actual); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkTimeRate is golang.org/x/time/rate beside it: one dimension, no settlement.
func BenchmarkTimeRate(b *testing.B) {
	lim, now := rate.NewLimiter(1<<30, 1<<30), t0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		if !lim.AllowN(now, 1000) {
			b.Fatal("rejected")
		}
	}
}
