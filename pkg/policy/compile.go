package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

const maxReason = 256 // characters of an override's reason

// document compiles a whole bundle.
func (c *compiler) document(n ast.Node) {
	var spec bundleSpec
	object(c.reader, n, bundleFields, &spec)
	c.header(&spec)
	c.in("policies", func() {
		for i := range spec.policies {
			c.in(fmt.Sprintf("[%d]", i), func() { c.policy(&spec.policies[i], spec.policies[:i]) })
		}
	})
	c.in("kill_switches", func() {
		for i := range spec.switches {
			c.in(fmt.Sprintf("[%d]", i), func() { c.killSwitch(&spec.switches[i]) })
		}
	})
	c.bundle.shadow = c.span("global_shadow", spec.shadow)
	c.bundle.override = c.span("kill_switch_override", spec.override)
}

// header compiles the fields of the bundle itself.
func (c *compiler) header(spec *bundleSpec) {
	b := c.bundle
	b.version, b.issued, b.expires = spec.version.V, spec.issued.V, spec.expires.V
	if old := c.opts.Previous; old != nil && spec.version.given() && b.version <= old.version {
		c.problemIn("bundle_version", spec.version.at, fmt.Sprintf("found %d, expected more than %d, the version in force", b.version, old.version))
	}
	if spec.expires.given() && b.Expired(c.opts.Now) {
		c.problemIn("expires_at", spec.expires.at, fmt.Sprintf("the bundle has expired: found %s, now is %s", stamp(b.expires), stamp(c.opts.Now)))
	}
	if spec.issued.given() && spec.expires.given() && !b.expires.After(b.issued) {
		c.problemIn("expires_at", spec.expires.at, fmt.Sprintf("found %s, which is not after issued_at %s", stamp(b.expires), stamp(b.issued)))
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// span compiles an override that ends by itself.
func (c *compiler) span(name string, spec value[spanSpec]) span {
	s := spec.V
	if !spec.given() || !s.enabled.V {
		return span{}
	}
	c.in(name, func() {
		if !s.reason.given() && !c.incomplete[spec.at] {
			c.problem(spec.at, "an override that is enabled needs a reason", "")
		}
		if length := utf8.RuneCountInString(s.reason.V); length > maxReason {
			c.problemIn("reason", s.reason.at, fmt.Sprintf("found %d characters, expected at most %d", length, maxReason))
		}
		switch {
		case !s.expires.given() && !c.incomplete[spec.at]:
			c.problem(spec.at, "an override that is enabled needs expires_at", "")
		case s.expires.given() && !c.opts.Now.Before(s.expires.V):
			c.problemIn("expires_at", s.expires.at, fmt.Sprintf("found %s, expected an instant after now, %s", stamp(s.expires.V), stamp(c.opts.Now)))
		}
	})
	return span{until: s.expires.V, reason: s.reason.V}
}

// policy compiles one policy.
func (c *compiler) policy(spec *policySpec, before []policySpec) {
	for i := range before {
		if spec.id.given() && before[i].id.V == spec.id.V {
			c.problemIn("id", spec.id.at, fmt.Sprintf("%q is the id of an earlier policy", spec.id.V))
			break
		}
	}
	if !spec.spec.given() {
		return
	}
	body := &spec.spec.V
	p := &compiledPolicy{id: spec.id.V, shadow: body.mode.or("enforce") == "shadow"}
	c.in("spec", func() {
		p.selector = c.selector(body.selector)
		p.loop = c.loop(body.loop)
		p.breaker = c.breaker(body.breaker)
		c.rules(p, body.rules, body.fallback)
	})
	c.bundle.policies = append(c.bundle.policies, p)
}

// ruleList compiles rules that stand alone, as a list or as the field `rules`.
func (c *compiler) ruleList(n ast.Node) {
	var body policyBody
	if _, ok := n.(*ast.SequenceNode); ok {
		body.rules = list(c.reader, n, ruleFields)
	} else {
		object(c.reader, n, []field[policyBody]{bodyFields[2]}, &body)
	}
	c.bundle.version = 1
	if old := c.opts.Previous; old != nil {
		c.bundle.version = old.version + 1
	}
	p := &compiledPolicy{id: "rules", selector: selector{prefix: "/"}}
	c.rules(p, body.rules, value[ruleSpec]{})
	c.bundle.policies = []*compiledPolicy{p}
}

// rules compiles the rules of a policy and its fallback.
func (c *compiler) rules(p *compiledPolicy, specs []ruleSpec, fallback value[ruleSpec]) {
	used := map[string]bool{}
	c.in("rules", func() {
		for i := range specs {
			c.in(fmt.Sprintf("[%d]", i), func() {
				if rule := c.rule(p.id, &specs[i], used); rule != nil {
					p.rules = append(p.rules, rule)
				}
			})
		}
	})
	if fallback.given() {
		c.in("fallback_limit", func() {
			spec := fallback.V
			spec.at = fallback.at
			if !spec.named {
				spec.name, spec.named = value[string]{V: "fallback_limit", at: fallback.at}, true
			}
			if len(spec.match) > 0 {
				c.warn("match", spec.match[0].key.at, "a fallback binds whatever no rule matched: its match has no effect")
				spec.match = nil
			}
			p.fallback = c.rule(p.id, &spec, used)
		})
	}
	for _, r := range p.rules {
		p.holds += len(r.Limits)
		p.keys += len(r.keys)
	}
	if p.fallback != nil {
		p.holds, p.keys = max(p.holds, len(p.fallback.Limits)), max(p.keys, len(p.fallback.keys))
	}
}

// selector compiles a selector, and finds out whether it can match.
func (c *compiler) selector(spec value[selectorSpec]) selector {
	s := spec.V
	c.in("selector", func() {
		if spec.given() && !s.exact.given() && !s.prefix.given() && !c.incomplete[spec.at] {
			c.problem(spec.at, "found neither pathExact nor pathPrefix, expected at least one of them", "")
		}
		if s.exact.given() && s.prefix.given() && hasPrefix(s.exact.V, s.prefix.V) {
			c.warn("pathExact", s.exact.at, fmt.Sprintf("pathPrefix %q covers it: it has no effect", s.prefix.V))
		}
	})
	return selector{exact: s.exact.V, prefix: s.prefix.V, methods: s.methods.V, hosts: s.hosts.V}
}

func (c *compiler) loop(spec value[loopSpec]) loop {
	s := spec.V
	if !s.enabled.V {
		return loop{}
	}
	c.in("loop_detection", func() {
		c.needs(spec.at, "window_seconds", s.window.given())
		c.needs(spec.at, "threshold_identical_requests", s.threshold.given())
	})
	return loop{window: time.Duration(s.window.V) * time.Second, threshold: s.threshold.V, action: s.action.or("reject")}
}

func (c *compiler) breaker(spec value[breakerSpec]) breaker {
	s := spec.V
	if !s.enabled.V {
		return breaker{}
	}
	c.in("circuit_breaker", func() { c.needs(spec.at, "spend_rate_threshold_per_minute", s.threshold.given()) })
	return breaker{perMinute: s.threshold.V, reset: time.Duration(s.reset.V) * time.Minute, alert: s.alert.V}
}

// needs makes a field required that is so only under a condition. A field that is there and wrong has its own problem.
func (c *compiler) needs(n ast.Node, name string, given bool) {
	if !given && !c.incomplete[n] {
		c.problem(n, fmt.Sprintf("field %q is missing: it is required when enabled", name), "")
	}
}

// killSwitch compiles one kill switch.
func (c *compiler) killSwitch(spec *switchSpec) {
	if !spec.key.given() || !spec.value.given() {
		return
	}
	d, err := parseDescriptor(spec.key.V, c.trusted)
	if err != nil {
		c.in("scope_key", func() { c.problem(spec.key.at, err.Error(), nearestDescriptor(spec.key.V)) })
		return
	}
	if spec.expires.given() && !c.opts.Now.Before(spec.expires.V) {
		c.warn("expires_at", spec.expires.at, fmt.Sprintf("the kill switch has expired: found %s, now is %s", stamp(spec.expires.V), stamp(c.opts.Now)))
	}
	c.bundle.switches = append(c.bundle.switches, killSwitch{
		descriptor: c.intern(d), value: strings.Trim(spec.value.V, " \t"), route: spec.route.V, until: spec.expires.V, reason: spec.reason.V,
	})
}

// intern gives a descriptor its place in the bundle's table, so that a request reads each only once.
func (c *compiler) intern(d descriptor) int {
	i := slices.IndexFunc(c.bundle.descriptors, func(known descriptor) bool { return known == d })
	if i < 0 {
		i = len(c.bundle.descriptors)
		c.bundle.descriptors = append(c.bundle.descriptors, d)
	}
	return i
}

// lookup interns a descriptor that the reader has accepted.
func (c *compiler) lookup(text string) int {
	d, err := parseDescriptor(text, c.trusted)
	if err != nil {
		return -1 // the reader has said so, and nothing is compiled
	}
	return c.intern(d)
}
