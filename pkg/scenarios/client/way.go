package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

// Way is the way of a request from here through a gateway to the mock. When one does
// not arrive, a Way says which side is wrong and what to do, in the words of the
// command line that described it.
type Way struct {
	Gateway string // its base URL
	Path    string // of the request
	Mock    string // the base URL that the gateway's upstream has to have
	// URL, Identity, Model and Body name what the user can correct: "--target",
	// "target.headers or target.identity", "--var model=NAME", "target.body".
	URL, Identity, Model, Body string
}

// Silent explains why the gateway gave no answer.
func (w Way) Silent(err error) error {
	var dns *net.DNSError
	text := fmt.Sprint(err)
	says := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	var why string
	switch {
	case errors.As(err, &dns):
		why = fmt.Sprintf("cannot be found: nobody knows the host %q; correct %s", dns.Name, w.URL)
	case says("connection refused"):
		why = "is not there: nothing listens on that port; start it, or correct the port in " + w.URL
	case says("server gave HTTP response to HTTPS client", "does not look like a TLS handshake"):
		why = "speaks plain HTTP there: write http:// in " + w.URL
	case says("certificate required", "bad certificate", "handshake failure"):
		why = "wants a certificate of the client: give --cert and --key"
	case says("certificate"):
		why = "has a certificate that is not trusted here: --ca FILE names who signed it, --insecure trusts anybody"
	case errors.Is(err, context.DeadlineExceeded), says("deadline exceeded", "timeout"):
		why = "does not answer in time: it hangs, or waits for an upstream that does; look at its log"
	case says("malformed HTTP"):
		why = "speaks no HTTP there: another program listens on that port, or it expects TLS; correct " + w.URL
	default:
		why = "gave no answer"
	}
	return fmt.Errorf("the gateway at %s %s: %w", w.Gateway, why, err)
}

// Gone says that a gateway stopped answering that has answered before.
func (w Way) Gone(err error) error {
	return fmt.Errorf("the gateway at %s answered before and does not any more: it went down in the middle of the run; look at its log: %w", w.Gateway, err)
}

// Refused explains an answer to a request that the mock never saw.
func (w Way) Refused(x *Exchange) error {
	answer := x.Said()
	body := strings.ToLower(string(x.Body))
	var why string
	switch {
	case x.Status == http.StatusBadRequest && (strings.Contains(body, "https server") || strings.Contains(body, "https port")):
		why = fmt.Sprintf("speaks HTTPS there: write https:// in %s (%s)", w.URL, answer)
	case x.Status == http.StatusUnauthorized, x.Status == http.StatusForbidden:
		why = fmt.Sprintf("refuses the credentials: %s; correct %s, or give --header 'authorization: Bearer …'; "+
			"where keys cannot be made up, use some that exist", answer, w.Identity)
	case x.Status == http.StatusNotFound, x.Status == http.StatusMethodNotAllowed:
		why = fmt.Sprintf("has no route for %s: %s; %s is the part of the URL before that path", w.Path, answer, w.URL)
	case x.Status == http.StatusTooManyRequests:
		why = fmt.Sprintf("rejects a client that has sent nothing yet: %s; its account is used up or shared by all "+
			"(give an identity), or the limit is smaller than one request", answer)
	case x.Status < http.StatusMultipleChoices:
		why = fmt.Sprintf("answers, but not from this mock, which saw nothing: its upstream is another one, or a cache; point it at %s", w.Mock)
	case x.Status < http.StatusBadRequest:
		why = fmt.Sprintf("sends its client elsewhere, to %q (status %d), and redirects are not followed: give that address as %s", x.Header.Get("Location"), x.Status, w.URL)
	case x.Status < http.StatusInternalServerError:
		why = fmt.Sprintf("refuses the request itself, and the mock never saw it: %s; is the model one that it routes (%s)?", answer, w.Model)
	default:
		why = fmt.Sprintf("cannot reach the mock: %s; its upstream has to be %s%s", answer, w.Mock, w.whereToListen())
	}
	return fmt.Errorf("the gateway at %s %s", w.Gateway, why)
}

// Garbled explains an answer of the mock that the gateway did not pass on.
func (w Way) Garbled(x *Exchange, mocked int) error {
	return fmt.Errorf("the gateway at %s reaches the mock, which answered %d, and gives its client %s: "+
		"it does not understand the answer; is the provider of this route of the dialect of %s? "+
		"One that streams unless a request says stream: false is told so by %s", w.Gateway, mocked, x.Said(), w.Path, w.Body)
}

// whereToListen helps where the mock can only be reached from this machine.
func (w Way) whereToListen() string {
	u, err := url.Parse(w.Mock)
	if err != nil || !IsLoopback(u.Hostname()) {
		return ", as seen from the gateway"
	}
	return "; that is an address of this machine alone: for a gateway in a container give --mock-listen 0.0.0.0:PORT and " +
		"--mock-advertise http://host.docker.internal:PORT, and for a fixed one --mock-listen 127.0.0.1:PORT"
}

// IsLoopback tells whether a host is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Said is a response in a few words: its status and what its error says.
func (x *Exchange) Said() string {
	if x.Status == 0 {
		return fmt.Sprintf("no answer (%v)", x.Err)
	}
	text := strings.TrimSpace(string(x.Body))
	for _, path := range []string{"error.message", "message", "error", "detail"} {
		if v := gjson.GetBytes(x.Body, path); gjson.ValidBytes(x.Body) && v.Type == gjson.String {
			text = v.String()
			break
		}
	}
	if _, page, ok := strings.Cut(text, "<title>"); ok {
		text, _, _ = strings.Cut(page, "</title>")
	}
	if text == "" {
		return fmt.Sprintf("status %d", x.Status)
	}
	if runes := []rune(text); len(runes) > 160 {
		text = string(runes[:160]) + "…"
	}
	return fmt.Sprintf("status %d, %q", x.Status, text)
}
