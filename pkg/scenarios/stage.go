package scenarios

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// stage is the one address of the mock that a target by URL knows. It listens as
// long as the run, so that the connections that a gateway keeps open stay open,
// while each cell brings a mock of its own: one after the other.
type stage struct {
	addr   string
	server *http.Server
	served chan error

	mu    sync.Mutex
	scene *scene // nil between cells
}

// scene is one cell's mock while it is on.
type scene struct {
	handler http.Handler
	ctx     context.Context //nolint:containedctx // it ends with the cell, not with a call
	running int             // guarded by the stage's mu
	over    bool            // likewise
	idle    chan struct{}
}

// newStage listens. Close ends it.
func newStage(n Net, addr string) (*stage, error) {
	l, err := n.Listen(addr)
	if err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &stage{addr: l.Addr().String(), served: make(chan error, 1)}
	s.server = &http.Server{Handler: s, Protocols: &protocols, ReadHeaderTimeout: time.Minute}
	go func(l net.Listener) { s.served <- s.server.Serve(l) }(l)
	return s, nil
}

// ServeHTTP gives a request to the mock of the cell that is on.
func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	on := s.scene
	if on == nil {
		s.mu.Unlock()
		http.Error(w, "no scenario is running", http.StatusServiceUnavailable)
		return
	}
	on.running++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if on.running--; on.running == 0 && on.over {
			close(on.idle)
		}
	}()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(on.ctx, cancel)() //nolint:contextcheck // the request ends with whichever ends first
	on.handler.ServeHTTP(w, r.WithContext(ctx))
}

// lastLine is how long a cell waits for answers that are still being played when
// it is over.
const lastLine = 5 * time.Second

// play puts a mock on until end is called, which cuts off the answers that are being
// played and waits for them.
func (s *stage) play(ctx context.Context, h http.Handler) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	on := &scene{handler: h, ctx: ctx, idle: make(chan struct{})}
	s.mu.Lock()
	s.scene = on
	s.mu.Unlock()
	return func() {
		cancel()
		s.mu.Lock()
		s.scene, on.over = nil, true
		if on.running == 0 {
			close(on.idle)
		}
		s.mu.Unlock()
		timer := time.NewTimer(lastLine)
		defer timer.Stop()
		select {
		case <-on.idle:
		case <-timer.C: // whoever does not read is cut off with the stage
		}
	}
}

// Close stops listening, and waits until it is so.
func (s *stage) Close() error {
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
