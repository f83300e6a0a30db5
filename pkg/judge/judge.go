package judge

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Judge judges a history. It does not change it, and the same history always
// gives the same report.
func Judge(h *History) *Report {
	c := &court{
		history: h, report: &Report{Cell: h.Header.Cell}, end: endOf(h),
		requests: make([]standing, len(h.Requests)), listed: map[Kind]int{},
	}
	c.accounts = accounts(h)
	for n, a := range c.accounts {
		c.judgeAccount(int32(n), a)
	}
	for i := range h.Requests {
		c.judgeRequest(i)
	}
	c.judgeTogether()
	c.judgeIsolation()
	c.judgeHeaders()
	c.judgeUpstream()
	c.judgeLedger()
	c.summarise()
	return c.report
}

// court is one judgement under way.
type court struct {
	history  *History
	report   *Report
	end      int64
	accounts []*account
	requests []standing
	listed   map[Kind]int
	// strays are wrongful rejections, by account, that another key may explain.
	strays []stray
}

// standing is what all accounts together say of one request.
type standing struct {
	holds, silent int32 // accounts with a verdict, and without
	lacks, fits   int32 // accounts where it certainly did not fit, and did
	worst         int32 // account of the largest lack, or of the smallest spare
	charge        int32
	lack, spare   int64
	over          bool
}

type stray struct {
	account, charge int32
	finding         Finding
}

// endOf is the instant after which nothing was observed.
func endOf(h *History) int64 {
	end := max(h.Header.End, h.Header.Start)
	for i := range h.Requests {
		r := &h.Requests[i]
		end = max(end, r.Sent, r.Received, r.UsageAt, r.Finished, r.Ended, r.Left)
	}
	return end
}

// judgeAccount gives verdicts on one account and adds them to its requests.
func (c *court) judgeAccount(n int32, a *account) {
	h := &c.history.Header
	known := true
	switch {
	case a.limit.Dimension == Concurrency:
		a.judgeConcurrency(c.history)
	case a.limit.Window == WindowBucket:
		known = a.judgeBucket(h, c.end)
	case a.limit.Window == WindowCalendar && a.limit.Per > 0:
		a.judgeCalendar(h)
	case a.limit.Per > 0:
		a.judgeAnyWindow(h)
	default:
		known = false
	}
	if !known {
		c.note(Finding{
			Kind: NotJudged, Limit: a.limit.ID, Key: a.key, At: h.Start,
			Message: fmt.Sprintf("limit %s is not judged: its window or its amounts are out of reach", a.limit.ID),
		})
	}
	for i := range a.charges {
		ch := &a.charges[i]
		if ch.prior {
			continue
		}
		s := &c.requests[ch.request]
		if !known {
			s.silent++
			continue
		}
		s.add(n, int32(i), ch, &a.verdicts[i])
	}
}

// add takes the verdict of one more account.
func (s *standing) add(account, charge int32, c *charge, v *verdict) {
	s.holds++
	spare := v.least - c.demand.Hi
	if v.lack > 0 {
		s.lacks++
		if v.lack > s.lack {
			s.lack, s.worst, s.charge = v.lack, account, charge
		}
	}
	if v.fits {
		s.fits++
		if s.lack == 0 && (s.fits == 1 || spare < s.spare) {
			s.spare, s.worst, s.charge = spare, account, charge
		}
	}
}

// judgeRequest combines the accounts: an admission is wrong if some limit
// certainly had no room, a rejection if all of them certainly had.
func (c *court) judgeRequest(i int) {
	r, s, t := &c.history.Requests[i], &c.requests[i], &c.report.Totals
	t.Requests++
	permanent := permanence(r)
	switch r.Decision {
	case Admitted:
		t.Admitted++
		switch {
		case s.lacks > 0:
			s.over = true
			c.overAdmission(i)
		case permanent == Yes:
			s.over = true
			c.find(Finding{
				Kind: OverAdmission, Request: r.ID, Step: r.Step, At: r.Sent, Curl: r.Curl, Tokens: 1,
				Message: fmt.Sprintf("%s was admitted above a ceiling that no wait can lift", r.ID),
			})
			t.OverAdmissions++
		case s.holds == 0:
			t.Unjudged++
		case s.silent == 0 && s.fits == s.holds:
			t.Right++
		default:
			t.Undecidable++
		}
	case Rejected:
		t.Rejected++
		switch {
		case s.lacks > 0 || permanent == Yes:
			t.Right++
		case c.excused(r):
			t.Undecidable++
		case s.holds+s.silent == 0 && !c.history.Header.Target.KnownOutcomes,
			len(c.history.Header.Limits) == 0:
			t.Unjudged++
		case s.silent == 0 && s.fits == s.holds && permanent == No:
			c.wrongful(i)
		default:
			t.Undecidable++
		}
	case Undecided, Refused:
		t.Unjudged++
	}
}

// permanence is the strongest of the holds.
func permanence(r *Request) Certainty {
	p := No
	for i := range r.Holds {
		switch r.Holds[i].Permanent {
		case Yes:
			return Yes
		case Maybe:
			p = Maybe
		case No:
		}
	}
	return p
}

// reasons of the critical section (semantics.md 2): what says one of these was
// not rejected by a check without state.
var sectionReasons = []string{
	"tpm_exceeded", "tpd_exceeded", "rate_limit_exceeded", "budget_exceeded", "concurrency_exceeded",
}

// excused: something that keeps no account may have rejected it.
func (c *court) excused(r *Request) bool {
	return r.Guarded && !slices.Contains(sectionReasons, r.Reason)
}

func (c *court) overAdmission(i int) {
	r, s := &c.history.Requests[i], &c.requests[i]
	a := c.accounts[s.worst]
	v, ch := &a.verdicts[s.charge], &a.charges[s.charge]
	f := c.finding(OverAdmission, a, ch, v.most, v.lack)
	if a.high != nil {
		c.prove(&f, a.high, ch.decided)
	}
	f.Message = fmt.Sprintf("%s was admitted for %s with at most %d left of %s: %d too many",
		r.ID, ch.demand, v.most, name(a), v.lack)
	c.find(f)
	c.report.Totals.OverAdmissions++
	a.over = max(a.over, v.lack)
}

func (c *court) wrongful(i int) {
	r, s := &c.history.Requests[i], &c.requests[i]
	c.report.Totals.WrongfulRejections++
	if s.holds == 0 {
		c.find(Finding{
			Kind: WrongfulRejection, Request: r.ID, Step: r.Step, At: r.Sent, Curl: r.Curl, Tokens: 1,
			Message: fmt.Sprintf("%s was rejected, and no limit binds it", r.ID),
		})
		return
	}
	a := c.accounts[s.worst]
	v, ch := &a.verdicts[s.charge], &a.charges[s.charge]
	// The target saw less than was asked for: one token is missing even if it fitted
	// exactly.
	missing := max(1, s.spare)
	f := c.finding(WrongfulRejection, a, ch, v.least, missing)
	if a.low != nil {
		c.prove(&f, a.low, ch.decided)
	}
	f.Message = fmt.Sprintf("%s was rejected for %s with at least %d left of %s: %d missing",
		r.ID, ch.demand, v.least, name(a), missing)
	a.leak = max(a.leak, missing)
	c.strays = append(c.strays, stray{s.worst, s.charge, f})
}

// judgeTogether reports sets of admissions that are only wrong together.
func (c *court) judgeTogether() {
	for _, a := range c.accounts {
		for _, x := range a.together {
			ch := &a.charges[x.charge]
			s := &c.requests[ch.request]
			if s.over {
				continue // it has been found already
			}
			s.over = true
			r := &c.history.Requests[ch.request]
			f := c.finding(OverAdmission, a, ch, 0, x.tokens)
			f.At, f.From, f.To, f.Events = x.to, x.from, x.to, x.events
			if a.high != nil {
				f.Events = a.high.count(Between(x.from, x.to))
			}
			f.Message = fmt.Sprintf("%s and what was admitted with it do not fit into %s together: %d too many",
				r.ID, name(a), x.tokens)
			c.find(f)
			c.report.Totals.OverAdmissions++
			if s.silent == 0 && s.fits == s.holds {
				c.report.Totals.Right--
			} else {
				c.report.Totals.Undecidable--
			}
			a.over = max(a.over, x.tokens)
		}
	}
}

// judgeIsolation lists the wrongful rejections. One that would have been right
// had the other keys' traffic been charged to this account is a leak between keys.
func (c *court) judgeIsolation() {
	merged := map[*Limit]*account{}
	for _, s := range c.strays {
		a := c.accounts[s.account]
		if c.othersExplain(merged, a, s.charge) {
			s.finding.Kind = Isolation
			s.finding.Message += "; the traffic of other keys would explain it"
		}
		c.find(s.finding)
	}
}

// othersExplain judges a rejection again in one account of all keys.
func (c *court) othersExplain(merged map[*Limit]*account, a *account, n int32) bool {
	if a.limit.Window != WindowBucket || c.listed[Isolation] >= MaxFindings {
		return false
	}
	all := merged[a.limit]
	if all == nil {
		all = &account{limit: a.limit}
		keys := 0
		for _, o := range c.accounts {
			if o.limit == a.limit {
				keys++
				all.charges = append(all.charges, o.charges...)
			}
		}
		if keys > 1 {
			slices.SortStableFunc(all.charges, func(x, y charge) int { return cmp.Compare(x.request, y.request) })
			all.judgeBucket(&c.history.Header, c.end)
		}
		merged[a.limit] = all
	}
	if len(all.verdicts) == 0 {
		return false
	}
	i, found := slices.BinarySearchFunc(all.charges, a.charges[n].request, func(x charge, r int32) int {
		return cmp.Compare(x.request, r)
	})
	return found && all.verdicts[i].lack > 0
}

// finding fills in what every finding about an account has.
func (c *court) finding(k Kind, a *account, ch *charge, bound, tokens int64) Finding {
	r := &c.history.Requests[ch.request]
	return Finding{
		Kind: k, Request: r.ID, Step: r.Step, Limit: a.limit.ID, Key: a.key,
		At: ch.decided.Lo, From: ch.decided.Lo, To: min(ch.decided.Hi, c.end),
		Bound: bound, Tokens: tokens, Curl: r.Curl,
	}
}

// prove adds the smallest stretch of the history that shows it.
func (c *court) prove(f *Finding, s *series, decided Span) {
	if c.listed[f.Kind] >= MaxFindings {
		return
	}
	stretch := s.proof(decided)
	f.From, f.To, f.Events, f.At = stretch.Lo, stretch.Hi, s.count(stretch), stretch.Hi
}

// find lists a finding, up to [MaxFindings] of its kind.
func (c *court) find(f Finding) {
	if c.listed[f.Kind]++; c.listed[f.Kind] > MaxFindings {
		c.report.Dropped++
		return
	}
	c.report.Findings = append(c.report.Findings, f)
}

// note lists what proves nothing.
func (c *court) note(f Finding) {
	kind := "note " + f.Kind
	if c.listed[kind]++; c.listed[kind] > MaxFindings {
		c.report.Dropped++
		return
	}
	c.report.Notes = append(c.report.Notes, f)
}

func name(a *account) string {
	if a.key == "" {
		return a.limit.ID
	}
	return fmt.Sprintf("%s of %q", a.limit.ID, shown(a.key))
}

// shown is a key for people: the values of the tuple, without their lengths.
func shown(key string) string {
	var values []string
	for rest := key; rest != ""; {
		digits, after, ok := strings.Cut(rest, ":")
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n < 0 || n > len(after) {
			return key // an identity that is no tuple
		}
		values = append(values, after[:n])
		rest = after[n:]
	}
	return strings.Join(values, ", ")
}

// summarise adds up the accounts and orders the findings.
func (c *court) summarise() {
	t := &c.report.Totals
	largest := make([]*charge, len(c.requests))
	for _, a := range c.accounts {
		ar := AccountReport{
			Limit: a.limit.ID, Key: a.key, Dimension: a.limit.Dimension,
			OverAdmitted: a.over, WronglyRejected: a.leak, Level: a.levels,
		}
		for i := range a.charges {
			ch := &a.charges[i]
			ar.Requests++
			if ch.asks || ch.prior {
				continue
			}
			ar.Reserved, ar.Charged = ar.Reserved.plus(ch.taken), ar.Charged.plus(ch.actual)
			if l := largest[ch.request]; a.limit.Dimension == Tokens && (l == nil || ch.taken.Hi > l.taken.Hi) {
				largest[ch.request] = ch
			}
		}
		ar.Burstiness = a.burstiness()
		c.report.Accounts = append(c.report.Accounts, ar)
		if a.limit.Dimension == Tokens {
			t.OverAdmitted += a.over
			t.WronglyRejected += a.leak
		}
	}
	for _, ch := range largest {
		if ch != nil {
			t.Reserved, t.Charged = t.Reserved.plus(ch.taken), t.Charged.plus(ch.actual)
		}
	}
	order := func(x, y Finding) int {
		return cmp.Or(cmp.Compare(x.Kind.weight(), y.Kind.weight()), cmp.Compare(x.At, y.At), cmp.Compare(x.Kind, y.Kind),
			cmp.Compare(x.Request, y.Request), cmp.Compare(x.Limit, y.Limit), cmp.Compare(x.Key, y.Key), cmp.Compare(x.Message, y.Message))
	}
	slices.SortStableFunc(c.report.Findings, order)
	slices.SortStableFunc(c.report.Notes, order)
}

// burstRates are the points of the burstiness curve, as shares of the rate.
var burstRates = []int64{500_000, 750_000, 900_000, 1_000_000, 1_100_000, 1_250_000, 1_500_000, 2_000_000}

// burstiness is the curve of what was truly charged.
func (a *account) burstiness() []BurstPoint {
	l := a.limit
	if l.Window != WindowBucket || l.Dimension == Concurrency || l.AmountMicro || l.Per <= 0 {
		return nil
	}
	if len(a.charges) > 20_000 {
		return nil // a plot of a run this long is drawn from its samples
	}
	var arrivals []Arrival
	for i := range a.charges {
		if c := &a.charges[i]; !c.asks && !c.prior && c.judged {
			arrivals = append(arrivals, Arrival{c.decided, c.actual.Lo})
		}
	}
	if len(arrivals) == 0 {
		return nil
	}
	out := make([]BurstPoint, 0, len(burstRates))
	for _, ppm := range burstRates {
		burst, _ := Burst(arrivals, perMillion(l.Amount.Lo, ppm-1_000_000), l.Per)
		out = append(out, BurstPoint{RatePPM: ppm, Burst: burst})
	}
	return out
}
