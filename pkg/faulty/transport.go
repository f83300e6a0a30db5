package faulty

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"math"
	"net/http"
	"strconv"

	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// changeResponse wraps a transport: change gets every response before the proxy does. Its error is the transport's.
func changeResponse(next http.RoundTripper, change func(*http.Response) error) http.RoundTripper {
	return roundTrip(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		if err := change(resp); err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
		return resp, nil
	})
}

// roundTrip is a function that is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// editBody reads the whole body of a response and puts another one in its place.
func editBody(resp *http.Response, edit func(body []byte) []byte) error {
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return err
	}
	body = edit(body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if resp.ContentLength >= 0 {
		resp.ContentLength = int64(len(body))
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	return nil
}

// decompresses undoes gzip on the way to the client.
func decompresses(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Transport = changeResponse(cfg.Transport, func(resp *http.Response) error {
		if resp.Header.Get("Content-Encoding") != "gzip" || !t.Strikes() {
			return nil
		}
		plain, err := gzip.NewReader(resp.Body)
		if err != nil {
			return err
		}
		resp.Body = struct {
			io.Reader
			io.Closer
		}{plain, resp.Body}
		resp.ContentLength = -1
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		return nil
	})
	return cfg
}

// retriesSilently sends a request again that the provider could not answer: the provider may bill both.
func retriesSilently(cfg proxy.Config, t *Trigger) proxy.Config {
	next := cfg.Transport
	cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		var body []byte
		if req.Body != nil {
			var err error
			if body, err = io.ReadAll(req.Body); err != nil {
				return nil, err
			}
			_ = req.Body.Close()
		}
		resp, err := next.RoundTrip(withBody(req, body))
		if err != nil || resp.StatusCode < http.StatusInternalServerError || !t.Strikes() {
			return resp, err
		}
		_ = resp.Body.Close()
		return next.RoundTrip(withBody(req, body))
	})
	return cfg
}

func withBody(req *http.Request, body []byte) *http.Request {
	out := req.Clone(req.Context())
	out.Body = io.NopCloser(bytes.NewReader(body))
	return out
}

// failsInside breaks down between the reservation and the request.
func failsInside(cfg proxy.Config, t *Trigger) proxy.Config {
	next := cfg.Transport
	cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		if t.Strikes() {
			panic("a limiter that fails on purpose")
		}
		return next.RoundTrip(req)
	})
	return cfg
}

// leavingUnnoticed does not know that a client has left before it writes to it.
func leavingUnnoticed(cfg proxy.Config, t *Trigger) proxy.Config {
	inner := cfg.Middleware
	cfg.Middleware = func(h http.Handler) http.Handler {
		return inner(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if t.Strikes() {
				r = r.WithContext(context.WithoutCancel(r.Context()))
			}
			h.ServeHTTP(w, r)
		}))
	}
	return cfg
}

// drainsEverything reads a response to its end for a client that has left, however long it is. The bound is of the whole limiter:
// there are no occasions.
func drainsEverything(cfg proxy.Config, _ *Trigger) proxy.Config {
	cfg.Drain.Bytes = math.MaxInt64
	return cfg
}

// drainsForEveryone reads on for any number of clients that have left.
func drainsForEveryone(cfg proxy.Config, _ *Trigger) proxy.Config {
	cfg.Drain.Most = math.MaxInt
	return cfg
}

// drainsForever reads on for a client that has left for as long as it takes.
func drainsForever(cfg proxy.Config, _ *Trigger) proxy.Config {
	cfg.Drain.Time = -1
	return cfg
}

// notCancelled goes on talking to the provider when nobody is there to listen, for as long as it takes.
func notCancelled(cfg proxy.Config, t *Trigger) proxy.Config {
	next := cfg.Transport
	cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		if !t.Strikes() {
			return next.RoundTrip(req)
		}
		return next.RoundTrip(req.WithContext(context.WithoutCancel(req.Context())))
	})
	return cfg
}
