package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"
)

// TransportOptions shape the connections to the upstream. The zero value fits a provider.
type TransportOptions struct {
	// DialContext replaces the dialer, as for a network in memory.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS is the client side of TLS; nil means the system's roots.
	TLS *tls.Config
	// H2C speaks HTTP/2 without TLS to http:// backends.
	H2C bool
	// MaxHeaderBytes caps the head of a response; 0 means 256 KiB.
	MaxHeaderBytes int64
}

// NewTransport returns a transport that passes bodies as they are: it neither asks for compression nor undoes it, and takes no
// proxy from the environment. It speaks HTTP/1.1 and, over TLS where the upstream offers it, HTTP/2.
func NewTransport(o TransportOptions) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(!o.H2C)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(o.H2C)
	if o.DialContext == nil {
		o.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	return &http.Transport{
		DialContext:            o.DialContext,
		TLSClientConfig:        o.TLS,
		Protocols:              &protocols,
		DisableCompression:     true,
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: orDefault(o.MaxHeaderBytes, 256<<10),
		// Two buffers for each stream that is open, however long it says nothing. Bodies pass them by.
		WriteBufferSize: 1 << 10,
		ReadBufferSize:  1 << 10,
	}
}

// outgoingBody lets go of the bytes once they are written. The transport holds the request for as long as the response lasts, and a
// stream may last an hour: its prompt need not stay in memory.
type outgoingBody struct{ rest []byte }

func (b *outgoingBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) == 0 {
		b.rest = nil
	}
	return n, nil
}

func (b *outgoingBody) Close() error { return nil }

// attempt is one request to the upstream and how far it came.
type attempt struct {
	x       *exchange
	written atomic.Bool // a connection was there: something may have been written
	interim atomic.Bool // a 1xx came
	mu      sync.Mutex  // held while an interim response is passed on
	over    bool
}

// send sends body upstream and waits for the headers. The body of the response must be closed.
func (t *attempt) send(body []byte, asked bool) (*http.Response, error) {
	x := t.x
	ctx := httptrace.WithClientTrace(x.watch.ctx, &httptrace.ClientTrace{
		GotConn:        func(httptrace.GotConnInfo) { t.written.Store(true) },
		Got1xxResponse: t.pass,
	})
	req := (&http.Request{
		Method: x.r.Method, URL: target(x.p.cfg.Backend, x.r.URL), Header: x.outgoing(asked), Host: x.p.cfg.Backend.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)), Body: http.NoBody, Trailer: x.r.Trailer,
	}).WithContext(ctx)
	if len(body) > 0 {
		// Without GetBody the transport cannot send a request a second time once it has begun: a provider would bill twice.
		req.Body = &outgoingBody{rest: body}
	}
	if x.r.Trailer != nil {
		req.ContentLength = -1 // trailers need chunks
	}
	resp, err := x.p.cfg.Transport.RoundTrip(req)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols { // nobody asked for that, and nothing can come behind it
		_ = resp.Body.Close()
		t.interim.Store(true)
		return nil, errSwitched
	}
	return resp, err
}

var errSwitched = errors.New("the upstream switched to another protocol unasked")

// pass sends an interim response on, unless the final one has come.
func (t *attempt) pass(code int, header textproto.MIMEHeader) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interim.Store(true)
	if t.over || code == http.StatusContinue || !t.x.r.ProtoAtLeast(1, 1) {
		return nil // 100 was sent when the client's body was read, and HTTP/1.0 knows none
	}
	h := t.x.w.Header()
	own := h.Clone() // interim fields are not those of the answer
	maps.Copy(h, http.Header(header))
	t.x.deadline() // else a client that takes nothing would hold this, and send with it, for ever
	t.x.w.WriteHeader(code)
	t.x.written()
	clear(h)
	maps.Copy(h, own)
	return nil
}

// outgoing is the head of the request that goes upstream.
func (x *exchange) outgoing(asked bool) http.Header {
	h := x.r.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	dropHopByHop(h)
	delete(h, "Expect") // the whole body is here
	delete(h, "Content-Length")
	forwarded(h, x.r, x.peer, x.p.cfg.TrustedProxies)
	if !x.admission.encoded {
		delete(h, "Content-Encoding") // a body that is capped goes out in its decoded form
	}
	if asked {
		h.Set("Accept-Encoding", "identity") // only so can the event that we cause be taken out again
	}
	if _, named := h["User-Agent"]; !named {
		h["User-Agent"] = nil // else the transport names itself
	}
	return h
}
