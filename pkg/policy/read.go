package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// A compiler turns what a reader finds into a bundle.
type compiler struct {
	*reader
	opts   Options
	bundle *Bundle
	before map[limitName]*limiter.Limit // of the previous bundle
}

// read runs one kind of document through a reader and a compiler.
func read(src Source, opts Options, document func(*compiler, ast.Node)) (*Bundle, error) {
	for d := range opts.TrustedHeaders {
		if !slices.Contains(trustable, d) {
			return nil, fmt.Errorf("trusted header for %q: expected one of %s", d, strings.Join(trustable, ", "))
		}
	}
	c := &compiler{reader: newReader(src, opts.TrustedHeaders), opts: opts, bundle: &Bundle{verifier: opts.Verifier, trustedProxies: slices.Clone(opts.TrustedProxies)}}
	if opts.Previous != nil {
		c.before = opts.Previous.limits()
	}
	if n := c.parse(); n != nil {
		document(c, n)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	c.bundle.routes = newRoutes(c.bundle.policies)
	byPlace(c.warnings)
	byPlace(c.ours)
	c.bundle.warnings, c.bundle.ours = c.warnings, c.ours
	return c.bundle, nil
}

// bundleSpec is a bundle as written.
type bundleSpec struct {
	version         value[int64]
	issued, expires value[time.Time]
	policies        []policySpec
	switches        []switchSpec
	shadow          value[spanSpec]
	override        value[spanSpec]
}

var bundleFields = []field[bundleSpec]{
	{name: "bundle_version", required: true, read: func(r *reader, n ast.Node, b *bundleSpec) { b.version = r.tokens(n) }},
	{name: "issued_at", read: func(r *reader, n ast.Node, b *bundleSpec) { b.issued = r.instant(n) }},
	{name: "expires_at", read: func(r *reader, n ast.Node, b *bundleSpec) { b.expires = r.instant(n) }},
	{name: "policies", required: true, read: func(r *reader, n ast.Node, b *bundleSpec) { b.policies = list(r, n, policyFields) }},
	{name: "kill_switches", read: func(r *reader, n ast.Node, b *bundleSpec) { b.switches = list(r, n, switchFields) }},
	{name: "global_shadow", read: func(r *reader, n ast.Node, b *bundleSpec) { b.shadow = nested(r, n, spanFields) }},
	{name: "kill_switch_override", read: func(r *reader, n ast.Node, b *bundleSpec) { b.override = nested(r, n, spanFields) }},
	{name: "defaults", read: readDefaults},
}

func readDefaults(r *reader, n ast.Node, _ *bundleSpec) {
	if _, ok := r.pairs(n); ok {
		r.warn("", n, "defaults are accepted for compatibility and have no effect")
	}
}

// policySpec is a policy as written.
type policySpec struct {
	at   ast.Node
	id   value[string]
	spec value[policyBody]
}

var policyFields = []field[policySpec]{
	{name: "id", required: true, read: func(r *reader, n ast.Node, p *policySpec) { p.id = r.text(n) }},
	{name: "spec", required: true, read: func(r *reader, n ast.Node, p *policySpec) { p.spec = nested(r, n, bodyFields) }},
}

func (p *policySpec) from(n ast.Node) { p.at = n }

type policyBody struct {
	selector value[selectorSpec]
	mode     value[string]
	rules    []ruleSpec
	fallback value[ruleSpec]
	loop     value[loopSpec]
	breaker  value[breakerSpec]
}

var bodyFields = []field[policyBody]{
	{name: "selector", required: true, read: func(r *reader, n ast.Node, p *policyBody) { p.selector = nested(r, n, selectorFields) }},
	{name: "mode", read: func(r *reader, n ast.Node, p *policyBody) { p.mode = r.word(n, "enforce", "shadow") }},
	{name: "rules", required: true, read: func(r *reader, n ast.Node, p *policyBody) { p.rules = list(r, n, ruleFields) }},
	{name: "fallback_limit", read: func(r *reader, n ast.Node, p *policyBody) { p.fallback = nested(r, n, ruleFields) }},
	{name: "loop_detection", read: func(r *reader, n ast.Node, p *policyBody) { p.loop = nested(r, n, loopFields) }},
	{name: "circuit_breaker", read: func(r *reader, n ast.Node, p *policyBody) { p.breaker = nested(r, n, breakerFields) }},
}

type selectorSpec struct {
	exact, prefix  value[string]
	methods, hosts value[[]string]
}

var selectorFields = []field[selectorSpec]{
	{name: "pathExact", read: func(r *reader, n ast.Node, s *selectorSpec) { s.exact = r.urlPath(n) }},
	{name: "pathPrefix", read: func(r *reader, n ast.Node, s *selectorSpec) { s.prefix = r.urlPath(n) }},
	{name: "methods", read: func(r *reader, n ast.Node, s *selectorSpec) { s.methods = r.entries(n, r.method) }},
	{name: "hosts", read: func(r *reader, n ast.Node, s *selectorSpec) { s.hosts = r.entries(n, r.host) }},
}

type loopSpec struct {
	enabled            value[bool]
	window, threshold  value[int64]
	action, similarity value[string]
}

var loopFields = []field[loopSpec]{
	{name: "enabled", required: true, read: func(r *reader, n ast.Node, l *loopSpec) { l.enabled = r.flag(n) }},
	{name: "window_seconds", read: func(r *reader, n ast.Node, l *loopSpec) { l.window = r.whole(n, 1, 31_536_000) }},
	{name: "threshold_identical_requests", read: func(r *reader, n ast.Node, l *loopSpec) { l.threshold = r.whole(n, 2, maxTokens) }},
	{name: "action", read: func(r *reader, n ast.Node, l *loopSpec) { l.action = r.word(n, "reject", "throttle", "warn") }},
	{name: "similarity", read: func(r *reader, n ast.Node, l *loopSpec) { l.similarity = r.word(n, "exact") }},
}

type breakerSpec struct {
	enabled          value[bool]
	threshold, reset value[int64]
	action           value[string]
	alert            value[bool]
}

var breakerFields = []field[breakerSpec]{
	{name: "enabled", required: true, read: func(r *reader, n ast.Node, b *breakerSpec) { b.enabled = r.flag(n) }},
	{name: "spend_rate_threshold_per_minute", read: func(r *reader, n ast.Node, b *breakerSpec) { b.threshold = r.tokens(n) }},
	{name: "action", read: func(r *reader, n ast.Node, b *breakerSpec) { b.action = r.word(n, "reject") }},
	{name: "auto_reset_after_minutes", read: func(r *reader, n ast.Node, b *breakerSpec) { b.reset = r.whole(n, 0, 525_600) }},
	{name: "alert", read: func(r *reader, n ast.Node, b *breakerSpec) { b.alert = r.flag(n) }},
}

type spanSpec struct {
	enabled value[bool]
	reason  value[string]
	expires value[time.Time]
}

var spanFields = []field[spanSpec]{
	{name: "enabled", required: true, read: func(r *reader, n ast.Node, s *spanSpec) { s.enabled = r.flag(n) }},
	{name: "reason", read: func(r *reader, n ast.Node, s *spanSpec) { s.reason = r.text(n) }},
	{name: "expires_at", read: func(r *reader, n ast.Node, s *spanSpec) { s.expires = r.instant(n) }},
}

type switchSpec struct {
	at            ast.Node
	key, value    value[string]
	route, reason value[string]
	expires       value[time.Time]
}

var switchFields = []field[switchSpec]{
	{name: "scope_key", required: true, read: func(r *reader, n ast.Node, s *switchSpec) { s.key = r.text(n) }},
	{name: "scope_value", required: true, read: func(r *reader, n ast.Node, s *switchSpec) { s.value = r.text(n) }},
	{name: "route", read: func(r *reader, n ast.Node, s *switchSpec) { s.route = r.urlPath(n) }},
	{name: "reason", read: func(r *reader, n ast.Node, s *switchSpec) { s.reason = r.text(n) }},
	{name: "expires_at", read: func(r *reader, n ast.Node, s *switchSpec) { s.expires = r.instant(n) }},
}

func (s *switchSpec) from(n ast.Node) { s.at = n }

// nested reads an object that is the value of a field. It is given even if it has problems, so that what refers to it goes on.
func nested[T any](r *reader, n ast.Node, table []field[T]) value[T] {
	v := value[T]{at: n}
	if !object(r, n, table, &v.V) {
		r.incomplete[n] = true
	}
	return v
}

// list reads a list of objects. An entry with problems is kept, so that names can still be compared.
func list[T any](r *reader, n ast.Node, table []field[T]) []T {
	var all []T
	r.each(n, func(_ int, entry ast.Node) {
		var v T
		if placed, ok := any(&v).(interface{ from(ast.Node) }); ok {
			placed.from(entry)
		}
		if !object(r, entry, table, &v) {
			r.incomplete[entry] = true
		}
		all = append(all, v)
	})
	return all
}

// entries reads a list of text that is not empty, without repetition.
func (r *reader) entries(n ast.Node, read func(ast.Node) value[string]) value[[]string] {
	v := value[[]string]{at: n}
	count := r.each(n, func(_ int, entry ast.Node) {
		s := read(entry)
		switch {
		case !s.given():
		case slices.Contains(v.V, s.V):
			r.problem(entry, fmt.Sprintf("%q is given twice", s.V), "")
		default:
			v.V = append(v.V, s.V)
		}
	})
	if _, ok := n.(*ast.SequenceNode); ok && count == 0 {
		r.problem(n, "found an empty list, which nothing can match", "")
	}
	return v
}

// urlPath reads a path that a request can have.
func (r *reader) urlPath(n ast.Node) value[string] {
	v := r.text(n)
	if v.given() && (!strings.HasPrefix(v.V, "/") || strings.ContainsAny(v.V, "?# \t\r\n") || !utf8.ValidString(v.V)) {
		r.problem(n, fmt.Sprintf("found %q, which no request has: expected a path that starts with / and has no query, fragment or blank", clip(v.V)), "")
		return value[string]{}
	}
	return v
}

var (
	hostForm   = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\])$`)
	knownVerbs = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)

// method reads an HTTP method in upper case: methods are case-sensitive, and clients send these.
func (r *reader) method(n ast.Node) value[string] { return r.word(n, knownVerbs...) }

// host reads a host name, and drops what the comparison ignores.
func (r *reader) host(n ast.Node) value[string] {
	v := r.text(n)
	if !v.given() {
		return v
	}
	host := bareHost(v.V)
	if port := strings.ToLower(strings.TrimSpace(v.V))[len(host):]; !hostForm.MatchString(host) || !portForm.MatchString(port) {
		r.problem(n, fmt.Sprintf("found %q, which no request has: expected a host name without scheme and path", clip(v.V)), "")
		return value[string]{}
	}
	return value[string]{V: host, at: n}
}

var portForm = regexp.MustCompile(`^\.?(:[0-9]+)?$`)
