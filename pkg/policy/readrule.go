package policy

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// ruleSpec is a rule as written. Its config is read when the algorithm is known.
type ruleSpec struct {
	at        ast.Node
	name      value[string]
	named     bool // a name is there, be it right or wrong
	keys      value[[]string]
	match     []matchSpec
	algorithm value[string]
	config    ast.Node
	missing   value[string]
}

type matchSpec struct {
	key   value[string]
	value value[string]
}

var ruleFields = []field[ruleSpec]{
	{name: "name", read: func(r *reader, n ast.Node, s *ruleSpec) { s.name, s.named = r.text(n), true }},
	{name: "limit_keys", read: func(r *reader, n ast.Node, s *ruleSpec) { s.keys = r.limitKeys(n) }},
	{name: "match", read: func(r *reader, n ast.Node, s *ruleSpec) { s.match = r.matches(n) }},
	{name: "algorithm", required: true, read: func(r *reader, n ast.Node, s *ruleSpec) { s.algorithm = r.word(n, algorithms[1:]...) }},
	{name: "algorithm_config", required: true, read: func(_ *reader, n ast.Node, s *ruleSpec) { s.config = n }},
	{name: "on_missing_key", own: true, read: func(r *reader, n ast.Node, s *ruleSpec) { s.missing = r.word(n, missingWords[:]...) }},
}

func (s *ruleSpec) from(n ast.Node) { s.at = n }

var missingWords = [...]string{MissingRejects: "reject", MissingSkips: "skip", MissingShares: "shared"}

// limitKeys reads descriptors. An empty list is one account for all.
func (r *reader) limitKeys(n ast.Node) value[[]string] {
	if l, ok := n.(*ast.SequenceNode); ok && len(l.Values) == 0 {
		return value[[]string]{at: n}
	}
	return r.entries(n, r.descriptor)
}

// descriptor reads a descriptor key.
func (r *reader) descriptor(n ast.Node) value[string] {
	v := r.text(n)
	if !v.given() {
		return v
	}
	if _, err := parseDescriptor(v.V, r.trusted); err != nil {
		r.problem(n, err.Error(), nearestDescriptor(v.V))
		return value[string]{}
	}
	return v
}

// matches reads the conditions of a rule. Values are compared as text, so that a number or a flag stands for how it is written.
func (r *reader) matches(n ast.Node) []matchSpec {
	pairs, ok := r.pairs(n)
	if !ok {
		return nil
	}
	var all []matchSpec
	for _, pair := range pairs {
		name, ok := r.key(pair)
		if !ok {
			continue
		}
		for _, m := range all {
			if m.key.V == name {
				r.problem(pair.Key, fmt.Sprintf("field %q is given twice", name), "")
			}
		}
		r.in(name, func() {
			m := matchSpec{key: r.descriptor(pair.Key), value: r.scalar(pair.Value)}
			if m.key.given() && m.value.given() {
				all = append(all, m)
			}
		})
	}
	return all
}

// scalar reads text, a number or a flag as text.
func (r *reader) scalar(n ast.Node) value[string] {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return value[string]{V: n.GetToken().Value, at: n}
	}
	return r.text(n)
}

// tokensSpec is the configuration of token_bucket_llm as written.
type tokensSpec struct {
	algorithm                               value[string]
	perMinute, perDay, burst                value[int64]
	defaultCompletion                       value[int64]
	maxPrompt, maxPerRequest, maxCompletion value[int64]
	source                                  value[sourceSpec]
	streaming                               value[streamingSpec]
	refund                                  value[string]
	settle                                  value[settleSpec]
	onUnknown                               value[string]
	weights                                 value[weightsSpec]
}

var tokensFields = []field[tokensSpec]{
	{name: "algorithm", read: func(r *reader, n ast.Node, s *tokensSpec) { s.algorithm = r.text(n) }},
	{name: "tokens_per_minute", required: true, read: func(r *reader, n ast.Node, s *tokensSpec) { s.perMinute = r.whole(n, 1, limiter.MaxBurst) }},
	{name: "tokens_per_day", read: func(r *reader, n ast.Node, s *tokensSpec) { s.perDay = r.tokens(n) }},
	{name: "burst_tokens", read: func(r *reader, n ast.Node, s *tokensSpec) { s.burst = r.whole(n, 1, limiter.MaxBurst) }},
	{name: "default_max_completion", read: func(r *reader, n ast.Node, s *tokensSpec) { s.defaultCompletion = r.tokens(n) }},
	{name: "max_prompt_tokens", read: func(r *reader, n ast.Node, s *tokensSpec) { s.maxPrompt = r.tokens(n) }},
	{name: "max_tokens_per_request", read: func(r *reader, n ast.Node, s *tokensSpec) { s.maxPerRequest = r.tokens(n) }},
	{name: "max_completion_tokens", read: func(r *reader, n ast.Node, s *tokensSpec) { s.maxCompletion = r.tokens(n) }},
	{name: "token_source", read: func(r *reader, n ast.Node, s *tokensSpec) { s.source = nested(r, n, sourceFields) }},
	{name: "streaming", read: func(r *reader, n ast.Node, s *tokensSpec) { s.streaming = nested(r, n, streamingFields) }},
	{name: "refund", own: true, read: func(r *reader, n ast.Node, s *tokensSpec) { s.refund = r.word(n, "capped", "retroactive") }},
	{name: "settle", own: true, read: func(r *reader, n ast.Node, s *tokensSpec) { s.settle = nested(r, n, settleFields) }},
	{name: "on_unknown_endpoint", own: true, read: func(r *reader, n ast.Node, s *tokensSpec) { s.onUnknown = r.word(n, "reserve", "pass") }},
	{name: "weights", own: true, read: func(r *reader, n ast.Node, s *tokensSpec) { s.weights = nested(r, n, weightsFields) }},
}

type sourceSpec struct {
	estimator value[string]
	paths     value[[]string]
	parseable value[int64]
}

var sourceFields = []field[sourceSpec]{
	{name: "estimator", read: func(r *reader, n ast.Node, s *sourceSpec) { s.estimator = r.word(n, "simple_word", "header_hint") }},
	{name: "json_paths", own: true, read: func(r *reader, n ast.Node, s *sourceSpec) { s.paths = r.entries(n, r.text) }},
	{name: "max_parseable_body_bytes", own: true, read: func(r *reader, n ast.Node, s *sourceSpec) { s.parseable = r.whole(n, 1, 1<<30) }},
}

type streamingSpec struct {
	enabled, midStream, partial value[bool]
	buffer                      value[int64]
	onExceeded                  value[string]
}

var streamingFields = []field[streamingSpec]{
	{name: "enabled", read: func(r *reader, n ast.Node, s *streamingSpec) { s.enabled = r.flag(n) }},
	{name: "enforce_mid_stream", read: func(r *reader, n ast.Node, s *streamingSpec) { s.midStream = r.flag(n) }},
	{name: "buffer_tokens", read: func(r *reader, n ast.Node, s *streamingSpec) { s.buffer = r.tokens(n) }},
	{name: "on_limit_exceeded", read: func(r *reader, n ast.Node, s *streamingSpec) {
		s.onExceeded = r.word(n, "graceful_close", "error_chunk")
	}},
	{name: "include_partial_usage", read: func(r *reader, n ast.Node, s *streamingSpec) { s.partial = r.flag(n) }},
}

type settleSpec struct {
	onDisconnect, on5xx value[string]
}

var disconnectWords = [...]string{DisconnectDrain: "drain", DisconnectKeep: "keep", DisconnectObserved: "observed"}

var settleFields = []field[settleSpec]{
	{name: "on_disconnect", read: func(r *reader, n ast.Node, s *settleSpec) { s.onDisconnect = r.word(n, disconnectWords[:]...) }},
	{name: "on_5xx", read: func(r *reader, n ast.Node, s *settleSpec) { s.on5xx = r.word(n, "release", "keep") }},
}

type weightsSpec struct {
	input, cached, write, output, reasoning value[int64]
}

// maxWeight keeps a price below a thousand tokens for one: more is a slip of the unit.
const maxWeight = 1_000_000

var weightsFields = []field[weightsSpec]{
	{name: "input", read: func(r *reader, n ast.Node, s *weightsSpec) { s.input = r.whole(n, 0, maxWeight) }},
	{name: "cached_input", read: func(r *reader, n ast.Node, s *weightsSpec) { s.cached = r.whole(n, 0, maxWeight) }},
	{name: "cache_write", read: func(r *reader, n ast.Node, s *weightsSpec) { s.write = r.whole(n, 0, maxWeight) }},
	{name: "output", read: func(r *reader, n ast.Node, s *weightsSpec) { s.output = r.whole(n, 0, maxWeight) }},
	{name: "reasoning", read: func(r *reader, n ast.Node, s *weightsSpec) { s.reasoning = r.whole(n, 0, maxWeight) }},
}

// requestsSpec is the configuration of token_bucket as written, in millionths.
type requestsSpec struct {
	algorithm             value[string]
	perSecond, rps, burst value[int64]
	source                value[string]
	fixed, fallback       value[int64]
}

var requestsFields = []field[requestsSpec]{
	{name: "algorithm", read: func(r *reader, n ast.Node, s *requestsSpec) { s.algorithm = r.text(n) }},
	{name: "tokens_per_second", read: func(r *reader, n ast.Node, s *requestsSpec) { s.perSecond = r.micro(n) }},
	{name: "rps", read: func(r *reader, n ast.Node, s *requestsSpec) { s.rps = r.micro(n) }},
	{name: "burst", required: true, read: func(r *reader, n ast.Node, s *requestsSpec) { s.burst = r.micro(n) }},
	{name: "cost_source", read: func(r *reader, n ast.Node, s *requestsSpec) { s.source = r.costSource(n, "fixed") }},
	{name: "fixed_cost", read: func(r *reader, n ast.Node, s *requestsSpec) { s.fixed = r.micro(n) }},
	{name: "default_cost", read: func(r *reader, n ast.Node, s *requestsSpec) { s.fallback = r.micro(n) }},
}

// budgetSpec is the configuration of cost_based as written.
type budgetSpec struct {
	algorithm       value[string]
	budget          value[int64]
	period, source  value[string]
	fixed, fallback value[int64]
	stages          value[[]stageSpec]
	weights         value[weightsSpec]
}

var periods = map[string]limiter.Period{"5m": limiter.FiveMinutes, "1h": limiter.Hour, "1d": limiter.Day, "7d": limiter.Week}

var budgetFields = []field[budgetSpec]{
	{name: "algorithm", read: func(r *reader, n ast.Node, s *budgetSpec) { s.algorithm = r.text(n) }},
	{name: "budget", required: true, read: func(r *reader, n ast.Node, s *budgetSpec) { s.budget = r.tokens(n) }},
	{name: "period", required: true, read: func(r *reader, n ast.Node, s *budgetSpec) { s.period = r.word(n, "5m", "1h", "1d", "7d") }},
	{name: "cost_key", read: func(r *reader, n ast.Node, s *budgetSpec) { s.source = r.costSource(n, "fixed", "usage") }},
	{name: "fixed_cost", read: func(r *reader, n ast.Node, s *budgetSpec) { s.fixed = r.tokens(n) }},
	{name: "default_cost", read: func(r *reader, n ast.Node, s *budgetSpec) { s.fallback = r.tokens(n) }},
	{name: "staged_actions", required: true, read: func(r *reader, n ast.Node, s *budgetSpec) {
		s.stages = value[[]stageSpec]{V: list(r, n, stageFields), at: n}
	}},
	{name: "weights", own: true, read: func(r *reader, n ast.Node, s *budgetSpec) { s.weights = nested(r, n, weightsFields) }},
}

type stageSpec struct {
	at      ast.Node
	percent value[int64]
	action  value[string]
	delay   value[int64] // ms
}

var stageFields = []field[stageSpec]{
	{name: "threshold_percent", required: true, read: func(r *reader, n ast.Node, s *stageSpec) { s.percent = r.whole(n, 1, 100) }},
	{name: "action", required: true, read: func(r *reader, n ast.Node, s *stageSpec) { s.action = r.word(n, "warn", "throttle", "reject") }},
	{name: "delay_ms", read: func(r *reader, n ast.Node, s *stageSpec) { s.delay = r.whole(n, 1, 3_600_000) }},
}

func (s *stageSpec) from(n ast.Node) { s.at = n }

// slotsSpec is the configuration of concurrency as written.
type slotsSpec struct {
	algorithm value[string]
	most      value[int64]
}

var slotsFields = []field[slotsSpec]{
	{name: "algorithm", read: func(r *reader, n ast.Node, s *slotsSpec) { s.algorithm = r.text(n) }},
	{name: "max_concurrent", required: true, read: func(r *reader, n ast.Node, s *slotsSpec) { s.most = r.whole(n, 1, 1<<31-1) }},
}

// costSource reads where a cost comes from: one of the words, or a header field or query parameter.
func (r *reader) costSource(n ast.Node, words ...string) value[string] {
	v := r.text(n)
	if !v.given() {
		return v
	}
	if slices.Contains(words, v.V) {
		return v
	}
	if d, err := parseDescriptor(v.V, nil); err != nil || d.source != fromHeader && d.source != fromQuery {
		known := append([]string{}, words...)
		r.problem(n, fmt.Sprintf("found %q, expected %s", clip(v.V), oneOf(append(known, "header:NAME", "query:NAME"))), nearest.Word(v.V, words))
		return value[string]{}
	}
	return v
}
