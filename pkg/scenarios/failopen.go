package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
)

// failOpen says whether a target seems to have let requests through because it could
// not ask its store: a client that was rejected, and told how long to wait, is
// admitted before that for no less, with nothing in flight that could have come back,
// and is then rejected again. Empty if nothing looks like it. It is a suspicion: a
// gateway may say a longer wait than is needed.
func failOpen(h *judge.History) string {
	clients := map[string][]*judge.Request{}
	for i := range h.Requests {
		if r := &h.Requests[i]; len(r.Holds) > 0 {
			clients[r.Holds[0].Key] = append(clients[r.Holds[0].Key], r)
		}
	}
	through, asked := 0, 0
	for _, key := range sortedKeys(clients) {
		requests := clients[key]
		slices.SortFunc(requests, func(a, b *judge.Request) int { return cmp.Compare(a.Sent, b.Sent) })
		for i, r := range requests {
			if until, ok := shutUntil(r); ok && allSettled(requests[:i], r.Sent, h.Header.Target.SettleDelay) {
				n, m := slipped(requests[i+1:], r, until)
				through, asked = through+n, asked+m
			}
		}
	}
	if through == 0 {
		return ""
	}
	return fmt.Sprintf("fail-open suspected (%d of %d): admitted after a rejection, before the wait that it asked for, and rejected again", through, asked)
}

// shutUntil is how long a rejection says that its client will be rejected.
func shutUntil(r *judge.Request) (until int64, ok bool) {
	switch {
	case r.Decision != judge.Rejected || r.Retry == nil:
		return 0, false
	case r.Retry.Millis != nil:
		return r.Ended + *r.Retry.Millis*int64(time.Millisecond), true
	case r.Retry.Seconds != nil: // rounded up
		return r.Ended + (*r.Retry.Seconds-1)*int64(time.Second), true
	}
	return 0, false
}

// allSettled tells whether everything before an instant had been settled by then.
func allSettled(before []*judge.Request, at, delay int64) bool {
	return !slices.ContainsFunc(before, func(r *judge.Request) bool {
		return r.Decision != judge.Rejected && max(r.Ended, r.Finished)+delay >= at
	})
}

// slipped counts admissions, and all requests, up to the last rejection before the
// account should have anything to give.
func slipped(later []*judge.Request, rejected *judge.Request, until int64) (through, asked int) {
	admitted := 0
	for i, r := range later {
		if max(r.Received, r.HeadersAt) >= until {
			break
		}
		switch {
		case r.Sent <= rejected.Ended && r.Decision != judge.Rejected:
			return 0, 0 // under way at the time: what it gives back may be what is admitted later
		case r.Sent <= rejected.Ended:
		case r.Decision == judge.Admitted && r.Holds[0].Reserved.Lo >= rejected.Holds[0].Reserved.Hi:
			admitted++
		case r.Decision == judge.Rejected && admitted > 0:
			through, asked = admitted, i+1
		}
	}
	return through, asked
}
