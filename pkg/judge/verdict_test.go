package judge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

// minute is a bucket of 6000 tokens, 100 per second.
func minute() Limit {
	return Limit{ID: "tpm", Rule: "tpm", Dimension: Tokens, Window: WindowBucket, Amount: Exactly(6000), Per: 60 * sec, Burst: Exactly(6000), Settles: true}
}

func newHistory(l ...Limit) *History {
	return &History{Header: Header{Cell: "c", Start: noon, Target: Bundled(), Limits: l}}
}

// sent is a request of cost e at a time after noon, answered at once.
func sent(at, e int64, d Decision) Request {
	t := noon + at
	r := Request{
		ID: fmt.Sprintf("r%d", at/ms), Sent: t, HeadersAt: t, Ended: t, Decision: d,
		Holds: []Hold{{Limit: "tpm", Key: "k", Reserved: Exactly(e)}}, Curl: "curl http://x",
	}
	if d == Admitted {
		r.Received, r.UsageAt, r.Finished, r.Calls = t, t, t, 1
		r.Outcome, r.Usage = OutcomeUsage, &Usage{In: e}
	} else {
		one := int64(1)
		r.Retry = &RetryAfter{Seconds: &one}
	}
	return r
}

// indebted overshoots by far at noon, and then asks once more.
func indebted(floor DebtFloor, d Decision, at, e int64) *History {
	h := newHistory(minute())
	h.Header.Target.DebtFloor = floor
	first := sent(0, 1000, Admitted)
	first.Usage = &Usage{In: 50_000}
	next := sent(at, e, d)
	if d == Rejected {
		next.Retry.Seconds = new(int64(1))
	}
	h.Requests = []Request{first, next}
	return h
}

// halfKnown begins with a request that holds anything up to the burst, is settled
// at 80 s and costs used; the others follow.
func halfKnown(used int64, others ...Request) *History {
	h := newHistory(minute())
	h.Header.Target.Claims = Claims{}
	first := sent(0, 0, Admitted)
	first.Holds[0].Reserved = Between(0, 6000)
	first.Usage = &Usage{In: used}
	first.UsageAt, first.Finished, first.Ended = noon+80*sec, noon+80*sec, noon+80*sec
	h.Requests = append([]Request{first}, others...)
	return h
}

// findingCase is a history with one thing to be found in it.
type findingCase struct {
	name   string
	want   Kind // empty: nothing
	tokens int64
	build  func() *History
}

var findingCases = []findingCase{
	{"exactly full is admitted", "", 0, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(sec, 100, Admitted)}
		return h
	}},
	{"one token too many", OverAdmission, 1, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(sec, 101, Admitted)}
		return h
	}},
	{"what fits exactly is rejected", WrongfulRejection, 1, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(sec, 100, Rejected)}
		return h
	}},
	{"what does not fit is rejected", "", 0, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(sec, 101, Rejected)}
		return h
	}},
	{"a refund that never came", WrongfulRejection, 5045, func() *History {
		h := newHistory(minute())
		first := sent(0, 6000, Admitted)
		first.Usage = &Usage{In: 55}
		h.Requests = []Request{first, sent(sec, 1000-0, Rejected)}
		h.Requests[1].Holds[0].Reserved = Exactly(955)
		return h
	}},
	{"all at one instant, each alone may be right", OverAdmission, 2000, func() *History {
		h := newHistory(minute())
		for i := range 8 {
			r := sent(0, 1000, Admitted)
			r.ID = fmt.Sprint(i)
			r.UsageAt, r.Finished, r.Ended = r.Sent+sec, r.Sent+sec, r.Sent+sec
			h.Requests = append(h.Requests, r)
		}
		return h
	}},
	{"the day is full", OverAdmission, 50, func() *History {
		l := minute()
		l.Window, l.Per = WindowCalendar, 86400*sec
		h := newHistory(l)
		h.Requests = []Request{sent(0, 6000, Admitted), sent(3600*sec, 50, Admitted)}
		return h
	}},
	{"a new day", "", 0, func() *History {
		l := minute()
		l.Window, l.Per = WindowCalendar, 86400*sec
		h := newHistory(l)
		h.Requests = []Request{sent(0, 6000, Admitted), sent(13*3600*sec, 6000, Admitted)}
		return h
	}},
	{"too many in flight", OverAdmission, 1, func() *History {
		h := newHistory(Limit{ID: "tpm", Dimension: Concurrency, Amount: Exactly(1)})
		h.Requests = []Request{sent(0, 1, Admitted), sent(sec, 1, Admitted)}
		h.Requests[0].UsageAt, h.Requests[0].Finished, h.Requests[0].Ended = noon+2*sec, noon+2*sec, noon+2*sec
		return h
	}},
	{"too many in flight, but for the lease of the first", "", 0, func() *History {
		h := newHistory(Limit{ID: "tpm", Dimension: Concurrency, Amount: Exactly(1)})
		h.Header.Target.Lease = sec
		h.Requests = []Request{sent(0, 1, Admitted), sent(sec, 1, Admitted)}
		h.Requests[0].UsageAt, h.Requests[0].Finished, h.Requests[0].Ended = noon+2*sec, noon+2*sec, noon+2*sec
		return h
	}},
	{"a slot that was not given back", WrongfulRejection, 1, func() *History {
		h := newHistory(Limit{ID: "tpm", Dimension: Concurrency, Amount: Exactly(1)})
		h.Requests = []Request{sent(0, 1, Admitted), sent(sec, 1, Rejected)}
		return h
	}},
	{"another key's traffic", Isolation, 5900, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(ms, 100, Rejected)}
		h.Requests[1].Holds[0].Key = "other"
		return h
	}},
	{"a wait that cannot be enough", RetryTooEarly, 500_000_000, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(sec, 250, Rejected)}
		h.Requests[1].Retry = &RetryAfter{Seconds: new(int64(1))}
		return h
	}},
	{"a wait that is too long", RetryTooLate, 58 * sec, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(sec, 250, Rejected)}
		h.Requests[1].Retry = &RetryAfter{Seconds: new(int64(60))}
		return h
	}},
	{"no word on waiting", RetryMissing, 1_500_000_000, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(sec, 250, Rejected)}
		h.Requests[1].Retry = nil
		return h
	}},
	{"waiting for what can never be", RetryImpossible, 0, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 7000, Rejected)}
		h.Requests[0].Holds[0].Permanent = Yes
		return h
	}},
	{"remaining shows no reservation", HeaderRemaining, 1000, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		h.Requests[0].Rates = []RateHeader{{Source: "openai", Dimension: Tokens, Limit: new(int64(6000)), Remaining: new(int64(6000))}}
		return h
	}},
	{"another limit is named", HeaderLimit, 1, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		h.Requests[0].Rates = []RateHeader{{Source: "openai", Dimension: Tokens, Limit: new(int64(6001)), Remaining: new(int64(5000))}}
		return h
	}},
	{"remaining shows no reservation, although the head came a while after the decision", HeaderRemaining, 997, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		r := &h.Requests[0]
		r.Received, r.HeadersAt = r.Sent+ms, r.Sent+11*ms
		r.UsageAt, r.Finished, r.Ended = r.HeadersAt, r.HeadersAt, r.HeadersAt
		r.Rates = []RateHeader{{Source: "openai", Dimension: Tokens, Limit: new(int64(6000)), Remaining: new(int64(6000))}}
		return h
	}},
	{"a reset from when the request came", "", 0, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		r := &h.Requests[0]
		r.Received, r.HeadersAt = r.Sent+40*ms, r.Sent+41*ms
		r.UsageAt, r.Finished, r.Ended = r.HeadersAt, r.HeadersAt, r.HeadersAt
		r.Rates = []RateHeader{{Source: "openai", Dimension: Tokens, Limit: new(int64(6000)), Remaining: new(int64(5000)), Reset: new(10*sec + 39*ms)}}
		return h
	}},
	{"reset", HeaderReset, 50 * sec, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		h.Requests[0].Rates = []RateHeader{{Source: "openai", Dimension: Tokens, Limit: new(int64(6000)), Remaining: new(int64(5000)), Reset: new(60 * sec)}}
		return h
	}},
	{"reserved", HeaderReserved, 999, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		h.Requests[0].SaidReserved = new(int64(1))
		return h
	}},
	{"two upstream calls", RepeatedCall, 1, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		h.Requests[0].Calls = 2
		return h
	}},
	{"the exempt second call", "", 0, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		h.Requests[0].Calls, h.Requests[0].ExemptCalls = 2, 1
		return h
	}},
	{"rejected and sent on", RejectedCall, 1, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 6000, Admitted), sent(ms, 100, Rejected)}
		h.Requests[1].Calls = 1
		return h
	}},
	{"the upstream call goes on", UpstreamNotStopped, 5 * sec, func() *History {
		h := newHistory(minute())
		r := sent(0, 1000, Admitted)
		r.Outcome, r.Left, r.Usage, r.UsageAt, r.Finished = OutcomeLeft, noon, nil, 0, noon+15*sec
		h.Requests = []Request{r}
		return h
	}},
	{"a ledger that does not balance", Conservation, 10, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		h.Ledger = []LedgerEntry{{At: noon + sec, Limit: "tpm", Key: "k", Reserved: 1000, Actual: 1000, Refunded: -10, Debited: 0, Outstanding: 0}}
		return h
	}},
	{"a reservation that never settled", Residue, 1000, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		h.Ledger = []LedgerEntry{{At: noon + sec, Limit: "tpm", Key: "k", Reserved: 1000, Outstanding: 1000}}
		return h
	}},
	{"a debt beyond the floor is written off", "", 0, func() *History {
		return indebted(DebtFloorBurst, Admitted, 70*sec, 500)
	}},
	{"it may be, where nobody says", "", 0, func() *History {
		return indebted(DebtFloorUnknown, Admitted, 70*sec, 500)
	}},
	{"it is not, where there is no floor", OverAdmission, 37_500, func() *History {
		return indebted(DebtFloorNone, Admitted, 70*sec, 500)
	}},
	{"the debt is repaid to the floor", WrongfulRejection, 1, func() *History {
		return indebted(DebtFloorBurst, Rejected, 121*sec, 6000)
	}},
	{"a debt that nobody wrote off may last", "", 0, func() *History {
		return indebted(DebtFloorUnknown, Rejected, 121*sec, 6000)
	}},
	{"a reservation that may have been larger comes back", "", 0, func() *History {
		// In truth it held 6000, was refilled meanwhile, and gives all of it back.
		return halfKnown(0, sent(70*sec, 6000, Admitted), sent(80*sec+ms, 6000, Admitted))
	}},
	{"a reservation that may have been smaller gives nothing back", "", 0, func() *History {
		return halfKnown(0, sent(70*sec, 6000, Admitted), sent(80*sec+ms, 6000, Rejected))
	}},
	{"a settlement may be a debit", "", 0, func() *History {
		return halfKnown(500, sent(80*sec+ms, 6000, Rejected))
	}},
	{"what comes back inside a period may be spent in it", "", 0, func() *History {
		l := minute()
		l.Window = WindowUnknown // in truth a bucket
		h := newHistory(l)
		first := sent(0, 6000, Admitted)
		first.Usage = &Usage{}
		first.UsageAt, first.Finished, first.Ended = noon+100*sec, noon+100*sec, noon+100*sec
		h.Requests = []Request{first, sent(60*sec, 6000, Admitted), sent(100*sec+ms, 6000, Admitted), sent(119*sec, 1890, Admitted)}
		return h
	}},
	{"under retroactive refunds, a usage that was written by a mock that then hangs may count", "", 0, func() *History {
		l := minute()
		l.Refund = RefundRetroactive
		h := newHistory(l)
		first := sent(0, 6000, Admitted)
		first.UsageAt, first.Finished, first.Ended, first.Usage = noon+10*sec, 0, noon+11*sec, &Usage{In: 10}
		h.Requests = []Request{first}
		for i := range int64(100) { // so many that what is over is folded
			h.Requests = append(h.Requests, sent(sec+i*10*ms, 1, Admitted))
		}
		h.Requests = append(h.Requests, sent(12*sec, 5000, Admitted))
		return h
	}},
	{"a ceiling per request", OverAdmission, 1, func() *History {
		h := newHistory(minute())
		h.Requests = []Request{sent(0, 1000, Admitted)}
		h.Requests[0].Holds[0].Permanent = Yes
		return h
	}},
	{"more than two windows hold, whatever the window", OverAdmission, 1000, func() *History {
		l := minute()
		l.Window = WindowUnknown
		h := newHistory(l)
		for i := range int64(13) {
			h.Requests = append(h.Requests, sent(i*sec, 1000, Admitted))
		}
		return h
	}},
	{"an idle account, whatever the window", WrongfulRejection, 5000, func() *History {
		l := minute()
		l.Window = WindowFirstHit
		h := newHistory(l)
		h.Requests = []Request{sent(0, 6000, Admitted), sent(300*sec, 1000, Rejected)}
		h.Requests[1].Retry = nil
		return h
	}},
}

func TestFindings(t *testing.T) {
	t.Parallel()
	for _, c := range findingCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}

func (c *findingCase) check(t *testing.T) {
	t.Helper()
	h := c.build()
	r := Judge(h)
	if c.want == "" {
		if r.Failed() {
			t.Fatalf("found %+v, want nothing", r.Findings[0])
		}
		return
	}
	for _, f := range r.Findings {
		if f.Kind == c.want && f.Tokens == c.tokens {
			return
		}
	}
	t.Errorf("found %+v, want %s by %d", r.Findings, c.want, c.tokens)
}

// What is written can be judged again, to the same bytes.
func TestHistoryRoundTrip(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		s := randomSimulation(seed)
		s.fault.overAdmit = 100
		h := s.history()
		var first bytes.Buffer
		if err := WriteHistory(&first, h); err != nil {
			t.Fatal(err)
		}
		again, err := ReadHistories(bytes.NewReader(first.Bytes()))
		if err != nil || len(again) != 1 {
			t.Fatalf("read %d histories: %v", len(again), err)
		}
		var second bytes.Buffer
		if err := WriteHistory(&second, again[0]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatal("the history changed on its way")
		}
		a, err1 := json.Marshal(Judge(h))
		b, err2 := json.Marshal(Judge(again[0]))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if !bytes.Equal(a, b) {
			t.Fatalf("seed %d: two judgements of one history:\n%s\n%s", seed, a, b)
		}
	}
}

func TestReadHistoriesRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, want string }{
		{`{"cell":"a","request":{"id":"r"}}`, `reading event 1: no header for history "a" before it`},
		{`{"cell":"a","header":{"cell":"b"}}`, `reading event 1: the header of "a" says cell "b"`},
		{`{"cell":"a","header":{"cell":"a"}}{"cell":"a"}`, `reading event 2: found neither header, request nor ledger`},
		{`{"cell":"a","header":{"cell":"a","starts":1}}`, `reading event 1: json: unknown field "starts"`},
		// What no run can have written, and no judge has room or time for.
		{`{"cell":"a","header":{"cell":"a","start":-1}}`, `reading event 1 of history "a": found the time -1, expected 0 to 2305843009213693950 ns`},
		{`{"cell":"a","header":{"cell":"a","target":{"tolerance_ppm":-1}}}`, `reading event 1 of history "a": tolerance_ppm is -1, expected 0 to 1000000`},
		{`{"cell":"a","header":{"cell":"a","limits":[{"id":"l","per":1}]}}`, `reading event 1 of history "a": limit "l": per is 1 ns, expected at least 1000000`},
		{`{"cell":"a","header":{"cell":"a","limits":[{"id":"l","burst":-1}]}}`, `reading event 1 of history "a": limit "l": found the amount -1, expected 0 to 18014398509481984`},
		{`{"cell":"a","header":{"cell":"a","limits":[{"id":"l","weights":{"input":-1}}]}}`, `reading event 1 of history "a": limit "l": found the amount -1, expected 0 to 18014398509481984`},
		{`{"cell":"a","header":{"cell":"a","limits":[{"id":"l","from":4611686018427387904}]}}`, `reading event 1 of history "a": limit "l": found the time 4611686018427387904, expected 0 to 2305843009213693950 ns`},
		{`{"cell":"a","header":{"cell":"a"}}{"cell":"a","request":{"s":4611686018427387904}}`, `reading event 2 of history "a": found the time 4611686018427387904, expected 0 to 2305843009213693950 ns`},
		{`{"cell":"a","header":{"cell":"a"}}{"cell":"a","request":{"usage":{"in":-1}}}`, `reading event 2 of history "a": found the amount -1, expected 0 to 18014398509481984`},
		{`{"cell":"a","header":{"cell":"a"}}{"cell":"a","request":{"holds":[{"e":1,"a":-1}]}}`, `reading event 2 of history "a": found the amount -1, expected 0 to 18014398509481984`},
	} {
		if _, err := ReadHistories(bytes.NewReader([]byte(c.file))); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.file, err, c.want)
		}
	}
}
