package judge

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// View is what decides which limits bind a request: the request as the client
// sent it.
type View struct {
	Method string
	Host   string
	// Path is the path without the query; Query is the raw query.
	Path, Query string
	Header      http.Header
	// Peer is the client's address without the port.
	Peer string
	// Payers are who pays, by the name of the limit, where only target.limits is known:
	// the runner chose them. A limit that is not among them does not bind.
	Payers map[string]string
	// Body as sent, encoded or not.
	Body []byte
}

// Binding says what binds a request, and what it reserves.
type Binding struct {
	Estimate Estimate
	Holds    []Hold
	Guarded  bool
	// Refused is why the request is turned away before any limit is asked:
	// missing_limit_key, invalid_request_body, unsupported_encoding. Empty: it is not.
	Refused string
}

// Fill puts a binding into a request.
func (b Binding) Fill(r *Request) {
	r.Estimate, r.Holds, r.Guarded = b.Estimate, b.Holds, b.Guarded
}

// RulesOptions say what the rules themselves do not.
type RulesOptions struct {
	// Estimator of a foreign gateway that is described by target.limits.
	Estimator Estimator
	// Reload counts the reloads before these rules, and At (unix ns) is the instant
	// of the last one.
	Reload int
	At     int64
}

// Estimator bounds the prompt estimate of a target.
type Estimator struct {
	// Known: P is computed as semantics.md 1 says, and the rest is ignored.
	Known bool
	// PerCharMilli (thousandths of a token per byte of text) and PerMessage bound P of
	// a target that estimates differently. Both zero: nothing is known.
	PerCharMilli Span
	PerMessage   Span
}

// Rules are the limits of a target, read for the judge alone.
type Rules struct {
	policies []policyDoc
	foreign  []Limit // of target.limits
	options  RulesOptions
	limits   []Limit
	guarded  bool
	shadow   bool
}

// document has the fields of every form: a bundle, a target.serve block, a
// target.limits block.
type document struct {
	Policies     []policyDoc `yaml:"policies"`
	Rules        []ruleDoc   `yaml:"rules"`
	Limits       []limitDoc  `yaml:"limits"`
	KillSwitches []any       `yaml:"kill_switches"`
	GlobalShadow enabledDoc  `yaml:"global_shadow"`
}

type enabledDoc struct {
	Enabled bool `yaml:"enabled"`
}

type policyDoc struct {
	ID   string  `yaml:"id"`
	Spec specDoc `yaml:"spec"`
}

type specDoc struct {
	Selector struct {
		PathExact  string   `yaml:"pathExact"`
		PathPrefix string   `yaml:"pathPrefix"`
		Methods    []string `yaml:"methods"`
		Hosts      []string `yaml:"hosts"`
	} `yaml:"selector"`
	Mode           string     `yaml:"mode"`
	Rules          []ruleDoc  `yaml:"rules"`
	FallbackLimit  *ruleDoc   `yaml:"fallback_limit"`
	LoopDetection  enabledDoc `yaml:"loop_detection"`
	CircuitBreaker enabledDoc `yaml:"circuit_breaker"`
}

type ruleDoc struct {
	Name         string               `yaml:"name"`
	LimitKeys    []string             `yaml:"limit_keys"`
	Match        map[string]asWritten `yaml:"match"`
	Algorithm    string               `yaml:"algorithm"`
	Config       configDoc            `yaml:"algorithm_config"`
	OnMissingKey string               `yaml:"on_missing_key"`
	ids          []string             // of its limits
}

// configDoc has the fields of all algorithms.
type configDoc struct {
	TokensPerMinute      int64   `yaml:"tokens_per_minute"`
	TokensPerDay         int64   `yaml:"tokens_per_day"`
	BurstTokens          int64   `yaml:"burst_tokens"`
	DefaultMaxCompletion *int64  `yaml:"default_max_completion"`
	MaxPromptTokens      int64   `yaml:"max_prompt_tokens"`
	MaxTokensPerRequest  int64   `yaml:"max_tokens_per_request"`
	MaxCompletionTokens  int64   `yaml:"max_completion_tokens"`
	Refund               string  `yaml:"refund"`
	OnUnknownEndpoint    string  `yaml:"on_unknown_endpoint"`
	Weights              *prices `yaml:"weights"`
	TokenSource          struct {
		Estimator string `yaml:"estimator"`
		Parseable int64  `yaml:"max_parseable_body_bytes"`
	} `yaml:"token_source"`
	Settle struct {
		OnDisconnect string `yaml:"on_disconnect"`
		On5xx        string `yaml:"on_5xx"`
	} `yaml:"settle"`

	TokensPerSecond decimal `yaml:"tokens_per_second"`
	RPS             decimal `yaml:"rps"`
	Burst           decimal `yaml:"burst"`
	CostSource      string  `yaml:"cost_source"`
	FixedCost       decimal `yaml:"fixed_cost"`
	DefaultCost     decimal `yaml:"default_cost"`

	Budget  int64  `yaml:"budget"`
	Period  string `yaml:"period"`
	CostKey string `yaml:"cost_key"`

	MaxConcurrent int64 `yaml:"max_concurrent"`
}

// prices are weights with the default of one token each.
type prices struct {
	Input       *int64 `yaml:"input"`
	CachedInput *int64 `yaml:"cached_input"`
	CacheWrite  *int64 `yaml:"cache_write"`
	Output      *int64 `yaml:"output"`
	Reasoning   *int64 `yaml:"reasoning"`
}

func (p *prices) weights() *Weights {
	if p == nil {
		return nil
	}
	or := func(v *int64) int64 {
		if v == nil {
			return 1000
		}
		return *v
	}
	return &Weights{or(p.Input), or(p.CachedInput), or(p.CacheWrite), or(p.Output), or(p.Reasoning)}
}

type limitDoc struct {
	Name      string  `yaml:"name"`
	Dimension string  `yaml:"dimension"`
	Amount    int64   `yaml:"amount"`
	Per       string  `yaml:"per"`
	Burst     int64   `yaml:"burst"`
	Window    string  `yaml:"window"`
	Weights   *prices `yaml:"weights"`
}

// ReadRules reads the rules of a suite's target.serve (the list, or the block
// around it), a whole policy bundle, or the target.limits of a foreign gateway, in
// YAML or JSON. It believes that the document is well formed, since the target
// reads it strictly, and reports only what it cannot make sense of.
func ReadRules(doc []byte, o RulesOptions) (*Rules, error) {
	var d document
	var list []any
	var err error
	if yaml.Unmarshal(doc, &list) == nil && len(list) > 0 {
		err = readList(doc, list, &d)
	} else {
		err = yaml.Unmarshal(doc, &d)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the limits for the judge: %w", err)
	}
	r := &Rules{policies: d.Policies, options: o, shadow: d.GlobalShadow.Enabled, guarded: len(d.KillSwitches) > 0}
	if len(d.Rules) > 0 {
		r.policies = append(r.policies, policyDoc{Spec: specDoc{Rules: d.Rules}})
	}
	if err := r.compile(d.Limits); err != nil {
		return nil, fmt.Errorf("reading the limits for the judge: %w", err)
	}
	return r, nil
}

// readList reads a bare list: of rules, or of target.limits.
func readList(doc []byte, list []any, d *document) error {
	if first, ok := list[0].(map[string]any); ok && first["algorithm"] == nil && first["amount"] != nil {
		return yaml.Unmarshal(doc, &d.Limits)
	}
	return yaml.Unmarshal(doc, &d.Rules)
}

// Limits are the limits for the header of a history.
func (r *Rules) Limits() []Limit { return r.limits }

// compile lists the limits of all rules and gives them their IDs.
func (r *Rules) compile(foreign []limitDoc) error {
	for i := range r.policies {
		p := &r.policies[i]
		r.guarded = r.guarded || p.Spec.LoopDetection.Enabled || p.Spec.CircuitBreaker.Enabled
		rules := make([]*ruleDoc, 0, len(p.Spec.Rules)+1)
		for j := range p.Spec.Rules {
			rules = append(rules, &p.Spec.Rules[j])
		}
		if f := p.Spec.FallbackLimit; f != nil {
			if f.Name == "" {
				f.Name = "fallback_limit"
			}
			rules = append(rules, f)
		}
		for _, rule := range rules {
			limits, err := rule.limits()
			if err != nil {
				return fmt.Errorf("rule %q: %w", rule.Name, err)
			}
			for _, l := range limits {
				if p.ID != "" {
					l.ID = p.ID + "/" + l.ID
				}
				rule.ids = append(rule.ids, r.add(l))
			}
		}
	}
	for _, d := range foreign {
		l, err := d.limit()
		if err != nil {
			return fmt.Errorf("limit %q: %w", d.Name, err)
		}
		l.ID, l.Rule = r.add(l), l.ID
		r.foreign = append(r.foreign, l)
	}
	return nil
}

func (r *Rules) add(l Limit) string {
	l.Rule = l.ID
	if r.options.Reload > 0 {
		l.ID = fmt.Sprintf("%s@%d", l.ID, r.options.Reload)
		l.From = r.options.At
	}
	r.limits = append(r.limits, l)
	return l.ID
}

// limits are those of one rule, the bucket before the day.
func (d *ruleDoc) limits() ([]Limit, error) {
	c := &d.Config
	switch d.Algorithm {
	case "token_bucket_llm":
		return d.tokenLimits(), nil
	case "token_bucket":
		rate := c.TokensPerSecond
		if rate == 0 {
			rate = c.RPS
		}
		l := Limit{
			ID: d.Name, Dimension: Requests, Window: WindowBucket, Per: int64(time.Second),
			Amount: Exactly(int64(rate)), AmountMicro: true, Burst: Exactly(int64(c.Burst) / million),
		}
		if !c.Burst.whole() || !c.FixedCost.whole() || !c.DefaultCost.whole() {
			l.Window, l.Per = WindowUnknown, 0 // fractions of a request are not judged
		}
		return []Limit{l}, nil
	case "cost_based":
		per, err := period(c.Period)
		if err != nil {
			return nil, err
		}
		// Whether the last unit of a budget may be spent is the reader's choice of
		// "at 100 percent": one unit is left open.
		return []Limit{{
			ID: d.Name, Dimension: Cost, Window: WindowCalendar, Per: per, Amount: Between(c.Budget-1, c.Budget),
			Settles: c.CostKey == "usage", Weights: c.Weights.weights(),
		}}, nil
	case "concurrency":
		return []Limit{{ID: d.Name, Dimension: Concurrency, Amount: Exactly(c.MaxConcurrent)}}, nil
	}
	return nil, fmt.Errorf("found algorithm %q, expected token_bucket_llm, token_bucket, cost_based or concurrency", d.Algorithm)
}

func (d *ruleDoc) tokenLimits() []Limit {
	c := &d.Config
	minute := Limit{
		ID: d.Name, Dimension: Tokens, Window: WindowBucket, Per: int64(time.Minute),
		Amount: Exactly(c.TokensPerMinute), Burst: Exactly(c.burst()), Settles: true, Weights: c.Weights.weights(),
		OnDisconnect: Disconnect(c.Settle.OnDisconnect), KeepOn5xx: c.Settle.On5xx == "keep",
		Parseable: c.TokenSource.Parseable,
	}
	if minute.Parseable == 0 {
		minute.Parseable = 1 << 20
	}
	if c.Refund == string(RefundRetroactive) {
		minute.Refund = RefundRetroactive
	}
	if c.TokensPerDay == 0 {
		return []Limit{minute}
	}
	day := minute
	day.ID += "/day"
	day.Window, day.Per, day.Amount, day.Burst = WindowCalendar, int64(24*time.Hour), Exactly(c.TokensPerDay), Span{}
	day.Refund = ""
	return []Limit{minute, day}
}

func (c *configDoc) burst() int64 {
	if c.BurstTokens == 0 {
		return c.TokensPerMinute
	}
	return c.BurstTokens
}

// room is the most that a request may ever cost: lim of semantics.md 2.
func (c *configDoc) room() int64 {
	if c.TokensPerDay > 0 {
		return min(c.burst(), c.TokensPerDay)
	}
	return c.burst()
}

// limit is one limit of a foreign gateway.
func (d *limitDoc) limit() (Limit, error) {
	l := Limit{
		ID: d.Name, Dimension: Dimension(d.Dimension), Window: WindowKind(d.Window), Amount: Exactly(d.Amount),
		Burst: Exactly(d.Burst), Weights: d.Weights.weights(),
	}
	switch l.Dimension {
	case Tokens, Cost:
		l.Settles = true
	case Requests, Concurrency:
	case "input", "output": // one side of the usage: it may be what rejects, and is not judged
		return Limit{ID: d.Name, Dimension: Tokens, Window: WindowUnknown, Settles: true}, nil
	default:
		return l, fmt.Errorf("found dimension %q, expected tokens, input, output, requests, cost or concurrency", d.Dimension)
	}
	switch l.Window {
	case "":
		l.Window = WindowUnknown
	case WindowUnknown, WindowBucket, WindowCalendar, WindowFirstHit, WindowSliding:
	default:
		return l, fmt.Errorf("found window %q, expected bucket, calendar, first-hit, sliding or unknown", d.Window)
	}
	if l.Window == WindowBucket && d.Burst == 0 {
		l.Burst = l.Amount
	}
	if l.Dimension == Concurrency {
		return l, nil
	}
	per, err := period(d.Per)
	l.Per = per
	return l, err
}

// period reads a duration; days are allowed.
func period(s string) (int64, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		d, err := time.ParseDuration(n + "h")
		return int64(24 * d), err
	}
	d, err := time.ParseDuration(s)
	return int64(d), err
}
