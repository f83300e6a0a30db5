package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	second = int64(1_000_000_000)
	milli  = int64(1_000_000)
)

// judgeHeaders compares what responses say with the bounds, as far as the target
// claims to say it.
func (c *court) judgeHeaders() {
	claims := &c.history.Header.Target.Claims
	if !claims.RetryAfter && !claims.RateHeaders && !claims.Reserved {
		return
	}
	byRequest := c.chargesByRequest()
	for i := range c.history.Requests {
		r := &c.history.Requests[i]
		if r.Decision == Rejected && claims.RetryAfter {
			c.judgeRetry(r, byRequest[i])
		}
		if claims.RateHeaders && (r.Decision == Admitted || r.Decision == Rejected) {
			for j := range r.Rates {
				c.judgeRate(r, &r.Rates[j], byRequest[i])
			}
		}
		if claims.Reserved && r.SaidReserved != nil && r.Decision == Admitted {
			c.judgeReserved(r, byRequest[i])
		}
	}
}

// seat is where a request's charge is found.
type seat struct {
	account *account
	charge  int32
}

func (s seat) at() (*charge, *verdict) {
	return &s.account.charges[s.charge], &s.account.verdicts[s.charge]
}

// chargesByRequest finds the seats of the requests that said something.
func (c *court) chargesByRequest() map[int][]seat {
	seats := map[int][]seat{}
	for _, a := range c.accounts {
		if len(a.verdicts) == 0 {
			continue
		}
		for i := range a.charges {
			ch := &a.charges[i]
			r := &c.history.Requests[ch.request]
			if !ch.prior && (r.Decision == Rejected || len(r.Rates) > 0 || r.SaidReserved != nil) {
				seats[int(ch.request)] = append(seats[int(ch.request)], seat{a, int32(i)})
			}
		}
	}
	return seats
}

// patience is how long a rejected request has to wait at one account, at least
// and at most (ns); possible is false if this account did not reject it.
func (s seat) patience() (wait Span, possible bool) {
	ch, v := s.at()
	a := s.account
	switch {
	case v.fits || a.limit.Dimension == Concurrency:
		return wait, false
	case a.limit.Window == WindowCalendar:
		end := func(t int64) int64 { return windowStart(t, a.limit.Per) + a.limit.Per - t }
		wait.Hi = a.limit.Per
		if v.lack > 0 {
			wait.Lo = min(end(ch.decided.Lo), end(min(ch.decided.Hi, forever)))
		}
		if windowStart(ch.decided.Lo, a.limit.Per) == windowStart(ch.decided.Hi, a.limit.Per) {
			wait.Hi = end(ch.decided.Lo)
		}
		return wait, true
	case a.high == nil:
		return Between(0, forever), true
	}
	up, down := &a.upScale, &a.downScale
	short := ch.demand.Lo*up.unit - a.high.extreme(ch.decided) - up.slack
	long := ch.demand.Hi*down.unit - a.low.extreme(ch.decided) + down.slack
	return Between(up.wait(short), down.wait(long)), true
}

// judgeRetry computes, without waiting, whether waiting as told would help. The
// instant of the decision lies in an interval, so a wait counted from its start
// may be longer by the interval's length, and never shorter.
func (c *court) judgeRetry(r *Request, seats []seat) {
	if c.excused(r) {
		return // whatever rejected it keeps no account here
	}
	if permanence(r) == Yes {
		if r.Retry != nil {
			c.find(retryFinding(RetryImpossible, r, 0, 0, r.ID+" is told to wait, but no wait can ever admit it"))
		}
		return
	}
	var wait Span
	named, open := false, permanence(r) == Maybe || len(seats) == 0
	for _, s := range seats {
		if s.account.limit.Dimension == Concurrency && !s.verdictFits() {
			open = true // one second by convention; nothing to compute
		}
		w, possible := s.patience()
		if !possible {
			continue
		}
		named = true
		wait.Lo, wait.Hi = max(wait.Lo, w.Lo), max(wait.Hi, w.Hi)
	}
	if r.Retry == nil {
		if wait.Lo > 0 && !open {
			c.find(retryFinding(RetryMissing, r, wait.Lo, wait.Lo, fmt.Sprintf("%s is rejected without a word on how long to wait", r.ID)))
		}
		return
	}
	if r.Retry.Malformed != "" {
		c.find(retryFinding(RetryForm, r, 0, 0, fmt.Sprintf("%s: Retry-After is %q", r.ID, r.Retry.Malformed)))
	}
	if !named {
		return
	}
	answered := earliest(r.HeadersAt, r.Ended)
	span := max(0, min(answered-r.Sent, forever))
	for _, form := range r.Retry.forms(r.Sent) {
		c.judgeForm(r, form, wait, span, open)
	}
}

func (s seat) verdictFits() bool { return s.account.verdicts[s.charge].fits }

// form is one way to say how long.
type form struct {
	name       string
	wait, unit int64 // ns
}

// forms are the waits as they were said, a date as the longest that it can mean.
func (a *RetryAfter) forms(sent int64) []form {
	var fs []form
	if a.Seconds != nil {
		fs = append(fs, form{"Retry-After", min(*a.Seconds, forever/second) * second, second})
	}
	if a.Millis != nil {
		fs = append(fs, form{"retry-after-ms", min(*a.Millis, forever/milli) * milli, milli})
	}
	if a.Date != 0 {
		fs = append(fs, form{"Retry-After (a date)", a.Date - sent, second})
	}
	return fs
}

func (c *court) judgeForm(r *Request, f form, wait Span, span int64, open bool) {
	claims := &c.history.Header.Target.Claims
	switch latest := roundUp(max(wait.Hi, 1), f.unit) + claims.RetryJitter + span; {
	case f.wait < wait.Lo:
		c.find(retryFinding(RetryTooEarly, r, wait.Lo, wait.Lo-f.wait,
			fmt.Sprintf("%s: %s says %s, but it cannot be admitted before %s", r.ID, f.name, ns(f.wait), ns(wait.Lo))))
	case f.wait <= latest || open || wait.Hi >= forever:
	case claims.ExactRetryAfter:
		c.find(retryFinding(RetryTooLate, r, latest, f.wait-latest,
			fmt.Sprintf("%s: %s says %s, %s would be enough", r.ID, f.name, ns(f.wait), ns(latest))))
	default:
		c.note(retryFinding(RetryTooLate, r, latest, f.wait-latest,
			fmt.Sprintf("%s: %s says %s, %s would be enough", r.ID, f.name, ns(f.wait), ns(latest))))
	}
	if r.Retry.Date != 0 {
		c.note(retryFinding(RetryForm, r, 0, 0, r.ID+": Retry-After is a date, which needs clocks that agree"))
	}
}

func retryFinding(k Kind, r *Request, bound, off int64, message string) Finding {
	return Finding{
		Kind: k, Request: r.ID, Step: r.Step, At: r.Sent, From: r.Sent, To: max(r.Ended, r.Sent),
		Bound: bound, Tokens: off, Message: message, Curl: r.Curl,
	}
}

func roundUp(v, unit int64) int64 {
	if v >= forever {
		return forever
	}
	return -floorDiv(-v, unit) * unit
}

// ns says a duration in seconds, exact to the nanosecond, without zeros that say nothing.
func ns(v int64) string {
	if v >= forever {
		return "ever"
	}
	if v%second == 0 {
		return fmt.Sprintf("%d s", v/second)
	}
	return strings.TrimRight(fmt.Sprintf("%d.%09d", v/second, abs(v%second)), "0") + " s"
}

// judgeRate checks one family of headers. It speaks of the account with the
// least left, which need not be told: it is enough that it fits one of them.
func (c *court) judgeRate(r *Request, h *RateHeader, seats []seat) {
	var limits, lefts, resets []Span
	for _, s := range seats {
		l := s.account.limit
		if !l.countsAs(h.Dimension) || s.account.high == nil && l.Window != WindowCalendar {
			continue
		}
		if h.Limit != nil && !contains(l.shown(), *h.Limit, 0) && len(seats) > 1 {
			limits = append(limits, l.shown())
			continue // it speaks of another account
		}
		limits = append(limits, l.shown())
		left, reset := c.shown(r, s)
		lefts, resets = append(lefts, left), append(resets, reset)
	}
	if len(limits) == 0 {
		return
	}
	if h.Limit != nil && !anyContains(limits, *h.Limit, 0) {
		c.find(rateFinding(HeaderLimit, r, h, "limit", *h.Limit, limits))
		return
	}
	if h.Remaining != nil && !anyContains(lefts, *h.Remaining, 0) {
		c.find(rateFinding(HeaderRemaining, r, h, "remaining", *h.Remaining, lefts))
	}
	if h.Reset != nil && c.history.Header.Target.Claims.Reset && !anyContains(resets, *h.Reset, max(h.Resolution, milli)) {
		c.find(rateFinding(HeaderReset, r, h, "reset", *h.Reset, resets))
	}
}

func contains(s Span, v, slack int64) bool { return s.Lo-slack <= v && v <= s.Hi+slack }

func anyContains(spans []Span, v, slack int64) bool {
	for _, s := range spans {
		if contains(s, v, slack) {
			return true
		}
	}
	return len(spans) == 0
}

// countsAs reports whether headers about a dimension may speak of the limit. A
// budget that is settled by usage counts tokens.
func (l *Limit) countsAs(d Dimension) bool {
	return l.Dimension == d || d == Tokens && l.Dimension == Cost && l.Settles
}

// shown is the limit that headers name: the burst, or the window's amount.
func (l *Limit) shown() Span {
	if l.Window == WindowBucket {
		return l.Burst
	}
	return l.Amount
}

// shown bounds what a response may say is left, and the time to full, between
// the decision and the instant at which its head arrived. It is after the
// request's own reservation and before its settlement.
func (c *court) shown(r *Request, s seat) (left, reset Span) {
	ch, _ := s.at()
	a := s.account
	until := max(ch.decided.Lo, earliest(r.HeadersAt, r.Ended))
	within := Between(ch.decided.Lo, until)
	if a.high == nil {
		return Between(0, a.limit.Amount.Hi), Between(0, a.limit.Per)
	}
	lo := a.low.extreme(within)
	hi := a.high.around(ch.decided)
	if !ch.asks {
		hi -= ch.taken.Lo * a.upScale.unit
		if until > ch.decided.Hi {
			if later, found := a.high.after(ch.decided.Hi, until); found {
				hi = max(hi, later)
			}
			hi += a.upScale.refilled(until) - a.upScale.refilled(ch.decided.Hi)
		}
	}
	left = Between(max(0, a.downScale.floor(lo)-1), max(0, a.upScale.ceil(hi)))
	full := func(sc *scale, burst, level int64) int64 { return sc.wait(burst*sc.unit - level) }
	// Who looks at the clock when a request comes says the time from then on.
	early := ch.decided.Hi - r.Sent
	reset = Between(full(&a.upScale, a.limit.Burst.Lo, hi), full(&a.downScale, a.limit.Burst.Hi, lo)+early)
	return left, reset
}

func rateFinding(k Kind, r *Request, h *RateHeader, what string, said int64, want []Span) Finding {
	off := int64(forever)
	var bound int64
	for _, s := range want {
		near := min(max(said, s.Lo), s.Hi)
		if d := abs(said - near); d < off {
			off, bound = d, near
		}
	}
	show := func(v int64) string { return fmt.Sprint(v) }
	if k == HeaderReset {
		show = func(v int64) string { return time.Duration(v).Round(time.Millisecond).String() }
	}
	return Finding{
		Kind: k, Request: r.ID, Step: r.Step, At: max(r.HeadersAt, r.Sent), From: r.Sent, To: max(r.HeadersAt, r.Ended, r.Sent),
		Bound: bound, Tokens: off, Curl: r.Curl,
		Message: fmt.Sprintf("%s: %s %s of %s is %s, possible is %s", r.ID, h.Source, what, h.Dimension, show(said), possible(want, show)),
	}
}

// possible lists spans for people.
func possible(want []Span, show func(int64) string) string {
	var all []string
	for _, s := range want {
		text := show(s.Lo)
		if !s.IsPoint() {
			text += " to " + show(s.Hi)
		}
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return strings.Join(all, ", or ")
}

// judgeReserved compares x-llmlimit-reserved with the largest token hold.
func (c *court) judgeReserved(r *Request, seats []seat) {
	var most, withBudgets Span
	for _, s := range seats {
		held := r.Holds[s.account.charges[s.charge].hold].Reserved
		if s.account.limit.Dimension == Tokens {
			most = most.atLeast(held)
		}
		if s.account.limit.countsAs(Tokens) {
			withBudgets = withBudgets.atLeast(held)
		}
	}
	if v := *r.SaidReserved; !contains(most, v, 0) && !contains(withBudgets, v, 0) {
		f := rateFinding(HeaderReserved, r, &RateHeader{Source: "x-llmlimit", Dimension: Tokens}, "reserved", v, []Span{most})
		c.find(f)
	}
}
