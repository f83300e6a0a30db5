package policy_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// A request is bound, reserved, and settled at what it really used.
func Example() {
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	bundle, err := policy.Parse("policy.yaml", []byte(`
bundle_version: 1
policies:
  - id: chat
    spec:
      selector: { pathPrefix: /v1/ }
      rules:
        - name: tokens
          limit_keys: ["header:x-tenant"]
          algorithm: token_bucket_llm
          algorithm_config: { tokens_per_minute: 2000 }
`), policy.Options{Now: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	subject := &policy.Subject{Method: http.MethodPost, Path: "/v1/chat/completions", Header: http.Header{"X-Tenant": {"acme"}}}
	bound := bundle.Bind(now, subject, policy.Ask{Prompt: 6, Output: 1000, Declared: true, Metered: true}).Enforced

	store, id := limiter.New(limiter.Options{}), limiter.ID{1}
	decision, err := store.Reserve(now, &limiter.Request{ID: id, Holds: bound.Holds, Lease: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("reserved", bound.Holds[0].Cost, "of", bound.Bound[0].Key, "in", bound.Bound[0].Window, "remaining", decision.Holds[0].Remaining)

	used := bound.Bound[0].Actual(bound.Holds[0], limiter.Classes{Input: 10, Output: 40})
	settled, err := store.Settle(now, id, []int64{used})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("used", used, "refunded", settled.Holds()[0].Refunded)
	// Output:
	// reserved 1006 of acme in tpm remaining 994
	// used 50 refunded 956
}

// Everything that is wrong with a file is said at once, with its place.
func ExampleParse() {
	_, err := policy.Parse("policy.yaml", []byte("bundle_version: 010\npolicys: []\n"), policy.Options{})
	fmt.Println(err)
	// Output:
	// policy.yaml:1:1: field "policies" is missing
	//   1 | bundle_version: 010
	//     | ^
	// policy.yaml:1:17: bundle_version: found 010, expected a whole number in plain decimal digits
	//   1 | bundle_version: 010
	//     |                 ^
	// policy.yaml:2:1: unknown field "policys" (did you mean "policies"?)
	//   2 | policys: []
	//     | ^
}
