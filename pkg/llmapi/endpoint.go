package llmapi

import (
	"net/http"
	"net/url"
	"strings"
)

// endpoint is a [Dialect] made of parts: what a dialect's file fills in.
type endpoint struct {
	name string
	// match tells by the path, without slashes at its end. Only POST spends tokens.
	match func(path string) bool
	// prompt consumes the members of a request that make the prompt and tells whether the one at hand was such.
	prompt func(*request) bool
	// path, if not nil, adds what the path says to the facts.
	path     func(path string, f *Facts)
	response responseReader
	reject   func(Rejection) Reply
	rate     func(http.Header, RateState)
}

// Name implements [Dialect].
func (d *endpoint) Name() string { return d.name }

// Match implements [Dialect].
func (d *endpoint) Match(method, path string) bool {
	return method == http.MethodPost && d.match(strings.TrimRight(path, "/"))
}

// ParseRequest implements [Dialect].
func (d *endpoint) ParseRequest(path string, body []byte) (Facts, error) {
	f, err := readRequest(body, d.prompt)
	if err == nil && d.path != nil {
		d.path(strings.TrimRight(path, "/"), &f)
	}
	return f, err
}

// Meter implements [Dialect].
func (d *endpoint) Meter(o MeterOptions) Meter { return newMeter(&d.response, o) }

// Reject implements [Dialect].
func (d *endpoint) Reject(r Rejection) Reply { return d.reject(r) }

// RateHeaders implements [Dialect].
func (d *endpoint) RateHeaders(h http.Header, s RateState) { d.rate(h, s) }

// capping is an endpoint whose output can be capped. Where the client names no allowance, it is added in own, unless
// that is empty.
type capping struct {
	endpoint
	own capField
}

// CapOutput implements [OutputCapper].
func (d *capping) CapOutput(body []byte, limit int64) ([]byte, bool) {
	return capOutput(body, limit, d.own)
}

// asking is an endpoint whose streams report usage when stream_options.include_usage is set, in one more event.
type asking struct{ capping }

// AskUsage implements [UsageRequester].
func (d *asking) AskUsage(body []byte) ([]byte, bool) { return askUsage(body) }

// UsageOnly implements [EventDropper].
func (d *asking) UsageOnly(data []byte) bool { return usageOnly(data) }

// endsWith is a match by the end of the path, so that it does not matter what a gateway puts in front.
func endsWith(suffix string) func(string) bool {
	return func(path string) bool { return strings.HasSuffix(path, suffix) }
}

// between returns what stands in path between the last occurrence of before and the first of after behind it.
func between(path, before, after string) string {
	i := strings.LastIndex(path, before)
	if i < 0 {
		return ""
	}
	found, _, _ := strings.Cut(path[i+len(before):], after)
	if plain, err := url.PathUnescape(found); err == nil {
		return plain
	}
	return found
}
