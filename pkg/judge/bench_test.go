package judge

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// manyRequests is a history of n requests at 10 000/s whose intervals are up to
// 100 ms wide.
func manyRequests(n int) *History {
	rng := rand.New(rand.NewPCG(1, 2))
	h := &History{Header: Header{Start: noon, Target: Bundled(), Limits: []Limit{{
		ID: "tpm", Rule: "tpm", Dimension: Tokens, Window: WindowBucket, Amount: Exactly(60_000_000), Per: 60 * sec,
		Burst: Exactly(2_000_000), Settles: true,
	}}}}
	h.Requests = make([]Request, n)
	for i := range h.Requests {
		r := &h.Requests[i]
		r.ID = strconv.Itoa(i)
		r.Sent = noon + int64(i)*ms/10
		r.Holds = []Hold{{Limit: "tpm", Key: "k", Reserved: Exactly(150)}}
		r.Received = r.Sent + rng.Int64N(100*ms)
		r.UsageAt = r.Received + rng.Int64N(50*ms)
		r.Finished = r.UsageAt + ms
		r.Ended = r.Finished + rng.Int64N(50*ms)
		r.Decision, r.Status, r.Outcome = Admitted, 200, OutcomeUsage
		r.Usage = &Usage{In: 20, Out: 70 + rng.Int64N(20)}
	}
	return h
}

// BenchmarkMillionRequests judges up to a million requests, of four interval ends
// each. A million is to stay under five seconds and one gigabyte, the history
// included, and the whole linear: compare ns/request of the sizes.
func BenchmarkMillionRequests(b *testing.B) {
	for _, n := range []int{10_000, 50_000, 250_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			h := manyRequests(n)
			var r *Report
			for b.Loop() {
				r = Judge(h)
			}
			if r.Failed() {
				b.Fatal(r.Findings[0].Message)
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			each := b.Elapsed() / time.Duration(b.N)
			b.ReportMetric(float64(each.Nanoseconds())/float64(n), "ns/request")
			if n == 1_000_000 {
				b.ReportMetric(each.Seconds(), "judge-1M-s")
				b.ReportMetric(float64(m.Sys)/1e6, "judge-1M-MB")
			}
		})
	}
}
