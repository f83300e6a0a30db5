package policy

import (
	"fmt"
	"reflect"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// Reasons of the rejections by an account, by the window of the limit.
var reasons = map[string]string{
	"tpm": "tpm_exceeded", "tpd": "tpd_exceeded", "requests": "rate_limit_exceeded", "budget": "budget_exceeded", "concurrency": "concurrency_exceeded",
}

const (
	defaultCompletion   = 1000
	defaultParseable    = 1 << 20
	defaultBufferTokens = 100
	defaultWeight       = 1000
)

// rule compiles one rule, or returns nil after problems.
func (c *compiler) rule(policy string, spec *ruleSpec, used map[string]bool) *Rule {
	if !isObject(spec.at) {
		return nil // the reader has said so
	}
	if !spec.named {
		c.problem(spec.at, `field "name" is missing`, "")
	} else if spec.name.given() && used[spec.name.V] {
		c.problemIn("name", spec.name.at, fmt.Sprintf("%q is the name of an earlier rule of this policy", spec.name.V))
	}
	used[spec.name.V] = true
	r := &Rule{Policy: policy, Name: spec.name.V}
	for i, word := range missingWords {
		if spec.missing.V == word {
			r.missing = MissingKey(i)
		}
	}
	for _, key := range spec.keys.V {
		r.keys = append(r.keys, c.lookup(key))
	}
	for _, m := range spec.match {
		r.match = append(r.match, condition{descriptor: c.lookup(m.key.V), value: m.value.V})
	}
	if spec.missing.given() && spec.keys.given() && len(spec.keys.V) == 0 {
		c.warn("on_missing_key", spec.missing.at, "no key can be missing: limit_keys is empty")
	}
	if !spec.keys.given() && !c.incomplete[spec.at] {
		c.warn("", spec.at, "limit_keys is not given: one account for all")
	}
	if !spec.algorithm.given() || spec.config == nil {
		return nil
	}
	before := len(c.problems)
	c.in("algorithm_config", func() { c.config(r, spec) })
	if len(c.problems) > before {
		return nil
	}
	return r
}

// config reads and compiles the configuration of the rule's algorithm.
func (c *compiler) config(r *Rule, spec *ruleSpec) {
	switch spec.algorithm.V {
	case "token_bucket_llm":
		r.Algorithm = TokenBucketLLM
		configured(c, spec, tokensFields, func(s *tokensSpec) value[string] { return s.algorithm }, func(s *tokensSpec) { c.tokenRule(r, s) })
	case "token_bucket":
		r.Algorithm = TokenBucket
		configured(c, spec, requestsFields, func(s *requestsSpec) value[string] { return s.algorithm }, func(s *requestsSpec) { c.requestRule(r, s, spec.config) })
	case "cost_based":
		r.Algorithm = CostBased
		configured(c, spec, budgetFields, func(s *budgetSpec) value[string] { return s.algorithm }, func(s *budgetSpec) { c.budgetRule(r, s) })
	case "concurrency":
		r.Algorithm = Concurrency
		configured(c, spec, slotsFields, func(s *slotsSpec) value[string] { return s.algorithm }, func(s *slotsSpec) {
			r.cost = costSource{descriptor: -1, fixed: 1}
			c.limit(r, "concurrency", limiter.Limit{Kind: limiter.Concurrency, MaxConcurrent: s.most.V})
		})
	}
}

// configured reads a configuration and compiles it if it has no problem. A repeated algorithm must be the rule's.
func configured[T any](c *compiler, spec *ruleSpec, table []field[T], repeated func(*T) value[string], compile func(*T)) {
	var s T
	ok := object(c.reader, spec.config, table, &s)
	if again := repeated(&s); again.given() && again.V != spec.algorithm.V {
		c.problemIn("algorithm", again.at, fmt.Sprintf("found %q, expected %q as in the rule", clip(again.V), spec.algorithm.V))
		return
	}
	if ok {
		compile(&s)
	}
}

// limit adds a limit to a rule. One that did not change since the previous bundle stays the same, so that its accounts do.
func (c *compiler) limit(r *Rule, window string, l limiter.Limit) {
	l.Name, l.Reason = r.Name+"/"+window, reasons[window]
	next := &l
	if old := c.before[limitName{r.Policy, r.Name, window}]; old != nil && reflect.DeepEqual(next, old) {
		next = old
	}
	r.Limits = append(r.Limits, RuleLimit{Window: window, Limit: next})
	r.prefixes = append(r.prefixes, tuple(r.Policy, r.Name, window))
	r.shadowing = append(r.shadowing, tuple(r.Policy, r.Name, "shadow:"+window))
}

// tokenRule compiles token_bucket_llm.
func (c *compiler) tokenRule(r *Rule, s *tokensSpec) {
	burst := s.burst.or(s.perMinute.V)
	if burst < s.perMinute.V {
		c.warn("burst_tokens", s.burst.at, fmt.Sprintf("%d is below tokens_per_minute %d: no minute can use all of it (Fairvisor Edge rejects this)", burst, s.perMinute.V))
	}
	refund := limiter.Capped
	if s.refund.V == "retroactive" {
		refund = limiter.Retroactive
	}
	c.limit(r, "tpm", limiter.Limit{Kind: limiter.TokenBucket, TokensPerMinute: s.perMinute.V, Burst: burst, Refund: refund})
	t := plainTokens()
	t.lim = burst
	if s.perDay.given() {
		c.limit(r, "tpd", limiter.Limit{Kind: limiter.Window, Period: limiter.Day, Amount: s.perDay.V})
		t.lim = min(t.lim, s.perDay.V)
	}
	t.DefaultCompletion = s.defaultCompletion.or(defaultCompletion)
	t.MaxPrompt, t.MaxPerRequest, t.MaxCompletion = s.maxPrompt.V, s.maxPerRequest.V, s.maxCompletion.V
	t.HeaderHint = s.source.V.estimator.V == "header_hint"
	t.JSONPaths = s.source.V.paths.V
	t.MaxParseable = s.source.V.parseable.or(defaultParseable)
	t.OnDisconnect, t.Keep5xx = disconnect(s.settle.V.onDisconnect), s.settle.V.on5xx.V == "keep"
	t.PassUnknown = s.onUnknown.V == "pass"
	t.Weights = c.weights(s.weights)
	t.Streaming = c.streaming(s.streaming, s.maxCompletion.given())
	if t.MaxPerRequest > 0 && t.DefaultCompletion > t.MaxPerRequest && t.MaxCompletion == 0 {
		c.warn("max_tokens_per_request", s.maxPerRequest.at,
			fmt.Sprintf("%d is below default_max_completion %d: every request that declares no allowance is rejected", t.MaxPerRequest, t.DefaultCompletion))
	}
	r.Tokens = t
}

// plainTokens are the defaults of a rule that counts tokens.
func plainTokens() *Tokens {
	return &Tokens{
		DefaultCompletion: defaultCompletion, MaxParseable: defaultParseable,
		Streaming: Streaming{Enabled: true, BufferTokens: defaultBufferTokens},
	}
}

func disconnect(word value[string]) Disconnect {
	for i, known := range disconnectWords {
		if word.V == known {
			return Disconnect(i)
		}
	}
	return DisconnectDrain
}

func (c *compiler) streaming(spec value[streamingSpec], capped bool) Streaming {
	s := spec.V
	out := Streaming{
		Enabled: s.enabled.or(true), MidStream: s.midStream.V, BufferTokens: s.buffer.or(defaultBufferTokens),
		ErrorChunk: s.onExceeded.V == "error_chunk", PartialUsage: s.partial.V,
	}
	if out.MidStream && !capped {
		c.in("streaming", func() {
			c.warn("enforce_mid_stream", s.midStream.at, "max_completion_tokens is not given: there is nothing to enforce")
		})
	}
	return out
}

// weights compiles prices. What is not given costs a token for a token.
func (c *compiler) weights(spec value[weightsSpec]) limiter.Weights {
	if !spec.given() {
		return limiter.Weights{}
	}
	s := spec.V
	w := limiter.Weights{
		Input: s.input.or(defaultWeight), CachedInput: s.cached.or(defaultWeight), CacheWrite: s.write.or(defaultWeight),
		Output: s.output.or(defaultWeight), Reasoning: s.reasoning.or(defaultWeight),
	}
	if w == (limiter.Weights{}) {
		c.problemIn("weights", spec.at, "every weight is 0, so that nothing is limited: expected one above 0")
	}
	return w
}

// requestRule compiles token_bucket.
func (c *compiler) requestRule(r *Rule, s *requestsSpec, config ast.Node) {
	rate := s.perSecond
	switch {
	case s.perSecond.given() && s.rps.given():
		c.problemIn("rps", s.rps.at, "found tokens_per_second and rps, expected one of them")
		return
	case s.rps.given():
		rate = s.rps
	case !rate.given():
		c.problem(config, "found neither tokens_per_second nor rps, expected one of them", "")
		return
	}
	if s.burst.V < rate.V {
		c.problemIn("burst", s.burst.at, fmt.Sprintf("found %s, expected at least the rate, %s", micro(s.burst.V), micro(rate.V)))
		return
	}
	r.cost = c.costSource(s.source, s.fixed.or(perUnit), s.fallback.or(perUnit), true)
	if cost := max(r.cost.fixed, r.cost.least()); cost > s.burst.V {
		c.problemIn("burst", s.burst.at, fmt.Sprintf("found %s, expected at least the cost of a request, %s: nothing could ever pass", micro(s.burst.V), micro(cost)))
		return
	}
	c.limit(r, "requests", limiter.Limit{Kind: limiter.RequestBucket, MicroPerSecond: rate.V, Burst: s.burst.V})
}

// least is the cost of a request that says nothing.
func (c *costSource) least() int64 {
	if c.descriptor < 0 {
		return c.fixed
	}
	return max(c.fixed, c.fallback)
}

// costSource compiles where a cost comes from. The text is known to be valid.
func (c *compiler) costSource(text value[string], fixed, fallback int64, micro bool) costSource {
	out := costSource{descriptor: -1, fixed: fixed, fallback: fallback, micro: micro}
	if text.given() && text.V != "fixed" {
		out.descriptor = c.lookup(text.V)
	}
	return out
}

// micro writes millionths as people do.
func micro(v int64) string {
	text := fmt.Sprintf("%d.%06d", v/perUnit, v%perUnit)
	for text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	if text[len(text)-1] == '.' {
		text = text[:len(text)-1]
	}
	return text
}

var actions = map[string]limiter.Action{"warn": limiter.Warn, "throttle": limiter.Throttle, "reject": limiter.Reject}

// budgetRule compiles cost_based.
func (c *compiler) budgetRule(r *Rule, s *budgetSpec) {
	l := limiter.Limit{Kind: limiter.Window, Period: periods[s.period.V], Amount: s.budget.V, Stages: c.stages(s.stages)}
	if s.source.V == "usage" {
		for name, v := range map[string]value[int64]{"fixed_cost": s.fixed, "default_cost": s.fallback} {
			if v.given() {
				c.warn(name, v.at, "cost_key: usage counts tokens: it has no effect")
			}
		}
		r.Tokens = plainTokens()
		r.Tokens.Weights = c.weights(s.weights)
		r.Tokens.lim = l.Capacity()
	} else {
		if s.weights.given() {
			c.warn("weights", s.weights.at, "weights price tokens, which only cost_key: usage counts: they have no effect")
		}
		r.cost = c.costSource(s.source, s.fixed.or(1), s.fallback.or(1), false)
		if cost := r.cost.least(); cost > l.Capacity() {
			c.problemIn("budget", s.budget.at, fmt.Sprintf("found %d, expected at least the cost of a request, %d: nothing could ever pass", s.budget.V, cost))
			return
		}
	}
	c.limit(r, "budget", l)
}

// stages compiles staged actions: ascending, the last one a reject at 100.
func (c *compiler) stages(spec value[[]stageSpec]) []limiter.Stage {
	var out []limiter.Stage
	c.in("staged_actions", func() {
		for i, s := range spec.V {
			c.in(fmt.Sprintf("[%d]", i), func() {
				if i > 0 && s.percent.V <= spec.V[i-1].percent.V {
					c.problemIn("threshold_percent", s.percent.at, fmt.Sprintf("found %d after %d, expected strictly ascending thresholds", s.percent.V, spec.V[i-1].percent.V))
				}
				if s.action.V == "throttle" && !s.delay.given() {
					c.problem(s.at, "throttle needs delay_ms above 0", "")
				}
				if s.action.V != "throttle" && s.delay.given() {
					c.warn("delay_ms", s.delay.at, "only throttle delays: it has no effect")
					s.delay = value[int64]{}
				}
			})
			out = append(out, limiter.Stage{Percent: s.percent.V, Action: actions[s.action.V], Delay: time.Duration(s.delay.V) * time.Millisecond})
		}
		if n := len(out); n == 0 || out[n-1].Action != limiter.Reject || out[n-1].Percent != 100 {
			c.problem(spec.at, "found no reject at 100, expected it as the last stage", "")
		}
	})
	return out
}
