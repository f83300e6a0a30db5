package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

// relay is the passage of one response body: from the upstream through the meter, and through a filter if there is one, to the
// client.
type relay struct {
	x      *exchange
	resp   *http.Response
	meter  llmapi.Meter
	filter *llmapi.EventFilter // nil: every byte passes
	passed []byte              // memory of the filter's output
	cut    *cutter             // nil: the stream is not limited

	flush   bool // after every read
	read    int64
	drained int64 // read after the client has left
	metered bool
}

// relay passes the response on. It panics with http.ErrAbortHandler where the client must see that the body is not whole.
func (x *exchange) relay(resp *http.Response) {
	y := &relay{x: x, resp: resp, flush: streams(resp) || resp.ContentLength < 0}
	y.meter = x.admission.dialect.Meter(x.meterOptions(resp))
	defer y.finish()
	y.shape()
	err := y.body()
	y.conclude(err)
	switch {
	case x.end.outcome == OutcomeDone:
		y.trailers()
	case x.end.outcome != OutcomeCut:
		y.push() // what came goes out before the break, and not into the void with it
		panic(http.ErrAbortHandler)
	}
}

// meterOptions describe the response to its meter, with the caps and paths of the first rule that has any.
func (x *exchange) meterOptions(resp *http.Response) llmapi.MeterOptions {
	o := llmapi.MeterOptions{
		ContentType: resp.Header.Get("Content-Type"),
		Encoding:    strings.Join(resp.Header["Content-Encoding"], ","),
	}
	for _, r := range x.admission.reservations() {
		for i := range r.set.Bound {
			if tokens := r.set.Bound[i].Rule.Tokens; tokens != nil {
				o.MaxBody = max(o.MaxBody, int(tokens.MaxParseable))
				if o.JSONPaths == nil {
					o.JSONPaths = tokens.JSONPaths
				}
			}
		}
	}
	return o
}

// shape writes the head of the answer and decides what has to be taken out of the body.
func (y *relay) shape() {
	x, a := y.x, y.x.admission
	h := x.w.Header()
	dropHopByHop(y.resp.Header)
	maps.Copy(h, y.resp.Header)
	if _, named := h["Content-Type"]; !named {
		h["Content-Type"] = nil // else net/http guesses one
	}
	if a.bound() && y.resp.StatusCode != http.StatusTooManyRequests {
		dropRateFields(h)
		rateHeaders(h, x.p.cfg.Now(), a)
	}
	announce(h, a, originUpstream)
	x.filterAndCut(y)
	if y.filter != nil {
		delete(h, "Content-Length")
	}
	for name := range y.resp.Trailer {
		h.Add("Trailer", name)
	}
	x.record.Status = y.resp.StatusCode
	x.deadline()
	x.w.WriteHeader(y.resp.StatusCode)
	if streams(y.resp) {
		y.push()
	}
	x.written()
	y.resp.Header = nil // it is the client's now, and need not be kept for as long as a stream lasts
}

// filterAndCut finds out whether events have to be held: to drop the one that we caused, or to end the stream between two.
func (x *exchange) filterAndCut(y *relay) {
	encoding := y.resp.Header.Get("Content-Encoding")
	readable := encoding == "" || strings.EqualFold(encoding, "identity")
	// A stream that we asked for usage may come under another name; what has a declared length is a document.
	eventful := streams(y.resp) || x.admission.asked && y.resp.ContentLength < 0
	if !readable || !eventful || y.resp.StatusCode/100 != 2 {
		return
	}
	keepAll := func([]byte) bool { return false }
	drop := keepAll
	if d, ok := x.admission.dialect.(llmapi.EventDropper); ok && x.admission.asked {
		drop = d.UsageOnly
		y.filter = llmapi.NewEventFilter(drop)
	}
	y.cut = newCutter(x.admission, y.meter)
	if y.cut != nil && y.filter == nil {
		y.filter = llmapi.NewEventFilter(drop)
	}
}

// body passes the body on, until its end or until something breaks.
func (y *relay) body() error {
	for {
		y.x.watch.wait(y.x.p.cfg.Timeouts.Idle)
		var err error
		if y.flush {
			// A stream waits here for its next piece, without a buffer: a read of nothing returns when there is something, if it
			// is chunked or of HTTP/2, and at once if it is not.
			_, err = y.resp.Body.Read(nil)
		}
		if err == nil {
			err = y.piece()
		}
		if errors.Is(err, io.EOF) {
			return y.rest()
		}
		if err != nil {
			return err
		}
	}
}

// piece reads once and passes on what has come.
func (y *relay) piece() error {
	pool := &y.x.p.buffers
	if y.flush {
		pool = &y.x.p.small // pieces are small, and not every wait ends before this
	}
	buffer, _ := pool.Get().(*[]byte)
	defer pool.Put(buffer)
	n, err := y.resp.Body.Read(*buffer)
	y.x.watch.pause()
	if n > 0 {
		if failed := y.pass((*buffer)[:n], err); failed != nil {
			return failed
		}
	}
	return err
}

// pass meters one read and hands it to the client.
func (y *relay) pass(piece []byte, readErr error) error {
	x := y.x
	y.read += int64(len(piece))
	_, _ = y.meter.Write(piece) // never fails
	if err := x.p.engine.extend(x.admission); err != nil {
		x.record.Err = err.Error()
	}
	if x.watch.clientGone() {
		if y.drained += int64(len(piece)); y.drained > x.p.cfg.Drain.Bytes {
			return errDrained
		}
		return nil
	}
	if y.read == y.resp.ContentLength && (readErr == nil || errors.Is(readErr, io.EOF)) {
		// The client will know that this is all before our handler has ended. Who then asks again must find the refund there.
		y.conclude(nil)
		y.x.settle()
	}
	y.toClient(piece)
	if y.cut != nil && y.cut.due(y.meter.Content()) {
		return y.end()
	}
	return nil
}

// toClient writes what of a piece is meant for the client.
func (y *relay) toClient(piece []byte) {
	if y.filter != nil {
		y.passed = y.filter.Filter(y.passed[:0], piece)
		piece = y.passed
	}
	y.write(piece)
}

// write hands bytes to the client. A client that does not take them has left.
func (y *relay) write(piece []byte) {
	if len(piece) == 0 {
		return
	}
	y.x.deadline()
	defer y.x.written()
	if _, err := y.x.w.Write(piece); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		y.x.watch.leave()
		return
	}
	if y.flush {
		y.push()
	}
}

// push flushes what was written.
func (y *relay) push() {
	if err := y.x.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		y.x.watch.leave()
	}
}

// rest writes what the filter still holds: an event without its blank line.
func (y *relay) rest() error {
	if y.filter != nil && !y.x.watch.clientGone() {
		y.write(y.filter.Rest())
	}
	return nil
}

// end ends the stream for the client at the output limit, in its own form.
func (y *relay) end() error {
	if y.cut.shadow {
		y.x.record.WouldCut = true
		y.cut = nil
		return nil
	}
	last := y.cut.last(y.x)
	if last == nil { // this stream has no polite end
		y.cut = nil
		return nil
	}
	y.write(last)
	return errCut
}

// conclude gives the exchange the outcome that follows from how the body ended. The first call decides.
func (y *relay) conclude(err error) {
	if y.metered {
		return
	}
	y.metered = true
	end := &y.x.end
	end.reading = y.meter.Close()
	if err != nil {
		end.reading = end.reading.Torn()
	}
	cause := context.Cause(y.x.watch.ctx)
	switch {
	case errors.Is(err, errCut):
		end.outcome = OutcomeCut
		end.reading.Reported = false // what the provider says later is not ours to know
	case y.x.watch.clientGone():
		end.outcome = OutcomeLeft
	case err == nil:
		end.outcome = OutcomeDone
	case errors.Is(cause, errTimeout):
		end.outcome, err = OutcomeTimeout, cause
	default:
		end.outcome = OutcomeBroken
	}
	if err != nil && end.outcome != OutcomeCut {
		y.x.record.Err = fmt.Sprint("reading the response: ", err)
	}
}

// finish closes what the relay owns, also when something panicked.
func (y *relay) finish() {
	y.x.record.ResponseBytes = y.read
	if !y.metered {
		y.metered = true
		y.x.end.reading = y.meter.Close().Torn()
	}
}

// trailers passes on what came after the body, announced or not.
func (y *relay) trailers() {
	h := y.x.w.Header()
	for name, values := range y.resp.Trailer {
		h[http.TrailerPrefix+name] = values
	}
}
