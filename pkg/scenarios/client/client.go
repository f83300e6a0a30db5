// Package client makes one HTTP request exactly as told and keeps everything that
// came back, with the instant of every piece.
//
// It is the judge's witness at the client's end: it frames the request body as
// asked, never retries, follows no redirect, keeps no cookie, undoes no
// compression on the bytes that it keeps, and leaves in the middle when told to.
// What it makes of those bytes (the decoded body, the events, the usage that the
// client was told, the rate-limit headers) is read by code of its own, apart from
// the mock that wrote them and from any gateway between.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Dialer opens connections: [net.Dialer.DialContext], or one of a network in memory.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// Client makes exchanges over one set of connections. It is safe for concurrent
// use. Close it when all exchanges have ended.
type Client struct {
	usual *http.Transport
	// paced writes through a buffer of one byte, so that every piece of a slow
	// upload reaches the wire when it is due and not when a buffer is full.
	paced *http.Transport
}

// Proxy chooses a proxy for a request, as [http.ProxyFromEnvironment] does.
type Proxy func(*http.Request) (*url.URL, error)

// New makes a client. tlsConfig and proxy may be nil.
func New(dial Dialer, tlsConfig *tls.Config, proxy Proxy) *Client {
	transport := func() *http.Transport {
		return &http.Transport{
			Proxy:               proxy,
			DialContext:         dial,
			TLSClientConfig:     tlsConfig,
			ForceAttemptHTTP2:   true,
			DisableCompression:  true,
			MaxIdleConnsPerHost: 4096,
			IdleConnTimeout:     30 * time.Second,
		}
	}
	c := &Client{usual: transport(), paced: transport()}
	c.paced.WriteBufferSize = 1
	return c
}

// Admin is the transport for what is not judged: metrics and ledgers.
func (c *Client) Admin() http.RoundTripper { return c.usual }

// Close drops idle connections.
func (c *Client) Close() {
	c.usual.CloseIdleConnections()
	c.paced.CloseIdleConnections()
}

// Request is one request.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Body   []byte
	// Chunked frames the body with Transfer-Encoding: chunked, else Content-Length.
	Chunked bool
	// ChunkSizes are the sizes of the pieces in which the body is written; the last
	// one repeats. Empty means one piece.
	ChunkSizes []int
	// Pace is the pause between two pieces. Without ChunkSizes pieces of one
	// sixteenth of the body are written.
	Pace time.Duration
	// Leave says when the client goes away; the zero Leave stays to the end.
	Leave Leave
}

// Leave is when a client leaves. The first that comes true counts.
type Leave struct {
	AfterHeaders bool
	AfterBytes   int64         // of the response body
	AfterEvents  int           // of the event stream
	After        time.Duration // since the send; 0 means never
}

// The outcomes of an exchange.
const (
	Complete  = "complete"
	Cancelled = "cancelled" // the client left, as told
	Reset     = "reset"     // the connection was reset
	Truncated = "truncated" // the connection ended before the response did
	Timeout   = "timeout"   // the context's deadline passed
	Failed    = "error"     // anything else: refused, malformed
)

// Exchange is a request and what came back.
type Exchange struct {
	Request Request

	Sent    time.Time // just before the first byte
	Headers time.Time // first byte of the response head; zero if none came
	Ended   time.Time // the last byte, the error, or the leaving

	Outcome string
	Err     error // of the transport; nil if complete or cancelled

	Status  int // 0: no response
	Proto   string
	Framing string // content-length, chunked, or empty: until the connection closes, or of HTTP/2
	Header  http.Header
	Trailer http.Header
	Raw     []byte // the body as it came, less the framing
	Pieces  []Piece

	Body      []byte // decoded by Content-Encoding
	DecodeErr error  // why Body is not the whole of Raw
	Events    []Event
	Content   time.Time // first event that carries content; zero if none
}

// Piece is what one read of the body gave.
type Piece struct {
	At   time.Time
	Size int
}

// Event is one event of a stream.
type Event struct {
	Name string
	Data string
	At   time.Time
}

// errLeft is the cause of a context that the client itself cancelled.
var errLeft = errors.New("the client left")

// Do makes the exchange. It returns when the response has ended, or has been left;
// the caller learns what went wrong from the exchange.
func (c *Client) Do(ctx context.Context, r Request) *Exchange {
	x := &Exchange{Request: r}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The transport tells of the first byte from a goroutine of its own, perhaps
	// after it has given up on the request.
	var begun atomic.Pointer[time.Time]
	req, err := newRequest(ctx, &r, func() {
		now := time.Now()
		begun.Store(&now)
	})
	if err != nil {
		x.Outcome, x.Err = Failed, err
		return x
	}
	transport := c.usual
	if r.Pace > 0 && !r.Chunked {
		transport = c.paced
	}
	x.Sent = time.Now()
	if r.Leave.After > 0 {
		timer := time.AfterFunc(r.Leave.After, func() { cancel(errLeft) })
		defer timer.Stop()
	}
	resp, err := transport.RoundTrip(req)
	if at := begun.Load(); at != nil {
		x.Headers = *at
	}
	if err != nil {
		x.end(ctx, err)
		return x
	}
	defer func() { _ = resp.Body.Close() }()
	x.Status, x.Proto, x.Header, x.Framing = resp.StatusCode, resp.Proto, resp.Header, framing(resp)
	if x.Headers.IsZero() {
		x.Headers = time.Now()
	}
	if r.Leave.AfterHeaders {
		cancel(errLeft)
		x.end(ctx, errLeft)
		return x
	}
	x.end(ctx, x.read(resp.Body, func() { cancel(errLeft) }))
	x.Trailer = resp.Trailer
	return x
}

// framing is how a response says where its body ends.
func framing(resp *http.Response) string {
	switch {
	case slices.Contains(resp.TransferEncoding, "chunked"):
		return "chunked"
	case resp.ContentLength >= 0:
		return "content-length"
	}
	return ""
}

func newRequest(ctx context.Context, r *Request, firstByte func()) (*http.Request, error) {
	trace := &httptrace.ClientTrace{GotFirstResponseByte: firstByte}
	var body io.Reader
	if len(r.Body) > 0 || r.Chunked {
		body = r.pieces(ctx)
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), r.Method, r.URL, body)
	if err != nil {
		return nil, err
	}
	// Without GetBody the transport cannot send a request a second time.
	req.GetBody = nil
	req.ContentLength = int64(len(r.Body))
	if r.Chunked {
		req.ContentLength = -1
	}
	req.Header = r.Header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "llmlimit")
	}
	return req, nil
}

// pieces reads the body in the sizes and at the pace that were asked for.
func (r *Request) pieces(ctx context.Context) io.Reader {
	sizes := r.ChunkSizes
	if len(sizes) == 0 {
		sizes = []int{max(1, len(r.Body))}
		if r.Pace > 0 {
			sizes = []int{max(1, len(r.Body)/16)}
		}
	}
	return &pieceReader{ctx: ctx, rest: r.Body, sizes: sizes, pace: r.Pace}
}

// pieceReader gives one piece per Read: net/http writes one chunk for each.
type pieceReader struct {
	ctx   context.Context //nolint:containedctx // an io.Reader has no other way to be told
	rest  []byte
	sizes []int
	pace  time.Duration
	left  int  // of the current piece
	begun bool // a piece has been given
}

func (p *pieceReader) Read(to []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	if p.left == 0 {
		if p.begun && p.pace > 0 {
			timer := time.NewTimer(p.pace)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-p.ctx.Done():
				return 0, context.Cause(p.ctx)
			}
		}
		p.begun = true
		p.left = min(max(1, p.sizes[0]), len(p.rest))
		if len(p.sizes) > 1 {
			p.sizes = p.sizes[1:]
		}
	}
	n := copy(to, p.rest[:p.left])
	p.rest, p.left = p.rest[n:], p.left-n
	return n, nil
}

// read takes in the body: raw, decoded, and as events where it is a stream of them.
func (x *Exchange) read(body io.Reader, leave func()) error {
	tape := &recorder{x: x, from: body, leave: leave}
	decoded, closeDecoder, err := decode(tape, x.Header.Get("Content-Encoding"))
	if err == nil {
		defer closeDecoder()
		plain := &bytes.Buffer{}
		if strings.HasPrefix(x.Header.Get("Content-Type"), "text/event-stream") {
			x.readEvents(io.TeeReader(decoded, plain), leave)
		}
		_, err = io.Copy(plain, decoded)
		x.Body = plain.Bytes()
	}
	if err != nil && tape.err == nil {
		x.DecodeErr = err
	}
	// What a decoder did not want is part of the response all the same.
	_, _ = io.Copy(io.Discard, tape)
	if tape.err == io.EOF { //nolint:errorlint // a Reader returns it bare
		return nil
	}
	return tape.err
}

// recorder keeps what it reads, piece by piece.
type recorder struct {
	x     *Exchange
	from  io.Reader
	leave func()
	err   error // the first one; it stays
}

func (t *recorder) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	limit := t.x.Request.Leave.AfterBytes
	if limit > 0 {
		p = p[:min(int64(len(p)), limit-int64(len(t.x.Raw)))]
	}
	n, err := t.from.Read(p)
	if n > 0 {
		t.x.Raw = append(t.x.Raw, p[:n]...)
		t.x.Pieces = append(t.x.Pieces, Piece{At: time.Now(), Size: n})
	}
	if limit > 0 && int64(len(t.x.Raw)) >= limit {
		t.leave()
		err = errLeft
	}
	t.err = err
	return n, err
}

// end says how it ended, and when.
func (x *Exchange) end(ctx context.Context, err error) {
	x.Ended = time.Now()
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		x.Outcome = Complete
		return
	case errors.Is(cause, errLeft):
		x.Outcome = Cancelled
		return
	case errors.Is(cause, context.DeadlineExceeded):
		x.Outcome = Timeout
	case cause != nil:
		err = cause
		x.Outcome = Failed
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		x.Outcome = Reset
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		x.Outcome = Truncated
	default:
		x.Outcome = Failed
	}
	x.Err = err
}
