package load

import "fmt"

// Descriptors is how many file descriptors a load needs.
type Descriptors struct {
	InFlight int64 // requests at once
	Each     int64 // descriptors per request: both ends of every connection in this process
	Besides  int64 // what the process has open anyway
}

// Needed is the sum.
func (d Descriptors) Needed() int64 { return d.InFlight*d.Each + d.Besides }

// Fits is how many requests at once a limit on descriptors leaves room for.
func (d Descriptors) Fits(limit uint64) int64 {
	if limit > 1<<40 { // no limit, in the ways in which systems say so
		limit = 1 << 40
	}
	return max(0, int64(limit)-d.Besides) / max(1, d.Each)
}

// Check says before the first shot what would else show as errors of the target
// somewhere in the middle of the load.
func (d Descriptors) Check(limit uint64) error {
	if d.InFlight <= d.Fits(limit) {
		return nil
	}
	return fmt.Errorf("%d requests in flight need %d file descriptors (%d each and %d besides), the limit is %d: raise it (ulimit -n %d) or allow at most %d in flight",
		d.InFlight, d.Needed(), d.Each, d.Besides, limit, d.Needed(), d.Fits(limit))
}
