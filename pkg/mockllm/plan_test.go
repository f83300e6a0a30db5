package mockllm

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParsePlan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want Plan
	}{
		{"{}", Plan{}},
		{"usage: 10/40", Plan{Usage: Usage{In: Count(10), Out: Count(40)}}},
		{"usage: {in: 10, out: {dist: lognormal, mean: 180, p99: 900, max: 980}}", Plan{
			Usage: Usage{In: Count(10), Out: &Tokens{Kind: "lognormal", Mean: 180, P99: 900, Max: 980}},
		}},
		{"usage: estimate", Plan{Usage: Usage{Estimate: new(true)}}},
		{"timing: {ttft: 50ms, itl: {dist: normal, mean: 40ms, sd: 10ms}}", Plan{Timing: Timing{
			TTFT: Every(50 * time.Millisecond),
			ITL:  &Delay{Kind: "normal", Mean: Duration(40 * time.Millisecond), SD: Duration(10 * time.Millisecond)},
		}}},
		{"fault: reset@3", Plan{Fault: Fault{Kind: "reset", After: After{Chunks: new(int64(3))}}}},
		{"fault: truncate@512b", Plan{Fault: Fault{Kind: "truncate", After: After{Bytes: new(int64(512))}}}},
		{"fault: fin@usage", Plan{Fault: Fault{Kind: "fin", After: After{BeforeUsage: true}}}},
		{"fault: {kind: stall, after: {ms: 100}, for: 5s}", Plan{
			Fault: Fault{Kind: "stall", After: After{MS: new(int64(100))}, For: Every(5 * time.Second)},
		}},
		{`usage_raw: {prompt_tokens: "10"}`, Plan{UsageRaw: `{"prompt_tokens":"10"}`}},
		{`usage_raw: '{"a":1,"a":2}'`, Plan{UsageRaw: `{"a":1,"a":2}`}},
		{"http: {status: 429, headers: {retry-after: 1}, informational: [103]}", Plan{
			HTTP: HTTP{Status: 429, Headers: map[string]string{"retry-after": "1"}, Informational: []int{103}},
		}},
		{"sse: {space: false, eol: crlf, comments: 'every:3'}", Plan{SSE: SSE{Space: new(false), EOL: "crlf", Comments: "every:3"}}},
		{"u=1200/300 f=reset@3 http.status=500", Plan{
			Usage: Usage{In: Count(1200), Out: Count(300)}, HTTP: HTTP{Status: 500},
			Fault: Fault{Kind: "reset", After: After{Chunks: new(int64(3))}},
		}},
	} {
		got, err := ParsePlan([]byte(c.text))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.text, show(got), err, show(c.want))
		}
	}
}

// show is v as JSON, or why it is not.
func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestParsePlanSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http: {statsu: 500}":                          `plan: http.statsu: unknown field, did you mean "status"?`,
		"usge: 1/2":                                    `plan: usge: unknown field, did you mean "usage"?`,
		"usage: 10":                                    "plan: usage: found 10, expected fields (in, out, cached, cache_write, reasoning, estimate)",
		"usage: 10-40":                                 `plan: usage: found "10-40", expected in/out such as 10/40, estimate, or fields`,
		"usage: {in: ten}":                             `plan: usage.in: found "ten", expected a whole number`,
		"usage: {in: 1.5}":                             "plan: usage.in: found 1.5, expected a whole number",
		"usage: {in: -1}":                              "plan: usage.in: found a negative number, expected 0 or more",
		"usage: {in: 10, cached: 11}":                  "plan: usage.in: found 10, expected at least cached + cache_write = 11",
		"usage: {out: 10, reasoning: 11}":              "plan: usage.out: found 10, expected at least reasoning = 11",
		"usage: {in: {dist: lognorml, mean: 1}}":       `did you mean "lognormal"?`,
		"usage: {in: {dist: uniform, mean: 9}}":        "plan: usage.in: a uniform distribution needs max or sd",
		"usage: {in: {dist: normal, mean: 9, max: 1}}": "plan: usage.in: max is below the mean",
		"timing: {ttft: 50}":                           "plan: timing.ttft: found 50, expected a duration such as 50ms",
		"timing: {ttft: fast}":                         `plan: timing.ttft: found "fast", expected a duration such as 50ms`,
		"fault: {kind: rest}":                          `did you mean "reset"?`,
		"fault: reset@three":                           `plan: fault.after.chunks: found "three", expected a whole number`,
		"fault: {kind: fin, after: {chunks: 1, ms: 1}}": "plan: fault.after: found 2 places, expected one of chunks, bytes, " +
			"before_usage, after_usage, ms",
		"usage_at: finall":                          `did you mean "final"?`,
		"sse: {comments: 'every:'}":                 `plan: sse.comments: found "every:", expected a whole number from 1 on behind "every:"`,
		"sse: {split: 'n:0'}":                       `plan: sse.split: found "n:0"`,
		"sse: {done: maybe}":                        `plan: sse.done: found "maybe", expected true or false`,
		"http: {status: 99}":                        "plan: http.status: found 99, expected 200 to 599",
		"http: {informational: [101]}":              "plan: http.informational[0]: found 101, expected 100 or 102 to 199",
		`http: {headers: {a: "b\r\nc"}}`:            "expected a header name and one line",
		"http: {framing: length, trailers: {a: b}}": "plan: http.trailers: need framing chunked, found length",
		"hold: body":                                `plan: hold: unknown value "body"`,
		"body_raw: '***'":                           "plan: body_raw: not base64",
		"usage: 1/2\nusage":                         "plan: not YAML",
		"[]":                                        "plan: found a list, expected fields (id, usage",
	} {
		_, err := ParsePlan([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestParsePlansNamesThePlan(t *testing.T) {
	t.Parallel()
	plans, err := ParsePlans([]byte("slow: {timing: {ttft: 1s}}\nbad: {usge: 1/2}"))
	if err == nil || !strings.Contains(err.Error(), `bad: plan: usge: unknown field, did you mean "usage"?`) {
		t.Errorf("got %v", err)
	}
	if plans["slow"].Timing.TTFT.value(0) != Duration(time.Second) {
		t.Errorf("got %s", show(plans))
	}
}

// Each problem of a file names its line, also one inside of a plan that is written in short.
func TestParsePlansNamesTheLine(t *testing.T) {
	t.Parallel()
	_, err := ParsePlans([]byte("slow:\n  timing:\n    ttft: 1s\n    itl: fast\n  usge: 1/2\nsold-out:\n\n  fault: rest@3\ninline: u=1/2 f=rest@3\nflat: {http: {status: 9, framing: none}}\n"))
	for _, want := range []string{
		"line 10: flat: plan: http.status: ", "line 10: flat: plan: http.framing: ", "line 9: inline: plan: ", "line 4: slow: plan: timing.itl: ",
		"line 5: slow: plan: usge: unknown field", "line 8: sold-out: plan: fault.kind: ",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

// Every plan survives its own JSON, which is how a runner tells it to a mock in another process.
func TestPlanJSONRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := anyPlan(t)
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParsePlan(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if again, _ := json.Marshal(back); string(again) != string(text) {
			t.Fatalf("%s became %s", text, again)
		}
	})
}

func TestMergeIsFieldByField(t *testing.T) {
	t.Parallel()
	base := plan(t, "usage: {in: 1, out: 2, cached: 1}\nhttp: {status: 500, headers: {A: '1', B: '2'}}\nfault: reset@3\nsse: {done: true}")
	got := base.Merge(plan(t, "usage: 10/40\nhttp: {headers: {b: '3'}}\nfault: {kind: none}\nsse: {done: false}"))
	if got.Usage.In.Mean != 10 || got.Usage.Out.Mean != 40 || got.Usage.Cached.Mean != 1 || got.HTTP.Status != 500 ||
		!reflect.DeepEqual(got.HTTP.Headers, map[string]string{"A": "1", "B": "3"}) || got.Fault.Kind != "none" || *got.SSE.Done {
		t.Errorf("got %s", show(got))
	}
	if base.HTTP.Headers["B"] != "2" {
		t.Error("the merge changed its receiver")
	}
}

// Merge lists the fields by hand; this finds one that was forgotten.
func TestMergeTakesEveryField(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := anyPlan(t)
		if got := (Plan{}).Merge(p); show(got) != show(p) {
			t.Fatalf("got %s, want %s", show(got), show(p))
		}
		if got := p.Merge(Plan{}); show(got) != show(p) {
			t.Fatalf("the empty plan changed %s to %s", show(p), show(got))
		}
	})
}

func TestDrawnValuesFollowTheirDistribution(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for name, d := range map[string]*Tokens{
		"uniform":       {Kind: "uniform", Mean: 1000, Max: 1500},
		"normal":        {Kind: "normal", Mean: 1000, SD: 100},
		"lognormal p99": {Kind: "lognormal", Mean: 1000, P99: 4000},
		"lognormal sd":  {Kind: "lognormal", Mean: 1000, SD: 500},
	} {
		r := rand.New(rand.NewPCG(1, 2))
		sum, above := int64(0), 0
		for range n {
			v := d.Draw(r)
			sum += v
			if d.P99 > 0 && v > d.P99 {
				above++
			}
			if v < 0 || d.Max > 0 && v > d.Max {
				t.Fatalf("%s drew %d", name, v)
			}
		}
		if mean := sum / n; mean < 970 || mean > 1030 {
			t.Errorf("%s: mean %d of %d draws, want about 1000", name, mean, n)
		}
		if d.P99 > 0 && (above < n*7/1000 || above > n*13/1000) {
			t.Errorf("%s: %d of %d above p99, want about 1 %%", name, above, n)
		}
	}
}

// anyPlan is a valid plan with about half of the fields set.
func anyPlan(t *rapid.T) Plan {
	word := func(name string, known []string) string {
		return rapid.SampledFrom(append([]string{""}, known...)).Draw(t, name)
	}
	count := func(name string, from, to int64) *Tokens {
		if rapid.Bool().Draw(t, name+"?") {
			return nil
		}
		return Count(rapid.Int64Range(from, to).Draw(t, name))
	}
	p := Plan{
		ID: word("id", []string{"r7"}), UsageAt: word("usage_at", words.usageAt), Hold: word("hold", []string{"none"}),
		Usage: Usage{
			In: count("in", 2000, 1<<53), Out: count("out", 1000, 1<<53), Cached: count("cached", 0, 1000),
			CacheWrite: count("cache_write", 0, 1000), Reasoning: count("reasoning", 0, 1000),
		},
		Content: Content{
			Chunks: count("chunks", 1, 12), Text: word("text", []string{"lorem", "Grüße\n世界 \"q\" \u2028", `\u0041`}),
		},
		SSE: SSE{
			EOL: word("eol", words.eol), Comments: word("comments", words.comments),
			EventLines: word("event_lines", words.eventLines), Split: word("split", words.split),
		},
		HTTP:     HTTP{Encoding: word("encoding", words.encoding), Framing: word("framing", words.framing), Proto: word("proto", words.proto)},
		UsageRaw: Raw(word("usage_raw", []string{"{}", "null", `{"a":"b"}`})),
		BodyRaw:  word("body_raw", []string{"e30="}),
	}
	if rapid.Bool().Draw(t, "space?") {
		p.SSE.Space = new(rapid.Bool().Draw(t, "space"))
	}
	if rapid.Bool().Draw(t, "done?") {
		p.SSE.Done = new(rapid.Bool().Draw(t, "done"))
	}
	if rapid.Bool().Draw(t, "fault?") {
		p.Fault = Fault{Kind: word("kind", faultNames()), After: After{Chunks: new(int64(2))}, For: Every(time.Second)}
	}
	if rapid.Bool().Draw(t, "timing?") {
		p.Timing = Timing{TTFT: Every(time.Second), ITL: &Delay{Kind: "normal", Mean: 5, SD: 2}}
	}
	if rapid.Bool().Draw(t, "headers?") {
		p.HTTP.Status = 500
		p.HTTP.Headers = map[string]string{"Retry-After": "1"}
	}
	return p
}
