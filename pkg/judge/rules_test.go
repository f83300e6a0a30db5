package judge

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const twiceBody = `{"model":"mock","max_tokens":1000,"max_tokens":1,"messages":[{"role":"user","content":"hello"}]}`

const chatBody = `{"model":"mock","max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}`

// post is a chat request of one tenant.
func post(body string, headers ...string) View {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	return View{Method: "POST", Host: "api.example.com:443", Path: "/v1/chat/completions", Header: h, Body: []byte(body), Peer: "10.0.0.1", Payers: map[string]string{"tpm": "t-1", "a": "t-1"}}
}

func tokenRule(config string) string {
	return "- name: tpm\n  limit_keys: ['header:x-tenant']\n  algorithm: token_bucket_llm\n  algorithm_config: " + config
}

func TestBind(t *testing.T) {
	t.Parallel()
	token := "Bearer e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"org_id":"acme"}`)) + ".x"
	key := func(s string) string { return string(rune('0'+len(s))) + ":" + s }
	held := func(key string, e, p int64) []Hold {
		return []Hold{{Limit: "tpm", Key: key, Reserved: Exactly(e), Prompt: Exactly(p)}}
	}
	for _, c := range []struct {
		name, rules string
		view        View
		want        []Hold
		refused     string
	}{
		{"a reservation", tokenRule("{ tokens_per_minute: 2000 }"), post(chatBody, "X-Tenant", " a "), held(key("a"), 1006, 6), ""},
		{"no key", tokenRule("{ tokens_per_minute: 2000 }"), post(chatBody), nil, "missing_limit_key"},
		{"no key, skipped", tokenRule("{ tokens_per_minute: 2000 }\n  on_missing_key: skip"), post(chatBody), nil, ""},
		{"no key, shared", tokenRule("{ tokens_per_minute: 2000 }\n  on_missing_key: shared"), post(chatBody), held("", 1006, 6), ""},
		{"repeated headers", tokenRule("{ tokens_per_minute: 2000 }"), post(chatBody, "X-Tenant", "a", "X-Tenant", "b"), held(key("a, b"), 1006, 6), ""},
		{"nothing for GET", tokenRule("{ tokens_per_minute: 2000 }"), func() View { v := post("", "X-Tenant", "a"); v.Method = "GET"; return v }(), nil, ""},
		{"an invalid body", tokenRule("{ tokens_per_minute: 2000 }"), post("{", "X-Tenant", "a"), nil, "invalid_request_body"},
		{"an encoding that nobody reads", tokenRule("{ tokens_per_minute: 2000 }"), post(chatBody, "X-Tenant", "a", "Content-Encoding", "lzma"), nil, "unsupported_encoding"},
		{"a compressed body", tokenRule("{ tokens_per_minute: 2000 }"), post(zipped(chatBody), "X-Tenant", "a", "Content-Encoding", "gzip"), held(key("a"), 1006, 6), ""},
		{
			"a body that is compressed twice", tokenRule("{ tokens_per_minute: 2000 }"), post(zipped(zipped(chatBody)), "X-Tenant", "a", "Content-Encoding", "gzip, identity, GZIP"),
			held(key("a"), 1006, 6), "",
		},
		{
			"a declared allowance above the burst is permanent", tokenRule("{ tokens_per_minute: 1000 }"), post(chatBody, "X-Tenant", "a"),
			[]Hold{{Limit: "tpm", Key: key("a"), Reserved: Exactly(1006), Prompt: Exactly(6), Permanent: Yes}},
			"",
		},
		{
			"a default one is not", tokenRule("{ tokens_per_minute: 1000 }"),
			post(strings.Replace(chatBody, `"max_tokens":1000,`, "", 1), "X-Tenant", "a"), held(key("a"), 1000, 6), "",
		},
		{
			"whether a default allowance passes a ceiling depends on whom one asks",
			tokenRule("{ tokens_per_minute: 2000, max_tokens_per_request: 500 }"),
			post(strings.Replace(chatBody, `"max_tokens":1000,`, "", 1), "X-Tenant", "a"),
			[]Hold{{Limit: "tpm", Key: key("a"), Reserved: Exactly(1006), Prompt: Exactly(6), Permanent: Maybe}},
			"",
		},
		{
			"a foreign gateway that charges afterwards may admit more than it ever has", "limits: [ { name: tpm, dimension: tokens, amount: 100, per: 60s } ]", post(chatBody),
			[]Hold{{Limit: "tpm", Key: "t-1", Reserved: Between(1000, 1081), Prompt: Between(0, 81), Permanent: Maybe}},
			"",
		},
		{
			"minute and day", tokenRule("{ tokens_per_minute: 2000, tokens_per_day: 5000, default_max_completion: 5 }"), post(chatBody, "X-Tenant", "a"),
			append(held(key("a"), 1006, 6), Hold{Limit: "tpm/day", Key: key("a"), Reserved: Exactly(1006), Prompt: Exactly(6)}), "",
		},
		{"the output is capped", tokenRule("{ tokens_per_minute: 2000, max_completion_tokens: 100 }"), post(chatBody, "X-Tenant", "a"), held(key("a"), 106, 6), ""},
		{"weights take the dearest class", tokenRule("{ tokens_per_minute: 9000, weights: { cache_write: 1250, reasoning: 2000 } }"), post(chatBody, "X-Tenant", "a"), held(key("a"), 2008, 6), ""},
		{"a hint", tokenRule("{ tokens_per_minute: 2000, token_source: { estimator: header_hint } }"), post(chatBody, "X-Tenant", "a", "X-Token-Estimate", "50"), held(key("a"), 1050, 50), ""},
		{"no hint where it is not read", tokenRule("{ tokens_per_minute: 2000 }"), post(chatBody, "X-Tenant", "a", "X-Token-Estimate", "50"), held(key("a"), 1006, 6), ""},
		{
			"an unknown endpoint", tokenRule("{ tokens_per_minute: 2000 }"), func() View { v := post("12345678", "X-Tenant", "a"); v.Path = "/v1/other"; return v }(),
			held(key("a"), 1002, 2), "",
		},
		{
			"a claim of a token", "- { name: tpm, limit_keys: ['jwt:org_id'], algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000 } }",
			post(chatBody, "Authorization", token), held(key("acme"), 1006, 6), "",
		},
		{
			"requests and slots", "- { name: rps, algorithm: token_bucket, algorithm_config: { rps: 2.5, burst: 5 } }\n- { name: busy, algorithm: concurrency, algorithm_config: { max_concurrent: 3 } }",
			post(chatBody),
			[]Hold{{Limit: "rps", Reserved: Exactly(1)}, {Limit: "busy", Reserved: Exactly(1)}},
			"",
		},
		{
			"a client cannot make itself cheaper", "- { name: rps, algorithm: token_bucket, algorithm_config: { rps: 2, burst: 50, cost_source: 'header:x-cost', fixed_cost: 3 } }",
			post(chatBody, "X-Cost", "1"),
			[]Hold{{Limit: "rps", Reserved: Exactly(3)}},
			"",
		},
		{
			"a cost with more decimals than count is rounded up", "- { name: rps, algorithm: token_bucket, algorithm_config: { rps: 2, burst: 50, cost_source: 'header:x-cost' } }",
			post(chatBody, "X-Cost", "2.0000001"),
			[]Hold{{Limit: "rps", Reserved: Between(2, 3)}},
			"",
		},
		{
			"a cost beyond every limit is one all the same", "- { name: rps, algorithm: token_bucket, algorithm_config: { rps: 2, burst: 50, cost_source: 'header:x-cost' } }",
			post(chatBody, "X-Cost", "9999999999999"),
			[]Hold{{Limit: "rps", Reserved: Exactly(million * million), Permanent: Yes}},
			"",
		},
		{
			"a cost that is not plainly decimal is none", "- { name: rps, algorithm: token_bucket, algorithm_config: { rps: 2, burst: 50, cost_source: 'header:x-cost' } }",
			post(chatBody, "X-Cost", "007"),
			[]Hold{{Limit: "rps", Reserved: Exactly(1)}},
			"",
		},
		{
			"nor is half a fraction", "- { name: rps, algorithm: token_bucket, algorithm_config: { rps: 2, burst: 50, cost_source: 'header:x-cost' } }",
			post(chatBody, "X-Cost", "7."),
			[]Hold{{Limit: "rps", Reserved: Exactly(1)}},
			"",
		},
		{
			"a match is text as written", "- { name: c, match: { 'header:x-version': 1.0, 'header:x-on': True, 'header:x-text': '2.0' }, algorithm: concurrency, algorithm_config: { max_concurrent: 1 } }",
			post(chatBody, "X-Version", "1.0", "X-On", "True", "X-Text", "2.0"),
			[]Hold{{Limit: "c", Reserved: Exactly(1)}},
			"",
		},
		{
			"a host with a port is the host", "policies:\n- { id: p, spec: { selector: { pathPrefix: /, hosts: [ 'API.example.com.:8443' ] }, rules: [ { name: c, algorithm: concurrency, algorithm_config: { max_concurrent: 1 } } ] } }",
			post(chatBody),
			[]Hold{{Limit: "p/c", Reserved: Exactly(1)}},
			"",
		},
		{
			"the host is a header", "- { name: c, limit_keys: ['header:host'], algorithm: concurrency, algorithm_config: { max_concurrent: 1 } }",
			post(chatBody),
			[]Hold{{Limit: "c", Key: "19:api.example.com:443", Reserved: Exactly(1)}},
			"",
		},
		{
			"Anthropic's user", "- { name: c, limit_keys: ['body:user'], algorithm: concurrency, algorithm_config: { max_concurrent: 1 } }",
			func() View {
				v := post(`{"metadata":{"user_id":"ann"},"messages":[]}`)
				v.Path = "/v1/messages"
				return v
			}(),
			[]Hold{{Limit: "c", Key: "3:ann", Reserved: Exactly(1)}},
			"",
		},
		{
			"a model that is given twice is the last one", "- { name: c, limit_keys: ['body:model'], algorithm: concurrency, algorithm_config: { max_concurrent: 1 } }",
			post(`{"model":"a","model":"bc","messages":[]}`),
			[]Hold{{Limit: "c", Key: "2:bc", Reserved: Exactly(1)}},
			"",
		},
		{
			"a match that is not met", "- { name: tpm, match: { 'body:model': other }, algorithm: token_bucket_llm, algorithm_config: { tokens_per_minute: 2000 } }",
			post(chatBody), nil, "",
		},
		{
			"a fallback, and a prefix of whole segments",
			"policies:\n- { id: p, spec: { selector: { pathPrefix: /v1, methods: [ POST ], hosts: [ API.example.com ] }, rules: [ { name: x, match: { 'header:x': 1 }, algorithm: concurrency, algorithm_config: { max_concurrent: 1 } } ], fallback_limit: { algorithm: concurrency, algorithm_config: { max_concurrent: 2 } } } }\n- { id: q, spec: { selector: { pathPrefix: /v }, rules: [ { name: x, algorithm: concurrency, algorithm_config: { max_concurrent: 1 } } ] } }",
			post(chatBody),
			[]Hold{{Limit: "p/fallback_limit", Reserved: Exactly(1)}},
			"",
		},
		{
			"a foreign gateway may read either of two keys", "limits: [ { name: tpm, dimension: tokens, amount: 10000, per: 60s } ]", post(twiceBody),
			[]Hold{{Limit: "tpm", Key: "t-1", Reserved: Between(0, forever/million), Prompt: Between(0, int64(len(twiceBody))), Permanent: Maybe}},
			"",
		},
		{
			"a foreign gateway of which nothing is known", "limits: [ { name: tpm, dimension: tokens, amount: 10000, per: 60s } ]", post(chatBody),
			[]Hold{{Limit: "tpm", Key: "t-1", Reserved: Between(1000, 1000+int64(len(chatBody))), Prompt: Between(0, int64(len(chatBody)))}},
			"",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := ReadRules([]byte(c.rules), RulesOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b := r.Bind(c.view)
			if b.Refused != c.refused || !reflect.DeepEqual(b.Holds, c.want) {
				t.Errorf("got %+v (%q), want %+v (%q)", b.Holds, b.Refused, c.want, c.refused)
			}
		})
	}
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// Accounts are told apart by tuples, not by joined text, and no credential shows.
func TestKeys(t *testing.T) {
	t.Parallel()
	r, err := ReadRules([]byte("- { name: c, limit_keys: ['header:a', 'header:b'], algorithm: concurrency, algorithm_config: { max_concurrent: 1 } }"), RulesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	key := func(a, b string) string { return r.Bind(post("", "A", a, "B", b)).Holds[0].Key }
	if key("x:y", "z") == key("x", "y:z") || key("1:x", "y") == key("1", "x:y") {
		t.Error("two tuples share an account")
	}
	if key("Acme", "z") == key("acme", "z") {
		t.Error("the case of a key is lost")
	}
	secret, err := ReadRules([]byte("- { name: c, limit_keys: ['header:Authorization'], algorithm: concurrency, algorithm_config: { max_concurrent: 1 } }"), RulesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if k := secret.Bind(post("", "Authorization", "Bearer sk-1")).Holds[0].Key; strings.Contains(k, "sk-1") {
		t.Errorf("the key %q shows a credential", k)
	}
}

func TestReadRulesRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ doc, want string }{
		{"- { name: a, algorithm: leaky }", `rule "a": found algorithm "leaky"`},
		{"limits: [ { name: a, dimension: words, amount: 1, per: 1s } ]", `limit "a": found dimension "words"`},
		{"limits: [ { name: a, dimension: tokens, amount: 1, per: soon } ]", `limit "a": time: invalid duration`},
		{"limits: [ { name: a, dimension: tokens, amount: 1, per: 1s, window: round } ]", `limit "a": found window "round"`},
		{"rules: 5", "reading the limits for the judge"},
	} {
		if _, err := ReadRules([]byte(c.doc), RulesOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.doc, err, c.want)
		}
	}
}

// After a reload the account goes on: full is not assumed, and what was reserved
// before still comes back.
func TestReload(t *testing.T) {
	t.Parallel()
	read := func(doc string, o RulesOptions) []Limit {
		r, err := ReadRules([]byte(doc), o)
		if err != nil {
			t.Fatal(err)
		}
		return r.Limits()
	}
	h := newHistory(append(read(tokenRule("{ tokens_per_minute: 6000 }"), RulesOptions{}),
		read(tokenRule("{ tokens_per_minute: 6000, burst_tokens: 3000 }"), RulesOptions{Reload: 1, At: noon + 2*sec})...)...)
	before := sent(0, 6000, Admitted)
	before.Usage, before.UsageAt, before.Finished, before.Ended = &Usage{In: 1000}, noon+3*sec, noon+3*sec, noon+3*sec
	after := sent(4*sec, 3000, Admitted)
	after.Holds[0].Limit = "tpm@1"
	late := sent(5*sec, 3000, Admitted)
	late.Holds[0].Limit = "tpm@1"
	h.Requests = []Request{before, after}
	if r := Judge(h); r.Failed() {
		t.Errorf("the refund of a reservation from before the reload is not seen: %+v", r.Findings)
	}
	h.Requests = append(h.Requests, late)
	if r := Judge(h); r.Totals.OverAdmissions != 1 {
		t.Errorf("found %d over-admissions above the new burst, want 1: %+v", r.Totals.OverAdmissions, r.Findings)
	}
}

func TestActual(t *testing.T) {
	t.Parallel()
	l := minute()
	keep5xx := l
	keep5xx.KeepOn5xx = true
	weighted := l
	weighted.Weights = &Weights{Input: 1000, CachedInput: 100, CacheWrite: 1250, Output: 4000, Reasoning: 4000}
	hold := Hold{Reserved: Exactly(1000), Prompt: Exactly(100)}
	usage := &Usage{In: 100, Out: 50}
	target := Bundled()
	for _, c := range []struct {
		name  string
		r     Request
		limit Limit
		want  Span
	}{
		{"usage", Request{Outcome: OutcomeUsage, Usage: usage}, l, Exactly(150)},
		{"a total beyond both sides", Request{Outcome: OutcomeUsage, Usage: &Usage{In: 1, Out: 1, Total: 9}}, l, Exactly(9)},
		{"weights, each token in one class", Request{Outcome: OutcomeUsage, Usage: &Usage{In: 100, Cached: 30, CacheWrite: 20, Out: 10, Reasoning: 5, Total: 111}}, weighted, Exactly(50 + 3 + 25 + 44)},
		{"no usage", Request{Outcome: OutcomeNoUsage}, l, Exactly(1000)},
		{"no usage, more was seen", Request{Outcome: OutcomeNoUsage, Content: Exactly(4001)}, l, Exactly(1101)},
		{"empty", Request{Outcome: OutcomeEmpty}, l, Exactly(0)},
		{"cut", Request{Outcome: OutcomeCut}, l, Exactly(1000)},
		{"cut after a larger usage", Request{Outcome: OutcomeCut, Usage: &Usage{In: 2000}}, l, Exactly(2000)},
		{"5xx", Request{Outcome: OutcomeServerError}, l, Exactly(0)},
		{"5xx, kept", Request{Outcome: OutcomeServerError}, keep5xx, Exactly(1000)},
		{"4xx with usage", Request{Outcome: OutcomeClientError, Usage: usage}, l, Exactly(150)},
		{"left, drained", Request{Outcome: OutcomeLeft, Left: noon, UsageAt: noon + sec, Usage: usage}, l, Exactly(150)},
		{"left, the usage comes at the very end of the drain", Request{Outcome: OutcomeLeft, Left: noon, UsageAt: noon + 10*sec, Usage: usage}, l, Between(150, 1000)},
		{"left, no usage", Request{Outcome: OutcomeLeft, Left: noon}, l, Exactly(1000)},
		{"left before anything was received", Request{Outcome: OutcomeLeftEarly, Left: noon}, l, Between(0, 1000)},
		{"cut by the target", Request{Outcome: OutcomeCutByTarget, Content: Exactly(40)}, l, Exactly(110)},
		{"timeout", Request{Outcome: OutcomeTimeout}, l, Exactly(1000)},
		{"unknown", Request{}, l, Between(0, 1000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.r.Ended, c.r.Finished = noon, noon
			c.r.Sent = noon
			if got := actual(&c.r, &hold, &c.limit, &target); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestReadSaid(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	for k, v := range map[string]string{
		"retry-after": "2", "retry-after-ms": "1500", "x-ratelimit-limit-tokens": "6000", "x-ratelimit-remaining-tokens": "12",
		"x-ratelimit-reset-tokens": "1m0.5s", "x-llmlimit-reserved": "1006", "x-llmlimit-reason": "tpm_exceeded",
	} {
		h.Set(k, v)
	}
	s := ReadSaid(h, noon)
	if *s.Retry.Seconds != 2 || *s.Retry.Millis != 1500 || *s.Reserved != 1006 || s.Reason != "tpm_exceeded" {
		t.Errorf("got %+v", s)
	}
	if len(s.Rates) != 1 || *s.Rates[0].Limit != 6000 || *s.Rates[0].Remaining != 12 || *s.Rates[0].Reset != 60*sec+500*ms {
		t.Errorf("got %+v", s.Rates)
	}
	h = http.Header{"Retry-After": {"Wed, 02 Jan 2030 12:00:05 GMT"}}
	if got := ReadSaid(h, noon).Retry.Date; got != noon+5*sec {
		t.Errorf("got %d", got)
	}
	h = http.Header{"Retry-After": {"-1"}}
	if got := ReadSaid(h, noon).Retry.Malformed; got != "-1" {
		t.Errorf("got %q", got)
	}
}
