package mockllm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// httpOutput writes through net/http.
type httpOutput struct {
	w        http.ResponseWriter
	rc       http.ResponseController
	h2       bool
	trailers map[string]string
	aborted  bool // the handler must panic with http.ErrAbortHandler
}

func (o *httpOutput) interim(codes []int) error {
	for _, code := range codes {
		o.w.WriteHeader(code) // it flushes
	}
	return nil
}

func (o *httpOutput) head(a *answer) error {
	h := o.w.Header()
	maps.Copy(h, a.header)
	if !o.h2 && a.framing() == "close" {
		h.Set("Transfer-Encoding", "identity") // net/http's word for a body that ends with the connection; it is not sent
	}
	o.trailers = a.x.plan.HTTP.Trailers
	for name := range o.trailers {
		h.Add("Trailer", name)
	}
	o.w.WriteHeader(a.status)
	return nil
}

func (o *httpOutput) write(data []byte) error { _, err := o.w.Write(data); return err }

func (o *httpOutput) flush() error { return o.rc.Flush() }

func (o *httpOutput) end(context.Context) error {
	for name, value := range o.trailers {
		o.w.Header().Set(name, value)
	}
	return nil
}

// abort on HTTP/2 is RST_STREAM, which net/http sends when the handler panics; on HTTP/1 the connection is taken and closed.
func (o *httpOutput) abort(reset bool) error {
	if o.h2 {
		o.aborted = true
		return nil
	}
	conn, _, err := o.rc.Hijack()
	if err != nil {
		return errors.Join(errGone, err)
	}
	closeConn(conn, reset)
	return nil
}

// closeConn closes conn, with RST instead of FIN if it can.
func closeConn(conn net.Conn, reset bool) {
	if l, ok := conn.(interface{ SetLinger(sec int) error }); ok && reset {
		_ = l.SetLinger(0) // a connection that cannot reset is closed, which a reader sees too
	}
	_ = conn.Close()
}

// rawOutput writes HTTP/1 on the bare connection: what net/http refuses to send. It notices the client leaving by reading.
type rawOutput struct {
	conn    net.Conn
	buf     *bufio.Writer
	chunked bool
	proto   string
	watched chan struct{} // closed when the watcher has ended
	stop    func() bool   // ends the rule that a canceled request unblocks writes
}

// openRaw takes the connection. The context it returns ends also when the client leaves.
func openRaw(ctx context.Context, rc *http.ResponseController) (*rawOutput, context.Context, error) {
	conn, rw, err := rc.Hijack()
	if err != nil {
		return nil, ctx, fmt.Errorf("taking the connection: %w", err)
	}
	ctx, leave := context.WithCancelCause(ctx)
	o := &rawOutput{conn: conn, buf: rw.Writer, proto: "HTTP/1.1", watched: make(chan struct{})}
	o.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	go func() {
		defer close(o.watched)
		for one := make([]byte, 1); ; { // the whole request is read, so anything but silence is pipelined and ignored
			if _, err := rw.Read(one); err != nil {
				leave(errGone)
				return
			}
		}
	}()
	return o, ctx, nil
}

func (o *rawOutput) interim(codes []int) error {
	for _, code := range codes {
		fmt.Fprintf(o.buf, "HTTP/1.1 %d %s\r\n\r\n", code, http.StatusText(code))
	}
	return o.buf.Flush()
}

func (o *rawOutput) head(a *answer) error {
	if a.x.plan.HTTP.Proto == "1.0" {
		o.proto = "HTTP/1.0"
	}
	fmt.Fprintf(o.buf, "%s %d %s\r\n", o.proto, a.status, http.StatusText(a.status))
	header := a.header.Clone()
	framing := a.framing()
	if framing == "chunked" && o.proto == "HTTP/1.0" {
		framing = "close" // 1.0 has no chunks
	}
	switch framing {
	case "length":
		header.Set("Content-Length", strconv.FormatInt(a.length(false), 10))
	case "chunked":
		o.chunked = true
		header.Set("Transfer-Encoding", "chunked") //nolint:gosec // instead of a length, not beside one
	}
	header.Set("Connection", "close")
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			fmt.Fprintf(o.buf, "%s: %s\r\n", name, value)
		}
	}
	_, err := o.buf.WriteString("\r\n")
	return err
}

func (o *rawOutput) write(data []byte) error {
	if o.chunked {
		fmt.Fprintf(o.buf, "%x\r\n", len(data))
	}
	_, err := o.buf.Write(data)
	if o.chunked {
		_, err = o.buf.WriteString("\r\n")
	}
	return err
}

func (o *rawOutput) flush() error { return o.buf.Flush() }

func (o *rawOutput) end(context.Context) error {
	if o.chunked {
		_, _ = o.buf.WriteString("0\r\n\r\n") // an error comes back from Flush
	}
	if err := o.buf.Flush(); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

func (o *rawOutput) abort(reset bool) error {
	closeConn(o.conn, reset)
	return nil
}

// close gives the connection back to the system and waits for the watcher.
func (o *rawOutput) close() {
	o.stop()
	_ = o.conn.Close()
	<-o.watched
}
