package suite

import (
	"testing"
	"time"
)

// A cost beyond all bounds stays the largest there is: a budget has to see it.
func TestCostSaturates(t *testing.T) {
	dear := func(*Request) int64 { return 1 << 53 }
	for name, step := range map[string]Step{
		"steps":    {Send: &Request{}, Repeat: 2000},
		"drain":    {Drain: &Drain{Request: &Request{}, AtMost: 2000}},
		"load":     {Load: &Load{Request: &Request{}, Stages: []Stage{{For: time.Hour, Rate: Ramp{From: Rate{10, time.Second}, To: Rate{10, time.Second}}}}}},
		"rates":    {Load: &Load{Request: &Request{}, Stages: []Stage{{For: time.Hour, Rate: Ramp{From: Rate{1e300, time.Second}, To: Rate{1e300, time.Second}}}}}},
		"parallel": {Parallel: [][]Step{{{Send: &Request{}, Repeat: 1000}}, {{Send: &Request{}, Repeat: 1000}}}},
	} {
		if cost := worst([]Step{step}, dear); cost.Tokens < 1<<60 || cost.Requests < 0 {
			t.Errorf("%s: got %+v", name, cost)
		}
	}
}
