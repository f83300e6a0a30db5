package limiter

import "time"

// A window is named by the instant at which it ends, in ns: one number says which window it is and whether it is over.

// monday is how far the first Monday of 1970 UTC-aligned weeks lies before the epoch, a Thursday.
const monday = 3 * 24 * time.Hour

// windowEnd returns the end of the window of period p that contains now.
func windowEnd(p Period, now int64) int64 {
	length, shift := int64(p.Duration()), int64(0)
	if p == Week {
		shift = int64(monday)
	}
	into := (now + shift) % length
	if into < 0 {
		into += length
	}
	return now - into + length
}

// pastWindow is a window that is over and still remembered. They form a list, the latest first.
type pastWindow struct {
	end    int64
	used   int64
	open   int32 // unsettled reservations
	ledger Ledger
	older  *pastWindow
}

// roll brings the account of a window to now: a window that is over becomes a past one, and past ones in which nothing
// is open are forgotten, but for the one that was just left.
func (a *account) roll(now int64) {
	a.clock = now
	if now < a.end {
		return
	}
	left := &pastWindow{end: a.end, used: a.level, open: a.open, ledger: a.ledger, older: a.past}
	for at := &left.older; *at != nil; {
		if (*at).open == 0 {
			*at = (*at).older
		} else {
			at = &(*at).older
		}
	}
	if a.past = left; left.open == 0 && left.ledger == (Ledger{}) {
		a.past = left.older // nothing ever happened in it
	}
	a.end, a.level, a.open, a.ledger = windowEnd(a.limit.Period, now), 0, 0, Ledger{}
}

// pastWindow finds the window that ended at end.
func (a *account) pastWindow(end int64) *pastWindow {
	for w := a.past; w != nil; w = w.older {
		if w.end == end {
			return w
		}
	}
	return nil
}

// maxUsed bounds what a window counts: so many tokens that percentages of them still fit in 64 bits.
const maxUsed = 1 << 56

// correct replaces cost by actual in what a window has used.
func correct(used, cost, actual int64) int64 {
	return min(max(used-cost+actual, 0), maxUsed)
}
