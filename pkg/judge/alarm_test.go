package judge

import "testing"

// daily is a calendar window of 6000 tokens.
func daily() Limit {
	l := minute()
	l.Window, l.Per = WindowCalendar, 86400*sec
	return l
}

func slot() Limit { return Limit{ID: "tpm", Rule: "tpm", Dimension: Concurrency, Amount: Exactly(1)} }

// lasting lets a request be answered, and settled, only at an instant after noon.
func lasting(r Request, until int64) Request {
	r.HeadersAt, r.UsageAt, r.Finished, r.Ended = 0, noon+until, noon+until, noon+until
	return r
}

// costing gives a request another usage.
func costing(r Request, used int64) Request {
	r.Usage = &Usage{In: used}
	return r
}

// ended gives a request an outcome without a usage.
func ended(r Request, o Outcome) Request {
	r.Outcome, r.Usage, r.UsageAt = o, nil, 0
	return r
}

// endedEarly is a stream whose early usage may pass for its last.
func endedEarly(o Outcome) Request {
	r := ended(sent(0, 1000, Admitted), o)
	r.Early, r.EarlyEnds = &Usage{In: 10, Out: 790}, true
	return r
}

// holding lets a request hold an interval.
func holding(r Request, lo, hi int64) Request {
	r.Holds[0].Reserved = Between(lo, hi)
	return r
}

// quiet is a history whose target promises no header.
func quiet(l Limit, requests ...Request) *History {
	h := newHistory(l)
	h.Header.Target.Claims = Claims{}
	h.Requests = requests
	return h
}

// with changes the target of a history.
func with(h *History, change func(*Target)) *History {
	change(&h.Header.Target)
	return h
}

// Each of these was, or would be, a false alarm; where one looks like it and is
// none, it stands beside it.
var alarmCases = []findingCase{
	// What is charged.
	{"a stream that broke off may have told a usage above its reservation", "", 0, func() *History {
		r := ended(sent(0, 1000, Admitted), OutcomeCut)
		r.Early = &Usage{In: 10, Out: 2990}
		return quiet(minute(), r, sent(sec, 4900, Rejected))
	}},
	{"also where nobody knows how the target charges", "", 0, func() *History {
		r := ended(sent(0, 1000, Admitted), OutcomeCut)
		r.Early = &Usage{In: 10, Out: 2990}
		return with(quiet(minute(), r, sent(sec, 4900, Rejected)), func(t *Target) { t.KnownOutcomes = false })
	}},
	{"one told where the stream may end is the usage for all that its reader knows", "", 0, func() *History {
		return quiet(minute(), endedEarly(OutcomeCut), sent(50*ms, 5995, Admitted))
	}},
	{"that may be less than the prompt was taken for, if nobody says how it is charged", "", 0, func() *History {
		r := endedEarly(OutcomeCut)
		r.Holds[0].Prompt = Exactly(100)
		return with(quiet(minute(), r, sent(50*ms, 5995, Admitted)), func(t *Target) { t.KnownOutcomes = false })
	}},
	{"also by who charges what was seen until the client left", WrongfulRejection, 200, func() *History {
		l := minute()
		l.OnDisconnect = DisconnectObserved
		return quiet(l, endedEarly(OutcomeLeft), sent(50*ms, 5005, Rejected))
	}},
	{"but not less than its input", OverAdmission, 1, func() *History {
		return quiet(minute(), endedEarly(OutcomeCut), sent(50*ms, 5996, Admitted))
	}},
	{"one told before any end is not", OverAdmission, 1, func() *History {
		r := endedEarly(OutcomeCut)
		r.EarlyEnds = false
		return quiet(minute(), r, sent(50*ms, 5006, Admitted))
	}},
	{"without one it is kept, and no more", WrongfulRejection, 200, func() *History {
		return quiet(minute(), ended(sent(0, 1000, Admitted), OutcomeCut), sent(sec, 4900, Rejected))
	}},
	{"what was cut may cost no more than its prompt, if nobody says", "", 0, func() *History {
		r := ended(sent(0, 5000, Admitted), OutcomeCut)
		r.Holds[0].Prompt = Exactly(100)
		return with(quiet(minute(), r, sent(sec, 5900, Admitted)), func(t *Target) { t.KnownOutcomes = false })
	}},
	{"a usage that was written before the client left may have been read, also by who does not drain", "", 0, func() *History {
		l := minute()
		l.OnDisconnect = DisconnectKeep
		r := costing(sent(0, 5000, Admitted), 10)
		r.Outcome, r.Left = OutcomeLeft, r.Ended
		return quiet(l, r, sent(sec, 5900, Admitted))
	}},
	{"nor is it certain that it was", "", 0, func() *History {
		l := minute()
		l.OnDisconnect = DisconnectKeep
		r := costing(sent(0, 5000, Admitted), 10)
		r.Outcome, r.Left = OutcomeLeft, r.Ended
		return quiet(l, r, sent(sec, 5900, Rejected))
	}},
	{"a usage at the end of a drain may have been missed", "", 0, func() *History {
		r := costing(lasting(sent(0, 5000, Admitted), 10*sec), 10)
		r.Outcome, r.Left, r.Ended = OutcomeLeft, noon, noon
		return quiet(minute(), r, sent(11*sec, 6000, Rejected))
	}},
	{"a client that left before anything was sent upstream may owe nothing", "", 0, func() *History {
		r := ended(sent(0, 5000, Admitted), OutcomeLeftEarly)
		r.Received, r.Finished, r.Left = 0, 0, r.Ended
		return quiet(minute(), r, sent(sec, 5900, Admitted))
	}},
	{"what a rule with weights counts of a text may be priced, or not", "", 0, func() *History {
		l := minute()
		l.Weights = &Weights{Input: 1000, CachedInput: 1000, CacheWrite: 1000, Output: 3000, Reasoning: 3000}
		r := ended(sent(0, 100, Admitted), OutcomeNoUsage)
		r.Content = Exactly(4000)
		return quiet(l, r, sent(sec, 5000, Rejected))
	}},
	{"a lease that ran out has kept the reservation", "", 0, func() *History {
		r := costing(lasting(sent(0, 6000, Admitted), 60*sec), 0)
		return with(quiet(daily(), r, sent(61*sec, 1, Rejected)), func(t *Target) { t.Lease = 30 * sec })
	}},
	{"and from then on, before the answer ends", "", 0, func() *History {
		r := costing(lasting(sent(0, 6000, Admitted), 60*sec), 9000)
		return with(quiet(minute(), r, sent(59*sec, 5900, Rejected)), func(t *Target) { t.Lease = 30 * sec })
	}},

	// When.
	{"a mock in another process may have seen the request a little later", "", 0, func() *History {
		r := sent(sec, 100, Admitted)
		r.Received, r.HeadersAt = noon+sec-ms, 0
		r.Sent = noon + sec - 10*ms
		r.UsageAt, r.Finished, r.Ended = noon+2*sec, noon+2*sec, noon+2*sec
		return with(quiet(minute(), sent(0, 6000, Admitted), r), func(t *Target) { t.ClockError = ms })
	}},
	{"and have finished it a little later", "", 0, func() *History {
		r := costing(sent(0, 6000, Admitted), 0)
		return with(quiet(minute(), r, sent(ms, 6000, Rejected)), func(t *Target) { t.ClockError = ms })
	}},
	{"or a little earlier", "", 0, func() *History {
		r := costing(lasting(sent(0, 6000, Admitted), sec), 0)
		return with(quiet(minute(), r, sent(sec-ms, 6000, Admitted)), func(t *Target) { t.ClockError = ms })
	}},
	{"a settlement may take as long as is declared", "", 0, func() *History {
		r := costing(sent(0, 6000, Admitted), 0)
		return with(quiet(minute(), r, sent(5*ms, 6000, Rejected)), func(t *Target) { t.SettleDelay = 5 * ms })
	}},
	{"and no longer", WrongfulRejection, 1, func() *History {
		r := costing(sent(0, 6000, Admitted), 0)
		return with(quiet(minute(), r, sent(5*ms+1, 6000, Rejected)), func(t *Target) { t.SettleDelay = 5 * ms })
	}},
	{"it may come as soon as the usage is written, before the answer ends", "", 0, func() *History {
		r := costing(lasting(sent(0, 6000, Admitted), 10*sec), 0)
		r.UsageAt = noon + sec
		return quiet(minute(), r, sent(2*sec, 6000, Admitted))
	}},
	{"without a usage as soon as the mock had it", "", 0, func() *History {
		r := ended(lasting(sent(0, 6000, Admitted), 10*sec), OutcomeServerError)
		return quiet(minute(), r, sent(2*sec, 6000, Admitted))
	}},
	{"what never ended may not be settled yet", "", 0, func() *History {
		r := costing(lasting(sent(0, 6000, Admitted), 10*sec), 0)
		r.Finished = 0
		return with(quiet(minute(), r, sent(30*sec, 6000, Rejected)), func(t *Target) { t.Lease = 0 })
	}},
	{"a client that left before the answer may have been admitted, or not", "", 0, func() *History {
		r := sent(0, 6000, Undecided)
		return quiet(minute(), r, sent(sec, 100, Admitted), sent(2*sec, 5500, Rejected), sent(3*sec, 5500, Admitted))
	}},

	// What is reserved.
	{"a reservation may be as small as its estimate allows", "", 0, func() *History {
		return quiet(minute(), lasting(holding(sent(0, 0, Admitted), 500, 1000), 50*sec), sent(sec, 5600, Admitted))
	}},
	{"and as large", "", 0, func() *History {
		return quiet(minute(), lasting(holding(sent(0, 0, Admitted), 500, 1000), 50*sec), sent(sec, 5500, Rejected))
	}},
	{"who does not say that he reserves may ask for nothing", "", 0, func() *History {
		h := quiet(minute(), sent(0, 6000, Admitted), sent(sec, 6000, Admitted))
		return with(h, func(t *Target) { t.Accounting = AccountingSettleAfter })
	}},
	{"one token more than an overshoot has left", OverAdmission, 1, func() *History {
		return quiet(minute(), costing(sent(0, 1000, Admitted), 6000), sent(sec, 101, Admitted))
	}},
	{"what comes back in an instant was taken in it", OverAdmission, 400, func() *History {
		return quiet(minute(), sent(0, 5000, Admitted), costing(sent(sec, 1000, Admitted), 100), sent(sec, 1500, Admitted))
	}},

	{"half a token too many", OverAdmission, 1, func() *History {
		return quiet(minute(), costing(sent(0, 1000, Admitted), 6000), sent(sec+5*ms, 101, Admitted))
	}},
	{"the traffic of another key that explains nothing", WrongfulRejection, 5900, func() *History {
		h := quiet(minute(), sent(0, 100, Admitted), sent(ms, 100, Rejected))
		h.Requests[1].Holds[0].Key = "other"
		return h
	}},
	{"seven at once of which only six fit", OverAdmission, 1, func() *History {
		h := quiet(minute(), lasting(sent(0, 1, Admitted), sec))
		for i := range int64(6) {
			r := lasting(sent(0, 1000, Admitted), sec)
			r.ID = string(rune('a' + i))
			h.Requests = append(h.Requests, r)
		}
		return h
	}},
	{"two at once, after others of which it is not known what they held", OverAdmission, 20, func() *History {
		h := quiet(minute(), sent(sec, 60, Admitted), sent(sec, 60, Admitted))
		for i := range int64(12) { // 500 each were charged: 500 or more had been held
			r := costing(lasting(holding(sent(0, 0, Admitted), 500, 1000), sec/2), 500)
			r.ID = string(rune('a' + i))
			h.Requests = append(h.Requests, r)
		}
		return h
	}},

	// How much, within bounds.
	{"a rate that is known within bounds may be the least", "", 0, func() *History {
		l := minute()
		l.Amount = Between(3000, 6000)
		return quiet(l, sent(0, 6000, Admitted), sent(sec, 51, Rejected))
	}},
	{"or the most", "", 0, func() *History {
		l := minute()
		l.Amount = Between(3000, 6000)
		return quiet(l, sent(0, 6000, Admitted), sent(sec, 100, Admitted))
	}},
	{"a burst likewise", "", 0, func() *History {
		l := minute()
		l.Burst = Between(5000, 6000)
		return quiet(l, sent(0, 5001, Rejected), sent(sec, 6000, Admitted))
	}},
	{"a tolerance makes every limit a little smaller", "", 0, func() *History {
		h := quiet(minute(), sent(0, 6000, Admitted), sent(sec, 96, Rejected), sent(200*sec, 5800, Rejected))
		return with(h, func(t *Target) { t.TolerancePPM = 50_000 })
	}},
	{"and a little larger", "", 0, func() *History {
		h := quiet(minute(), sent(0, 6300, Admitted), sent(sec, 105, Admitted))
		return with(h, func(t *Target) { t.TolerancePPM = 50_000 })
	}},
	{"also a large one", "", 0, func() *History {
		l := minute()
		l.Amount = Exactly(60_000_000)
		h := quiet(l, sent(0, 6300, Admitted), sent(ms, 1050, Admitted))
		return with(h, func(t *Target) { t.TolerancePPM = 50_000 })
	}},
	{"a rate that is as good as none", "", 0, func() *History {
		l := minute()
		l.Amount = Exactly(1<<64/million + 1)
		return quiet(l, sent(0, 6000, Admitted), sent(ms, 6000, Admitted))
	}},
	{"and no more", OverAdmission, 1, func() *History {
		h := quiet(minute(), sent(0, 6301, Admitted))
		return with(h, func(t *Target) { t.TolerancePPM = 50_000 })
	}},

	// Retroactive refunds.
	{"where a replay stops at the debt floor, nobody sees", "", 0, func() *History {
		h := indebted(DebtFloorBurst, Rejected, 121*sec, 6000)
		h.Header.Limits[0].Refund = RefundRetroactive
		return h
	}},
	{"a refund in retrospect may not have come yet", "", 0, func() *History {
		l := minute()
		l.Refund = RefundRetroactive
		r := costing(lasting(sent(0, 1000, Admitted), 10*sec), 10)
		r.UsageAt = noon + sec
		return quiet(l, r, sent(2*sec, 5900, Rejected))
	}},
	{"or have", "", 0, func() *History {
		l := minute()
		l.Refund = RefundRetroactive
		r := costing(lasting(sent(0, 5000, Admitted), 10*sec), 10)
		r.UsageAt = noon + sec
		return quiet(l, r, sent(2*sec, 5900, Admitted))
	}},

	{"an overshoot of before a reload may have been cut off by it", "", 0, func() *History {
		return inRetrospect(1000, costing(lasting(sent(0, 1000, Admitted), 20*sec), 2000), sent(21*sec, 1000, Admitted))
	}},
	{"also a refund", "", 0, func() *History {
		return inRetrospect(1000, costing(lasting(sent(0, 6000, Admitted), 20*sec), 0),
			sent(11*sec, 1000, Admitted), sent(20*sec+ms, 950, Rejected))
	}},
	{"or not, with a larger burst", "", 0, func() *History {
		return inRetrospect(8000, costing(lasting(sent(0, 6000, Admitted), 20*sec), 0), sent(21*sec, 7100, Admitted))
	}},
	{"what is taken after it is known", OverAdmission, 1, func() *History {
		return inRetrospect(1000, costing(lasting(sent(0, 1000, Admitted), 20*sec), 2000), sent(11*sec, 1000, Admitted), sent(12*sec, 101, Admitted))
	}},

	// Several limits, other limits.
	{"a limit of one side of the usage may be the reason, and nothing is said of it", "", 0, func() *History {
		r, err := ReadRules([]byte("limits: [ { name: tpm, dimension: tokens, amount: 6000, per: 60s, window: bucket }, { name: a, dimension: input, amount: 1, per: 60s } ]"), RulesOptions{})
		if err != nil {
			return quiet(minute(), sent(0, 6001, Admitted)) // which is a finding
		}
		h := quiet(minute(), sent(0, 100, Rejected), sent(sec, 100, Admitted))
		h.Header.Limits = r.Limits()
		for i := range h.Requests {
			h.Requests[i].Holds = append(h.Requests[i].Holds, Hold{Limit: "a", Key: "k", Reserved: Exactly(100)})
		}
		return h
	}},
	{"a limit of which nothing is known may be the reason", "", 0, func() *History {
		h := quiet(minute(), sent(0, 100, Rejected))
		h.Header.Limits = append(h.Header.Limits, Limit{ID: "dark", Dimension: Tokens})
		h.Requests[0].Holds = append(h.Requests[0].Holds, Hold{Limit: "dark", Key: "k", Reserved: Exactly(100)})
		return h
	}},
	{"one full limit of two is reason enough", "", 0, func() *History {
		h := quiet(minute(), sent(0, 100, Admitted), sent(sec, 100, Rejected))
		other := minute()
		other.ID, other.Rule, other.Burst = "small", "small", Exactly(100)
		other.Amount = Exactly(60)
		h.Header.Limits = append(h.Header.Limits, other)
		for i := range h.Requests {
			h.Requests[i].Holds = append(h.Requests[i].Holds, Hold{Limit: "small", Key: "k", Reserved: Exactly(100)})
		}
		return h
	}},
	{"one limit of two that may be full is reason enough", "", 0, func() *History {
		h := quiet(minute(), sent(0, 100, Admitted), sent(sec, 100, Rejected))
		other := minute()
		other.ID, other.Rule, other.Burst, other.Amount = "small", "small", Between(100, 300), Exactly(60)
		h.Header.Limits = append(h.Header.Limits, other)
		for i := range h.Requests {
			h.Requests[i].Holds = append(h.Requests[i].Holds, Hold{Limit: "small", Key: "k", Reserved: Exactly(100)})
		}
		return h
	}},
	{"a ceiling that may have been passed may be the reason", "", 0, func() *History {
		h := quiet(minute(), sent(0, 100, Rejected))
		h.Requests[0].Holds[0].Permanent = Maybe
		return h
	}},
	{"a check without state may be the reason", "", 0, func() *History {
		h := quiet(minute(), sent(0, 100, Rejected))
		h.Requests[0].Guarded, h.Requests[0].Reason = true, "circuit_open"
		return h
	}},
	{"unless the target names the limit", WrongfulRejection, 5900, func() *History {
		h := quiet(minute(), sent(0, 100, Rejected))
		h.Requests[0].Guarded, h.Requests[0].Reason = true, "tpm_exceeded"
		return h
	}},

	// Reloads.
	{"what was reserved before a reload comes back after it", "", 0, func() *History {
		return reloaded(costing(lasting(sent(0, 6000, Admitted), 20*sec), 0), sent(21*sec, 6000, Admitted))
	}},
	{"and is owed after it", "", 0, func() *History {
		return reloaded(costing(lasting(sent(0, 1000, Admitted), 20*sec), 6000), sent(21*sec, 2000, Rejected))
	}},
	{"and long after it", "", 0, func() *History {
		return reloaded(costing(lasting(sent(0, 1000, Admitted), 140*sec), 7000), sent(141*sec, 2000, Rejected))
	}},
	{"what comes back after it may be spent", "", 0, func() *History {
		h := reloaded(costing(lasting(sent(0, 6000, Admitted), 20*sec), 0), sent(11*sec, 6000, Admitted), sent(21*sec, 6000, Admitted))
		return h
	}},
	{"a window that had begun before it may be spent", "", 0, func() *History {
		l := daily()
		l.ID, l.From = "tpm@1", noon+10*sec
		h := quiet(daily(), sent(11*sec, 100, Rejected))
		h.Header.Limits = append(h.Header.Limits, l)
		h.Requests[0].Holds[0].Limit = "tpm@1"
		return h
	}},
	{"nobody knows how full an account is after a reload", "", 0, func() *History {
		return reloaded(sent(0, 6000, Admitted), sent(11*sec, 5000, Rejected))
	}},
	{"nor how full it was before the first look, where it is said so", "", 0, func() *History {
		return with(quiet(minute(), sent(0, 100, Rejected)), func(t *Target) { t.UsedAccounts = true })
	}},
	{"nor a window of it", "", 0, func() *History {
		return with(quiet(daily(), sent(0, 100, Rejected)), func(t *Target) { t.UsedAccounts = true })
	}},
	{"what is owed under a limit of another kind is not owed under its successor", "", 0, func() *History {
		h := reloaded(costing(lasting(sent(0, 1000, Admitted), 20*sec), 9000), sent(21*sec, 3000, Admitted))
		h.Header.Limits[1].Dimension = Requests
		return h
	}},
	{"nor is it certain under one of the same kind that comes later", "", 0, func() *History {
		return between(reloaded(costing(lasting(sent(0, 1000, Admitted), 20*sec), 9000), sent(21*sec, 3000, Admitted)))
	}},
	{"but it may be", "", 0, func() *History {
		return between(reloaded(costing(lasting(sent(0, 1000, Admitted), 140*sec), 9000), sent(141*sec, 3000, Rejected)))
	}},
	{"without another kind in between it is", OverAdmission, 4900, func() *History {
		return reloaded(costing(lasting(sent(0, 1000, Admitted), 20*sec), 9000), sent(21*sec, 3000, Admitted))
	}},
	{"the ledger of a rule that became another kind of limit is not compared", "", 0, func() *History {
		h := quiet(minute(), sent(0, 1000, Admitted))
		l := daily()
		l.ID, l.From = "tpm@1", noon+10*sec
		h.Header.Limits = append(h.Header.Limits, l)
		h.Ledger = []LedgerEntry{{At: noon + sec, Limit: "tpm", Key: "k"}}
		return h
	}},
	{"that of one that went on is", Conservation, 1000, func() *History {
		h := quiet(minute(), sent(0, 1000, Admitted))
		l := minute()
		l.ID, l.From = "tpm@1", noon+10*sec
		h.Header.Limits = append(h.Header.Limits, l)
		h.Ledger = []LedgerEntry{{At: noon + sec, Limit: "tpm", Key: "k"}}
		return h
	}},

	// Windows.
	{"who may have been decided in the new window fits there", "", 0, func() *History {
		return quiet(daily(), straddling(6000, 6000, Admitted)...)
	}},
	{"who may have been rejected in the old window did not fit there", "", 0, func() *History {
		return quiet(daily(), straddling(6000, 0, Rejected)...)
	}},
	{"who fits in both was rejected for nothing", WrongfulRejection, 100, func() *History {
		return quiet(daily(), straddling(5800, 5800, Rejected)...)
	}},
	{"who may have been decided in the old window is not charged to the new one", "", 0, func() *History {
		all := straddling(0, 0, Admitted)[2:]
		all[0].Holds[0].Reserved, all[0].Usage = Exactly(6000), &Usage{In: 6000}
		return quiet(daily(), all[0], sent(12*3600*sec+10*sec, 6000, Admitted))
	}},
	{"seven at once of which only six fit into a window", OverAdmission, 1, func() *History {
		h := quiet(daily(), lasting(sent(0, 1, Admitted), sec))
		for i := range int64(6) {
			r := lasting(sent(0, 1000, Admitted), sec)
			r.ID = string(rune('a' + i))
			h.Requests = append(h.Requests, r)
		}
		return h
	}},
	{"an overshoot may not be charged yet, or be", "", 0, func() *History {
		r := costing(lasting(sent(0, 1000, Admitted), 10*sec), 6000)
		r.UsageAt = noon + sec
		return quiet(daily(), r, sent(2*sec, 5000, Admitted), sent(3*sec, 1, Rejected))
	}},
	{"a refund may not have come yet", "", 0, func() *History {
		r := costing(lasting(sent(0, 6000, Admitted), 10*sec), 1000)
		r.UsageAt = noon + sec
		return quiet(daily(), r, sent(2*sec, 100, Rejected))
	}},
	{"or have", "", 0, func() *History {
		r := costing(lasting(sent(0, 6000, Admitted), 10*sec), 1000)
		r.UsageAt = noon + sec
		return quiet(daily(), r, sent(2*sec, 5000, Admitted), sent(3*sec, 1, Rejected))
	}},
	{"what a refund made room for may be taken", "", 0, func() *History {
		return quiet(daily(), costing(sent(0, 6000, Admitted), 1000), sent(sec, 5000, Admitted))
	}},
	{"weeks begin on Monday", "", 0, func() *History {
		l := daily()
		l.Per *= 7 // noon is that of a Wednesday
		return quiet(l, sent(0, 6000, Admitted), sent(5*86400*sec, 6000, Admitted))
	}},
	{"and not before", OverAdmission, 6000, func() *History {
		l := daily()
		l.Per *= 7
		return quiet(l, sent(0, 6000, Admitted), sent(4*86400*sec, 6000, Admitted))
	}},

	// Slots.
	{"a target that gave up by itself freed the slot before anybody heard of it", "", 0, func() *History {
		return quiet(slot(), ended(lasting(sent(0, 1, Admitted), 10*sec), OutcomeTimeout), lasting(sent(9*sec, 1, Admitted), 11*sec))
	}},
	{"so did one that cut the stream", "", 0, func() *History {
		return quiet(slot(), ended(lasting(sent(0, 1, Admitted), 10*sec), OutcomeCutByTarget), lasting(sent(9*sec, 1, Admitted), 11*sec))
	}},
	{"what the mock never saw the end of may have ended", "", 0, func() *History {
		r := lasting(sent(0, 1, Admitted), 10*sec)
		r.Finished = 0
		return quiet(slot(), r, lasting(sent(9*sec, 1, Admitted), 11*sec))
	}},
	{"a slot is taken when the mock has the request, not when it was sent", "", 0, func() *History {
		r := lasting(sent(0, 1, Admitted), 10*sec)
		r.Received = noon + 9*sec
		return quiet(slot(), r, lasting(sent(sec, 1, Admitted), 8*sec))
	}},
	{"two at once in one slot", OverAdmission, 1, func() *History {
		h := quiet(slot(), lasting(sent(0, 1, Admitted), sec), lasting(sent(0, 1, Admitted), sec))
		h.Requests[1].ID = "other"
		return h
	}},
	{"a slot is held on both sides of a reload", "", 0, func() *History {
		return ofSlots(1, reloaded(lasting(sent(0, 1, Admitted), 20*sec), sent(11*sec, 1, Rejected)))
	}},
	{"against who comes after it", OverAdmission, 1, func() *History {
		return ofSlots(1, reloaded(lasting(sent(0, 1, Admitted), 20*sec), sent(11*sec, 1, Admitted)))
	}},
	{"and no longer than before", WrongfulRejection, 1, func() *History {
		return ofSlots(1, reloaded(lasting(sent(0, 1, Admitted), 10*sec+ms), sent(11*sec, 1, Rejected)))
	}},
	{"what a smaller limit finds in flight is no fault of its", "", 0, func() *History {
		return ofSlots(1, reloaded(lasting(sent(0, 1, Admitted), 12*sec), lasting(sent(ms, 1, Admitted), 13*sec), sent(14*sec, 1, Admitted)))
	}},
	{"what it admits beside that is", OverAdmission, 2, func() *History {
		return ofSlots(1, reloaded(lasting(sent(0, 1, Admitted), 20*sec), lasting(sent(ms, 1, Admitted), 20*sec), sent(14*sec, 1, Admitted)))
	}},
	{"a slot of before a limit of another kind may be free", "", 0, func() *History {
		return between(ofSlots(1, reloaded(lasting(sent(0, 1, Admitted), 20*sec), sent(11*sec, 1, Admitted))))
	}},
	{"or not", "", 0, func() *History {
		return between(ofSlots(1, reloaded(lasting(sent(0, 1, Admitted), 20*sec), sent(11*sec, 1, Rejected))))
	}},
	{"a drain holds no slot", WrongfulRejection, 1, func() *History {
		r := lasting(sent(0, 1, Admitted), 5*sec)
		r.Outcome, r.Left, r.Ended = OutcomeLeft, noon+sec, noon+sec
		return quiet(slot(), r, sent(2*sec, 1, Rejected))
	}},
	{"unless nobody knows what it does", "", 0, func() *History {
		r := lasting(sent(0, 1, Admitted), 5*sec)
		r.Outcome, r.Left, r.Ended = OutcomeLeft, noon+sec, noon+sec
		return with(quiet(slot(), r, sent(2*sec, 1, Rejected)), func(t *Target) { t.KnownOutcomes = false })
	}},
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	for _, c := range alarmCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}
