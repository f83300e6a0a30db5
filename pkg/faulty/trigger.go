package faulty

import (
	"sync/atomic"
	"time"
)

// whole is the share of a fault that always strikes.
const whole = 1_000_000

// Trigger decides when a fault strikes. It is safe for concurrent use and draws nothing: with a rate of 1 % every hundredth
// occasion is hit, so that the same run has the same faults.
type Trigger struct {
	off       atomic.Bool
	share     int64 // of whole
	count     atomic.Int64
	durations map[string]time.Duration
}

// Strikes reports whether the fault strikes on this occasion.
func (t *Trigger) Strikes() bool {
	if t.off.Load() {
		return false
	}
	n := t.count.Add(1)
	return n*t.share/whole > (n-1)*t.share/whole
}

// duration is a parameter that the table declares.
func (t *Trigger) duration(p Param) time.Duration { return t.durations[p.Name] }
