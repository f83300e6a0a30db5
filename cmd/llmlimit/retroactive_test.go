package main

import "testing"

// The proxy goes back 4096 events at most; a reservation that is older is kept. The
// judge, who sees neither, does not call the rejection wrong that follows from it.
func TestRetroactiveRefundOfLongAgo(t *testing.T) {
	t.Parallel()
	r := rehearse(t, []byte(`
version: 1
suite: long-ago
target:
  serve:
    rules:
      - name: tpm
        limit_keys: ["header:x-tenant"]
        algorithm: token_bucket_llm
        algorithm_config: { tokens_per_minute: 84000, burst_tokens: 12000, refund: retroactive }
defaults:
  request:
    path: /v1/chat/completions
    headers: { x-tenant: a }
    json: { model: mock, max_tokens: 5, messages: [ { role: user, content: hello } ] }
    plan: { usage: 6/1, timing: { ttft: 0s } }
scenarios:
  - id: long-ago
    requirement: nobody is accused of what nobody can see
    steps:
      - parallel: # what is refilled passes, while 5006 of 12000 are held
          - [ { send: { json: { max_tokens: 5000 }, plan: { usage: 6/0, timing: { ttft: 24s } } } } ]
          - [ { load: { arrivals: constant, stages: [ { for: 23s, rate: 200/s } ] } } ]
      - send: { json: { max_tokens: 10000 } }
        expect: { status: 429 }
`), bundled{})
	if found := alarms(r); len(found) > 0 {
		t.Errorf("%d alarms\n%s", len(found), found[0])
	}
}
