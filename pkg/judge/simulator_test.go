package judge

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
)

const (
	ms  = int64(1_000_000)
	sec = 1000 * ms
	// noon of a Wednesday, 2030-01-02.
	noon = int64(1893585600) * sec
)

// simulation is a slow and simple limiter of semantics.md with clients and a mock
// around it. It exists to be judged; it shares nothing with any other limiter.
type simulation struct {
	rng *rand.Rand
	// hop is the longest time between two stations of a request: client, limiter,
	// mock, and back; zero in virtual time. delay is the longest time from the end of
	// a request to its settlement.
	hop, delay int64

	tpm, burst      int64
	day             int64 // tokens per UTC day; zero: none
	rps, rpsBurst   int64
	slots           int
	retro, keep5xx  bool
	keys            int
	requests        int
	load            float64 // offered tokens over the rate
	maxCost         int64
	latency         int64
	trouble         float64 // share of requests that do not end with a usage
	overshoot       float64 // the largest actual over the reservation
	unknownOutcomes bool
	start           int64
	clump           int   // so many requests come 0.3 ms apart; zero: each alone
	idle            int64 // pause after every 150 requests

	noFloor     bool
	usageLast   bool // the usage is the last that is written
	settleAfter bool // charges nothing before the end

	fault fault
	// levels is the limiter's own log: what was left, in tokens rounded down, when it
	// decided about each request.
	levels map[string]int64
}

// fault is how the simulated limiter is wrong; the zero value is right.
type fault struct {
	overAdmit   int64   // admits that many tokens too many
	dropRefund  float64 // share of refunds that are lost
	double      float64 // share of refunds that are given twice
	refundScale float64 // of every refund; zero: 1
	notCapped   bool
	late        int64 // refunds come later, ns
	noDebit     bool
	rateScale   float64
	burstScale  float64
	race        int64 // between the check and the taking
}

// simKey is the state of one key.
type simKey struct {
	level, last int64 // of 1/6e10 tokens; ns
	events      []simEvent
	used        map[int64]int64
	tokens      int64 // of the request bucket, in ns of refill
	tokensLast  int64
	inFlight    int

	reserved, actual, refunded, debited int64
}

// simEvent is one reservation, for replays.
type simEvent struct{ at, cost int64 }

// job is something that happens in the limiter.
type job struct {
	at, order int64
	run       func(now int64)
}

type jobs []job

func (j jobs) Len() int { return len(j) }
func (j jobs) Less(a, b int) bool {
	return j[a].at < j[b].at || (j[a].at == j[b].at && j[a].order < j[b].order)
}
func (j jobs) Swap(a, b int) { j[a], j[b] = j[b], j[a] }
func (j *jobs) Push(x any)   { *j = append(*j, x.(job)) }
func (j *jobs) Pop() any {
	old := *j
	x := old[len(old)-1]
	*j = old[:len(old)-1]
	return x
}

const simUnit = int64(60_000_000_000)

func (s *simulation) full() int64 {
	if s.fault.burstScale != 0 {
		return int64(float64(s.burst) * s.fault.burstScale * float64(simUnit))
	}
	return s.burst * simUnit
}

func (s *simulation) rate() int64 {
	if s.fault.rateScale != 0 {
		return int64(float64(s.tpm) * s.fault.rateScale)
	}
	return s.tpm
}

// touch refills a key's bucket.
func (s *simulation) touch(k *simKey, now int64) {
	if s.retro {
		k.level = s.replay(k, now)
		k.last = now
		return
	}
	if now > k.last {
		room := s.full() - k.level
		if dt := now - k.last; room > 0 && dt > room/s.rate()+1 {
			k.level = s.full()
		} else {
			k.level = max(k.level, min(s.full(), k.level+dt*s.rate()))
		}
		k.last = now
	}
	k.tokens = min(s.rpsBurst*sec, k.tokens+(now-k.tokensLast)*s.rps)
	k.tokensLast = now
}

// replay is the level had every reservation been taken at what is now known of it.
func (s *simulation) replay(k *simKey, now int64) int64 {
	level, last := s.full(), s.start
	gain := func(t int64) {
		room := s.full() - level
		if dt := t - last; dt > room/s.rate()+1 {
			level = s.full()
		} else {
			level = min(s.full(), level+dt*s.rate())
		}
		last = t
	}
	for _, e := range k.events {
		gain(e.at)
		level = max(-s.full(), level-e.cost*simUnit)
	}
	gain(now)
	return level
}

func day(t int64) int64 { return t / (86400 * sec) }

// history runs the simulation and writes down what can be seen from outside.
func (s *simulation) history() *History {
	s.levels = map[string]int64{}
	h := &History{Header: Header{Cell: "sim", Start: s.start, Target: Bundled()}}
	h.Header.Target.KnownOutcomes = !s.unknownOutcomes
	h.Header.Target.SettleDelay = s.delay + s.hop // after a departure the end travels from the mock
	h.Header.Limits = s.limits()
	h.Requests = make([]Request, s.requests)
	keys := make([]*simKey, s.keys)
	for i := range keys {
		keys[i] = &simKey{level: s.full(), last: s.start, used: map[int64]int64{}, tokens: s.rpsBurst * sec, tokensLast: s.start}
	}
	var q jobs
	at := s.start + sec
	order := int64(0)
	push := func(at int64, run func(int64)) {
		order++
		heap.Push(&q, job{at, order, run})
	}
	meanCost := float64(s.maxCost) * 0.55 * 0.6
	gap := meanCost / (s.load * float64(s.tpm) / 60) * float64(sec) / float64(s.keys)
	for i := range h.Requests {
		switch {
		case s.clump == 0:
			at += int64(s.rng.ExpFloat64()*gap) + 1
		case i%s.clump == 0:
			at += int64(s.rng.ExpFloat64()*gap*float64(s.clump)) + 1
		default:
			at += 300_000
		}
		if i%150 == 149 {
			at += s.idle
		}
		r, k, sent := &h.Requests[i], s.rng.IntN(s.keys), at
		r.ID, r.Sent = fmt.Sprintf("r%d", i), sent
		cost := s.maxCost/10 + s.rng.Int64N(s.maxCost)*9/10
		prompt := cost / 10
		r.Holds = s.holds(fmt.Sprint("k", k), cost, prompt)
		push(sent+s.hops(), func(now int64) { s.decide(r, keys[k], cost, now, push) })
	}
	for q.Len() > 0 {
		j := heap.Pop(&q).(job)
		j.run(j.at)
		h.Header.End = j.at
	}
	for i, k := range keys {
		h.Ledger = append(h.Ledger, LedgerEntry{
			At: h.Header.End + 3600*sec, Limit: "tpm", Key: fmt.Sprint("k", i),
			Reserved: k.reserved, Actual: k.actual, Refunded: k.refunded, Debited: k.debited,
		})
	}
	return h
}

func (s *simulation) hops() int64 {
	if s.hop == 0 {
		return 0
	}
	return s.rng.Int64N(s.hop)
}

func (s *simulation) limits() []Limit {
	ls := []Limit{{
		ID: "tpm", Rule: "tpm", Dimension: Tokens, Window: WindowBucket, Amount: Exactly(s.tpm), Per: 60 * sec,
		Burst: Exactly(s.burst), Settles: true, KeepOn5xx: s.keep5xx,
	}}
	if s.retro {
		ls[0].Refund = RefundRetroactive
	}
	if s.day > 0 {
		ls = append(ls, Limit{
			ID: "tpm/day", Rule: "tpm/day", Dimension: Tokens, Window: WindowCalendar, Amount: Exactly(s.day),
			Per: 86400 * sec, Settles: true, KeepOn5xx: s.keep5xx,
		})
	}
	if s.rps > 0 {
		ls = append(ls, Limit{
			ID: "rps", Rule: "rps", Dimension: Requests, Window: WindowBucket, Amount: Exactly(s.rps), Per: sec,
			Burst: Exactly(s.rpsBurst),
		})
	}
	if s.slots > 0 {
		ls = append(ls, Limit{ID: "slots", Rule: "slots", Dimension: Concurrency, Amount: Exactly(int64(s.slots))})
	}
	return ls
}

func (s *simulation) holds(key string, cost, prompt int64) []Hold {
	hs := []Hold{{Limit: "tpm", Key: key, Reserved: Exactly(cost), Prompt: Exactly(prompt)}}
	if s.day > 0 {
		hs = append(hs, Hold{Limit: "tpm/day", Key: key, Reserved: Exactly(cost), Prompt: Exactly(prompt)})
	}
	if s.rps > 0 {
		hs = append(hs, Hold{Limit: "rps", Key: key, Reserved: Exactly(1)})
	}
	if s.slots > 0 {
		hs = append(hs, Hold{Limit: "slots", Key: key, Reserved: Exactly(1)})
	}
	return hs
}

func (s *simulation) decide(r *Request, k *simKey, cost, now int64, push func(int64, func(int64))) {
	s.touch(k, now)
	s.levels[r.ID] = floorDiv(k.level, simUnit)
	demand := cost
	if s.settleAfter {
		demand = 0
	}
	fits := k.level+s.fault.overAdmit*simUnit >= demand*simUnit &&
		(s.day == 0 || k.used[day(now)]+cost <= s.day) &&
		(s.rps == 0 || k.tokens >= sec) &&
		(s.slots == 0 || k.inFlight < s.slots)
	if !fits {
		r.Decision, r.Status = Rejected, 429
		r.Ended = now + s.hops()
		s.say(r, k, cost, now)
		return
	}
	r.Decision, r.Calls = Admitted, 1
	take := func(now int64) {
		s.touch(k, now)
		if !s.settleAfter {
			k.level -= cost * simUnit
		}
		k.reserved += cost
		r.Rates = []RateHeader{s.rateHeader(k)}
		k.events = append(k.events, simEvent{now, cost})
		k.used[day(now)] += cost
		k.tokens -= sec
		k.inFlight++
		s.serve(r, k, cost, len(k.events)-1, now, push)
	}
	if s.fault.race > 0 {
		push(now+s.fault.race, take)
		return
	}
	take(now)
}

// serve plays the mock and the client, and sends the settlement off.
func (s *simulation) serve(r *Request, k *simKey, cost int64, event int, now int64, push func(int64, func(int64))) {
	prompt := cost / 10
	r.Received = now + s.hops()
	took := 1 + s.rng.Int64N(max(1, s.latency))
	if s.rng.IntN(20) == 0 {
		took = 0 // an answer at the very same instant
	}
	used := prompt + s.rng.Int64N(max(1, int64(float64(cost)*s.overshoot)))
	r.Usage = &Usage{In: prompt, Out: used - prompt}
	r.Finished = r.Received + took
	r.UsageAt = r.Received + took*9/10
	if s.usageLast {
		r.UsageAt = r.Finished
	}
	r.Status, r.Outcome = 200, OutcomeUsage
	charged := used
	end := r.Finished + s.hops() // when the limiter knows
	r.Ended = end + s.hops()
	over := end // and the slot is free, which is not before the body has ended
	switch {
	case s.rng.Float64() < s.trouble:
		charged, end = s.goWrong(r, cost, used, end)
		over = end
	case !s.usageLast && s.rng.IntN(4) == 0:
		end = r.UsageAt + s.hops() // it has seen the usage, and does not wait for the end
	}
	if s.unknownOutcomes && r.Outcome != OutcomeUsage {
		charged = s.anything(r, cost, used)
	}
	settled := end
	if s.delay > 0 {
		settled += s.rng.Int64N(s.delay)
	}
	taken := day(now)
	push(max(settled, over), func(int64) { k.inFlight-- })
	push(settled+s.fault.late, func(now int64) { s.settle(k, cost, charged, event, taken, now) })
}

// anything is a charge that nobody can foresee, within verification.md 1.
func (s *simulation) anything(r *Request, cost, used int64) int64 {
	least, most := int64(0), cost
	if r.Outcome == OutcomeCut {
		least = cost / 10
	}
	if r.Usage != nil {
		most = max(cost, used)
	}
	return least + s.rng.Int64N(most-least+1)
}

// goWrong is everything that is not a whole answer with a usage.
func (s *simulation) goWrong(r *Request, cost, used, end int64) (charged, ends int64) {
	what := s.rng.IntN(8)
	keep := max(cost, cost/10+(r.Content.Hi+3)/4)
	switch what {
	case 0: // the client leaves, the limiter drains to the usage
		if s.slots > 0 {
			return used, end
		}
		r.Outcome = OutcomeLeft
		r.Left = r.Received + max(1, s.rng.Int64N(max(1, r.UsageAt-r.Received+1)))
		r.Ended = r.Left
		return used, max(end, r.Left)
	case 1: // the stream is cut before its usage
		r.Outcome, r.Usage, r.UsageAt = OutcomeCut, nil, 0
		return keep, end
	case 2:
		r.Outcome, r.Usage, r.UsageAt = OutcomeNoUsage, nil, 0
		return keep, end
	case 3:
		r.Outcome, r.Usage, r.UsageAt, r.Status = OutcomeServerError, nil, 0, 500
		if s.keep5xx {
			return keep, end
		}
		return 0, end
	case 4:
		r.Outcome, r.Usage, r.UsageAt, r.Status = OutcomeClientError, nil, 0, 400
		return 0, end
	case 5: // the mock stalls for ever, the limiter gives up
		r.Outcome, r.Usage, r.UsageAt = OutcomeTimeout, nil, 0
		r.Finished = 0
		return keep, end
	case 6: // nothing could be written upstream
		r.Outcome, r.Usage, r.UsageAt, r.Status = OutcomeUnreachable, nil, 0, 502
		r.Received, r.Finished = 0, 0
		return 0, end
	}
	r.Outcome, r.Usage, r.UsageAt = OutcomeLeftEarly, nil, 0
	r.Left = r.Ended
	return keep, end
}

func (s *simulation) settle(k *simKey, cost, charged int64, event int, taken, now int64) {
	s.touch(k, now)
	refund := cost - charged
	if refund > 0 {
		if s.fault.refundScale != 0 {
			refund = int64(float64(refund) * s.fault.refundScale)
		}
		switch p := s.rng.Float64(); {
		case p < s.fault.dropRefund:
			refund = 0
		case p < s.fault.double:
			refund *= 2
		}
	}
	if refund < 0 && s.fault.noDebit {
		refund = 0
	}
	k.events[event].cost = cost - refund
	k.actual += charged
	k.refunded += max(0, refund)
	k.debited += max(0, -refund)
	level := k.level + refund*simUnit
	if s.settleAfter {
		level = k.level - charged*simUnit
	}
	if !s.fault.notCapped {
		level = min(s.full(), level)
	}
	if !s.noFloor {
		level = max(-s.full(), level)
	}
	k.level = level
	k.used[taken] = max(0, k.used[taken]-refund)
}

// say tells a rejected request how long to wait, and what is left.
func (s *simulation) say(r *Request, k *simKey, cost, now int64) {
	wait := int64(0)
	if missing := cost*simUnit - k.level; missing > 0 {
		wait = (missing + s.rate() - 1) / s.rate()
	}
	if s.day > 0 && k.used[day(now)]+cost > s.day {
		wait = max(wait, (day(now)+1)*86400*sec-now)
	}
	if s.rps > 0 && k.tokens < sec {
		wait = max(wait, (sec-k.tokens+s.rps-1)/s.rps)
	}
	if s.slots > 0 && k.inFlight >= s.slots {
		wait = max(wait, sec)
	}
	seconds, millis := max(1, (wait+sec-1)/sec), max(1, (wait+ms-1)/ms)
	r.Retry = &RetryAfter{Seconds: &seconds, Millis: &millis}
	r.Rates = []RateHeader{s.rateHeader(k)}
}

func (s *simulation) rateHeader(k *simKey) RateHeader {
	limit, left := s.burst, max(0, floorDiv(k.level, simUnit))
	reset := (s.full() - k.level + s.rate() - 1) / s.rate()
	return RateHeader{Source: "openai", Dimension: Tokens, Limit: &limit, Remaining: &left, Reset: &reset, Resolution: 1}
}
