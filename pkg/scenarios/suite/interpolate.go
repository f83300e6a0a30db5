package suite

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// interpolation finds ${dotted.name}. What stands inside is a name and nothing
// else; anything else between the braces is reported.
var interpolation = regexp.MustCompile(`\$\{([^{}]*)\}`)

var dottedName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$`)

// roots are the first words of an interpolated name.
var roots = []string{"vars", "env", "save", "matrix", "target", "run", "scenario", "i"}

// scope is where interpolated names come from. A nil map is a name that cannot
// be used here; a name that is known but has no value yet stays in the text,
// open, for a later pass.
type scope struct {
	vars   map[string]any
	env    func(string) (string, bool)
	matrix map[string]any
	target map[string]any // settle, tolerance, url, limits
	run    map[string]any // id
	self   map[string]any // scenario: id
	saves  []string       // names that steps save
	save   map[string]any // nil while planning
	i      *int           // nil while planning

	used    map[string]bool // vars that were read
	secrets map[string]bool // values that came from the environment
}

// nameError is an interpolated name that means nothing here.
type nameError struct {
	at      *node
	offset  int // runes into the text
	width   int
	message string
	word    string   // what was written in place of one of known
	known   []string // the names that mean something there
	unset   bool     // an environment variable without a value
}

func (e *nameError) Error() string { return e.message }

// lookup finds the value of a name. open means: known, but not yet.
func (s *scope) lookup(name string) (value any, open bool, err *nameError) {
	if !dottedName.MatchString(name) {
		return nil, false, &nameError{message: fmt.Sprintf("${%s} is not a name; only ${dotted.name} can be interpolated, without expressions", name)}
	}
	root, rest, _ := strings.Cut(name, ".")
	switch root {
	case "i":
		if s.i == nil {
			return nil, true, nil
		}
		return int64(*s.i), false, nil
	case "env":
		return s.lookupEnv(rest)
	case "vars":
		first, _, _ := strings.Cut(rest, ".")
		s.used[first] = true
		return find("vars", s.vars, rest)
	case "matrix":
		return find("matrix", s.matrix, rest)
	case "target":
		return find("target", s.target, rest)
	case "run":
		return find("run", s.run, rest)
	case "scenario":
		return find("scenario", s.self, rest)
	case "save":
		first, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(s.saves, first) {
			return nil, false, &nameError{message: fmt.Sprintf("no step saves %q", first), word: first, known: s.saves}
		}
		if s.save == nil {
			return nil, true, nil
		}
		return find("save", s.save, rest)
	}
	return nil, false, &nameError{message: fmt.Sprintf("unknown name %q", name), word: root, known: roots}
}

func (s *scope) lookupEnv(name string) (any, bool, *nameError) {
	if name == "" || strings.Contains(name, ".") {
		return nil, false, &nameError{message: fmt.Sprintf("env.%s is not the name of an environment variable", name)}
	}
	if s.env == nil {
		return nil, true, nil
	}
	value, ok := s.env(name)
	if !ok {
		return nil, false, &nameError{message: fmt.Sprintf("the environment variable %s is not set", name), unset: true}
	}
	if s.secrets != nil {
		for _, secret := range secretsIn(value) {
			s.secrets[secret] = true
		}
	}
	return value, false, nil
}

// secretsIn is what of a value of the environment must not be shown: all of it,
// except that a URL may be shown but for its password and its query. Where a
// gateway listens is no secret, and a finding without it cannot be repeated.
func secretsIn(value string) []string {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		if value == "" {
			return nil
		}
		return []string{value}
	}
	var secrets []string
	if u.User != nil {
		secrets = append(secrets, u.User.String())
	}
	if u.RawQuery != "" {
		secrets = append(secrets, u.RawQuery)
	}
	if u.Fragment != "" {
		secrets = append(secrets, u.EscapedFragment())
	}
	return secrets
}

// find walks a dotted path through nested maps.
func find(root string, values map[string]any, path string) (any, bool, *nameError) {
	if path == "" {
		return nil, false, &nameError{message: fmt.Sprintf("%s needs a member", root), known: sortedKeys(values)}
	}
	var at any = values
	where := root
	for key := range strings.SplitSeq(path, ".") {
		inside, ok := at.(map[string]any)
		if !ok {
			return nil, false, &nameError{message: fmt.Sprintf("%s has no members, so no %q", where, key)}
		}
		next, ok := inside[key]
		if !ok {
			return nil, false, &nameError{message: fmt.Sprintf("%s has no %q", where, key), word: key, known: sortedKeys(inside)}
		}
		at, where = next, where+"."+key
	}
	return at, false, nil
}

// resolve replaces what is known in a tree and reports what is unknown. It
// copies only what changes.
func (s *scope) resolve(n *node, fail func(*nameError)) *node {
	if n == nil {
		return nil
	}
	switch n.kind {
	case listNode:
		items, changed := make([]*node, len(n.items)), false
		for i, item := range n.items {
			items[i] = s.resolve(item, fail)
			changed = changed || items[i] != item
		}
		if !changed {
			return n
		}
		out := *n
		out.items = items
		return &out
	case mapNode:
		fields, changed := make([]field, len(n.fields)), false
		for i, f := range n.fields {
			value := s.resolve(f.value, fail)
			changed = changed || value != f.value
			f.value = value
			fields[i] = f
		}
		if !changed {
			return n
		}
		out := *n
		out.fields = fields
		return &out
	case scalarNode:
	}
	return s.resolveScalar(n, fail)
}

func (s *scope) resolveScalar(n *node, fail func(*nameError)) *node {
	if !strings.Contains(n.text, "${") {
		return n
	}
	report := func(err *nameError, from, to int) {
		err.at, err.offset, err.width = n, len([]rune(n.text[:from])), to-from
		fail(err)
	}
	places := interpolation.FindAllStringSubmatchIndex(n.text, -1)
	if len(places) == 0 {
		report(&nameError{message: "${ without a closing brace"}, strings.Index(n.text, "${"), len(n.text))
		return n
	}
	if len(places) == 1 && places[0][0] == 0 && places[0][1] == len(n.text) { // a lone ${x} keeps the type of x
		value, open, err := s.lookup(n.text[places[0][2]:places[0][3]])
		if err != nil {
			report(err, 0, len(n.text))
			return n
		}
		if open {
			return n
		}
		out := nodeOf(value, n.pos, n.text)
		if n.origin != "" {
			out.origin = n.origin
		}
		return out
	}
	var b strings.Builder
	last, changed := 0, false
	for _, place := range places {
		value, open, err := s.lookup(n.text[place[2]:place[3]])
		if err != nil {
			report(err, place[0], place[1])
			continue
		}
		if open {
			continue
		}
		b.WriteString(n.text[last:place[0]])
		b.WriteString(asText(plain(value)))
		last, changed = place[1], true
	}
	if !changed {
		return n
	}
	b.WriteString(n.text[last:])
	out := *n
	out.text, out.quoted = b.String(), true
	if out.origin == "" {
		out.origin = n.text
	}
	return &out
}

// open tells whether a tree still waits for a name.
func open(n *node) bool {
	switch {
	case n == nil:
		return false
	case n.kind == scalarNode:
		return strings.Contains(n.text, "${")
	}
	return slices.ContainsFunc(n.items, open) || slices.ContainsFunc(n.fields, func(f field) bool { return open(f.value) })
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func contains(list []string, word string) bool { return slices.Contains(list, word) }

// quotedInterpolation is a lone name in quotes, or a name inside of a text.
var quotedInterpolation = regexp.MustCompile(`"\$\{[^{}"]*\}"|'\$\{[^{}']*\}'|\$\{[^{}]*\}`)
