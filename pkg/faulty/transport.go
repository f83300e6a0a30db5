package faulty

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
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
