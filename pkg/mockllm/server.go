package mockllm

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// TB is what [Start] needs of a *testing.T or *testing.B.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Server is a mock that listens on a loopback port.
type Server struct {
	*Mock

	URL string // such as http://127.0.0.1:40113, without a slash at the end
}

// Start runs a mock for one test, with its admin API under /__mock/, and ends it with the test. At most one Options is used.
func Start(tb TB, opts ...Options) *Server {
	tb.Helper()
	o := Options{}
	if len(opts) > 0 {
		o = opts[0]
	}
	o.Admin = true
	m := New(o)
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("mockllm: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Fatalf("mockllm: %v", err)
		}
	})
	return &Server{Mock: m, URL: "http://" + l.Addr().String()}
}

// Serve answers on l, HTTP/1.1 and cleartext HTTP/2, until ctx ends; then it cuts off the answers that are being played, waits
// for them to be in the journal, and returns nil. It closes l.
func (m *Mock) Serve(ctx context.Context, l net.Listener) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	base, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var running tracker
	srv := &http.Server{
		Handler:           running.track(m.Handler()),
		Protocols:         &protocols,
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		stop(errShutdown)
		running.drain()
		return err
	case <-ctx.Done():
	}
	stop(errShutdown)
	err := srv.Close() // before waiting: a client that does not read would keep a handler writing
	running.drain()
	if serveErr := <-ended; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// errShutdown is the cause of the requests that Serve cuts off.
var errShutdown = errors.New("mockllm: the server was stopped")

// tracker counts running handlers, so that they can be awaited. After drain it starts none.
type tracker struct {
	mu       sync.Mutex
	running  int
	draining bool
	idle     chan struct{}
}

func (t *tracker) track(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.mu.Lock()
		if t.draining {
			t.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		t.running++
		t.mu.Unlock()
		defer func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.running--; t.running == 0 && t.draining {
				close(t.idle)
			}
		}()
		h.ServeHTTP(w, r)
	})
}

func (t *tracker) drain() {
	t.mu.Lock()
	t.draining, t.idle = true, make(chan struct{})
	if t.running == 0 {
		close(t.idle)
	}
	t.mu.Unlock()
	<-t.idle
}
