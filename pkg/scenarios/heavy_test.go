package scenarios_test

import (
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// Of a large load all requests come back from the child, and what is let go of while
// it runs takes nothing from the judge and little from the evidence.
func TestHeavyLoad(t *testing.T) {
	s := only(t, run(t, head+`
  - id: heavy
    steps:
      - load:
          arrivals: constant
          stages: [ { for: 30s, rate: 75/s } ]
          request: {}
`, func(o *scenarios.Options) { o.Faults = []string{"no-refund"} }))
	const n = 2250
	if len(s.Requests) != n || len(s.History.Requests) != n {
		t.Fatalf("found %d requests and %d in the history, expected %d: %s", len(s.Requests), len(s.History.Requests), n, s.Reason)
	}
	documents := 0
	for i, x := range s.Requests {
		r := &s.History.Requests[i]
		if x.ID != r.ID || x.Curl == "" || x.Curl != r.Curl || i > 0 && x.Sent < s.Requests[i-1].Sent {
			t.Fatalf("request %d is %s, %q; in the history %s, %q", i, x.ID, x.Curl, r.ID, r.Curl)
		}
		if x.Decision == scenarios.Admitted && r.Document == x.Bytes && x.Bytes > 0 {
			documents++
		}
	}
	if admitted := s.Steps[0].Load.Admitted; documents == 0 || int64(documents) != admitted {
		t.Errorf("of %d whole answers the history knows the size of %d", admitted, documents)
	}
	for _, c := range s.Steps[len(s.Steps)-1].Checks {
		if c.Request == nil || c.Outcome != scenarios.Fail {
			continue
		}
		wire := s.Requests[*c.Request].Wire
		if wire == nil || !strings.Contains(wire.Response, "429") || !strings.Contains(wire.Response, "\nRetry-After: ") {
			t.Errorf("%s: what went over the wire is not kept: %+v", c.Message, wire)
		}
		return
	}
	t.Error("nothing was found that has a request")
}
