package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// Config says what a [Proxy] forwards to, by which rules, and how. Backend and Bundle are required; every other field has a
// default, which [Config.Complete] fills in.
type Config struct {
	// Backend is the base URL of the upstream: http or https, a host, and a path that is put before the client's.
	Backend *url.URL
	// Bundle is the policy in force until [Proxy.Reload].
	Bundle *policy.Bundle

	// Store keeps the accounts; default a new [limiter.Memory].
	Store limiter.Store
	// Bind asks a bundle who is bound by what; default [policy.Bundle.Bind].
	Bind Bind
	// Dialects finds the dialect of an endpoint, nil if there is none; default [llmapi.ForBackend] of the backend's host, since
	// some providers can be told apart by nothing else.
	Dialects func(method, path string) llmapi.Dialect
	// Settle carries out a settlement; default [SettleNow].
	Settle Settle
	// Now is the instant of decisions and settlements; default time.Now.
	Now func() time.Time
	// Random gives the bits of reservation ids; default crypto/rand. It is read under a lock.
	Random io.Reader
	// Transport sends requests upstream; default [NewTransport]. It must not decompress on its own.
	Transport http.RoundTripper
	// Middleware is put around the whole front: it sees every request before anything else and every byte of every answer.
	// The default returns its argument.
	Middleware func(http.Handler) http.Handler
	// Observe is called once for each request, when all is settled, on the goroutine of the request. The default does
	// nothing.
	Observe func(Record)

	// Lease is how long a reservation lives without a sign of life; default 15 min.
	Lease time.Duration
	// MaxRequestBytes caps a request body as sent, and apart from that as decoded; default 10 MiB.
	MaxRequestBytes int64
	// PermanentStatus is the status of a rejection that no wait can cure: 429 (default), 413 or 400.
	PermanentStatus int
	// OnStoreError says what becomes of a request that the store could not decide; default [StoreErrorClosed]. A store that
	// is full of live accounts always answers 503.
	OnStoreError StoreError
	// TrustedProxies are the peers whose X-Forwarded-* fields are passed on and added to; those of others are replaced.
	TrustedProxies []netip.Prefix
	// Timeouts bound each part of an exchange.
	Timeouts Timeouts
	// Drain bounds what is read for the usage after a client has left.
	Drain Drain
}

// Bind tells who is bound by what. It is pure, and called once for each request.
type Bind func(b *policy.Bundle, now time.Time, s *policy.Subject, ask policy.Ask) policy.Binding

// Settle carries out a bill that is due. It is called exactly once for each reservation, and the request does not end before it
// returns. The context is not the client's: that one may have left.
type Settle func(ctx context.Context, store limiter.Store, now time.Time, bill *Bill) (limiter.Settlement, error)

// SettleNow hands the bill to the store as it is.
func SettleNow(_ context.Context, store limiter.Store, now time.Time, bill *Bill) (limiter.Settlement, error) {
	return store.Settle(now, bill.ID, bill.Actual)
}

// Bill is the settlement of one reservation.
type Bill struct {
	ID     limiter.ID
	Shadow bool // of rules in shadow mode
	// Holds and Bound are the reservation and its rules, Actual what each hold is charged, index by index.
	Holds  []limiter.Hold
	Bound  []policy.Bound
	Actual []int64
	// Outcome, Status and Reading are what Actual was made of.
	Outcome Outcome
	Status  int // of the upstream's response; 0 if there was none
	Reading llmapi.Reading
	// Dialect is the name of the endpoint's dialect, Stream what the client asked for, Framing how the body was delivered.
	Dialect string
	Stream  bool
	Framing Framing
}

// Framing is how an upstream delivered a body.
type Framing string

// The framings of a response body.
const (
	FramingNone    Framing = ""        // no response, or none with a body
	FramingLength  Framing = "length"  // Content-Length
	FramingChunked Framing = "chunked" // chunked, or the frames of HTTP/2
	FramingClose   Framing = "close"   // until the connection's end
)

// StoreError says what becomes of requests while the store fails.
type StoreError string

// The answers to a failing store.
const (
	StoreErrorClosed StoreError = "closed" // 503 with Retry-After: 1
	StoreErrorOpen   StoreError = "open"   // forwarded without a reservation
)

// Timeouts bound the parts of an exchange. Zero is the default, a negative value no bound.
type Timeouts struct {
	Body    time.Duration // to read the whole request body; default 1 min
	Headers time.Duration // from the sent request to the upstream's headers; default 5 min
	Idle    time.Duration // between two reads of the response; default 5 min
	Total   time.Duration // from admission to the end of the response; default 1 h
	Write   time.Duration // for one write to the client; default 1 min
}

// Drain bounds what is read on behalf of clients that have left.
type Drain struct {
	Time  time.Duration // of one response; default 10 s
	Bytes int64         // of one response; default 1 MiB
	Most  int           // responses at the same time; default 64
}

// The defaults of a Config.
const (
	DefaultLease           = 15 * time.Minute
	DefaultMaxRequestBytes = 10 << 20
)

// Complete returns c with a default in every field that has one and is not set.
func (c Config) Complete() Config {
	if c.Store == nil {
		c.Store = limiter.New(limiter.Options{})
	}
	if c.Bind == nil {
		c.Bind = (*policy.Bundle).Bind
	}
	if c.Dialects == nil {
		host := ""
		if c.Backend != nil {
			host = c.Backend.Hostname()
		}
		c.Dialects = func(method, path string) llmapi.Dialect { return llmapi.ForBackend(host, method, path) }
	}
	if c.Settle == nil {
		c.Settle = SettleNow
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Transport == nil {
		c.Transport = NewTransport(TransportOptions{})
	}
	if c.Middleware == nil {
		c.Middleware = func(h http.Handler) http.Handler { return h }
	}
	if c.Observe == nil {
		c.Observe = func(Record) {}
	}
	if c.OnStoreError == "" {
		c.OnStoreError = StoreErrorClosed
	}
	c.PermanentStatus = orDefault(c.PermanentStatus, http.StatusTooManyRequests)
	c.Lease = orDefault(c.Lease, DefaultLease)
	c.MaxRequestBytes = orDefault(c.MaxRequestBytes, DefaultMaxRequestBytes)
	c.Timeouts = Timeouts{
		Body:    orDefault(c.Timeouts.Body, time.Minute),
		Headers: orDefault(c.Timeouts.Headers, 5*time.Minute),
		Idle:    orDefault(c.Timeouts.Idle, 5*time.Minute),
		Total:   orDefault(c.Timeouts.Total, time.Hour),
		Write:   orDefault(c.Timeouts.Write, time.Minute),
	}
	c.Drain = Drain{
		Time:  orDefault(c.Drain.Time, 10*time.Second),
		Bytes: orDefault(c.Drain.Bytes, 1<<20),
		Most:  orDefault(c.Drain.Most, 64),
	}
	return c
}

// orDefault is v, or what stands in for its zero.
func orDefault[T comparable](v, standIn T) T {
	var zero T
	if v == zero {
		return standIn
	}
	return v
}

// validate reports what New cannot work with.
func (c *Config) validate() error {
	switch {
	case c.Backend == nil:
		return errors.New("proxy: no backend URL")
	case c.Backend.Scheme != "http" && c.Backend.Scheme != "https" || c.Backend.Host == "":
		return fmt.Errorf("proxy: backend is %q, expected http://HOST or https://HOST", c.Backend.Redacted())
	case c.Bundle == nil:
		return errors.New("proxy: no policy bundle")
	case c.OnStoreError != StoreErrorClosed && c.OnStoreError != StoreErrorOpen:
		return fmt.Errorf("proxy: found %q as the answer to a failing store, expected %s or %s", c.OnStoreError, StoreErrorClosed, StoreErrorOpen)
	}
	switch c.PermanentStatus {
	case http.StatusTooManyRequests, http.StatusRequestEntityTooLarge, http.StatusBadRequest:
		return nil
	}
	return fmt.Errorf("proxy: the status of permanent rejections is %d, expected 429, 413 or 400", c.PermanentStatus)
}
