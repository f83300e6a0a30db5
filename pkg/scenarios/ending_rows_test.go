package scenarios

import (
	"net/http"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// answered is a stream that the mock played to its end, and its client read.
func answered() (*mockllm.Entry, *sentRequest) {
	at := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	e := &mockllm.Entry{
		End: "complete", EndAt: at, Dialect: "openai-chat", Stream: true, Usage: mockllm.Totals{In: 10, Out: 40, Total: 50},
		Sent: mockllm.Sent{Status: http.StatusOK, Head: at.Add(-time.Second), Usage: at, UsageNS: at.UnixNano()},
	}
	return e, &sentRequest{x: &client.Exchange{Outcome: client.Complete, Status: http.StatusOK, Ended: at, Header: http.Header{}}}
}

// Each row of how an answer ended, and above all those where nobody can say: there a
// target must not be held to one of two readings.
func TestEndingRows(t *testing.T) {
	t.Parallel()
	type change func(e *mockllm.Entry, s *sentRequest)
	both := func(all ...change) change {
		return func(e *mockllm.Entry, s *sentRequest) {
			for _, c := range all {
				c(e, s)
			}
		}
	}
	status := func(mock, got int) change {
		return func(e *mockllm.Entry, s *sentRequest) { e.Sent.Status, s.x.Status = mock, got }
	}
	left := func(e *mockllm.Entry, s *sentRequest) {
		s.x.Outcome, s.x.Ended = client.Cancelled, e.EndAt.Add(-500*time.Millisecond)
	}
	atOnce := func(e *mockllm.Entry, s *sentRequest) { s.x.Ended = e.EndAt }
	gemini := func(e *mockllm.Entry, _ *sentRequest) { e.Dialect = "gemini" }
	gone := func(e *mockllm.Entry, _ *sentRequest) { e.End = "client_gone" }
	noUsage := func(e *mockllm.Entry, _ *sentRequest) { e.Sent.UsageNS = 0 }
	wrong := func(e *mockllm.Entry, _ *sentRequest) { e.Plan.Fault.Kind = "garbage" }
	whole := func(e *mockllm.Entry, s *sentRequest) { e.Stream, s.torn = false, true }
	early := func(e *mockllm.Entry, _ *sentRequest) { e.Plan.UsageAt = "early" }
	begun := both(early, func(e *mockllm.Entry, _ *sentRequest) { e.Dialect = "anthropic" })
	for _, c := range []struct {
		name   string
		change change
		want   judge.Outcome
	}{
		{"read to the end", func(*mockllm.Entry, *sentRequest) {}, judge.OutcomeUsage},
		{"left in the middle", left, judge.OutcomeLeft},
		{"left, and the upstream went with him", both(left, gone, noUsage), judge.OutcomeLeft},
		{"left, and the upstream ended without a usage: perhaps the drain did not see it", both(left, noUsage), judge.OutcomeUnknown},
		{"left, and the upstream had failed: two rows fit", both(left, status(500, 0)), judge.OutcomeUnknown},
		{"left before the upstream's headers", both(left, noUsage, gone, status(302, 0), func(e *mockllm.Entry, _ *sentRequest) { e.Sent.Head = e.EndAt }), judge.OutcomeLeftEarly},
		{"left between the upstream's headers and what is behind them", both(left, noUsage, gone, status(302, 0)), judge.OutcomeUnknown},
		{"left at the instant at which the upstream had failed", both(left, noUsage, status(500, 500), atOnce), judge.OutcomeUnknown},
		{"left after the upstream had failed", both(left, noUsage, status(500, 500), func(e *mockllm.Entry, s *sentRequest) { s.x.Ended = e.EndAt.Add(1) }), judge.OutcomeServerError},
		{"left at the instant at which it had ended", both(left, atOnce), judge.OutcomeUsage},
		{"left at the instant at which a body had ended that is its only end", both(left, atOnce, gemini), judge.OutcomeUnknown},
		{"left at the instant at which an answer without a usage had ended", both(left, atOnce, noUsage), judge.OutcomeUnknown},
		{"left, and the upstream at the same instant with him", both(left, atOnce, gone, noUsage), judge.OutcomeLeft},
		{"left after it", both(left, gemini, func(e *mockllm.Entry, s *sentRequest) { s.x.Ended = e.EndAt.Add(1) }), judge.OutcomeUsage},
		{"left an error", both(left, status(200, 502)), judge.OutcomeUnknown},
		{"left something that is wrong on purpose", both(left, wrong), judge.OutcomeUnknown},
		{"a gateway that could not read the answer", both(wrong, status(200, 502)), judge.OutcomeUnknown},
		{"a stream that is wrong on purpose, with a usage", wrong, judge.OutcomeUnknown},
		{"a body that is JSON to nobody", both(wrong, whole), judge.OutcomeNoUsage},
		{"a body that the client could read", both(wrong, whole, func(_ *mockllm.Entry, s *sentRequest) { s.usage = &client.Usage{In: 1} }), judge.OutcomeUnknown},
		{"a beginning that nothing completes", begun, judge.OutcomeUnknown},
		{"left behind a beginning that nothing completes", both(left, begun), judge.OutcomeUnknown},
		{"left behind a usage that is whole at once", both(left, early), judge.OutcomeLeft},
		{"hung before its head", both(gone, noUsage, status(0, 0)), judge.OutcomeUnknown},
		{"cut by the target, of what is wrong on purpose", both(gone, noUsage, wrong), judge.OutcomeUnknown},
		{"cut by the target", both(gone, noUsage), judge.OutcomeCutByTarget},
		{"given up by the target", both(gone, noUsage, status(200, 504), func(_ *mockllm.Entry, s *sentRequest) { s.x.Outcome = client.Failed }), judge.OutcomeTimeout},
		{"an error in the stream, after a usage", both(noUsage, early, func(e *mockllm.Entry, _ *sentRequest) { e.Plan.Fault.Kind = "error_event" }), judge.OutcomeUnknown},
		{"broken off", both(noUsage, func(e *mockllm.Entry, s *sentRequest) { e.End, s.x.Outcome = "reset", client.Failed }), judge.OutcomeCut},
		{"left when nothing but the head had come", both(left, gone, noUsage, status(200, 0)), judge.OutcomeLeft},
		{"without a usage", noUsage, judge.OutcomeNoUsage},
		{"empty", both(noUsage, status(204, 204)), judge.OutcomeEmpty},
		{"elsewhere", both(noUsage, status(302, 302)), judge.OutcomeEmpty},
		{"refused upstream", both(noUsage, status(404, 404)), judge.OutcomeClientError},
		{"failed upstream", both(noUsage, status(503, 503)), judge.OutcomeServerError},
	} {
		e, s := answered()
		c.change(e, s)
		w := &world{cell: &suite.Cell{Virtual: true, Target: &suite.Target{Serve: &suite.Serve{}}}}
		var r judge.Request
		if w.ending(&r, s, e); r.Outcome != c.want {
			t.Errorf("%s: outcome %q, want %q", c.name, r.Outcome, c.want)
		}
	}
}

// A stream that ends with its body alone is whole if its body is: where the transport broke
// instead, the usage that was seen counts only where it is larger.
func TestEndingWithTheBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect, kind, framing, proto string
		want                          judge.Outcome
	}{
		{"gemini", "fin", "", "HTTP/1.1", judge.OutcomeCut},
		{"gemini", "reset", "", "HTTP/1.1", judge.OutcomeCut},
		{"gemini", "stall", "", "HTTP/1.1", judge.OutcomeCut},
		{"gemini", "long_length", "", "HTTP/1.1", judge.OutcomeCut},
		{"gemini", "fin", "close", "HTTP/1.1", judge.OutcomeUnknown}, // as any that is wrong on purpose
		{"gemini", "reset", "close", "HTTP/1.1", judge.OutcomeCut},
		{"gemini", "fin", "close", "HTTP/2.0", judge.OutcomeCut},
		{"gemini", "fin", "length", "HTTP/1.1", judge.OutcomeUnknown}, // perhaps behind the last byte
		{"gemini", "reset", "length", "HTTP/1.1", judge.OutcomeUnknown},
		{"gemini", "stall", "length", "HTTP/1.1", judge.OutcomeUnknown},
		{"gemini", "long_length", "length", "HTTP/1.1", judge.OutcomeCut},
		{"gemini", "truncate", "", "HTTP/1.1", judge.OutcomeUnknown},
		{"gemini", "", "", "HTTP/1.1", judge.OutcomeUsage},
		{"openai-chat", "fin", "", "HTTP/1.1", judge.OutcomeUnknown},
	} {
		e, s := answered()
		e.Dialect, e.Proto, e.Plan.Fault.Kind, e.Plan.HTTP.Framing = c.dialect, c.proto, c.kind, c.framing
		if c.kind != "" {
			e.End, s.x.Outcome = "fault:"+c.kind, client.Failed
		}
		w := &world{cell: &suite.Cell{Virtual: true, Target: &suite.Target{Serve: &suite.Serve{}}}}
		var r judge.Request
		w.ending(&r, s, e)
		broken := c.want == judge.OutcomeCut
		if r.Outcome != c.want || (r.Usage == nil) != broken || broken && (r.Early == nil || r.Early.Total != 50 || r.EarlyEnds) {
			t.Errorf("%+v: outcome %q, usage %+v, early %+v, want %q", c, r.Outcome, r.Usage, r.Early, c.want)
		}
		e.Plan.UsageAt, e.Sent.Body = "twice", []byte(`"usage":{"usageMetadata":{`)
		e.Sent.Bytes = int64(len(e.Sent.Body))
		if endedEarly(e) == broken {
			t.Errorf("%+v: behind the first of two usages: ended early is %v", c, !broken)
		}
	}
}

// What many readers forgive, a byte order mark, makes no answer unreadable.
func TestTorn(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{"{}": false, "\ufeff{}": false, "{": true, "\ufeff{": true} {
		x := &client.Exchange{Outcome: client.Complete, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
		if got := torn(x); got != want {
			t.Errorf("%q: torn is %v, want %v", body, got, want)
		}
	}
}

// A usage is known in the classes that its dialect has words for, and what was told
// before a stream broke off is not forgotten.
func TestUsageAsToldByItsDialect(t *testing.T) {
	t.Parallel()
	e, _ := answered()
	e.Usage.Cached, e.Usage.Reasoning, e.Usage.CacheWrite = 5, 20, 3
	for dialect, want := range map[string]judge.Usage{
		"openai-chat": {In: 10, Out: 40, Total: 50, Cached: 5, Reasoning: 20},
		"anthropic":   {In: 10, Out: 40, Total: 50, Cached: 5, CacheWrite: 3},
		"cohere":      {In: 10, Out: 40, Total: 50},
	} {
		e.Dialect = dialect
		if got := trueUsage(e); *got != want {
			t.Errorf("%s: %+v, want %+v", dialect, *got, want)
		}
	}
	e.Dialect = "openai-chat"
	for at, told := range map[string]bool{"": false, "early": true, "every": true, "none": false} {
		e.Plan.UsageAt = at
		if got := toldEarly(e); (got != nil) != told {
			t.Errorf("usage_at %q: told early is %v", at, got)
		}
	}
	for dialect, told := range map[string]bool{"gemini": true, "anthropic": true, "openai-chat": false} {
		e.Dialect, e.Plan.UsageAt = dialect, ""
		if got := toldEarly(e); (got != nil) != told {
			t.Errorf("%s: told early is %v", dialect, got)
		}
	}
}

// A packed answer may have told its usage before its last byte, with which it counts as
// written: but not before its first, and not where an error has none.
func TestUsageToldInAPackedAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		encoding, end, fault string
		status               int
		sent                 int64
		told                 bool
	}{
		{"gzip-flush", "client_gone", "", 200, 80, true},
		{"gzip-flush", "client_gone", "", 200, 0, false},
		{"gzip-flush", "complete", "", 200, 80, false}, // it had none that counts
		{"none", "client_gone", "", 200, 80, false},
		{"br", "client_gone", "usage_in_error", 500, 80, true},
		{"br", "client_gone", "usage_in_error", 500, 0, false},
		{"br", "client_gone", "", 500, 80, false},
		{"", "client_gone", "usage_in_error", 500, 80, false},
	} {
		e, _ := answered()
		e.End, e.Sent.Status, e.Sent.Bytes = c.end, c.status, c.sent
		e.Plan.HTTP.Encoding, e.Plan.Fault.Kind = c.encoding, c.fault
		if got := toldEarly(e); (got != nil) != c.told {
			t.Errorf("%+v: told early is %v", c, got)
		}
	}
}

// A usage ends a stream early only where its dialect has its end, and was written.
func TestUsageThatEndsAStreamEarly(t *testing.T) {
	t.Parallel()
	const told = `data: {"usage":{"total_tokens":5}}`
	for _, c := range []struct {
		dialect, at, wrote, encoding string
		lost                         int64
		want                         bool
	}{
		{"bedrock-converse", "twice", told, "", 0, true},
		{"bedrock-converse", "every", told, "", 0, false}, // inside of the message
		{"bedrock-converse", "final", told, "", 0, false},
		{"openai-chat", "twice", told, "", 0, true},
		{"openai-chat", "every", told, "", 0, false},
		{"openai-chat", "twice", `data: {"usage":null}`, "", 0, false},
		{"openai-chat", "twice", "", "gzip", 0, false}, // nothing was written
		{"openai-chat", "twice", "", "gzip", 1, true},
		{"openai-chat", "twice", "", "", 1, true},
		{"openai-completions", "twice", told, "", 0, true},
		{"gemini", "twice", `data: {"usageMetadata":{"totalTokenCount":5}}`, "", 0, true},
		{"anthropic", "twice", told, "", 0, false},
	} {
		e, _ := answered()
		e.Dialect, e.Plan.UsageAt, e.Plan.HTTP.Encoding = c.dialect, c.at, c.encoding
		e.Sent.Body, e.Sent.Bytes = []byte(c.wrote), int64(len(c.wrote))+c.lost
		if got := endedEarly(e); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
	e, _ := answered()
	e.Plan.UsageAt, e.Sent.Body, e.Stream = "twice", []byte(told), false
	if endedEarly(e) {
		t.Error("a whole body has no early end")
	}
}
