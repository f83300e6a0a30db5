package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
)

// A random suite is one history in the making: rules, a load and whatever may
// disturb it, drawn from a seed and nothing else. It is a suite as a person could
// have written it, so that a seed that shows something can be looked at, shrunk and
// kept.

// object is a YAML mapping; JSON is YAML.
type object = map[string]any

// chance draws one suite.
type chance struct{ *rand.Rand }

func (c chance) of(p float64) bool { return c.Float64() < p }

// between draws from lo to hi, both ends included.
func (c chance) between(lo, hi int) int { return lo + c.IntN(hi-lo+1) }

func pick[T any](c chance, of ...T) T { return of[c.IntN(len(of))] }

// randomSuite is the suite of a seed.
func randomSuite(seed uint64) []byte {
	c := chance{rand.New(rand.NewPCG(seed, 0xa1a23))}
	s := sketch{chance: c, tokens: pick(c, 30, 100, 300, 1000)}
	s.rate = pick(c, 2, 10, 40, 200)
	s.count = c.between(12, 60)
	s.tenants = pick(c, 1, 1, 2, 3)
	doc := object{
		"version": 1, "suite": "random", "seed": seed,
		"backend": object{"mock": object{"plan": s.plan()}},
		"target":  object{"serve": object{"rules": s.rules()}},
		"defaults": object{"request": object{
			"path": "/v1/chat/completions", "headers": object{"x-tenant": "t0"}, "json": chatBody(s.tokens, false),
		}},
		"scenarios": []any{object{
			"id": "random", "requirement": "the good limiter is never found guilty", "start": s.start(), "steps": s.steps(),
		}},
	}
	text, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		panic(err) // maps of strings, numbers and lists
	}
	return text
}

// sketch is what the parts of one suite have to agree on.
type sketch struct {
	chance
	tokens  int // output allowance of a usual request
	rate    int // requests a second
	count   int // requests
	tenants int
}

// start is a usual day, or one that is about to end.
func (s *sketch) start() string {
	if s.of(0.3) {
		length := time.Duration(s.count) * time.Second / time.Duration(s.rate)
		return time.Date(2030, 1, 7, 0, 0, 0, 0, time.UTC).Add(-time.Duration(s.Int64N(int64(length)))).Format(time.RFC3339)
	}
	return "2030-01-02T12:00:00Z"
}

// rules are one to three, of which the first limits tokens.
func (s *sketch) rules() []any {
	rules := []any{s.tokenRule("tokens")}
	for i := range pick(s.chance, 0, 0, 1, 2) {
		name := fmt.Sprintf("other%d", i)
		switch s.IntN(5) {
		case 0:
			rules = append(rules, s.tokenRule(name))
		case 1:
			rules = append(rules, s.requestRule(name))
		case 2:
			rules = append(rules, s.rule(name, "concurrency", object{"max_concurrent": s.between(1, 12)}))
		default:
			rules = append(rules, s.budgetRule(name))
		}
	}
	return rules
}

func (s *sketch) rule(name, algorithm string, config object) object {
	keys := pick(s.chance, []string{"header:x-tenant"}, []string{"header:x-tenant"}, []string{}, []string{"body:model"},
		[]string{"header:x-tenant", "body:model"}, []string{"query:team"})
	r := object{"name": name, "limit_keys": keys, "algorithm": algorithm, "algorithm_config": config}
	if s.of(0.5) {
		r["on_missing_key"] = pick(s.chance, "skip", "shared", "reject")
	}
	return r
}

// tokenRule allows a third of what is offered to twice of it.
func (s *sketch) tokenRule(name string) object {
	offered := float64(s.rate*s.tokens) * (0.3 + 0.5*s.Float64()) / float64(s.tenants)
	perSecond := offered / (0.5 + 2.5*s.Float64())
	config := object{
		"tokens_per_minute": max(60, int(60*perSecond)),
		"burst_tokens":      int(float64(s.tokens+20) * (0.8 + 12*s.Float64())),
	}
	if s.of(0.3) {
		config["tokens_per_day"] = int(float64(s.count*s.tokens) * (0.1 + 0.6*s.Float64()))
	}
	if s.of(0.3) {
		config["refund"] = "retroactive"
	}
	if s.of(0.2) {
		config["weights"] = object{"input": pick(s.chance, 1000, 250), "cached_input": pick(s.chance, 0, 100, 1000), "cache_write": 1250, "output": pick(s.chance, 1000, 4000, 777), "reasoning": 1000}
	}
	if s.of(0.2) {
		config["default_max_completion"] = s.between(10, 2*s.tokens)
	}
	if s.of(0.1) {
		config["max_completion_tokens"] = s.between(s.tokens/2, 2*s.tokens)
	}
	if s.of(0.1) {
		config["max_prompt_tokens"] = s.between(5, 30)
	}
	if s.of(0.1) {
		config["max_tokens_per_request"] = s.between(s.tokens/2, 2*s.tokens)
	}
	if s.of(0.1) {
		config["token_source"] = object{"estimator": "header_hint"}
	}
	if s.of(0.4) {
		config["settle"] = object{"on_disconnect": pick(s.chance, "drain", "keep", "observed"), "on_5xx": pick(s.chance, "release", "keep")}
	}
	return s.rule(name, "token_bucket_llm", config)
}

func (s *sketch) requestRule(name string) object {
	rate := float64(s.rate) * (0.4 + s.Float64()) / float64(s.tenants)
	config := object{"tokens_per_second": json.Number(fmt.Sprintf("%.3f", rate)), "burst": int(rate) + 2 + s.IntN(10)}
	if s.of(0.3) {
		config["cost_source"] = "header:x-cost"
		config["default_cost"] = 2
	}
	return s.rule(name, "token_bucket", config)
}

func (s *sketch) budgetRule(name string) object {
	config := object{"period": pick(s.chance, "5m", "1h", "1d", "7d")}
	stages := []any{object{"threshold_percent": 100, "action": "reject"}}
	if s.of(0.4) {
		stages = append([]any{object{"threshold_percent": 50, "action": "warn"}}, stages...)
	} else if s.of(0.4) {
		stages = append([]any{object{"threshold_percent": 60, "action": "throttle", "delay_ms": s.between(1, 300)}}, stages...)
	}
	config["staged_actions"] = stages
	if config["cost_key"] = pick(s.chance, "fixed", "usage", "header:x-cost"); config["cost_key"] == "usage" {
		config["budget"] = int(float64(s.count*s.tokens) * (0.1 + 0.6*s.Float64()))
	} else {
		config["budget"] = s.between(3, s.count)
		config["fixed_cost"], config["default_cost"] = 1, 1
	}
	return s.rule(name, "cost_based", config)
}

// steps are one or two loads, and what happens beside and between them.
func (s *sketch) steps() []any {
	var steps []any
	for range pick(s.chance, 1, 1, 2) {
		load := object{"load": s.load()}
		switch {
		case s.of(0.12): // a reload while requests are under way
			steps = append(steps, object{"parallel": []any{
				[]any{load}, []any{object{"wait": object{"for": s.within(1)}}, object{"reload": object{"rules": s.rules()}}},
			}})
		case s.of(0.12): // a mock that stands still for a while
			steps = append(steps, object{"parallel": []any{
				[]any{load},
				[]any{
					object{"wait": object{"for": s.within(0.5)}},
					object{"hold": object{"at": pick(s.chance, "headers", "usage")}},
					object{"wait": object{"for": s.within(0.5)}},
					object{"release": object{}},
				},
			}})
		default:
			steps = append(steps, load)
		}
		switch s.IntN(4) {
		case 0:
			steps = append(steps, object{"wait": object{"for": pick(s.chance, "1ns", "30ms", "7s", "5m", "23h")}})
		case 1:
			steps = append(steps, object{"reload": object{"rules": s.rules()}})
		}
	}
	return steps
}

// within is an instant of the load's first share.
func (s *sketch) within(share float64) string {
	whole := float64(s.count) / float64(s.rate)
	return (time.Duration(whole*share*s.Float64()*float64(time.Second)) + 1).String()
}

func (s *sketch) load() object {
	load := object{}
	if s.of(0.25) {
		load["model"], load["concurrency"], load["requests"] = "closed", s.between(1, 12), s.count
	} else {
		whole := time.Duration(s.count) * time.Second / time.Duration(s.rate)
		load["arrivals"] = pick(s.chance, "poisson", "poisson", "constant", "gamma(0.3)")
		load["stages"] = []any{object{"for": whole.String(), "rate": fmt.Sprintf("%d/s", s.rate)}}
	}
	if s.of(0.4) {
		leave := object{"share": pick(s.chance, "5%", "20%", "60%")}
		switch s.IntN(4) {
		case 0:
			leave["after-headers"] = true
		case 1:
			leave["after-bytes"] = s.between(1, 600)
		case 2:
			leave["after-events"] = s.between(1, 9)
		default:
			leave["after"] = time.Duration(s.between(1, 200_000_000)).String()
		}
		load["cancel"] = leave
	}
	load["request"] = s.request(0)
	var mix []any
	shares := s.between(0, 5)
	for i := range shares {
		mix = append(mix, object{"share": fmt.Sprintf("%d%%", s.between(2, 90/shares)), "request": s.request(i)})
	}
	if mix != nil {
		load["mix"] = mix
	}
	return load
}

// request is any request of any dialect.
func (s *sketch) request(i int) object {
	r := object{"plan": s.plan()}
	headers := object{"x-tenant": fmt.Sprintf("t%d", i%s.tenants)}
	if s.of(0.2) {
		headers["x-cost"] = fmt.Sprint(s.between(0, 4))
	}
	if s.of(0.1) {
		headers["x-token-estimate"] = fmt.Sprint(s.between(1, 80))
	}
	if s.of(0.1) {
		headers["accept-encoding"] = "gzip"
	}
	r["headers"] = headers
	if s.of(0.3) {
		r["query"] = object{"team": pick(s.chance, "a", "b")}
	}
	if s.of(0.2) {
		r["framing"] = "chunked"
		r["chunk-sizes"] = []int{1, s.between(1, 90)}
	}
	s.ask(r)
	return r
}

func chatBody(tokens int, stream bool) object {
	body := object{"model": "m", "max_tokens": tokens, "messages": []any{object{"role": "user", "content": "hello"}}}
	if stream {
		body["stream"] = true
	}
	return body
}

// ask fills in the endpoint and the body.
func (s *sketch) ask(r object) {
	stream, most := s.of(0.5), s.between(1, s.tokens)
	body := chatBody(most, stream)
	switch s.IntN(8) {
	case 0:
		r["path"] = "/v1/messages"
	case 1:
		r["path"] = "/v1/responses"
		body = object{"model": "m", "max_output_tokens": most, "input": "hello there", "stream": stream}
	case 2:
		r["path"] = "/v1/completions"
		body = object{"model": "m", "max_tokens": most, "prompt": []string{"one", "two"}, "stream": stream}
	case 3:
		r["path"], r["method"] = "/v1/embeddings", "POST"
		body = object{"model": "m", "input": "hello there"}
	case 4:
		r["path"] = pick(s.chance, "/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent?alt=sse", "/v1beta/models/m:streamGenerateContent")
		body = object{"contents": []any{object{"parts": []any{object{"text": "hello"}}}}, "generationConfig": object{"maxOutputTokens": most}}
	case 5:
		r["path"] = pick(s.chance, "/model/m/converse", "/model/m/converse-stream")
		body = object{
			"messages":        []any{object{"role": "user", "content": []any{object{"text": "hello"}}}},
			"inferenceConfig": object{"maxTokens": most},
		}
	default:
		switch s.IntN(6) {
		case 0:
			delete(body, "max_tokens")
		case 1:
			body["n"] = 2
		case 2:
			body["max_completion_tokens"] = most + 7
		case 3:
			body["model"] = pick(s.chance, "m", "other")
			body["messages"] = []any{object{"role": "user", "content": "a longer prompt, of ünïcödé and more words than before"}}
		case 4:
			if stream {
				body["stream_options"] = object{"include_usage": s.of(0.5)}
			}
		}
	}
	// The defaults' fields would merge in: they are taken away by name.
	for name := range chatBody(1, true) {
		if _, ours := body[name]; !ours {
			body[name] = nil
		}
	}
	r["json"] = body
}

// plan is any answer of the mock.
func (s *sketch) plan() object {
	p := object{"usage": s.usage()}
	if s.of(0.6) {
		p["timing"] = object{"ttft": fmt.Sprintf("%dms", s.between(0, 200)), "itl": fmt.Sprintf("%dms", s.between(0, 30))}
	}
	if s.of(0.5) {
		p["content"] = object{"chunks": s.between(1, 12)}
	}
	http := object{}
	if s.of(0.4) {
		http["framing"] = pick(s.chance, "chunked", "length", "close")
	}
	if s.of(0.2) {
		http["encoding"] = pick(s.chance, "gzip", "deflate", "br", "zstd", "gzip-flush")
	}
	if s.of(0.15) {
		http["status"] = pick(s.chance, 400, 404, 429, 500, 503, 529, 204, 302)
	}
	if len(http) > 0 {
		p["http"] = http
	}
	if s.of(0.2) {
		p["usage_at"] = pick(s.chance, "none", "final", "every", "early", "finish_chunk", "x_groq", "after_done", "twice", "null_value", "empty_object")
	}
	if s.of(0.2) {
		p["sse"] = object{
			"eol": pick(s.chance, "lf", "crlf", "cr"), "space": s.of(0.5),
			"split": pick(s.chance, "event", "1byte", "n:7", "at:usage", "random"),
		}
	}
	if s.of(0.25) {
		p["fault"] = s.fault()
	}
	return p
}

// usage names every class, so that none is inherited from the mock's default.
func (s *sketch) usage() any {
	in := s.between(0, 40)
	u := object{"in": in, "out": s.between(0, s.tokens+s.tokens/5), "cached": 0, "cache_write": 0, "reasoning": 0}
	if s.of(0.2) {
		u["reasoning"] = u["out"].(int) / 2
	}
	if s.of(0.3) {
		u["out"], u["reasoning"] = object{"dist": "lognormal", "mean": max(1, s.tokens/2), "p99": 2 * s.tokens, "max": 3 * s.tokens}, 0
	}
	if s.of(0.2) {
		u["cached"] = s.between(0, in)
	}
	if s.of(0.1) {
		u["cache_write"] = s.between(0, in-u["cached"].(int))
	}
	return u
}

// fault is any of the mock's. The long ones are rare, for the sake of time.
func (s *sketch) fault() object {
	kinds := mockllm.Faults()
	kind := kinds[s.IntN(len(kinds))].Name
	if slices.Contains([]string{"deep_nesting", "long_line"}, kind) && !s.of(0.1) {
		kind = "reset"
	}
	f := object{"kind": kind}
	switch s.IntN(4) {
	case 0:
		f["after"] = object{"chunks": s.between(0, 6)}
	case 1:
		f["after"] = object{"bytes": s.between(0, 900)}
	case 2:
		f["after"] = object{"ms": s.between(0, 150)}
	}
	if kind == "stall" || kind == "hang_before_headers" {
		f["for"] = fmt.Sprintf("%dms", s.between(1, 4000))
	}
	return f
}
