package scenarios

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// stage is the one address of the mock that a target by URL knows. It listens as
// long as the run, so that the connections that a gateway keeps open stay open,
// while each cell brings a mock of its own. A request goes to the cell whose name is
// in it; what names nobody goes to the one in front.
type stage struct {
	addr   string
	server *http.Server
	served chan error

	mu     sync.Mutex
	scenes []*scene // those that are on
	front  *scene   // the one of them for requests that name nobody; may be nil
}

// scene is one cell's mock while it is on.
type scene struct {
	name    string // that all its requests carry
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

// ServeHTTP gives a request to the mock of its cell.
func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	on := s.enter(r)
	if on == nil {
		http.Error(w, "no scenario is running", http.StatusServiceUnavailable)
		return
	}
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

// enter finds the scene of a request and counts it there; nil if none is on. The body
// is looked at only where it has to tell: read, it is whole before the mock sees it.
func (s *stage) enter(r *http.Request) *scene {
	on, several := s.pick(func(one *scene) bool { return inHeader(r.Header, one.name) || strings.Contains(r.URL.Path, one.name) })
	if on != nil || !several {
		return on
	}
	body, err := io.ReadAll(r.Body)
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), failing{err}), r.Body}
	on, _ = s.pick(func(one *scene) bool { return bytes.Contains(body, []byte(one.name)) })
	if on == nil {
		on, _ = s.pick(func(one *scene) bool { return one == s.front || s.front == nil })
	}
	return on
}

// pick takes the scene that fits, or the only one. several tells that there are others
// that it might be.
func (s *stage) pick(fits func(*scene) bool) (on *scene, several bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range slices.Backward(s.scenes) {
		if len(s.scenes) == 1 || fits(one) {
			one.running++
			return one, false
		}
	}
	return nil, len(s.scenes) > 1
}

func inHeader(h http.Header, name string) bool {
	return strings.Contains(h.Get("X-Llmlimit-Mock"), name) || strings.Contains(h.Get("X-Pass-X-Llmlimit-Mock"), name)
}

// failing is what comes after a body that was read: its end, or why it broke off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// lastLine is how long a cell waits for answers that are still being played when
// it is over.
const lastLine = 5 * time.Second

// play puts a mock on, for requests that carry a name, until end is called, which
// cuts off the answers that are being played and waits for them. step brings it
// to the front.
func (s *stage) play(ctx context.Context, name string, h http.Handler) (end, step func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	on := &scene{name: name, handler: h, ctx: ctx, idle: make(chan struct{})}
	s.mu.Lock()
	s.scenes = append(s.scenes, on)
	s.mu.Unlock()
	step = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.front = on
	}
	return func() {
		cancel()
		s.mu.Lock()
		s.scenes = slices.DeleteFunc(s.scenes, func(one *scene) bool { return one == on })
		if s.front == on {
			s.front = nil
		}
		on.over = true
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
	}, step
}

// Close stops listening, and waits until it is so.
func (s *stage) Close() error {
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
