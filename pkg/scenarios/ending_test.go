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

// A client is known to have left some time after it left: by the clock on the wall, what
// the mock ended a little before may have reached the target or not.
func TestEndingOfWhoLeft(t *testing.T) {
	ended := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		virtual bool
		before  time.Duration // the mock ended so long before the client is known to have left
		status  int           // of the mock
		want    judge.Outcome
	}{
		{"real, a moment before", false, 10 * time.Millisecond, http.StatusOK, judge.OutcomeLeftEarly},
		{"real, long before", false, time.Second, http.StatusOK, judge.OutcomeUsage},
		{"real, an error a moment before", false, 10 * time.Millisecond, http.StatusInternalServerError, judge.OutcomeUnknown},
		{"virtual, a moment before", true, 10 * time.Millisecond, http.StatusOK, judge.OutcomeUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{cell: &suite.Cell{Virtual: c.virtual, Target: &suite.Target{Serve: &suite.Serve{}}}}
			at := ended.Add(-c.before)
			e := &mockllm.Entry{
				End: "complete", EndAt: at, Dialect: "openai-chat", Usage: mockllm.Totals{In: 10, Out: 40, Total: 50},
				Plan: mockllm.Plan{Usage: mockllm.Usage{In: mockllm.Count(10), Out: mockllm.Count(40)}},
				Sent: mockllm.Sent{Status: c.status, Head: at, Usage: at, UsageNS: at.UnixNano()},
			}
			s := &sentRequest{x: &client.Exchange{Outcome: client.Cancelled, Ended: ended, Header: http.Header{}}}
			var r judge.Request
			if w.ending(&r, s, e); r.Outcome != c.want {
				t.Errorf("outcome %q, want %q", r.Outcome, c.want)
			}
		})
	}
}

// A field that names an encoding that is not there makes an answer that nobody need read.
func TestMisshapen(t *testing.T) {
	plan := func(headers map[string]string, kind string) *mockllm.Entry {
		return &mockllm.Entry{Plan: mockllm.Plan{HTTP: mockllm.HTTP{Headers: headers}, Fault: mockllm.Fault{Kind: kind}}}
	}
	for _, c := range []struct {
		entry *mockllm.Entry
		want  bool
	}{
		{plan(nil, ""), false},
		{plan(nil, "none"), false},
		{plan(nil, "truncate"), true},
		{plan(map[string]string{"content-encoding": "rot13"}, ""), true},
		{plan(map[string]string{"retry-after": "1"}, ""), false},
	} {
		if got := misshapen(c.entry); got != c.want {
			t.Errorf("%+v: %v, want %v", c.entry.Plan, got, c.want)
		}
	}
}

// The end of a run hides nothing that was found before it.
func TestCutOff(t *testing.T) {
	failed := func(kind string) *ScenarioResult {
		return &ScenarioResult{Outcome: Fail, Steps: []*StepResult{{Checks: []Check{{Kind: KindStep, Outcome: Pass}, {Kind: kind, Outcome: Fail}}}}}
	}
	for _, c := range []struct {
		name   string
		result *ScenarioResult
		want   bool
	}{
		{"an error", &ScenarioResult{Outcome: Error}, true},
		{"a step that ran out of time", failed(KindStep), true},
		{"an expectation", failed(KindExpect), false},
		{"a verdict", failed(KindJudge), false},
		{"a pass", &ScenarioResult{Outcome: Pass}, false},
	} {
		if got := cutOff(c.result); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A ledger that forgets all windows but two is whole only where no third was lived through.
func TestLedgerIsWhole(t *testing.T) {
	hour := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	a := &ledgerAccount{Windows: []ledgerWindow{{Start: hour, End: hour.Add(time.Hour), Reserved: 7}}}
	for _, c := range []struct {
		start, end time.Duration // since the hour
		want       bool
	}{
		{time.Minute, 50 * time.Minute, true},
		{-time.Minute, 50 * time.Minute, true},   // one boundary
		{-61 * time.Minute, time.Minute, false},  // two
		{-time.Minute, 61 * time.Minute, false},  // two, the window shown in the middle
		{time.Minute, 23 * time.Hour, false},     // many
		{-time.Second, 3599 * time.Second, true}, // to the last second
	} {
		h := &judge.History{Header: judge.Header{Start: hour.Add(c.start).UnixNano(), End: hour.Add(c.end).UnixNano()}}
		if sum, all := a.whole(h); all != c.want || sum.Reserved != 7 {
			t.Errorf("%v to %v: whole is %v, reserved %d; want %v and 7", c.start, c.end, all, sum.Reserved, c.want)
		}
	}
}
