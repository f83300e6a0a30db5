package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// forward sends an admitted request upstream and relays what comes back.
func (x *exchange) forward() {
	t := x.p.cfg.Timeouts
	x.watch.left, x.watch.drain, x.watch.limit = x.release, x.mayDrain, x.p.cfg.Drain.Time
	x.watch.start(x.r.Context(), t.Total)
	defer x.watch.end()
	if !x.throttle() {
		x.end.outcome = OutcomeUnreachable
		panic(http.ErrAbortHandler)
	}
	x.watch.wait(t.Headers)
	resp, tried, err := x.send()
	if err != nil {
		x.failed(tried, err)
		return
	}
	x.watch.flow()
	x.admission.forget()
	defer func() { _ = resp.Body.Close() }()
	x.record.FirstByte = x.p.cfg.Now().Sub(x.record.Start)
	x.end.status, x.end.framing = resp.StatusCode, framingOf(resp)
	x.relay(resp)
}

// throttle delays the request as a budget or a guard wants it. It reports whether the client is still there.
func (x *exchange) throttle() bool {
	if x.admission.throttle <= 0 {
		return true
	}
	timer := time.NewTimer(x.admission.throttle)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.watch.ctx.Done():
		return false
	}
}

// mostComplaint is how much of a 400 is read to learn what it is about.
const mostComplaint = 64 << 10

// send sends the request. An upstream that does not know stream_options says so with a 400; then, and only then, the request is
// sent a second time, as the client wrote it.
func (x *exchange) send() (*http.Response, *attempt, error) {
	a := x.admission
	first := &attempt{x: x}
	resp, err := first.send(a.body, a.asked)
	if err != nil || !a.asked || resp.StatusCode != http.StatusBadRequest {
		return resp, first, err
	}
	complaint, err := io.ReadAll(io.LimitReader(resp.Body, mostComplaint))
	if err != nil || !bytes.Contains(complaint, []byte("stream_options")) {
		resp.Body = rejoin(complaint, err, resp.Body)
		return resp, first, nil
	}
	_ = resp.Body.Close()
	a.asked, x.record.Retried = false, true
	second := &attempt{x: x}
	resp, err = second.send(a.original, false)
	return resp, second, err
}

// rejoin is a body of which the beginning, or all up to an error, has been read.
func rejoin(read []byte, err error, rest io.ReadCloser) io.ReadCloser {
	parts := []io.Reader{bytes.NewReader(read), rest}
	if err != nil {
		parts[1] = failingReader{err}
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(parts...), rest}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// failed ends an exchange to which the upstream gave no headers.
func (x *exchange) failed(tried *attempt, err error) {
	if cause := context.Cause(x.watch.ctx); cause != nil {
		err = cause
	}
	x.record.Err = err.Error()
	no := &refusal{Rejection: llmapi.Rejection{Status: http.StatusBadGateway, Reason: reasonUpstream, Message: "the upstream gave no answer"}}
	switch {
	case !tried.written.Load():
		x.end.outcome = OutcomeUnreachable
		no.Message = "the upstream cannot be reached"
	case x.watch.clientGone():
		x.end.outcome = OutcomeLeftEarly
	case errors.Is(err, errTimeout):
		x.end.outcome = OutcomeTimeout
		no.Status, no.Reason, no.Message = http.StatusGatewayTimeout, reasonTimeout, "the upstream took too long"
	case tried.interim.Load():
		x.end.outcome = OutcomeInterimOnly
	default:
		x.end.outcome = OutcomeNoAnswer
	}
	if x.watch.clientGone() || errors.Is(err, errForced) {
		panic(http.ErrAbortHandler)
	}
	x.refuse(no)
	x.record.Decision = Allow // it was: the answer is the proxy's, the decision is not
}

// release gives back the slots of a client that has left. It runs under the watch's lock.
func (x *exchange) release() { x.p.engine.release(x.admission) }

// mayDrain reports whether the response is read on for its usage after the client has left, and takes a place for that.
func (x *exchange) mayDrain() bool {
	a := x.admission
	wanted := false
	for _, r := range a.reservations() {
		for i := range r.set.Bound {
			tokens := r.set.Bound[i].Rule.Tokens
			wanted = wanted || tokens != nil && tokens.OnDisconnect == policy.DisconnectDrain
		}
	}
	if !wanted {
		return false
	}
	if x.p.drains.Add(1) > int64(x.p.cfg.Drain.Most) {
		x.p.drains.Add(-1)
		return false
	}
	x.watch.places = x.p.drains.Add
	return true
}

// framingOf tells how the body of a response ends.
func framingOf(resp *http.Response) Framing {
	switch {
	case resp.ContentLength >= 0:
		return FramingLength
	case len(resp.TransferEncoding) > 0 || resp.ProtoMajor >= 2:
		return FramingChunked
	}
	return FramingClose
}

// streams reports whether a response is made of events, each of which is due at once.
func streams(resp *http.Response) bool {
	kind := strings.ToLower(resp.Header.Get("Content-Type"))
	return strings.HasPrefix(kind, "text/event-stream") || strings.HasPrefix(kind, "application/vnd.amazon.eventstream")
}
