package judge

import "fmt"

// Bounds of what a history that somebody else wrote may hold: the judge has room for
// the sums of such amounts, and time for so many windows.
const (
	mostAmount = 1 << 54 // twice what a double counts exactly, and a mock may be told to say more than that
	leastPer   = milli   // of a window
)

// check reports the first number of a header that no run can have written.
func (h *Header) check() error {
	t := &h.Target
	if err := checkTimes(h.Start, h.End, t.SettleDelay, t.Drain, t.Lease, t.ClockError, t.Claims.RetryJitter); err != nil {
		return err
	}
	if t.TolerancePPM < 0 || t.TolerancePPM > 1_000_000 {
		return fmt.Errorf("tolerance_ppm is %d, expected 0 to 1000000", t.TolerancePPM)
	}
	for i := range h.Limits {
		if err := h.Limits[i].check(); err != nil {
			return fmt.Errorf("limit %q: %w", h.Limits[i].ID, err)
		}
	}
	return nil
}

func (l *Limit) check() error {
	if l.Per != 0 && l.Per < leastPer {
		return fmt.Errorf("per is %d ns, expected at least %d", l.Per, leastPer)
	}
	if w := l.Weights; w != nil {
		if err := checkAmounts(w.Input, w.CachedInput, w.CacheWrite, w.Output, w.Reasoning); err != nil {
			return err
		}
	}
	if err := checkTimes(l.Per, l.From); err != nil {
		return err
	}
	return checkAmounts(l.Amount.Lo, l.Amount.Hi, l.Burst.Lo, l.Burst.Hi, l.Parseable)
}

func (r *Request) check() error {
	if err := checkTimes(r.Sent, r.Received, r.UsageAt, r.Finished, r.HeadersAt, r.Ended, r.Left); err != nil {
		return err
	}
	amounts := []int64{
		r.Estimate.Prompt.Lo, r.Estimate.Prompt.Hi, r.Estimate.Output, r.Estimate.N, r.Content.Lo, r.Content.Hi, r.Document,
	}
	for _, u := range []*Usage{r.Usage, r.Early} {
		if u != nil {
			amounts = append(amounts, u.In, u.Out, u.Cached, u.CacheWrite, u.Reasoning, u.Total)
		}
	}
	for _, h := range r.Holds {
		amounts = append(amounts, h.Reserved.Lo, h.Reserved.Hi, h.Prompt.Lo, h.Prompt.Hi)
		if h.Actual != nil {
			amounts = append(amounts, h.Actual.Lo, h.Actual.Hi)
		}
	}
	return checkAmounts(amounts...)
}

func checkTimes(all ...int64) error {
	for _, at := range all {
		if at < 0 || at >= forever {
			return fmt.Errorf("found the time %d, expected 0 to %d ns", at, int64(forever-1))
		}
	}
	return nil
}

func checkAmounts(all ...int64) error {
	for _, n := range all {
		if n < 0 || n > mostAmount {
			return fmt.Errorf("found the amount %d, expected 0 to %d", n, int64(mostAmount))
		}
	}
	return nil
}
