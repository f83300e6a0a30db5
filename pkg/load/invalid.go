package load

import (
	"fmt"
	"time"
)

const (
	// leastDelivered is the share of the plan that a valid measurement delivers.
	leastDelivered = 0.98
	// lagShare is the share of the tightest bound on a latency that a sender may be
	// late, at its 99th percentile.
	lagShare = 10
)

// Invalid says why the measurement is void, in one line per reason; none if it is
// valid. tightest is the smallest latency that anything is checked against, 0 if
// nothing is. What the generator did wrong is never the target's fault: what is
// proven of the target stays proven.
func (s *Summary) Invalid(tightest time.Duration) []string {
	var reasons []string
	if s.MaxInFlight > s.Bound {
		reasons = append(reasons, fmt.Sprintf("%d requests were in flight, %d are allowed", s.MaxInFlight, s.Bound))
	}
	if s.AchievedRate < leastDelivered*s.PlannedRate {
		reasons = append(reasons, fmt.Sprintf("%.1f requests/s were sent of %.1f/s planned (at least %.2f of them are needed); %d were dropped at the bound of %d in flight",
			s.AchievedRate, s.PlannedRate, leastDelivered, s.Dropped, s.Bound))
	}
	if tightest > 0 && s.SenderLag.P99 > tightest/lagShare {
		reasons = append(reasons, fmt.Sprintf("the sender was late by %v (99th percentile); against a bound of %v it may be late by %v",
			s.SenderLag.P99, tightest, tightest/lagShare))
	}
	return reasons
}
