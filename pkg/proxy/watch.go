package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// The causes that end the conversation with an upstream before its time.
var (
	errClientLeft = errors.New("the client left")
	errDrained    = errors.New("the client left, and its response took too long to drain")
	errTimeout    = errors.New("timeout")
	errCut        = errors.New("the output limit was reached")
)

// watch owns the life of one conversation with the upstream: it ends it when the client leaves or a time is up. The
// conversation is detached from the client, so that a response whose client has left can be read for its usage.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	drain  func() bool // called once, when the client leaves after the headers: whether to read on
	left   func()      // called once, when the client leaves
	limit  time.Duration

	mu      sync.Mutex
	flowing bool // the upstream's headers have come
	gone    bool // the client has left
	forced  bool // the proxy does not wait any longer
	ended   bool
	places  func(int64) int64 // gives back the place of a drain; nil if there is none
	timer   *time.Timer       // of the part that runs; after the client has left, of the drain

	total *time.Timer // of the whole; nil if it has no bound
	stop  func() bool // keeps the callback on the client's context from running
	done  sync.WaitGroup
}

// start begins a conversation for a client.
func (w *watch) start(client context.Context, total time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx, w.cancel = context.WithCancelCause(context.WithoutCancel(client))
	if w.forced {
		w.cancel(errForced)
	}
	w.done.Add(1)
	w.stop = context.AfterFunc(client, func() { defer w.done.Done(); w.leave() })
	if total > 0 {
		w.total = time.AfterFunc(total, func() { w.cancel(errTimeout) })
	}
}

// force ends the conversation because the proxy stops, and whatever is being read from the client or written to it. It may come at
// any time.
func (w *watch) force(client *http.ResponseController) {
	w.mu.Lock()
	defer w.mu.Unlock()
	over := time.Now()
	if w.forced = true; w.cancel != nil {
		w.cancel(errForced)
	} else {
		_ = client.SetReadDeadline(over) // its body is being read
	}
	_ = client.SetWriteDeadline(over)
}

// allow gives the client until an instant for what set bounds, unless the proxy does not wait any longer.
func (w *watch) allow(set func(time.Time) error, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.forced {
		_ = set(until) // unsupported by some writers in tests
	}
}

// isForced reports whether the proxy does not wait any longer.
func (w *watch) isForced() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.forced
}

// leave notes that the client has left. Before the upstream's headers that ends the conversation; after them the response is
// drained if there is room for it.
func (w *watch) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone || w.ended || w.forced { // who is broken off has not left
		return
	}
	w.gone = true
	w.left()
	if !w.flowing || !w.drain() {
		w.cancel(errClientLeft)
		return
	}
	w.arm(w.limit, errDrained)
}

// arm starts the timer anew. It requires that mu is held.
func (w *watch) arm(d time.Duration, cause error) {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	if d > 0 && !w.ended {
		w.timer = time.AfterFunc(d, func() { w.cancel(cause) })
	}
}

// wait allows d for the next sign of life from the upstream. A drain has its own time.
func (w *watch) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return
	}
	if w.timer != nil && d > 0 {
		w.timer.Reset(d)
		return
	}
	w.arm(d, errTimeout)
}

// pause stops the timer while the client is being written to: a slow reader is not the upstream's fault.
func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && !w.gone {
		w.timer.Stop()
	}
}

// flow notes that the upstream's headers have come.
func (w *watch) flow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flowing = true
}

// clientGone reports whether the client has left.
func (w *watch) clientGone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// end stops every timer and waits for callbacks that are running. Nothing of the conversation is left after it.
func (w *watch) end() {
	if w.ctx == nil {
		return
	}
	w.mu.Lock()
	w.ended = true
	w.arm(0, nil)
	w.mu.Unlock()
	if w.total != nil {
		w.total.Stop()
	}
	if w.stop() {
		w.done.Done() // it will never run
	}
	w.done.Wait()
	w.cancel(nil)
	if w.places != nil {
		w.places(-1)
	}
}
