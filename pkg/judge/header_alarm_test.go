package judge

import "testing"

// told is a history of one request of 1000 and what its answer said of a limit.
func told(limit, remaining, reset int64) *History {
	h := newHistory(minute())
	h.Requests = []Request{sent(0, 1000, Admitted)}
	h.Requests[0].Rates = []RateHeader{{
		Source: "openai", Dimension: Tokens, Limit: &limit, Remaining: &remaining, Reset: &reset, Resolution: ms,
	}}
	return h
}

// budget is a limit in cost that is settled by usage, as large as a window of tokens.
func budget() Limit {
	l := daily()
	l.ID, l.Rule, l.Dimension = "budget", "budget", Cost
	return l
}

// twice lets every request of a history hold its reservation in a second limit too.
func twice(h *History, l Limit) *History {
	h.Header.Limits = append(h.Header.Limits, l)
	for i := range h.Requests {
		r := &h.Requests[i]
		r.Holds = append(r.Holds, Hold{Limit: l.ID, Key: r.Holds[0].Key, Reserved: r.Holds[0].Reserved})
	}
	return h
}

// waiting is a history with a rejection that lacks 150 tokens, which are there in
// 1.5 s, and is told to wait.
func waiting(seconds int64) *History {
	h := newHistory(minute())
	h.Requests = []Request{sent(0, 6000, Admitted), sent(sec, 250, Rejected)}
	h.Requests[1].Retry = &RetryAfter{Seconds: &seconds}
	return h
}

// What headers say is held against the target only where nothing else explains it.
var headerAlarmCases = []findingCase{
	{"what is told right", "", 0, func() *History { return told(6000, 5000, 10*sec) }},
	{"a token less, for rounding", "", 0, func() *History { return told(6000, 4999, 10*sec) }},
	{"too little is told to be left", HeaderRemaining, 999, func() *History { return told(6000, 4000, 10*sec) }},
	{"of another reset nothing was promised", "", 0, func() *History {
		return with(told(6000, 5000, 60*sec), func(t *Target) { t.Claims.Reset = false })
	}},
	{"of headers nothing was promised", "", 0, func() *History {
		return with(told(1, 1, 1), func(t *Target) { t.Claims.RateHeaders = false })
	}},
	{"what is left may be told before or after others came and went", "", 0, func() *History {
		h := told(6000, 3000, 30*sec)
		h.Requests[0] = lasting(h.Requests[0], 2*sec)
		h.Requests[0].HeadersAt = noon + 2*sec
		h.Requests = append(h.Requests, lasting(sent(0, 2000, Admitted), 3*sec))
		h.Requests[1].ID = "other"
		return h
	}},
	{"headers about tokens may speak of a budget that usage settles", "", 0, func() *History {
		return twice(told(9000, 8000, 10*sec), func() Limit { l := budget(); l.Amount = Exactly(9000); return l }())
	}},
	{"but of no other budget", HeaderLimit, 3000, func() *History {
		return twice(told(9000, 8000, 10*sec), func() Limit { l := budget(); l.Amount, l.Settles = Exactly(9000), false; return l }())
	}},
	{"a limit that is another's is not compared with what this one has left", "", 0, func() *History {
		l := minute()
		l.ID, l.Burst = "other", Between(9000, 9100)
		return twice(told(9050, 8050, 10*sec), l)
	}},
	{"the largest hold may be a budget's", "", 0, func() *History {
		h := twice(told(6000, 5000, 10*sec), budget())
		h.Requests[0].Holds[1].Reserved = Exactly(3000)
		h.Requests[0].SaidReserved = new(int64(3000))
		return h
	}},
	{"or the tokens' alone", "", 0, func() *History {
		h := twice(told(6000, 5000, 10*sec), budget())
		h.Requests[0].Holds[1].Reserved = Exactly(3000)
		h.Requests[0].SaidReserved = new(int64(1000))
		return h
	}},

	{"the wait is rounded up", "", 0, func() *History { return waiting(2) }},
	{"and no further", RetryTooLate, sec, func() *History { return waiting(3) }},
	{"unless jitter is declared", "", 0, func() *History {
		return with(waiting(3), func(t *Target) { t.Claims.RetryJitter = sec })
	}},
	{"a longer wait is worth a note where no exact one is promised", "", 0, func() *History {
		return with(waiting(60), func(t *Target) { t.Claims.ExactRetryAfter = false })
	}},
	{"a shorter one is wrong all the same", RetryTooEarly, sec / 2, func() *History {
		return with(waiting(1), func(t *Target) { t.Claims.ExactRetryAfter = false })
	}},
	{"a date says it too", "", 0, func() *History {
		h := waiting(0)
		h.Requests[1].Retry = &RetryAfter{Date: noon + 3*sec}
		return h
	}},
	{"one that comes before the tokens", RetryTooEarly, sec / 2, func() *History {
		h := waiting(0)
		h.Requests[1].Retry = &RetryAfter{Date: noon + 2*sec}
		return h
	}},
	{"a date counts from the decision, however late it is read", "", 0, func() *History {
		h := waiting(0)
		h.Requests[1].Retry = &RetryAfter{Date: noon + 3*sec}
		h.Requests[1].HeadersAt, h.Requests[1].Ended = noon+5*sec/2, noon+5*sec/2
		return h
	}},
	{"a wait is too short also when the answer took its time", RetryTooEarly, sec / 10, func() *History {
		h := waiting(1) // at 1.4 s, when it was decided at the latest, 110 were missing
		h.Requests[1].HeadersAt, h.Requests[1].Ended = noon+14*sec/10, noon+14*sec/10
		return h
	}},
	{"of waiting nothing was promised", "", 0, func() *History {
		return with(waiting(1), func(t *Target) { t.Claims.RetryAfter = false })
	}},
	{"the longest wait of two counts", "", 0, func() *History {
		slow := minute()
		slow.ID, slow.Amount = "slow", Exactly(600)
		h := twice(waiting(24), slow) // 240 are missing there, at 10 a second
		h.Header.Limits[0], h.Header.Limits[1] = h.Header.Limits[1], h.Header.Limits[0]
		return h
	}},
	{"also when it comes last", "", 0, func() *History {
		quick := minute()
		quick.ID, quick.Amount = "a", Exactly(60_000)
		h := twice(waiting(2), quick)
		return h
	}},
	{"a limit that had room does not say how long", RetryTooLate, 58 * sec, func() *History {
		h := twice(waiting(60), daily2())
		return h
	}},
	{"who was rejected by a check without state is told what that says", "", 0, func() *History {
		h := waiting(60)
		h.Requests[1].Guarded, h.Requests[1].Reason = true, "circuit_open"
		return h
	}},
	{"a slot comes back when it comes back: no wait is missing", "", 0, func() *History {
		h := waiting(0)
		h.Requests[0] = lasting(h.Requests[0], 10*sec)
		h.Requests[1].Retry = nil
		l := slot()
		l.ID = "slots"
		h = twice(h, l)
		for i := range h.Requests {
			h.Requests[i].Holds[1].Reserved = Exactly(1)
		}
		return h
	}},
	{"a window of the day ends with it", "", 0, func() *History {
		h := newHistory(daily())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(sec, 1, Rejected)}
		h.Requests[1].Retry = &RetryAfter{Seconds: new(int64(12*3600 - 1))}
		return h
	}},
	{"and not earlier", RetryTooEarly, sec, func() *History {
		h := newHistory(daily())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(sec, 1, Rejected)}
		h.Requests[1].Retry = &RetryAfter{Seconds: new(int64(12*3600 - 2))}
		return h
	}},

	// Upstream.
	{"the upstream call may take as long as it is drained, and the mock's clock be off", "", 0, func() *History {
		return drained(10*sec + 2*ms)
	}},
	{"and no longer", UpstreamNotStopped, 1, func() *History { return drained(10*sec + 2*ms + 1) }},
	{"a call that never ended went on to the end of the history", UpstreamNotStopped, 10*sec - 2*ms, func() *History {
		h := drained(0)
		h.Requests[0].Finished, h.Header.End = 0, noon+20*sec
		return h
	}},
	{"of one who does not say what he does nothing is demanded", "", 0, func() *History {
		return with(drained(60*sec), func(t *Target) { t.Disconnect = DisconnectUnknown })
	}},
	{"what was refused reaches no upstream", RejectedCall, 1, func() *History {
		r := sent(0, 1000, Refused)
		r.Calls = 1
		return quiet(minute(), r)
	}},

	// Ledger.
	{"what is outstanding while it may be is no residue", "", 0, func() *History {
		h := quiet(minute(), lasting(sent(0, 1000, Admitted), 10*sec))
		h.Ledger = []LedgerEntry{{At: noon + 5*sec, Limit: "tpm", Key: "k", Reserved: 1000, Outstanding: 1000}}
		return h
	}},
	{"what is not outstanding while it must be is lost", Conservation, 1000, func() *History {
		h := quiet(minute(), lasting(sent(0, 1000, Admitted), 10*sec))
		h.Ledger = []LedgerEntry{{At: noon + 5*sec, Limit: "tpm", Key: "k", Reserved: 1000, Actual: 1000}}
		return h
	}},
	{"a ledger that charged another amount", Conservation, 100, func() *History {
		h := quiet(minute(), costing(sent(0, 1000, Admitted), 400))
		h.Ledger = []LedgerEntry{{At: noon + 5*sec, Limit: "tpm", Key: "k", Reserved: 1000, Actual: 300, Refunded: 700}}
		return h
	}},
	{"more was written off than owed", Conservation, 50, func() *History {
		h := quiet(minute(), costing(sent(0, 1000, Admitted), 1100))
		h.Ledger = []LedgerEntry{{At: noon + 5*sec, Limit: "tpm", Key: "k", Reserved: 1000, Actual: 1100, Debited: 100, WrittenOff: 150}}
		return h
	}},
	{"of a ledger nothing was promised", "", 0, func() *History {
		h := quiet(minute(), sent(0, 1000, Admitted))
		h.Ledger = []LedgerEntry{{At: noon + sec, Limit: "tpm", Key: "k", Reserved: 7, Outstanding: 7}}
		return with(h, func(t *Target) { t.Ledger = false })
	}},

	// Windows of which little is known.
	{"an overshoot may have been written off where there may be a debt floor", "", 0, func() *History {
		l := minute()
		l.Window, l.Burst = WindowUnknown, Exactly(100)
		return with(quiet(l, costing(sent(0, 100, Admitted), 50_000), sent(3*sec, 50, Admitted)), func(t *Target) { t.DebtFloor = DebtFloorUnknown })
	}},
	{"what came before the first look may fill an unknown window", "", 0, func() *History {
		l := minute()
		l.Window = WindowSliding
		return with(quiet(l, sent(0, 100, Rejected)), func(t *Target) { t.UsedAccounts = true })
	}},
	{"what was charged within two periods may fill it", "", 0, func() *History {
		l := minute()
		l.Window = WindowFirstHit
		return quiet(l, sent(0, 6000, Admitted), sent(119*sec, 100, Rejected))
	}},
	{"two windows may meet in one period", "", 0, func() *History {
		l := minute()
		l.Window = WindowFirstHit
		return quiet(l, sent(0, 6000, Admitted), sent(sec, 6000, Admitted))
	}},
}

// daily2 is a window beside another limit.
func daily2() Limit {
	l := daily()
	l.ID, l.Rule, l.Amount = "day", "day", Exactly(1_000_000)
	return l
}

// drained is a history in which the client left at noon and the upstream call went
// on for so long; a millisecond each for the settlement and the clock.
func drained(long int64) *History {
	r := ended(sent(0, 1000, Admitted), OutcomeLeft)
	r.Left, r.Finished = noon, noon+long
	return with(quiet(minute(), r), func(t *Target) { t.SettleDelay, t.ClockError = ms, ms })
}

func TestHeaderAlarms(t *testing.T) {
	t.Parallel()
	for _, c := range headerAlarmCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}
