package judge

import (
	"math/rand/v2"
	"testing"
)

// Whatever was not seen of a request: the judge judges.
func TestAnyHistoryIsJudged(t *testing.T) {
	t.Parallel()
	for seed := range uint64(histories(300)) {
		s := randomSimulation(seed)
		rng := rand.New(rand.NewPCG(seed, 37))
		h := s.history()
		weaken(rng, s, h)
		for i := range h.Requests {
			r := &h.Requests[i]
			for _, at := range []*int64{&r.Received, &r.UsageAt, &r.Finished, &r.HeadersAt, &r.Ended, &r.Left} {
				switch rng.IntN(8) {
				case 0:
					*at = 0
				case 1:
					*at = r.Sent + rng.Int64N(60*sec)
				}
			}
			if rng.IntN(8) == 0 {
				r.Decision = []Decision{Admitted, Rejected, Refused, Undecided}[rng.IntN(4)]
			}
		}
		r := Judge(h)
		if sum := r.Totals.Right + r.Totals.Undecidable + r.Totals.Unjudged + r.Totals.OverAdmissions + r.Totals.WrongfulRejections; sum != len(h.Requests) {
			t.Fatalf("seed %d: %d verdicts on %d requests: %+v", seed, sum, len(h.Requests), r.Totals)
		}
	}
}
