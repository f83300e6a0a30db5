package judge

import (
	"net"
	"slices"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/judge/estimate"
)

const defaultCompletion = 1000 // output allowance when neither client nor rule says one

// Bind says which limits bind a request and what each holds. Every policy whose
// selector matches binds with all its matching rules, its fallback only if none
// matched.
func (r *Rules) Bind(v View) Binding {
	b := &binder{rules: r, view: &v, out: Binding{Guarded: r.guarded}}
	b.body, b.encoded = decode(v.Header.Get("Content-Encoding"), v.Body)
	for i := range r.foreign {
		b.foreign(&r.foreign[i])
	}
	if r.shadow {
		return b.out
	}
	for i := range r.policies {
		b.policy(&r.policies[i].Spec)
	}
	if b.out.Refused != "" {
		b.out.Holds = nil
	}
	return b.out
}

// binder binds one request.
type binder struct {
	rules   *Rules
	view    *View
	body    []byte
	encoded bool // in a way that nobody reads
	out     Binding
}

func (b *binder) policy(s *specDoc) {
	if s.Mode == "shadow" || !s.selects(b.view) {
		return
	}
	matched := false
	for i := range s.Rules {
		if rule := &s.Rules[i]; b.matches(rule) {
			matched = true
			b.rule(rule)
		}
	}
	if !matched && s.FallbackLimit != nil {
		b.rule(s.FallbackLimit)
	}
}

func (s *specDoc) selects(v *View) bool {
	sel := &s.Selector
	if sel.PathExact != "" || sel.PathPrefix != "" {
		exact := sel.PathExact != "" && v.Path == sel.PathExact
		if !exact && (sel.PathPrefix == "" || !under(v.Path, sel.PathPrefix)) {
			return false
		}
	}
	if len(sel.Methods) > 0 && !slices.ContainsFunc(sel.Methods, func(m string) bool { return strings.EqualFold(m, v.Method) }) {
		return false
	}
	host := bareHost(v.Host)
	return len(sel.Hosts) == 0 || slices.ContainsFunc(sel.Hosts, func(h string) bool { return strings.EqualFold(bareHost(h), host) })
}

// bareHost is a host without its port, the brackets of an address and a closing dot.
func bareHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

// under reports whether a path lies under a prefix of whole segments.
func under(path, prefix string) bool {
	if strings.HasSuffix(prefix, "/") {
		return strings.HasPrefix(path, prefix)
	}
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// rule adds the holds of one rule that binds.
func (b *binder) rule(d *ruleDoc) {
	if d.Algorithm == "token_bucket_llm" && !charged(b.view.Method) {
		return
	}
	key, ok := b.key(d)
	if !ok {
		switch d.OnMissingKey {
		case "skip":
			return
		case "shared":
			key = ""
		default:
			b.refuse("missing_limit_key")
			return
		}
	}
	switch d.Algorithm {
	case "token_bucket_llm":
		b.tokens(d, key)
	case "concurrency":
		b.hold(Hold{Limit: d.ids[0], Key: key, Reserved: Exactly(1)})
	case "token_bucket":
		b.hold(within(Hold{Limit: d.ids[0], Key: key, Reserved: b.priced(d.Config.CostSource, &d.Config)}, int64(d.Config.Burst)/million))
	case "cost_based":
		if d.Config.CostKey == "usage" {
			b.usageCost(d, key)
			return
		}
		b.hold(within(Hold{Limit: d.ids[0], Key: key, Reserved: b.priced(d.Config.CostKey, &d.Config)}, d.Config.Budget))
	}
}

// within marks a hold that costs more than its account ever has: no wait helps.
func within(h Hold, most int64) Hold {
	switch {
	case h.Reserved.Lo > most:
		h.Permanent = Yes
	case h.Reserved.Hi > most:
		h.Permanent = Maybe
	}
	return h
}

func charged(method string) bool {
	return method != "GET" && method != "HEAD" && method != "OPTIONS"
}

func (b *binder) refuse(why string) {
	if b.out.Refused == "" {
		b.out.Refused = why
	}
}

func (b *binder) hold(h Hold) { b.out.Holds = append(b.out.Holds, h) }

// facts estimates the body; ok is false if the request is refused for it.
func (b *binder) facts(hint bool) (f estimate.Facts, known, ok bool) {
	if b.encoded {
		b.refuse("unsupported_encoding")
		return f, false, false
	}
	h := ""
	if hint {
		h = b.view.Header.Get("X-Token-Estimate")
	}
	f, known, err := estimate.Of(b.view.Path, b.body, h)
	if err != nil {
		b.refuse("invalid_request_body")
		return f, known, false
	}
	b.out.Estimate = Estimate{Prompt: Exactly(f.Prompt), Output: f.Output, Declared: f.Declared, N: f.N}
	return f, known, true
}

// tokens adds the holds of a token rule, minute and day, at one cost.
func (b *binder) tokens(d *ruleDoc, key string) {
	c := &d.Config
	f, known, ok := b.facts(c.TokenSource.Estimator == "header_hint")
	if !ok {
		return
	}
	if !known {
		if c.OnUnknownEndpoint == "pass" {
			return
		}
		f.Prompt = (f.TextBytes + 3) / 4
	}
	b.out.Estimate.Prompt = Exactly(f.Prompt)
	output := f.Output
	if !f.Declared {
		output = defaultCompletion
		if c.DefaultMaxCompletion != nil {
			output = *c.DefaultMaxCompletion
		}
	}
	uncapped := estimate.Plus(f.Prompt, estimate.Times(f.N, output))
	if c.MaxCompletionTokens > 0 {
		output = min(output, c.MaxCompletionTokens)
	}
	cost := weightedCost(f.Prompt, f.N, output, c.Weights.weights())
	h := Hold{Key: key, Reserved: Exactly(cost), Prompt: Exactly(f.Prompt)}
	switch room := c.room(); {
	case f.Prompt > room, f.Declared && cost > room:
		h.Permanent = Yes
	case cost > room:
		h.Reserved = Exactly(room) // a default allowance must not reject every request
	}
	capped := estimate.Plus(f.Prompt, estimate.Times(f.N, output))
	if !f.Declared { // nor is it a reason to call a request too large
		capped = f.Prompt
	}
	h.Permanent = ceilings(c, f.Prompt, capped, uncapped, h.Permanent)
	for _, id := range d.ids {
		h.Limit = id
		b.hold(h)
	}
}

// ceilings adds the limits of one request. Whether the whole is measured before
// or after the output is capped is left open.
func ceilings(c *configDoc, prompt, capped, uncapped int64, so Certainty) Certainty {
	most := c.MaxTokensPerRequest
	switch {
	case so == Yes, c.MaxPromptTokens > 0 && prompt > c.MaxPromptTokens, most > 0 && capped > most:
		return Yes
	case most > 0 && uncapped > most:
		return Maybe
	}
	return so
}

// weightedCost is the cost of a reservation: each side at its dearest class.
func weightedCost(p, n, c int64, w *Weights) int64 {
	output := estimate.Times(n, c)
	if w == nil {
		return estimate.Plus(p, output)
	}
	sum := estimate.Plus(estimate.Times(p, max(w.Input, w.CacheWrite)), estimate.Times(output, max(w.Output, w.Reasoning)))
	return (sum + 999) / 1000
}

// usageCost holds a worst case against a budget that is settled by usage.
func (b *binder) usageCost(d *ruleDoc, key string) {
	f, known, ok := b.facts(false)
	if !ok {
		return
	}
	if !known {
		f.Prompt = (f.TextBytes + 3) / 4
	}
	w := d.Config.Weights.weights()
	h := Hold{Limit: d.ids[0], Key: key, Prompt: Exactly(f.Prompt)}
	if f.Declared {
		h.Reserved = Exactly(weightedCost(f.Prompt, f.N, f.Output, w))
	} else { // the allowance of a rule that has no field for it
		h.Reserved = Between(weightedCost(f.Prompt, 0, 0, w), weightedCost(f.Prompt, f.N, defaultCompletion, w))
	}
	b.hold(within(h, d.Config.Budget))
}

// priced is a fixed cost, or one that the client names: never below the fixed one.
func (b *binder) priced(source string, c *configDoc) Span {
	fixed, fallback := max(c.FixedCost, 0), c.DefaultCost
	if fixed == 0 {
		fixed = million
	}
	if fallback == 0 {
		fallback = million
	}
	if source == "" || source == "fixed" {
		return Exactly(int64(fixed) / million)
	}
	cost := fallback
	if s, ok := b.descriptor(source); ok {
		if v, ok := stated(s); ok && v > 0 {
			cost = v
		}
	}
	cost = max(cost, fixed)
	return Between(int64(cost)/million, (int64(cost)+million-1)/million)
}

// foreign holds what an unknown gateway may hold, within the bounds that the
// suite declares of its estimator.
func (b *binder) foreign(l *Limit) {
	payer, binds := b.view.Payers[l.Rule]
	if !binds {
		return
	}
	h := Hold{Limit: l.ID, Key: payer, Reserved: Exactly(1)}
	if l.Settles {
		if !charged(b.view.Method) {
			return
		}
		h.Prompt, h.Reserved = b.foreignCost(l)
		// Whoever reserves can never admit it; whoever charges afterwards can.
		if h.Reserved.Hi > max(l.Amount.Lo, l.Burst.Lo) {
			h.Permanent = Maybe
		}
	}
	b.hold(h)
}

func (b *binder) foreignCost(l *Limit) (prompt, cost Span) {
	f, known, err := estimate.Of(b.view.Path, b.body, "")
	if err != nil || !known || b.encoded {
		return Span{}, Between(0, forever/million)
	}
	e := b.rules.options.Estimator
	switch {
	case e.Known:
		prompt = Exactly(f.Prompt)
	case e.PerCharMilli.IsZero() && e.PerMessage.IsZero():
		prompt = Between(0, int64(len(b.body))+2000*f.Others)
	default:
		prompt = Between(
			f.TextBytes*e.PerCharMilli.Lo/1000+f.Messages*e.PerMessage.Lo,
			(f.TextBytes*e.PerCharMilli.Hi+999)/1000+f.Messages*e.PerMessage.Hi+2000*f.Others)
	}
	b.out.Estimate = Estimate{Prompt: prompt, Output: f.Output, Declared: f.Declared, N: f.N}
	if !f.Declared || f.Twice && !e.Known { // its default allowance is its own, and so is which of two it reads
		return prompt, Between(prompt.Lo, forever/million)
	}
	return prompt, Between(weightedCost(prompt.Lo, f.N, f.Output, l.Weights), weightedCost(prompt.Hi, f.N, f.Output, l.Weights))
}
