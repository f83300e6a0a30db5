package scenarios_test

import (
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// What an eventually found is kept attempt by attempt, like ones together.
func TestEventuallyKeepsItsAttempts(t *testing.T) {
	r := only(t, run(t, head+`
  - id: never
    steps:
      - send: {}
      - eventually: { within: 3s, every: 1s }
        check: [ res.status == 200 ]
      - eventually: { within: 3s, every: 1s }
        check: [ res.status == 500 ]
`))
	var tried [][]scenarios.Tries
	r.EachStep(func(st *scenarios.StepResult) {
		if st.Verb == "eventually" {
			tried = append(tried, st.Tried)
		}
	})
	if len(tried) != 2 || len(tried[0]) != 1 || len(tried[1]) != 1 {
		t.Fatalf("found %+v, expected one kind of attempt of each", tried)
	}
	if once := tried[0][0]; once.Times != 1 || once.Outcome != scenarios.Pass || once.Message != "" {
		t.Errorf("found %+v, expected one that held", once)
	}
	never := tried[1][0]
	if never.Times != 4 || never.Outcome != scenarios.Fail || never.Message != "res.status == 500 does not hold" || never.Until-never.At < 3*time.Second {
		t.Errorf("found %+v, expected four in three seconds", never)
	}
}

// What a report draws stands beside each request: how its answer was framed, when the
// mock was done with it, what it costs in the end.
func TestExchangeTellsWhatIsDrawn(t *testing.T) {
	r := only(t, run(t, head+`
  - id: one
    steps:
      - send: { plan: { http: { framing: chunked }, timing: { ttft: 20ms } } }
      - send: { json: { max_tokens: 200 }, plan: { http: { status: 500 } } }
      - send: { json: { max_tokens: 200 }, plan: { usage_at: none } }
`))
	for i, want := range []struct {
		framing       string
		actual, most  int64
		finishedAfter time.Duration
	}{
		{"chunked", 50, 50, 20 * time.Millisecond},
		{"content-length", 0, 0, 0},
		{"content-length", 206, 206, 0},
	} {
		x := r.Requests[i]
		if x.Framing != want.framing || x.Actual != want.actual || x.AtMost != want.most || x.Finished-x.Received < want.finishedAfter {
			t.Errorf("request %d: found %s, %d to %d tokens, %v of the mock; expected %+v", i, x.Framing, x.Actual, x.AtMost, x.Finished-x.Received, want)
		}
	}
}
