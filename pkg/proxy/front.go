package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

// exchange is one request in the front, from its first byte to its settlement. It belongs to the goroutine of its handler,
// but for its watch.
type exchange struct {
	p       *Proxy
	w       http.ResponseWriter
	control *http.ResponseController
	r       *http.Request
	peer    netip.Addr // of the connection

	admission *admission // nil until the body has been read
	end       ending
	settled   bool
	record    Record
	watch     watch
}

// serve is the front: everything between the client and the engine.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	x := &exchange{p: p, w: w, control: http.NewResponseController(w), r: r}
	if !p.enter(x) {
		x.turnAway()
		return
	}
	defer p.leave(x)
	x.end.outcome = OutcomeInternal // until something better is known
	x.open()
	// Settlement is deferred here, so that no way out misses it: broken responses leave through a panic.
	defer func() { //nolint:contextcheck // the context is the request's, which the exchange carries; settling must outlive it
		broken := recover()
		if broken != nil && broken != http.ErrAbortHandler { //nolint:errorlint // a sentinel of net/http, thrown as it is
			x.end.outcome, x.record.Err = OutcomeInternal, fmt.Sprint("panic: ", broken)
		}
		x.finish()
		if broken != nil {
			panic(broken)
		}
	}()
	x.run() //nolint:contextcheck // the context is the request's, which the exchange carries
}

// open begins the record. Like all that is done before a stream flows, it is not part of serve: what serve needs lies on the stack of
// every idle stream, and a few hundred bytes more would double that stack.
func (x *exchange) open() {
	x.peer = peerOf(x.r)
	x.record = Record{Start: x.p.cfg.Now(), Method: x.r.Method, Path: x.r.URL.Path, Peer: x.peer.String()}
}

// run is the way of one request.
func (x *exchange) run() {
	if refused := x.admit(); refused != nil {
		x.refuse(refused)
		return
	}
	x.forward()
}

// turnAway answers a request that comes when the proxy is shutting down.
func (x *exchange) turnAway() {
	x.w.Header().Set("Connection", "close")
	x.refuse(&refusal{Rejection: llmapi.Rejection{
		Status: http.StatusServiceUnavailable, Reason: reasonDraining, Message: "the proxy is shutting down", Wait: time.Second,
	}})
}

// admit reads the request and has it decided.
func (x *exchange) admit() *refusal {
	if upgrades(x.r) {
		return &refusal{Rejection: llmapi.Rejection{
			Status: http.StatusNotImplemented, Reason: reasonUpgrade, Message: "a limit cannot see into an upgraded connection", Permanent: true,
		}}
	}
	body, refused := x.readBody()
	if refused != nil {
		return refused
	}
	began := x.p.cfg.Now()
	x.record.RequestBytes = int64(len(body))
	x.admission = x.p.engine.admit(began, x.ask(body))
	x.record.Overhead = x.p.cfg.Now().Sub(began)
	x.p.engine.metrics.decided(x.admission, x.record.Overhead)
	if x.admission.refusal != nil {
		x.end.outcome = OutcomeRejected
	}
	return x.admission.refusal
}

// ask is the request as the engine sees it.
func (x *exchange) ask(body []byte) *request {
	return &request{
		method: x.r.Method, host: x.r.Host, path: cleanPath(x.r.URL.Path), rawQuery: x.r.URL.RawQuery,
		header: x.r.Header, peer: x.peer, body: body,
	}
}

// readBody reads the whole body before anything is forwarded: what a client sends slowly must not hold an upstream, and a cut
// body must not reach it.
func (x *exchange) readBody() ([]byte, *refusal) {
	limit := x.p.cfg.MaxRequestBytes
	tooLarge := &refusal{Rejection: llmapi.Rejection{
		Status: http.StatusRequestEntityTooLarge, Reason: reasonTooLarge, Permanent: true,
		Message: "the request body has more than " + strconv.FormatInt(limit, 10) + " bytes",
	}}
	if x.r.Body == nil || x.r.Body == http.NoBody {
		return nil, nil
	}
	if d := x.p.cfg.Timeouts.Body; d > 0 {
		x.watch.allow(x.control.SetReadDeadline, time.Now().Add(d))
	}
	if declared := x.r.ContentLength; declared > limit {
		if declared <= 2*limit && x.r.Header.Get("Expect") == "" {
			// A client that is still writing would see a broken connection in place of the answer.
			_, _ = io.CopyN(io.Discard, x.r.Body, declared)
		}
		return nil, tooLarge
	}
	source := x.r.Body
	if x.r.ContentLength < 0 { // else it ends where it says
		source = http.MaxBytesReader(x.w, source, limit)
	}
	body, err := readAll(source, x.r.ContentLength)
	var over *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil // the server has taken the deadline back with the end of the body, to look out for the client's leaving
	case errors.As(err, &over):
		_, _ = io.CopyN(io.Discard, x.r.Body, limit)
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded) && !x.watch.isForced():
		x.w.Header().Set("Connection", "close")
		return nil, &refusal{Rejection: llmapi.Rejection{
			Status: http.StatusRequestTimeout, Reason: reasonSlowBody, Message: "the request body took too long",
		}}
	case x.r.Context().Err() != nil || x.watch.isForced():
		x.end.outcome = OutcomeUnreachable
		panic(http.ErrAbortHandler) // nobody is there to be answered, or to answer
	}
	x.record.Err = err.Error()
	return nil, &refusal{Rejection: llmapi.Rejection{
		Status: http.StatusBadRequest, Reason: reasonInvalidBody, Message: "the request body could not be read", Permanent: true,
	}}
}

// readAll reads to the end. A declared length saves the growing of the buffer, but nobody gets more memory for a promise than
// this.
func readAll(r io.Reader, declared int64) ([]byte, error) {
	const trusted = 1 << 20
	size := min(max(declared, 0), trusted) + 1 // one more, so that the end is seen without growing
	body := make([]byte, 0, max(size, 512))
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

// refuse answers in the form of the endpoint's API.
func (x *exchange) refuse(r *refusal) {
	if x.end.outcome == OutcomeInternal && x.admission == nil {
		x.end.outcome = OutcomeRejected
	}
	dialect := x.dialect()
	reply := dialect.Reject(r.Rejection)
	h := x.w.Header()
	maps.Copy(h, reply.Header)
	now := x.p.cfg.Now()
	announce(h, x.admission, originLimiter)
	if x.admission != nil {
		rateHeaders(h, now, x.admission)
	}
	r.retryHeaders(h)
	h.Set("Content-Length", strconv.Itoa(len(reply.Body)))
	x.record.Decision, x.record.Reason, x.record.Status = Reject, r.Reason, reply.Status
	x.record.Policy, x.record.Rule, x.record.Window, x.record.Key = r.policy, r.rule, r.window, r.key
	x.deadline()
	x.w.WriteHeader(reply.Status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(reply.Body)
	}
}

// dialect is that of the endpoint, known or not.
func (x *exchange) dialect() llmapi.Dialect {
	if x.admission != nil {
		return x.admission.dialect
	}
	if d := x.p.cfg.Dialects(x.r.Method, cleanPath(x.r.URL.Path)); d != nil {
		return d
	}
	return llmapi.Generic()
}

// deadline gives the client some time for the next write.
func (x *exchange) deadline() {
	if d := x.p.cfg.Timeouts.Write; d > 0 {
		x.watch.allow(x.control.SetWriteDeadline, time.Now().Add(d))
	}
}

// written ends the time of a write that has taken place. HTTP/2 needs that: there a deadline that passes breaks the stream, also
// one to which nothing is being written.
func (x *exchange) written() {
	if x.r.ProtoMajor >= 2 && x.p.cfg.Timeouts.Write > 0 {
		x.watch.allow(x.control.SetWriteDeadline, time.Time{})
	}
}

// settle charges the admission for the way in which it ended. The first call does it.
func (x *exchange) settle() {
	if x.admission == nil || x.settled {
		return
	}
	x.settled = true
	enforced, shadow := x.p.engine.settle(context.WithoutCancel(x.r.Context()), x.admission, &x.end)
	x.describe(enforced, shadow)
}

// finish settles and tells the observer. It runs on every way out, once.
func (x *exchange) finish() {
	x.settle()
	if x.admission == nil && x.record.Decision == Reject {
		x.p.engine.metrics.decisions.WithLabelValues(Reject, x.record.Reason).Inc()
	}
	x.record.Outcome = x.end.outcome
	x.record.Duration = x.p.cfg.Now().Sub(x.record.Start)
	x.p.cfg.Observe(x.record)
}

// describe fills the record with what the engine knows.
func (x *exchange) describe(enforced, shadow settled) {
	a, rec := x.admission, &x.record
	rec.Dialect, rec.Model, rec.Stream = a.dialect.Name(), a.facts.Model, a.facts.Stream
	rec.Prompt = a.enforced.set.Prompt
	if a.enforced.decision.Admitted {
		rec.ID = a.enforced.id.String()
	}
	if a.refusal == nil {
		rec.Decision = Allow
		if i := a.enforced.tightest(func(*reservation, int) bool { return true }); i >= 0 {
			b := &a.enforced.set.Bound[i]
			rec.Policy, rec.Rule, rec.Window, rec.Key = b.Rule.Policy, b.Rule.Name, b.Window, b.Key.String()
		}
	}
	if i := a.enforced.largest(); i >= 0 && a.enforced.decision.Admitted {
		rec.Reserved, rec.Actual = a.enforced.set.Holds[i].Cost, enforced.actual
		if i < len(enforced.holds) {
			hold := &enforced.holds[i]
			rec.Refunded, rec.Debited, rec.WrittenOff = hold.Refunded, hold.Debited, hold.WrittenOff.Tokens
		}
	}
	rec.Shadow = shadowRecord(a.shadow, shadow)
	rec.Usage, rec.Reported, rec.Missing, rec.Upstream = x.end.reading.Usage, x.end.reading.Reported, x.end.reading.Why, x.end.status
	if err := errors.Join(enforced.err, shadow.err); err != nil {
		rec.Err = err.Error()
	}
}

func shadowRecord(r *reservation, s settled) ShadowRecord {
	if no := r.rejected; no != nil {
		return ShadowRecord{Decision: Reject, Reason: no.Reason, Policy: no.policy, Rule: no.rule, Window: no.window, Key: no.key}
	}
	i := r.tightest(func(*reservation, int) bool { return true })
	if i < 0 {
		return ShadowRecord{}
	}
	b := &r.set.Bound[i]
	out := ShadowRecord{Decision: Allow, Policy: b.Rule.Policy, Rule: b.Rule.Name, Window: b.Window, Key: b.Key.String(), Actual: s.actual}
	if i := r.largest(); i >= 0 {
		out.Reserved = r.set.Holds[i].Cost
	}
	return out
}
