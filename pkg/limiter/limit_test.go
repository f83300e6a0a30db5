package limiter_test

import (
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

func TestValidate(t *testing.T) {
	reject100 := limiter.Stage{Percent: 100, Action: limiter.Reject}
	for _, c := range []struct {
		limit limiter.Limit
		want  string // empty: valid
	}{
		{limiter.Limit{Name: "a", Kind: limiter.TokenBucket, Burst: 1, TokensPerMinute: 1}, ""},
		{limiter.Limit{Name: "a", Kind: limiter.TokenBucket, Burst: limiter.MaxBurst, TokensPerMinute: limiter.MaxBurst}, ""},
		{limiter.Limit{Name: "a", Kind: limiter.TokenBucket, TokensPerMinute: 1}, `limit "a": Burst is 0, expected 1 to 4398046511104`},
		{
			limiter.Limit{Name: "a", Kind: limiter.TokenBucket, Burst: -5, TokensPerMinute: limiter.MaxBurst + 1},
			`limit "a": Burst is -5, expected 1 to 4398046511104` + "\n" + `limit "a": TokensPerMinute is 4398046511105, expected 1 to 4398046511104`,
		},
		{limiter.Limit{Name: "a", Kind: limiter.RequestBucket, Burst: 1}, `limit "a": MicroPerSecond is 0, expected 1 to 4398046511104000000`},
		{limiter.Limit{Name: "a", Kind: limiter.Window, Period: limiter.Day, Amount: 1}, ""},
		{limiter.Limit{Name: "a", Kind: limiter.Window, Amount: 1}, `limit "a": Period is 0, expected 5m, 1h, 1d or 7d`},
		{limiter.Limit{Name: "a", Kind: limiter.Window, Period: limiter.Day, Amount: 1, Stages: []limiter.Stage{reject100}}, ""},
		{
			limiter.Limit{Name: "a", Kind: limiter.Window, Period: limiter.Day, Amount: 1, Stages: []limiter.Stage{{Percent: 80, Action: limiter.Warn}}},
			`limit "a": the last stage is warn at 80%, expected reject at 100`,
		},
		{
			limiter.Limit{Name: "a", Kind: limiter.Window, Period: limiter.Day, Amount: 1, Stages: []limiter.Stage{{Percent: 80, Action: limiter.Warn}, {Percent: 80, Action: limiter.Throttle}, reject100}},
			`limit "a": stage 1 begins at 80%, expected 81 to 100` + "\n" + `limit "a": stage 1 has a delay of 0s: throttle needs one, the others have none`,
		},
		{limiter.Limit{Name: "a", Kind: limiter.Concurrency}, `limit "a": MaxConcurrent is 0, expected 1 to 2147483647`},
		{limiter.Limit{Name: "a"}, `limit "a": Kind is 0, expected a token bucket, request bucket, window or concurrency`},
	} {
		got := ""
		if err := c.limit.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v:\n%s\nexpected:\n%s", c.limit, got, c.want)
		}
	}
}

// TestWindowEdges: the last nanosecond of a period rejects, and the wait leads to the first of the next one.
func TestWindowEdges(t *testing.T) {
	for _, c := range []struct {
		period limiter.Period
		now    string
		ends   string
	}{
		{limiter.FiveMinutes, "2030-01-02T12:04:59.999999999Z", "2030-01-02T12:05:00Z"},
		{limiter.FiveMinutes, "2030-01-02T12:05:00Z", "2030-01-02T12:10:00Z"},
		{limiter.Hour, "2030-01-02T12:59:59Z", "2030-01-02T13:00:00Z"},
		{limiter.Day, "2030-01-02T12:00:00Z", "2030-01-03T00:00:00Z"},
		{limiter.Day, "2028-02-28T23:00:00Z", "2028-02-29T00:00:00Z"},
		{limiter.Day, "2030-01-02T23:00:00-05:00", "2030-01-04T00:00:00Z"},
		{limiter.Week, "2030-01-02T12:00:00Z", "2030-01-07T00:00:00Z"},
		{limiter.Week, "2030-01-06T23:59:59.999999999Z", "2030-01-07T00:00:00Z"},
		{limiter.Week, "2030-01-07T00:00:00Z", "2030-01-14T00:00:00Z"},
		{limiter.Week, "1970-01-01T00:00:00Z", "1970-01-05T00:00:00Z"},
		{limiter.Week, "1969-12-28T23:00:00Z", "1969-12-29T00:00:00Z"},
		{limiter.Day, "1960-05-05T05:00:00Z", "1960-05-06T00:00:00Z"},
	} {
		now, ends := instant(t, c.now), instant(t, c.ends)
		l := &limiter.Limit{Kind: limiter.Window, Period: c.period, Amount: 10}
		m := limiter.New(limiter.Options{})
		req := &limiter.Request{Lease: time.Hour, Holds: []limiter.Hold{{Account: limiter.Account{Key: "a", Limit: l}, Cost: 10}}}
		for i, want := range []time.Duration{0, ends.Sub(now)} {
			req.ID[0] = byte(i)
			d, err := m.Reserve(now, req)
			if err != nil || d.RetryAfter != want {
				t.Errorf("%v at %s: %+v, %v; expected a wait of %v", c.period, c.now, d, err, want)
			}
		}
	}
}

// TestStages: an action begins when its share is reached, rejection when it would be exceeded.
func TestStages(t *testing.T) {
	l := &limiter.Limit{Kind: limiter.Window, Period: limiter.Day, Amount: 150, Stages: []limiter.Stage{
		{Percent: 33, Action: limiter.Warn}, // 49.5 tokens
		{Percent: 60, Action: limiter.Throttle, Delay: time.Second},
		{Percent: 95, Action: limiter.Reject}, // 142.5 tokens
		{Percent: 100, Action: limiter.Reject},
	}}
	for _, c := range []struct {
		used  int64
		want  limiter.Action
		delay time.Duration
	}{
		{49, limiter.None, 0},
		{50, limiter.Warn, 0},
		{89, limiter.Warn, 0},
		{90, limiter.Throttle, time.Second},
		{142, limiter.Throttle, time.Second},
		{143, limiter.Reject, 0},
	} {
		m := limiter.New(limiter.Options{})
		d, err := m.Reserve(t0, &limiter.Request{Lease: time.Hour, Holds: []limiter.Hold{{Account: limiter.Account{Key: "a", Limit: l}, Cost: c.used}}})
		if err != nil {
			t.Fatal(err)
		}
		got := d.Holds[0]
		if d.Admitted != (c.want != limiter.Reject) || d.Admitted && (got.Action != c.want || got.Delay != c.delay) || !d.Admitted && !d.Permanent {
			t.Errorf("%d of 150: %+v, expected %v", c.used, d, c.want)
		}
	}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
