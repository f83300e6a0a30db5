package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferSize bounds what one direction of a connection holds. A writer that is
// further ahead of its reader waits, as it would for a full socket buffer.
const bufferSize = 64 << 10

// Conn is one end of a connection. Like any [net.Conn] it is safe for concurrent use.
type Conn struct {
	local, remote net.Addr
	in, out       *stream

	mu     sync.Mutex
	closed bool
	reset  bool // what Close does: SetLinger(0) was called
}

var _ net.Conn = (*Conn)(nil)

func pair(client, server net.Addr) (clientEnd, serverEnd *Conn) {
	up, down := newStream(), newStream()
	return &Conn{local: client, remote: server, in: down, out: up},
		&Conn{local: server, remote: client, in: up, out: down}
}

// Read reads what the peer wrote. It returns [io.EOF] after the peer's FIN, an
// error wrapping ECONNRESET after its reset, [os.ErrDeadlineExceeded] past the
// read deadline and [net.ErrClosed] after Close.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

// Write returns when all of p is in the buffer. It returns an error wrapping
// EPIPE when the peer has closed, ECONNRESET when it has reset.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// Close ends both directions: with FIN, or with a reset after SetLinger(0).
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.wrap("close", net.ErrClosed)
	}
	c.closed = true
	c.out.closeWriter(c.reset)
	c.in.closeReader(c.reset)
	return nil
}

// CloseWrite sends FIN and leaves the other direction open.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.wrap("close", net.ErrClosed)
	}
	c.out.finish()
	return nil
}

// SetLinger with 0 makes Close reset the connection; any other value makes it
// send FIN, which is the default. See [net.TCPConn.SetLinger].
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = sec == 0
	return nil
}

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines; the zero time means none.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readers, t)
	c.out.setDeadline(&c.out.writers, t)
	return nil
}

// SetReadDeadline also ends a Read that is waiting.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readers, t)
	return nil
}

// SetWriteDeadline also ends a Write that is waiting.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writers, t)
	return nil
}

func (c *Conn) wrap(op string, err error) error {
	switch err { //nolint:errorlint // errors of this package's own streams, never wrapped
	case nil, io.EOF:
		return err
	case syscall.ECONNRESET, syscall.EPIPE:
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// stream is one direction of a connection. All fields are guarded by mu; every
// change of them wakes all who wait.
type stream struct {
	mu      sync.Mutex
	changed *sync.Cond
	buf     []byte // what was written and not yet read
	head    int    // buf[:head] has been read

	finished     bool // the writer sent FIN
	reset        bool // either end reset the connection
	writerClosed bool
	readerClosed bool

	readers, writers deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readerClosed:
			return 0, net.ErrClosed
		case s.readers.passed:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case s.head < len(s.buf): // what has arrived comes before FIN and reset
			n := copy(p, s.buf[s.head:])
			s.head += n
			if s.head == len(s.buf) {
				s.buf, s.head = s.buf[:0], 0
			}
			s.changed.Broadcast()
			return n, nil
		case s.reset:
			return 0, syscall.ECONNRESET
		case s.finished:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.writerClosed:
			return written, net.ErrClosed
		case s.reset:
			return written, syscall.ECONNRESET
		case s.finished, s.readerClosed:
			return written, syscall.EPIPE
		case s.writers.passed:
			return written, os.ErrDeadlineExceeded
		case len(p) == 0:
			return written, nil
		}
		if room := bufferSize - (len(s.buf) - s.head); room > 0 {
			n := min(room, len(p))
			if s.head > 0 && len(s.buf)+n > cap(s.buf) {
				s.buf, s.head = s.buf[:copy(s.buf, s.buf[s.head:])], 0
			}
			s.buf = append(s.buf, p[:n]...)
			p, written = p[n:], written+n
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.changed.Broadcast()
}

func (s *stream) closeWriter(reset bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writerClosed, s.finished = true, true
	s.reset = s.reset || reset
	s.writers.stop()
	s.changed.Broadcast()
}

func (s *stream) closeReader(reset bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readerClosed = true
	s.reset = s.reset || reset
	s.readers.stop()
	s.buf, s.head = nil, 0
	s.changed.Broadcast()
}

// deadline belongs to one side of a stream and is guarded by the stream's mutex.
type deadline struct {
	passed bool
	timer  *time.Timer
	set    int // counts settings, so that a timer that fired too late to be stopped is ignored
}

func (d *deadline) stop() {
	d.set++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (s *stream) setDeadline(d *deadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.stop()
	wait := time.Until(t)
	d.passed = !t.IsZero() && wait <= 0
	if !t.IsZero() && wait > 0 {
		setting := d.set
		d.timer = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.set == setting {
				d.passed = true
				s.changed.Broadcast()
			}
		})
	}
	s.changed.Broadcast()
}
