package scenarios

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

// unreachable says why no answer came from a target by URL, which side that is and
// what to do.
func (w *world) unreachable(err error) error {
	target := w.cell.Target.URL
	if target == "" {
		return fmt.Errorf("reaching the target: %w", err)
	}
	if w.metBefore() {
		return fmt.Errorf("the gateway at %s answered before and does not any more: it went down in the middle of the run; look at its log: %w", target, err)
	}
	var dns *net.DNSError
	text := fmt.Sprint(err)
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("the gateway at %s cannot be found: nobody knows the host %q; correct --target: %w", target, dns.Name, err)
	case strings.Contains(text, "connection refused"):
		return fmt.Errorf("the gateway at %s is not there: nothing listens on that port; start it, or correct the port in --target: %w", target, err)
	case strings.Contains(text, "server gave HTTP response to HTTPS client"), strings.Contains(text, "does not look like a TLS handshake"):
		return fmt.Errorf("the gateway at %s speaks plain HTTP there: write http:// in --target: %w", target, err)
	case strings.Contains(text, "certificate required"), strings.Contains(text, "bad certificate"), strings.Contains(text, "handshake failure"):
		return fmt.Errorf("the gateway at %s wants a certificate of the client: give --cert and --key: %w", target, err)
	case strings.Contains(text, "certificate"):
		return fmt.Errorf("the gateway at %s has a certificate that is not trusted here: --ca FILE names who signed it, --insecure trusts anybody: %w", target, err)
	case errors.Is(err, errStepTimeout), strings.Contains(text, "deadline exceeded"), strings.Contains(text, "timeout"):
		return fmt.Errorf("the gateway at %s does not answer in time: it hangs, or waits for an upstream that does; look at its log: %w", target, err)
	}
	return fmt.Errorf("the gateway at %s gave no answer: %w", target, err)
}

// metBefore tells whether this run has had an answer of the target.
func (w *world) metBefore() bool { return len(w.channels) > 0 }

// diagnose says what is wrong with a target, by a request that should have reached
// the mock; nil if it did, and was answered.
func (w *world) diagnose(l *look, entries []mockllm.Entry) error {
	x, target := l.x, w.cell.Target.URL
	switch {
	case x.Status == 0 && len(entries) == 0:
		return w.unreachable(x.Err)
	case len(entries) > 0 && x.Status < 300 && x.Outcome == client.Complete:
		return nil
	case len(entries) > 0:
		return fmt.Errorf("the gateway at %s reaches the mock, which answered %d, and gives its client %s: "+
			"it does not understand the answer; is the provider of this route of the dialect of %s?", target, entries[0].Sent.Status, answerOf(x), l.asked.Path)
	}
	switch x.Status {
	case http.StatusBadRequest:
		if body := strings.ToLower(string(x.Body)); strings.Contains(body, "https server") || strings.Contains(body, "https port") {
			return fmt.Errorf("the gateway at %s speaks HTTPS there: write https:// in --target (%s)", target, answerOf(x))
		}
		return fmt.Errorf("the gateway at %s refuses the request itself, and the mock never saw it: %s; is the model of the suite one that it routes?", target, answerOf(x))
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("the gateway at %s refuses the credentials: %s; correct target.headers or target.identity, or give --header 'authorization: Bearer …'", target, answerOf(x))
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Errorf("the gateway at %s has no route for %s: %s; --target is the part of the URL before that path", target, l.asked.Path, answerOf(x))
	case http.StatusTooManyRequests:
		return fmt.Errorf("the gateway at %s rejects a client that has sent nothing yet: %s; its account is used up or shared by all "+
			"(give target.identity), or the limit is smaller than one request", target, answerOf(x))
	case http.StatusOK:
		return fmt.Errorf("the gateway at %s answers, but not from this mock, which saw nothing: its upstream is another one, or a cache; point it at %s", target, w.backend)
	}
	if x.Status >= http.StatusInternalServerError {
		return fmt.Errorf("the gateway at %s cannot reach the mock: %s; its upstream has to be %s%s", target, answerOf(x), w.backend, w.whereToListen())
	}
	return fmt.Errorf("the gateway at %s gave %s, and the mock never saw the request", target, answerOf(x))
}

// whereToListen helps where the mock can only be reached from this machine.
func (w *world) whereToListen() string {
	u, err := url.Parse(w.backend)
	if err != nil || !isLoopback(u.Hostname()) {
		return ", as seen from the gateway"
	}
	return "; that is an address of this machine alone: for a gateway in a container give --mock-listen 0.0.0.0:PORT and " +
		"--mock-advertise http://host.docker.internal:PORT, and for a fixed one --mock-listen 127.0.0.1:PORT"
}

// answerOf is a response in a few words.
func answerOf(x *client.Exchange) string {
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
	if text == "" {
		return fmt.Sprintf("status %d", x.Status)
	}
	return fmt.Sprintf("status %d, %q", x.Status, shorten(text, 160))
}
