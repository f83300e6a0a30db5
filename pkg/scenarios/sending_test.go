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
	text, err := json.Marshal(sending{Request: words{"path": "/", "chunk-sizes": []int{1, 58}}, Cancel: leaveInWords(client.Leave{AfterEvents: 7})})
	if err != nil {
		t.Fatal(err)
	}
	var back sending
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got, want := flow(back.Cancel), "{ after-events: 7 }"; got != want {
		t.Errorf("cancel: %s, want %s", got, want)
	}
	if got, want := flow(back.Request), "{ path: /, chunk-sizes: [ 1, 58 ] }"; got != want {
		t.Errorf("request: %s, want %s", got, want)
	}
}
