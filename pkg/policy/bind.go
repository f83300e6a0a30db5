package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// Bind says what the policies ask of one request at one instant. It changes nothing.
//
// Every policy whose selector has the request binds, in bundle order, with all rules that match. A fallback_limit binds only if no rule
// of its policy matches; a rule that matches and skips a missing key has matched.
//
// To learn whether a request whose body cannot be read lacks its key, which is answered first, bind it with a zero Ask.
func (b *Bundle) Bind(now time.Time, s *Subject, ask Ask) Binding {
	var scratch [16]cell
	f := facts{bundle: b, now: now, s: s, cells: scratch[:]}
	if len(b.descriptors) > len(scratch) {
		f.cells = make([]cell, len(b.descriptors))
	}
	var out Binding
	out.Enforced.Reject = b.killed(now, &f)
	shadowed := b.shadow.holds(now)
	for _, p := range b.routes.find(s.Path) {
		if !p.selector.bindsMethodAndHost(s.Method, s.Host) {
			continue
		}
		if p.shadow || shadowed {
			out.Shadow.bindPolicy(p, &f, &ask, true)
		} else {
			out.Enforced.bindPolicy(p, &f, &ask, false)
		}
	}
	return out
}

// killed returns the rejection of the first kill switch that the request meets.
func (b *Bundle) killed(now time.Time, f *facts) *Rejection {
	if len(b.switches) == 0 || b.override.holds(now) {
		return nil
	}
	for i := range b.switches {
		k := &b.switches[i]
		if k.route != "" && k.route != f.s.Path || !k.until.IsZero() && !now.Before(k.until) || f.value(k.descriptor) != k.value {
			continue
		}
		r := &Rejection{Reason: ReasonKillSwitch, Detail: k.reason}
		if !k.until.IsZero() {
			r.Wait = k.until.Sub(now)
		}
		return r
	}
	return nil
}

// bindPolicy adds the rules of a policy that match.
func (s *Set) bindPolicy(p *compiledPolicy, f *facts, ask *Ask, shadow bool) {
	first := len(s.Bound)
	s.Holds = slices.Grow(s.Holds, p.holds)
	s.Bound = slices.Grow(s.Bound, p.holds)
	s.parts = slices.Grow(s.parts, p.keys)
	matched := false
	for _, rule := range p.rules {
		if rule.matches(f) {
			matched = true
			s.bindRule(rule, f, ask, shadow)
		}
	}
	if !matched && p.fallback != nil {
		s.bindRule(p.fallback, f, ask, shadow)
	}
	if p.loop.threshold > 0 || p.breaker.perMinute > 0 {
		if p.loop.threshold > 0 && ask.Fingerprint != nil {
			s.fingerprint = ask.Fingerprint()
		}
		s.guarded = append(s.guarded, guarded{policy: p, payer: s.payer(p, first, shadow), spend: s.spend(first)})
	}
}

// matches reports whether all conditions of the rule hold.
func (r *Rule) matches(f *facts) bool {
	return !slices.ContainsFunc(r.match, func(c condition) bool { return f.value(c.descriptor) != c.value })
}

// bindRule adds the holds of a rule, or what keeps it from having any.
func (s *Set) bindRule(r *Rule, f *facts, ask *Ask, shadow bool) {
	if r.Tokens != nil && (ask.ReadOnly || !ask.Metered && r.Tokens.PassUnknown) {
		return
	}
	key, missing := s.key(r, f)
	if missing >= 0 {
		switch r.missing {
		case MissingRejects:
			s.reject(&Rejection{Reason: ReasonMissingKey, Policy: r.Policy, Rule: r.Name, Detail: f.bundle.descriptors[missing].text})
			return
		case MissingSkips:
			return
		case MissingShares:
			key = Key{shared: true}
		}
	}
	var prompt, cost int64
	if r.Tokens != nil {
		prompt = s.prompt(r.Tokens, f, ask)
		cost = s.tokenCost(r, key, ask, prompt)
	} else {
		cost = r.cost.of(f)
	}
	prefixes := r.prefixes
	if shadow {
		prefixes = r.shadowing
	}
	for i, l := range r.Limits {
		account := string(key.appendTo(append(make([]byte, 0, 96), prefixes[i]...)))
		s.Holds = append(s.Holds, limiter.Hold{Account: limiter.Account{Key: account, Limit: l.Limit}, Cost: cost})
		s.Bound = append(s.Bound, Bound{Rule: r, Window: l.Window, Key: key, Prompt: prompt})
	}
}

// key returns the key of a rule for the request, and the index of the first missing descriptor or -1. All keys of a set share one slice,
// each with its own part of it.
func (s *Set) key(r *Rule, f *facts) (Key, int) {
	if len(r.keys) == 0 {
		return Key{shared: true}, -1
	}
	first := len(s.parts)
	for _, d := range r.keys {
		v := f.value(d)
		if v == "" {
			return Key{}, d
		}
		s.parts = append(s.parts, part{value: v, secret: f.bundle.descriptors[d].secret})
	}
	return Key{parts: s.parts[first:len(s.parts):len(s.parts)]}, -1
}

// hintField is where a client that knows its tokens says so; it counts from 1 to 2^31.
const (
	hintField = "X-Token-Estimate"
	maxHint   = 1 << 31
)

// prompt is P for a rule. A hint raises it and never lowers it: else a client could make itself cheaper.
func (s *Set) prompt(t *Tokens, f *facts, ask *Ask) int64 {
	p := max(ask.Prompt, 0)
	if t.HeaderHint {
		if fields := f.s.Header[hintField]; len(fields) > 0 {
			hint, ok := parseWhole(strings.TrimSpace(joined(fields)), maxHint)
			if ok && hint >= 1 {
				p = max(p, hint)
			} else {
				s.HintIgnored = true
			}
		}
	}
	s.Prompt = max(s.Prompt, p)
	return p
}

// tokenCost is what the request reserves under a token rule. It makes the checks of the rule that need no account.
func (s *Set) tokenCost(r *Rule, key Key, ask *Ask, prompt int64) int64 {
	t := r.Tokens
	s.Tokens = true
	output := ask.Output
	if !ask.Declared {
		output = t.DefaultCompletion
	}
	if t.MaxCompletion > 0 {
		output = min(output, t.MaxCompletion)
		if s.OutputCap == 0 || t.MaxCompletion < s.OutputCap {
			s.OutputCap, s.MidStream = t.MaxCompletion, nil
			if t.Streaming.Enabled && t.Streaming.MidStream {
				s.MidStream = &t.Streaming
			}
		}
	}
	if t.MaxPrompt > 0 && prompt > t.MaxPrompt {
		s.reject(&Rejection{Reason: ReasonPrompt, Policy: r.Policy, Rule: r.Name, Key: key, Limit: t.MaxPrompt, Requested: prompt, Permanent: true})
	}
	want := limiter.Ask{Prompt: prompt, Output: max(output, 0), Declared: ask.Declared, N: ask.N, Weights: t.Weights, Lim: t.lim}
	if t.MaxPerRequest > 0 {
		plain := want
		plain.Weights, plain.Lim = limiter.Weights{}, t.MaxPerRequest
		if requested := limiter.Cost(plain); requested > t.MaxPerRequest {
			s.reject(&Rejection{Reason: ReasonPerRequest, Policy: r.Policy, Rule: r.Name, Key: key, Limit: t.MaxPerRequest, Requested: requested, Permanent: true})
		}
	}
	return limiter.Cost(want)
}

// order is the order of the checks: of several that fail, the client hears of the first.
var order = []Reason{ReasonKillSwitch, ReasonMissingKey, ReasonLoop, ReasonBreaker, ReasonPrompt, ReasonPerRequest}

// before reports whether the check comes before another one.
func (r *Rejection) before(reason Reason) bool {
	return slices.Index(order, r.Reason) < slices.Index(order, reason)
}

// reject keeps the rejection of the earliest check, and of several the first in bundle order.
func (s *Set) reject(r *Rejection) {
	if s.Reject == nil || r.before(s.Reject.Reason) {
		s.Reject = r
	}
}

// payer identifies who spends under a policy: the policy and the accounts of its rules.
func (s *Set) payer(p *compiledPolicy, first int, shadow bool) string {
	b := []byte(tuple(p.id, strconv.FormatBool(shadow)))
	var last *Rule
	for i := range s.Bound[first:] {
		if bound := &s.Bound[first+i]; bound.Rule != last {
			last = bound.Rule
			b = bound.Key.appendTo(appendPart(b, bound.Rule.Name))
		}
	}
	return string(b)
}

// spend is what a request costs under a policy, for its circuit breaker: the largest of its token and budget holds, else one.
func (s *Set) spend(first int) int64 {
	most := int64(0)
	for i := range s.Bound[first:] {
		if kind := s.Holds[first+i].Account.Limit.Kind; kind == limiter.TokenBucket || kind == limiter.Window {
			most = max(most, s.Holds[first+i].Cost)
		}
	}
	return max(most, 1)
}

// of is the cost of a request under a rule that counts no tokens. What a client says raises it above the fixed cost and never lowers it.
func (c *costSource) of(f *facts) int64 {
	if c.descriptor < 0 {
		return c.fixed
	}
	text := f.value(c.descriptor)
	v, ok := c.parse(text)
	if !ok || v == 0 {
		v = c.fallback
	}
	return max(v, c.fixed)
}

// parse reads a cost that a client states, rounded up to the unit of the rule.
func (c *costSource) parse(text string) (int64, bool) {
	if !plainDecimal(text) || text[0] == '-' {
		return 0, false
	}
	whole, fraction, _ := strings.Cut(text, ".")
	more := int64(0)
	if c.micro {
		kept := fraction[:min(len(fraction), 6)]
		if strings.Trim(fraction[len(kept):], "0") != "" {
			more = 1
		}
		whole += kept + strings.Repeat("0", 6-len(kept))
	} else if strings.Trim(fraction, "0") != "" {
		more = 1
	}
	v, ok := parseWhole(whole, maxMicro-1)
	if !ok {
		return maxMicro, true // a number, and more than any limit: rejected for good, not taken for the default
	}
	return v + more, true
}

// parseWhole reads digits as a number up to most. Beyond, it fails.
func parseWhole(text string, most int64) (int64, bool) {
	if !digits(text) {
		return 0, false
	}
	v, err := strconv.ParseInt(text, 10, 64)
	return v, err == nil && v <= most
}
