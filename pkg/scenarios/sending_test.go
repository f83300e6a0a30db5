package scenarios

import (
	"encoding/json"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

// What was sent comes back from another process, and its numbers must still be those of
// the language: 7.0 events are none.
func TestSendingKeepsWholeNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		leave         client.Leave
		request       words
		cancel, asked string
	}{
		{
			client.Leave{AfterEvents: 7},
			words{"path": "/", "chunk-sizes": []int{1, 58}},
			"{ after-events: 7 }", "{ path: /, chunk-sizes: [ 1, 58 ] }",
		},
		{
			client.Leave{AfterBytes: 584},
			words{"path": "/", "plan": map[string]any{"fault": map[string]any{"after": map[string]any{"bytes": 584}}}},
			"{ after-bytes: 584 }", "{ path: /, plan: { fault: { after: { bytes: 584 } } } }",
		},
	} {
		text, err := json.Marshal(sending{Request: c.request, Cancel: leaveInWords(c.leave)})
		if err != nil {
			t.Fatal(err)
		}
		var back sending
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if got := flow(back.Cancel); got != c.cancel {
			t.Errorf("cancel: %s, want %s", got, c.cancel)
		}
		if got := flow(back.Request); got != c.asked {
			t.Errorf("request: %s, want %s", got, c.asked)
		}
	}
}
