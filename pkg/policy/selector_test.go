package policy

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestHasPrefix(t *testing.T) {
	for _, tt := range []struct {
		path, prefix string
		want         bool
	}{
		{"/v1/x", "/v1/", true},
		{"/v1/", "/v1/", true},
		{"/v1", "/v1/", false},
		{"/v1", "/v1", true},
		{"/v1/x", "/v1", true},
		{"/v10", "/v1", false},
		{"/", "/", true},
		{"/anything", "/", true},
		{"/anything", "", false},
	} {
		if got := hasPrefix(tt.path, tt.prefix); got != tt.want {
			t.Errorf("hasPrefix(%q, %q) = %v", tt.path, tt.prefix, got)
		}
	}
}

// TestRoutes compares the index with a look at every selector.
func TestRoutes(t *testing.T) {
	path := rapid.Custom(func(t *rapid.T) string {
		segments := rapid.SliceOfN(rapid.SampledFrom([]string{"v1", "v10", "chat", ""}), 0, 4).Draw(t, "segments")
		return "/" + strings.Join(segments, "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		var policies []*compiledPolicy
		for range rapid.IntRange(0, 6).Draw(t, "policies") {
			var s selector
			if rapid.Bool().Draw(t, "exact") {
				s.exact = path.Draw(t, "pathExact")
			}
			if s.exact == "" || rapid.Bool().Draw(t, "prefix") {
				s.prefix = path.Draw(t, "pathPrefix")
			}
			policies = append(policies, &compiledPolicy{selector: s})
		}
		p := path.Draw(t, "path")
		got, want := newRoutes(policies).find(p), matching(policies, p)
		if !slices.Equal(got, want) {
			t.Fatalf("%q: the index finds %d policies, a look at each %d", p, len(got), len(want))
		}
	})
}

func TestBareHost(t *testing.T) {
	for in, want := range map[string]string{
		"GW.Example": "gw.example", "gw.example:8080": "gw.example", "gw.example.:80": "gw.example", "[::1]:80": "[::1]", "[::1]": "[::1]", "": "", "[": "[",
	} {
		if got := bareHost(in); got != want {
			t.Errorf("bareHost(%q) = %q, want %q", in, got, want)
		}
	}
}
