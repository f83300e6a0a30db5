package policy

import (
	"net/netip"
	"slices"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// Options are what a bundle needs to know of the process that reads it.
type Options struct {
	// Now decides what has expired.
	Now time.Time
	// Previous is the bundle that this one replaces: bundle_version must grow, and limits that did not change stay the same
	// [limiter.Limit]. Nil for the first one.
	Previous *Bundle
	// Verifier checks bearer tokens; nil believes all.
	Verifier *Verifier
	// TrustedHeaders name the header field in which a trusted edge sends a descriptor that llmlimit has no data for, such as
	// "ip:country": "X-Country".
	TrustedHeaders map[string]string
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
}

// A Bundle is a compiled policy file. It is immutable and safe for concurrent use.
type Bundle struct {
	version  int64
	issued   time.Time
	expires  time.Time
	warnings []Problem
	ours     []Problem

	policies    []*compiledPolicy
	routes      *routes
	switches    []killSwitch
	override    span // of kill_switch_override
	shadow      span // of global_shadow
	descriptors []descriptor

	verifier       *Verifier
	trustedProxies []netip.Prefix
}

// compiledPolicy is one policy.
type compiledPolicy struct {
	id       string
	selector selector
	shadow   bool
	rules    []*Rule
	fallback *Rule
	holds    int // the most that a request can need
	keys     int // likewise, descriptors of keys
	loop     loop
	breaker  breaker
}

// span is a time that ends by itself. The zero span has ended.
type span struct {
	until  time.Time
	reason string
}

func (s span) holds(now time.Time) bool { return now.Before(s.until) }

// Override is global_shadow or kill_switch_override at one instant.
type Override struct {
	Active bool
	Reason string
	Until  time.Time
}

func (s span) at(now time.Time) Override {
	if !s.holds(now) {
		return Override{}
	}
	return Override{Active: true, Reason: s.reason, Until: s.until}
}

// killSwitch rejects what has a value.
type killSwitch struct {
	descriptor int
	value      string
	route      string    // "" is every path
	until      time.Time // zero: no end
	reason     string
}

// Parse reads a bundle in JSON or YAML. On bad input the error is an *[Error] with every problem of the file.
func Parse(file string, data []byte, opts Options) (*Bundle, error) {
	return read(Source{File: file, Data: data}, opts, (*compiler).document)
}

// ParseRules reads a list of rules, as a suite carries them, as a bundle of one policy named "rules" that every path binds. Problems show
// the file and line of the suite.
func ParseRules(src Source, opts Options) (*Bundle, error) {
	return read(src, opts, (*compiler).ruleList)
}

// Version is bundle_version.
func (b *Bundle) Version() int64 { return b.version }

// Expires is expires_at, or zero. A bundle that expires while it is in force stays in force.
func (b *Bundle) Expires() time.Time { return b.expires }

// Expired reports whether expires_at has passed.
func (b *Bundle) Expired(now time.Time) bool { return !b.expires.IsZero() && !now.Before(b.expires) }

// GlobalShadow says whether all policies only say what they would do.
func (b *Bundle) GlobalShadow(now time.Time) Override { return b.shadow.at(now) }

// KillSwitchOverride says whether kill switches are out of force.
func (b *Bundle) KillSwitchOverride(now time.Time) Override { return b.override.at(now) }

// Warnings are what is allowed in the file and probably not meant, in the order of their places.
func (b *Bundle) Warnings() []Problem { return slices.Clone(b.warnings) }

// Extensions are the fields of the file that are not part of Fairvisor's format: a Fairvisor Edge that reads the same file ignores them.
func (b *Bundle) Extensions() []Problem { return slices.Clone(b.ours) }

// ReadsJWT reports whether any rule reads claims, so that a process which verifies none can say so.
func (b *Bundle) ReadsJWT() bool {
	return slices.ContainsFunc(b.descriptors, func(d descriptor) bool { return d.source == fromJWT })
}

// Verifies reports whether claims are believed only with a valid signature.
func (b *Bundle) Verifies() bool { return b.verifier != nil }

// Rules returns every rule, in bundle order, fallbacks after the rules of their policy.
func (b *Bundle) Rules() []*Rule {
	var list []*Rule
	for _, p := range b.policies {
		list = append(list, p.rules...)
		if p.fallback != nil {
			list = append(list, p.fallback)
		}
	}
	return list
}

// limitName identifies a limit across bundles.
type limitName struct{ policy, rule, window string }

func (b *Bundle) limits() map[limitName]*limiter.Limit {
	all := map[limitName]*limiter.Limit{}
	for _, rule := range b.Rules() {
		for _, l := range rule.Limits {
			all[limitName{rule.Policy, rule.Name, l.Window}] = l.Limit
		}
	}
	return all
}
