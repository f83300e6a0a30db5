package main

import "testing"

func TestIsPolicy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"# a comment\nbundle_version: 1\npolicies: []\n": true,
		"policies: []\n":                                   true,
		`{"bundle_version": 1}`:                            true,
		"{\n  \"policies\": []\n}":                         true,
		"version: 1\nsuite: s\n":                           false,
		"version: 1\nvars:\n  policies: 3\n":               false,
		"version: 1\nscenarios:\n  - id: bundle_version\n": false,
		"": false,
		`{"version": 1, "suite": "s", "scenarios": []}`:     false,
		"version: 1\nsteps:\n  policies:\n    - send: {}\n": false,
	} {
		if got := isPolicy([]byte(text)); got != want {
			t.Errorf("isPolicy(%q) = %v", text, got)
		}
	}
}
