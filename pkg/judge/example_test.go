package judge_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
)

// Two requests of 1006 tokens against a bucket of 2000. The first used 50, so 956
// came back and the second one fits: a limiter that rejects it has lost them.
func ExampleJudge() {
	rules, err := judge.ReadRules([]byte(`
- name: tpm
  limit_keys: ["header:x-tenant"]
  algorithm: token_bucket_llm
  algorithm_config: { tokens_per_minute: 2000 }
`), judge.RulesOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	view := judge.View{
		Method: "POST", Path: "/v1/chat/completions", Header: http.Header{"X-Tenant": {"acme"}},
		Body: []byte(`{"max_tokens": 1000, "messages": [{"role": "user", "content": "hello"}]}`),
	}
	start := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC).UnixNano()

	first := judge.Request{ID: "first", Sent: start, Decision: judge.Admitted, Outcome: judge.OutcomeUsage, Usage: &judge.Usage{In: 10, Out: 40}}
	rules.Bind(view).Fill(&first)
	first.Received, first.UsageAt, first.Finished, first.Ended = start, start, start, start

	second := judge.Request{ID: "second", Sent: start + int64(time.Millisecond), Decision: judge.Rejected}
	rules.Bind(view).Fill(&second)
	second.Ended = second.Sent

	report := judge.Judge(&judge.History{
		Header:   judge.Header{Start: start, Limits: rules.Limits(), Target: judge.Target{Accounting: judge.AccountingReserve, KnownOutcomes: true}},
		Requests: []judge.Request{first, second},
	})
	for _, f := range report.Findings {
		fmt.Println(f.Kind, f.Request, f.Tokens)
	}
	// Output: wrongful-rejection second 944
}
