package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/report"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// What was judged while it ran is judged again from its events, byte for byte, right
// or wrong; and the same run writes the same events.
func TestEventsAreJudgedAlike(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, faults := range [][]string{nil, {"not-atomic:pause=5ms"}, {"over-admits-50"}} {
		o := scenarios.Options{Target: bundled{}, Faults: faults, Child: []string{self, bubbleCommand}}
		write := func() (*scenarios.RunResult, []byte) {
			run, err := scenarios.Execute(t.Context(), planned(t, crowd), o)
			if err != nil {
				t.Fatal(err)
			}
			var events bytes.Buffer
			if err := report.Events(&events, run); err != nil {
				t.Fatal(err)
			}
			return run, events.Bytes()
		}
		run, events := write()
		if _, again := write(); !bytes.Equal(events, again) {
			t.Errorf("%v: the same run wrote other events", faults)
		}
		histories, err := judge.ReadHistories(bytes.NewReader(events))
		if err != nil || len(histories) != 1 {
			t.Fatalf("%v: %d histories, %v", faults, len(histories), err)
		}
		live := run.Suites[0].Scenarios[0].Judged
		if live.Failed() != (faults != nil) {
			t.Errorf("%v: failed is %v", faults, live.Failed())
		}
		later := judge.Judge(histories[0])
		later.Cell = strings.TrimPrefix(later.Cell, "crowd/")
		want, err := json.Marshal(live)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(later)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v: judged again it is\n%.600s\nwant\n%.600s", faults, got, want)
		}
	}
}
