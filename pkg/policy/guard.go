package policy

import (
	"fmt"
	"math/bits"
	"sync"
	"time"
)

// loop tells when identical requests are a loop. The zero value is off.
type loop struct {
	window    time.Duration
	threshold int64
	action    string // reject, throttle or warn
}

const (
	throttleStep = 100 * time.Millisecond // a throttled loop waits that much longer with every request
	throttleMost = 30 * time.Second
)

// repeats counts one kind of request. It forgets when a whole window has passed without one.
type repeats struct {
	count int64
	last  time.Time
}

// add counts a request and returns how many there were without a pause of a window. Time that goes backwards changes nothing.
func (r *repeats) add(now time.Time, window time.Duration) int64 {
	if now.Sub(r.last) >= window {
		r.count = 0
	}
	if now.After(r.last) {
		r.last = now
	}
	r.count++
	return r.count
}

// breaker opens when tokens are spent too fast. The zero value is off.
type breaker struct {
	perMinute int64         // tokens
	reset     time.Duration // 0: it stays open
	alert     bool
}

// spending is what one payer spent in this minute and in the one before, and whether that opened the breaker.
type spending struct {
	minute        int64 // of the Unix epoch
	current, past int64 // tokens
	open          bool
	opened        time.Time
}

// turn moves to the minute of now. An earlier one changes nothing.
func (s *spending) turn(now time.Time) {
	switch minute := now.Unix() / 60; {
	case minute == s.minute+1:
		s.minute, s.past, s.current = minute, s.current, 0
	case minute > s.minute:
		s.minute, s.past, s.current = minute, 0, 0
	}
}

// rate is the spending of the last 60 s: this minute's, and of the minute before as much as the 60 s still reach into it.
func (s *spending) rate(now time.Time) int64 {
	into := min(max(now.UnixNano()-s.minute*int64(time.Minute), 0), int64(time.Minute))
	high, low := bits.Mul64(uint64(s.past), uint64(int64(time.Minute)-into))
	part, _ := bits.Div64(high, low, uint64(time.Minute))
	return s.current + int64(part)
}

// state is what a breaker says.
type state struct {
	open   bool
	opened bool          // by this look
	wait   time.Duration // until it closes; 0 if nobody knows
}

// check closes the breaker if its time is over, and opens it if spending is too fast.
func (s *spending) check(now time.Time, b breaker) state {
	s.turn(now)
	if s.open && b.reset > 0 && now.Sub(s.opened) >= b.reset {
		*s = spending{minute: s.minute} // closed, and with nothing spent: else it would open again at once
	}
	opened := !s.open && s.rate(now) >= b.perMinute
	if opened {
		s.open, s.opened = true, now
		if begin := time.Unix(s.minute*60, 0); now.Before(begin) {
			s.opened = begin // a clock that ran backwards must not close it early
		}
	}
	out := state{open: s.open, opened: opened}
	if s.open && b.reset > 0 {
		out.wait = s.opened.Add(b.reset).Sub(now)
	}
	return out
}

// spend adds what an admitted request reserved.
func (s *spending) spend(now time.Time, tokens int64) {
	s.turn(now)
	s.current = min(s.current+tokens, maxTokens)
}

// guarded is one policy with guards that binds a request.
type guarded struct {
	policy *compiledPolicy
	payer  string // the policy and the keys of its rules
	spend  int64  // tokens, or whole requests for a policy without token rules
}

// Guards is the memory of loop detection and circuit breakers. It outlives bundles: what it knows is kept under the ids of policies and
// the keys of payers. It is safe for concurrent use.
type Guards struct {
	mu    sync.Mutex
	most  int
	loops map[string]*repeats
	spent map[string]*spending
}

// NewGuards makes guards that remember at most so many loops and as many payers (0: 100 000 each). Beyond, some are forgotten, idle ones
// first: a guard protects against accidents, it is no budget.
func NewGuards(most int) *Guards {
	if most <= 0 {
		most = 100_000
	}
	return &Guards{most: most, loops: map[string]*repeats{}, spent: map[string]*spending{}}
}

// Check counts the request for loop detection, looks at the circuit breakers and sets what they say in the binding. It rejects nothing
// that an earlier check already rejects, and does not count that either.
func (g *Guards) Check(now time.Time, b *Binding) {
	g.check(now, &b.Enforced)
	g.check(now, &b.Shadow)
}

func (g *Guards) check(now time.Time, s *Set) {
	if len(s.guarded) == 0 || s.Reject != nil && s.Reject.before(ReasonLoop) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range s.guarded {
		if r := g.checkLoop(now, &s.guarded[i], s); r != nil {
			s.Reject = r
			return
		}
	}
	for i := range s.guarded {
		if r := g.checkBreaker(now, &s.guarded[i]); r != nil {
			s.Reject = r
			return
		}
	}
}

// checkLoop requires that mu is held.
func (g *Guards) checkLoop(now time.Time, of *guarded, s *Set) *Rejection {
	l := of.policy.loop
	if l.threshold == 0 {
		return nil
	}
	key := of.payer + string(s.fingerprint[:])
	seen := g.loops[key]
	if seen == nil {
		makeRoom(g.loops, g.most, func(r *repeats) bool { return now.Sub(r.last) >= l.window })
		seen = &repeats{}
		g.loops[key] = seen
	}
	count := seen.add(now, l.window)
	if count < l.threshold {
		return nil
	}
	detail := fmt.Sprintf("%d identical requests without a pause of %s", count, l.window)
	switch l.action {
	case "throttle":
		s.Throttle = max(s.Throttle, min(time.Duration(min(count, 1000))*throttleStep, throttleMost))
		s.Warnings = append(s.Warnings, string(ReasonLoop)+": "+detail)
		return nil
	case "warn":
		s.Warnings = append(s.Warnings, string(ReasonLoop)+": "+detail)
		return nil
	}
	return &Rejection{Reason: ReasonLoop, Policy: of.policy.id, Detail: detail, Wait: l.window}
}

// checkBreaker requires that mu is held.
func (g *Guards) checkBreaker(now time.Time, of *guarded) *Rejection {
	b := of.policy.breaker
	seen := g.spent[of.payer]
	if b.perMinute == 0 || seen == nil {
		return nil
	}
	is := seen.check(now, b)
	if !is.open {
		return nil
	}
	detail := fmt.Sprintf("spending reached %d tokens per minute", b.perMinute)
	return &Rejection{Reason: ReasonBreaker, Policy: of.policy.id, Detail: detail, Wait: is.wait, Alert: b.alert && is.opened}
}

// Spent adds an admitted request to the spending that circuit breakers watch. Call it with what was reserved: the enforced set after
// its admission, both sets if the shadow set was reserved too.
func (g *Guards) Spent(now time.Time, b *Binding) {
	g.add(now, &b.Enforced)
	g.add(now, &b.Shadow)
}

func (g *Guards) add(now time.Time, s *Set) {
	for i := range s.guarded {
		of := &s.guarded[i]
		if of.policy.breaker.perMinute == 0 {
			continue
		}
		g.mu.Lock()
		seen := g.spent[of.payer]
		if seen == nil {
			makeRoom(g.spent, g.most, func(s *spending) bool { return !s.open && now.Unix()/60 > s.minute+1 })
			seen = &spending{}
			g.spent[of.payer] = seen
		}
		seen.spend(now, of.spend)
		g.mu.Unlock()
	}
}

// Remembered is how many kinds of requests and how many payers the guards remember now.
func (g *Guards) Remembered() (loops, payers int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.loops), len(g.spent)
}

// makeRoom drops entries of a full map that say nothing any more, out of a bounded sample; if there are none, some of the sample go.
// A map's order is random enough for that.
func makeRoom[V any](m map[string]V, most int, idle func(V) bool) {
	if len(m) < most {
		return
	}
	const sample = 64
	looked := 0
	for key, v := range m {
		if looked++; looked > sample {
			break
		}
		if idle(v) {
			delete(m, key)
		}
	}
	for key := range m {
		if len(m) < most {
			break
		}
		delete(m, key)
	}
}
