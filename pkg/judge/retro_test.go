package judge

import (
	"fmt"
	"testing"
)

// retroactive is a history with one reservation of 1000 that is open until an instant
// and costs used in the end. n requests of 2 tokens pass in the last n/100 seconds but
// ten; a second after it another request comes. The bucket holds 20 000.
func retroactive(n int, until, used, asked int64, d Decision) *History {
	l := minute()
	l.Burst, l.Refund = Exactly(20_000), RefundRetroactive
	h := newHistory(l)
	h.Header.Target.Claims = Claims{}
	first := sent(0, 1000, Admitted)
	first.UsageAt, first.Finished, first.Ended = noon+until, noon+until, noon+until
	first.Usage = &Usage{In: used}
	h.Requests = []Request{first}
	for i := range int64(n) {
		r := sent(until-10*sec-(int64(n)-i)*10*ms, 2, Admitted)
		r.ID = fmt.Sprint("small", i)
		h.Requests = append(h.Requests, r)
	}
	last := sent(until+sec, asked, d)
	last.ID = "last"
	h.Requests = append(h.Requests, last)
	return h
}

// Beyond 4096 events nobody can say from outside whether the oldest open reservation
// was kept: both are right, and nothing else.
func TestRetroactiveRefundsReachOnlySoFar(t *testing.T) {
	t.Parallel()
	// 5000 small ones take 10 000 in 50 s, of which 5000 are refilled. At 61 s are left
	// 16 100 if the first was given back, or 15 100 + 99 if it was kept, which made room
	// for some refill. With an overshoot of 8000, settled at 200 s: 16 100 if it was
	// charged in retrospect, since the bucket was full again before the small ones, or
	// 8100.
	for _, c := range []struct {
		name        string
		n           int
		until       int64
		used, asked int64
		decision    Decision
		want        Kind // empty: nothing
	}{
		{"few events: given back, and yet rejected", 100, 60 * sec, 0, 20_000, Rejected, WrongfulRejection},
		{"few events: more than was left", 100, 60 * sec, 0, 20_001, Admitted, OverAdmission},
		{"few events: the overshoot is repaid long since", 100, 200 * sec, 9000, 20_000, Rejected, WrongfulRejection},
		{"many events: it may have been kept", 5000, 60 * sec, 0, 15_600, Rejected, ""},
		{"many events: it may have been given back", 5000, 60 * sec, 0, 15_600, Admitted, ""},
		{"many events: it fits, kept or not", 5000, 60 * sec, 0, 15_100, Rejected, WrongfulRejection},
		{"many events: it does not fit, kept or not", 5000, 60 * sec, 0, 16_200, Admitted, OverAdmission},
		{"many events: the overshoot may be owed since the settlement", 5000, 200 * sec, 9000, 10_000, Rejected, ""},
		{"many events: the overshoot may be repaid", 5000, 200 * sec, 9000, 10_000, Admitted, ""},
		{"many events: it fits, whenever the overshoot was charged", 5000, 200 * sec, 9000, 8000, Rejected, WrongfulRejection},
	} {
		r := Judge(retroactive(c.n, c.until, c.used, c.asked, c.decision))
		levels := r.Accounts[0].Level
		var got Kind
		for _, f := range r.Findings {
			if got = f.Kind; f.Request != "last" {
				t.Errorf("%s: found %+v", c.name, f)
			}
		}
		if got != c.want {
			t.Errorf("%s: found %q, want %q: %+v, levels %+v", c.name, got, c.want, r.Totals, levels[len(levels)-1])
		}
	}
}
