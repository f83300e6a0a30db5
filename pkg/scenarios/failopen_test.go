package scenarios

import (
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/judge"
)

func TestFailOpen(t *testing.T) {
	wait := int64(1000) // ms
	at := func(ms int64, d judge.Decision) judge.Request {
		r := judge.Request{Sent: ms * 1e6, HeadersAt: ms*1e6 + 1, Ended: ms*1e6 + 2, Decision: d, Holds: []judge.Hold{{Limit: "tpm", Key: "k", Reserved: judge.Exactly(500)}}}
		if d == judge.Rejected {
			r.Retry = &judge.RetryAfter{Millis: &wait}
		}
		return r
	}
	long := at(0, judge.Admitted)
	long.Ended = 200e6
	shut := at(100, judge.Rejected)
	shut.Ended = 150e6
	for _, c := range []struct {
		name     string
		requests []judge.Request
		want     string
	}{
		{"let through and shut again", []judge.Request{at(10, judge.Admitted), at(100, judge.Rejected), at(200, judge.Admitted), at(300, judge.Admitted), at(400, judge.Rejected)}, "(2 of 3)"},
		{"after the wait", []judge.Request{at(100, judge.Rejected), at(1200, judge.Admitted), at(1300, judge.Rejected)}, ""},
		{"never shut again", []judge.Request{at(100, judge.Rejected), at(200, judge.Admitted)}, ""},
		{"a refund was on its way", []judge.Request{long, at(100, judge.Rejected), at(250, judge.Admitted), at(300, judge.Rejected)}, ""},
		{"decided before the rejection", []judge.Request{shut, at(101, judge.Admitted), at(300, judge.Rejected)}, ""},
		{"under way at the rejection", []judge.Request{shut, at(101, judge.Admitted), at(250, judge.Admitted), at(300, judge.Rejected)}, ""},
		{"always shut", []judge.Request{at(100, judge.Rejected), at(200, judge.Rejected)}, ""},
	} {
		got := failOpen(&judge.History{Requests: c.requests})
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, expected %q", c.name, got, c.want)
		}
	}
}
