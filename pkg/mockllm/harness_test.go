package mockllm

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/llmlimit/llmlimit/internal/memnet"
)

// bench is a mock and its clients on an in-memory network, inside a bubble of virtual time.
type bench struct {
	*Mock

	t   *testing.T
	net *memnet.Network
	url string
}

// inBubble runs a test against a mock in virtual time. The bubble itself fails the test if a goroutine is left.
func inBubble(t *testing.T, opts Options, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := &memnet.Network{}
		l, err := network.Listen("mock:80")
		if err != nil {
			t.Fatal(err)
		}
		opts.Admin = true
		m := New(opts)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Serve(ctx, l) }()
		test(&bench{Mock: m, t: t, net: network, url: "http://mock:80"})
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// client is a new one, so that connections do not leak from one request to the next. It speaks HTTP/2 if asked.
func (b *bench) client(h2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	return &http.Client{Transport: &http.Transport{
		DialContext: b.net.DialContext, Protocols: &protocols, DisableKeepAlives: !h2, DisableCompression: true,
	}}
}

const (
	chatPath   = "/v1/chat/completions"
	chatBody   = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	streamBody = `{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}`
)

// post sends a request whose plan is the inline order, and returns the response with its body read, and the error of reading.
func (b *bench) post(path, body, order string) (*http.Response, []byte, error) {
	b.t.Helper()
	return b.postOn(b.client(false), path, body, order)
}

func (b *bench) postOn(c *http.Client, path, body, order string) (*http.Response, []byte, error) {
	b.t.Helper()
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if order != "" {
		req.Header.Set(headerControl, order)
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, text, err
}

// wire sends a request on a bare connection and returns every byte that comes back until it is closed, and how it was closed.
func (b *bench) wire(path, body string, plan Plan) (raw []byte, closed error) {
	b.t.Helper()
	b.SetPlan("wire", plan)
	conn, err := b.net.DialContext(b.t.Context(), "tcp", "mock:80")
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	send(b.t, conn, path, body, "id=wire")
	raw, closed = io.ReadAll(conn)
	return raw, closed
}

func send(t *testing.T, conn net.Conn, path, body, order string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://mock"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(headerControl, order)
	req.Header.Set("Connection", "close")
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
}

// parts reads a response off the wire: its head as text, its body decoded from chunks, and the error that ended it.
func parts(t *testing.T, raw []byte) (head string, body []byte, err error) {
	t.Helper()
	before, _, ok := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !ok {
		return "", raw, io.ErrUnexpectedEOF
	}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		t.Fatalf("reading %q: %v", raw, err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return string(before), body, err
}

// plan reads a plan or fails the test.
func plan(t *testing.T, text string) Plan {
	t.Helper()
	p, err := ParsePlan([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

// last waits for the entry with the id.
func (b *bench) last(id string) Entry {
	b.t.Helper()
	e, err := b.Journal().Wait(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}
