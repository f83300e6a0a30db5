package scenarios

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// way is that of a request to a path, in the words of `run`.
func (w *world) way(path string) client.Way {
	shown := w.cell.Target.URL
	if u, err := url.Parse(shown); err == nil {
		shown = u.Redacted()
	}
	return client.Way{
		Gateway: shown, Path: path, Mock: w.backend, URL: "--target or target.url",
		Identity: "target.headers or target.identity", Model: "--var model=NAME, or the suite's", Body: "target.body",
	}
}

// unreachable says why no answer came from a target by URL, which side that is and
// what to do.
func (w *world) unreachable(err error) error {
	switch {
	case w.cell.Target.URL == "":
		return fmt.Errorf("reaching the target: %w", err)
	case w.metBefore():
		return w.way("").Gone(err)
	}
	return w.way("").Silent(err)
}

// metBefore tells whether this run has had an answer of the target.
func (w *world) metBefore() bool { return len(w.channels) > 0 }

// diagnose says what is wrong with a target, by a request that should have reached
// the mock; nil if it did, and was answered.
func (w *world) diagnose(l *look, entries []mockllm.Entry) error {
	x := l.x
	switch {
	case x.Status == 0 && len(entries) == 0:
		return w.unreachable(x.Err)
	case len(entries) == 0:
		return w.way(l.asked.Path).Refused(x)
	case x.Status < http.StatusMultipleChoices && x.Outcome == client.Complete:
		return nil
	}
	return w.way(l.asked.Path).Garbled(x, entries[0].Sent.Status)
}

// behind says who gave an answer with a status that a scenario did not expect: the
// gateway by itself, or in the place of another answer of the mock. Empty where that
// needs no saying.
func (w *world) behind(s *sentRequest) string {
	entries := w.entries(s)
	switch {
	case !w.byURL() || s.x.Status == 0 || s.x.Status == http.StatusTooManyRequests:
		return ""
	case len(entries) == 0:
		return "; the mock never saw the request, it was the gateway that said " + s.x.Said()
	case entries[len(entries)-1].Sent.Status != s.x.Status:
		return fmt.Sprintf("; the mock answered %d, the gateway told its client %s", entries[len(entries)-1].Sent.Status, s.x.Said())
	}
	return ""
}

// unlimited says what a drain that never ended may mean: a client has used more than
// what is declared as the most, and nothing was rejected.
func (w *world) unlimited(t *suite.DrainTotals) string {
	text := fmt.Sprintf("%d admitted for %d tokens, %d rejected", t.Admitted, t.AdmittedTokens, t.Rejected)
	limit := w.tokenLimit()
	if !w.byURL() || limit == nil || t.Rejected > 0 || t.AdmittedTokens <= max(limit.Amount, limit.Burst) {
		return text
	}
	return fmt.Sprintf("%s, where target.limits declares %d (%s): such requests are charged too little or nothing; if all are, the limit is not "+
		"enforced (is the policy attached to this route, is it keyed by what target.identity sends, is its store up?) or larger than declared "+
		"(`llmlimit probe` says how large)", text, limit.Amount, limit.Name)
}

// stranger says that a gateway does not know who a scenario comes as, though it knew
// the one who looked: the key is wrong, and nothing about the limiter. A client that
// was served before is rejected, with whatever status. Nil for any other answer, and
// for one that the scenario expects.
func (w *world) stranger(s *sentRequest, e *suite.Expect) error {
	nobody := len(s.payment.presents) == 0 // who says no key shows no wrong one
	if !w.byURL() || nobody || s.x.Status != http.StatusUnauthorized || len(w.entries(s)) > 0 {
		return nil
	}
	if e != nil && e.Status != nil {
		if expected, _ := e.Status.Match(s.x.Status); expected {
			return nil
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, other := range w.sent {
		if other.payment.sameAs(s.payment) && other.x != nil && other.x.Status > 0 && other.x.Status < http.StatusBadRequest {
			return nil
		}
	}
	return w.way(s.path).Refused(s.x)
}
