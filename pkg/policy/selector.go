package policy

import (
	"maps"
	"slices"
	"strings"
)

// selector says which requests a policy looks at.
type selector struct {
	exact   string   // "" or a path
	prefix  string   // "" or the beginning of a path, whole segments
	methods []string // empty: all
	hosts   []string // lower case, without port; empty: all
}

// bindsMethodAndHost is the part of the selector that the route index does not decide.
func (s *selector) bindsMethodAndHost(method, host string) bool {
	return (len(s.methods) == 0 || slices.Contains(s.methods, method)) &&
		(len(s.hosts) == 0 || slices.Contains(s.hosts, bareHost(host)))
}

// bareHost is a Host field in lower case, without port and closing dot.
func bareHost(host string) string {
	host = strings.ToLower(strings.TrimSpace(host))
	if strings.HasPrefix(host, "[") { // an IPv6 literal has colons of its own
		if end := strings.IndexByte(host, ']'); end > 0 {
			return host[:end+1]
		}
	} else if i := strings.IndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}

// routes finds the policies of a path, in bundle order, without a look at the others: every list already holds the policies of all
// shorter prefixes.
type routes struct {
	exact   map[string][]*compiledPolicy
	prefix  map[string][]*compiledPolicy
	longest int // the longest prefix, so that a long path costs no more lookups than that
}

func newRoutes(policies []*compiledPolicy) *routes {
	r := &routes{exact: map[string][]*compiledPolicy{}, prefix: map[string][]*compiledPolicy{}}
	for _, p := range policies {
		if p.selector.exact != "" {
			r.exact[p.selector.exact] = nil
		}
		if p.selector.prefix != "" {
			r.prefix[p.selector.prefix] = nil
			r.longest = max(r.longest, len(p.selector.prefix))
		}
	}
	for path := range maps.Keys(r.exact) {
		r.exact[path] = matching(policies, path)
	}
	for prefix := range maps.Keys(r.prefix) {
		r.prefix[prefix] = under(policies, prefix)
	}
	return r
}

// matching are the policies that bind one path.
func matching(policies []*compiledPolicy, path string) []*compiledPolicy {
	var list []*compiledPolicy
	for _, p := range policies {
		if p.selector.exact == path || hasPrefix(path, p.selector.prefix) {
			list = append(list, p)
		}
	}
	return list
}

// under are the policies that bind every path of a prefix.
func under(policies []*compiledPolicy, prefix string) []*compiledPolicy {
	var list []*compiledPolicy
	for _, p := range policies {
		if p.selector.prefix == prefix || hasPrefix(prefix, p.selector.prefix) {
			list = append(list, p)
		}
	}
	return list
}

// hasPrefix reports whether the prefix matches whole segments of the path: "/v1/" matches "/v1/x" and not "/v1", "/v1" matches
// both and not "/v10". The empty prefix of a selector that has none matches nothing.
func hasPrefix(path, prefix string) bool {
	if prefix == "" || !strings.HasPrefix(path, prefix) {
		return false
	}
	return strings.HasSuffix(prefix, "/") || len(path) == len(prefix) || path[len(prefix)] == '/'
}

// find returns the policies whose selector has the path.
func (r *routes) find(path string) []*compiledPolicy {
	if list, ok := r.exact[path]; ok {
		return list
	}
	if list, ok := r.prefix[path]; ok {
		return list
	}
	for i := min(len(path), r.longest+1) - 1; i >= 0; i-- {
		if path[i] != '/' {
			continue
		}
		if list, ok := r.prefix[path[:i+1]]; ok {
			return list
		}
		if list, ok := r.prefix[path[:i]]; ok {
			return list
		}
	}
	return nil
}
