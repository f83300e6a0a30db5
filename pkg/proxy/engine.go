package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// engine admits and settles. It works on bytes and plain structs; connections are the front's.
type engine struct {
	cfg     *Config
	bundle  atomic.Pointer[policy.Bundle]
	guards  *policy.Guards
	metrics *metrics
	names   names

	random sync.Mutex // held while cfg.Random is read
	seeds  [2]maphash.Seed
}

// request is what the engine knows of a request.
type request struct {
	method, host, path, rawQuery string // the path is decoded and clean
	header                       map[string][]string
	peer                         netip.Addr
	body                         []byte // as it came
	bodiless                     bool   // asked about without its body: the estimate is what a hint says
}

// admission is the answer to a request. With a refusal, nothing is reserved. Without one, every reservation in it has to be
// settled, by engine.settle.
type admission struct {
	dialect llmapi.Dialect
	known   bool // the dialect is the endpoint's own, not the generic one
	facts   llmapi.Facts
	refusal *refusal

	enforced reservation
	shadow   *reservation // nothingShadowed unless a rule in shadow mode binds

	body     []byte // to forward
	encoded  bool   // body still has the encoding that it came with
	original []byte // to forward if the upstream cannot be asked for usage
	asked    bool   // body asks for usage that the client did not ask for
	throttle time.Duration
	warnings []string
	extended time.Time // when the leases were last extended
}

// reservation is what one set of rules holds.
type reservation struct {
	id       limiter.ID
	shadow   bool
	set      policy.Set
	decision limiter.Decision
	open     atomic.Bool // reserved and not settled; a client may leave, which gives back its slots, while its answer is settled
	rejected *refusal
}

// nothingShadowed is what most requests hold of rules in shadow mode. It is shared and never written.
var nothingShadowed = &reservation{shadow: true}

// forget lets go of the bodies, once nobody will send them any more: an admission may live for as long as a stream, or as a lease.
func (a *admission) forget() { a.body, a.original = nil, nil }

// reservations are both of an admission.
func (a *admission) reservations() [2]*reservation { return [2]*reservation{&a.enforced, a.shadow} }

// bound reports whether any rule holds something for the request.
func (a *admission) bound() bool { return len(a.enforced.set.Holds) > 0 }

// admit decides a request.
func (e *engine) admit(now time.Time, req *request) *admission {
	a := &admission{body: req.body, shadow: nothingShadowed, extended: now}
	decided := false
	defer func() {
		if !decided { // a panic: nobody else knows of the reservations
			e.settle(context.Background(), a, &ending{outcome: OutcomeInternal})
		}
	}()
	e.decide(now, a, req)
	decided = true
	return a
}

// decide makes the admission, step by step.
func (e *engine) decide(now time.Time, a *admission, req *request) {
	plain, err := e.understand(a, req)
	binding := e.bind(now, a, req, err == nil)
	if err != nil {
		a.refusal = unreadable(err)
		if by := binding.Enforced.Reject; by != nil && by.Reason == policy.ReasonMissingKey {
			a.refusal = e.turnedAway(by) // who asks comes before what is asked
		}
		return
	}
	a.enforced.set = binding.Enforced
	if a.refusal = e.reserve(now, &a.enforced); a.refusal != nil {
		return
	}
	if binding.Shadow.Reject != nil || len(binding.Shadow.Holds) > 0 {
		a.shadow = &reservation{shadow: true, set: binding.Shadow}
		a.shadow.rejected = e.reserve(now, a.shadow)
	}
	if !a.shadow.open.Load() {
		binding.Shadow = policy.Set{} // a circuit breaker does not count what was not reserved
	}
	e.guards.Spent(now, &binding)
	e.counsel(a)
	e.rewrite(a, plain, len(req.header["Content-Encoding"]) > 0)
}

// understand finds the dialect and reads the facts. It returns the decoded body.
func (e *engine) understand(a *admission, req *request) ([]byte, error) {
	a.dialect = e.cfg.Dialects(req.method, req.path)
	a.known = a.dialect != nil
	if !a.known {
		a.dialect = llmapi.Generic()
	}
	if req.bodiless {
		a.facts = llmapi.Facts{N: 1, Prompt: hint(req.header["X-Token-Estimate"])}
		return nil, nil
	}
	plain, err := llmapi.DecodeBody(strings.Join(req.header["Content-Encoding"], ","), req.body, e.cfg.MaxRequestBytes)
	if err != nil && a.known {
		return nil, err
	}
	if err != nil {
		plain = req.body // nobody reads it here: its size as sent stands for it
	}
	a.facts, err = a.dialect.ParseRequest(req.path, plain)
	return plain, err
}

// hint is what a gateway says of a prompt that it does not show; 0 if it says nothing that can be read.
func hint(fields []string) int64 {
	if len(fields) != 1 {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(fields[0]), 10, 32)
	if err != nil || n > 1<<31 {
		return 0
	}
	return int64(n)
}

// bind asks the policy, and, for a request that could be read, the guards that have a memory.
func (e *engine) bind(now time.Time, a *admission, req *request, readable bool) policy.Binding {
	subject := policy.Subject{
		Method: req.method, Host: req.host, Path: req.path, RawQuery: req.rawQuery, Header: req.header, Peer: req.peer,
		Model: a.facts.Model, User: a.facts.User,
	}
	ask := policy.Ask{
		Prompt: a.facts.Prompt, Output: a.facts.Output, Declared: a.facts.Declared, N: a.facts.N,
		Metered: a.known, ReadOnly: readOnly(req.method), Fingerprint: func() [32]byte { return e.fingerprint(req) },
	}
	binding := e.cfg.Bind(e.bundle.Load(), now, &subject, ask)
	if readable {
		e.guards.Check(now, &binding)
	}
	return binding
}

// fingerprint is what makes two requests identical: method, path, query and body, in 128 bits that nobody outside can aim at.
func (e *engine) fingerprint(req *request) [32]byte {
	var sum [32]byte
	for i, seed := range e.seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, part := range []string{req.method, req.path, req.rawQuery} {
			_, _ = h.WriteString(part)
			_ = h.WriteByte(0) // none of them contains it, but for a decoded path, which the body cannot shift
		}
		_, _ = h.Write(req.body)
		binary.LittleEndian.PutUint64(sum[8*i:], h.Sum64())
	}
	return sum
}

// readOnly reports whether the method only reads: such requests cost no tokens.
func readOnly(method string) bool { return method == "GET" || method == "HEAD" || method == "OPTIONS" }

// reserve takes what the set holds from all accounts, or from none and says why.
func (e *engine) reserve(now time.Time, r *reservation) *refusal {
	if r.set.Reject != nil {
		return e.turnedAway(r.set.Reject)
	}
	if len(r.set.Holds) == 0 {
		return nil
	}
	id, err := e.newID()
	if err != nil {
		return storeFailed(err)
	}
	r.id = id
	ask := limiter.Request{ID: r.id, Holds: r.set.Holds, Prompt: r.set.Prompt, Lease: e.cfg.Lease}
	r.decision, err = e.cfg.Store.Reserve(now, &ask)
	if err != nil {
		e.metrics.failed("reserve")
		if e.cfg.OnStoreError == StoreErrorOpen && !errors.Is(err, limiter.ErrTooManyAccounts) {
			return nil
		}
		return storeFailed(err)
	}
	e.names.learn(r)
	if !r.decision.Admitted {
		return e.exceeded(r)
	}
	r.open.Store(true)
	e.metrics.reserved(r)
	return nil
}

// newID draws 128 bits.
func (e *engine) newID() (limiter.ID, error) {
	e.random.Lock()
	defer e.random.Unlock()
	var id limiter.ID
	if _, err := io.ReadFull(e.cfg.Random, id[:]); err != nil {
		return limiter.ID{}, fmt.Errorf("drawing a reservation id: %w", err)
	}
	return id, nil
}

// counsel gathers what an admitted request is told: warnings, and delays of budgets and guards.
func (e *engine) counsel(a *admission) {
	set := &a.enforced.set
	a.throttle, a.warnings = set.Throttle, set.Warnings
	for i, hold := range a.enforced.decision.Holds {
		switch hold.Action {
		case limiter.Throttle:
			a.throttle = max(a.throttle, hold.Delay)
			a.warnings = append(a.warnings, set.Bound[i].Rule.Name+": throttled")
		case limiter.Warn:
			a.warnings = append(a.warnings, set.Bound[i].Rule.Name+": the budget is nearly spent")
		case limiter.None, limiter.Reject:
		}
	}
}

// rewrite makes the body that is forwarded: capped at what was reserved, and asking for usage where a token rule needs it.
//
// A body in a content encoding is forwarded as it came, with one exception: where the output has to be capped, the decoded
// form goes out, since what is reserved must be all that the model may produce.
func (e *engine) rewrite(a *admission, plain []byte, encoded bool) {
	a.encoded = encoded
	if limit := a.enforced.set.OutputCap; limit > 0 {
		if d, ok := a.dialect.(llmapi.OutputCapper); ok {
			if body, changed := d.CapOutput(plain, limit); changed {
				a.body, a.encoded = body, false
			}
		}
	}
	a.original = a.body
	tokens := a.enforced.set.Tokens || a.shadow.set.Tokens
	if !tokens || !a.facts.Stream || a.facts.UsageAsked || a.encoded {
		return
	}
	if d, ok := a.dialect.(llmapi.UsageRequester); ok {
		a.body, a.asked = d.AskUsage(a.body)
	}
}

// settle charges an admission for the way in which it ended. It is called once.
func (e *engine) settle(ctx context.Context, a *admission, end *ending) (enforced, shadow settled) {
	now := e.cfg.Now()
	return e.settleOne(ctx, now, a, &a.enforced, end), e.settleOne(ctx, now, a, a.shadow, end)
}

// settled is what became of one reservation.
type settled struct {
	actual    int64 // of the largest token hold
	holds     []limiter.HoldSettlement
	duplicate bool // it had been settled before, by its lease
	err       error
}

func (e *engine) settleOne(ctx context.Context, now time.Time, a *admission, r *reservation, end *ending) settled {
	if !r.open.Load() {
		return settled{}
	}
	r.open.Store(false)
	bill := Bill{
		ID: r.id, Shadow: r.shadow, Holds: r.set.Holds, Bound: r.set.Bound, Actual: make([]int64, len(r.set.Holds)),
		Outcome: end.outcome, Status: end.status, Reading: end.reading,
		Dialect: a.dialect.Name(), Stream: a.facts.Stream, Framing: end.framing,
	}
	for i := range bill.Actual {
		bill.Actual[i] = end.charge(&r.set.Bound[i], r.set.Holds[i])
	}
	result, err := e.cfg.Settle(ctx, e.cfg.Store, now, &bill)
	if err != nil {
		e.metrics.failed("settle")
		return settled{err: fmt.Errorf("settling reservation %s: %w", r.id, err)}
	}
	e.metrics.settled(r, &bill, &result)
	done := settled{holds: result.Holds(), duplicate: result.Duplicate}
	if i := r.largest(); i >= 0 && i < len(done.holds) {
		done.actual = r.set.Holds[i].Cost - done.holds[i].Refunded + done.holds[i].Debited
	}
	return done
}

// extend tells the store that a reservation is alive, at most once in a third of the lease.
func (e *engine) extend(a *admission) error {
	now := e.cfg.Now()
	if now.Sub(a.extended) < e.cfg.Lease/3 {
		return nil
	}
	a.extended = now
	var errs []error
	for _, r := range a.reservations() {
		if r.open.Load() {
			errs = append(errs, e.cfg.Store.Extend(now, r.id, e.cfg.Lease))
		}
	}
	return errors.Join(errs...)
}

// release gives back the slots of an admission whose client has left; the rest is settled later.
func (e *engine) release(a *admission) {
	store, ok := e.cfg.Store.(limiter.Releaser)
	if !ok {
		return
	}
	now := e.cfg.Now()
	for _, r := range a.reservations() {
		if r.open.Load() {
			_ = store.Release(now, r.id) // unknown means that its lease has ended, and its slots are free
		}
	}
}

// largest is the index of the largest token hold, or -1 if no hold counts tokens.
func (r *reservation) largest() int {
	best := -1
	for i := range r.set.Holds {
		if r.set.Bound[i].Rule.Tokens != nil && (best < 0 || r.set.Holds[i].Cost > r.set.Holds[best].Cost) {
			best = i
		}
	}
	return best
}
