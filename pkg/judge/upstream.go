package judge

import "fmt"

// judgeUpstream checks what the mock saw: one call for what was admitted, none
// for what was rejected, and an end of the call when the client has left.
func (c *court) judgeUpstream() {
	for i := range c.history.Requests {
		r := &c.history.Requests[i]
		if extra := r.Calls - r.ExemptCalls - 1; extra > 0 {
			c.findCall(RepeatedCall, r, r.Received, int64(extra), fmt.Sprintf("%s reached the upstream %d times", r.ID, r.Calls))
		}
		if (r.Decision == Rejected || r.Decision == Refused) && (r.Calls > 0 || r.Received != 0) {
			c.findCall(RejectedCall, r, r.Received, int64(max(1, r.Calls)), r.ID+" was rejected and yet reached the upstream")
		}
		c.judgeStop(r)
	}
}

// judgeStop demands that the upstream call ends within the declared drain and D
// after the client has left.
func (c *court) judgeStop(r *Request) {
	t := &c.history.Header.Target
	if r.Left == 0 || r.Received == 0 || t.Disconnect == DisconnectUnknown {
		return
	}
	until := r.Left + t.SettleDelay + t.ClockError
	if t.Disconnect == DisconnectDrain {
		until += t.Drain
	}
	stopped := r.Finished
	if stopped == 0 {
		stopped = c.end // it went on at least until then
	}
	if stopped > until {
		c.findCall(UpstreamNotStopped, r, stopped, stopped-until,
			fmt.Sprintf("%s: the client left, and the upstream call went on for %s", r.ID, ns(stopped-r.Left)))
	}
}

func (c *court) findCall(k Kind, r *Request, at, off int64, message string) {
	c.find(Finding{
		Kind: k, Request: r.ID, Step: r.Step, At: at, From: r.Sent, To: max(at, r.Sent), Tokens: off,
		Message: message, Curl: r.Curl,
	})
}
