package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/policy"
)

// TestForms reads the same bundle as people and editors write it.
func TestForms(t *testing.T) {
	const plain = `bundle_version: 1
policies:
  - id: chat
    spec:
      selector: { pathPrefix: / }
      rules:
        - { name: r, limit_keys: [], algorithm: concurrency, algorithm_config: { max_concurrent: 4 } }
`
	const json = `{"bundle_version": 1, "policies": [{"id": "chat", "spec": {"selector": {"pathPrefix": "\/"}, "rules": [
		{"name":	"\u0072", "limit_keys": [], "algorithm": "concurrency", "algorithm_config": {"max_concurrent": 4}}]}}]}`
	for name, text := range map[string]string{
		"plain": plain, "json": json, "byte order mark": "\ufeff" + plain, "windows": strings.ReplaceAll(plain, "\n", "\r\n"),
		"document marks": "%YAML 1.2\n---\n" + plain + "...\n", "quoted keys": strings.Replace(plain, "policies", `"policies"`, 1),
		"comments": "# first\n" + strings.Replace(plain, "chat\n", "chat # which one\n", 1),
	} {
		if got := outcome(parse(t, text).Bind(now, chat("acme"), small)); got != "r/concurrency[]=1" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestManyRules reads a bundle of a thousand rules that stands on one line.
func TestManyRules(t *testing.T) {
	rule := `{"name": "r%d", "limit_keys": ["header:x-tenant"], "algorithm": "token_bucket_llm", "algorithm_config": {"tokens_per_minute": 2000, "tokens_per_day": 90000}}`
	list := make([]string, 1000)
	for i := range list {
		list[i] = fmt.Sprintf(rule, i)
	}
	if got := len(rules(t, "["+strings.Join(list, ", ")+"]").Rules()); got != len(list) {
		t.Errorf("%d rules", got)
	}
}

// TestLargeFile refuses what no bundle is, before anything expensive is done with it.
func TestLargeFile(t *testing.T) {
	for name, text := range map[string]string{
		"size":     strings.Repeat("# comment\n", 500_000),
		"brackets": strings.Repeat("[", 1<<20),
		"dashes":   strings.Repeat("- ", 1<<20),
		"indent":   strings.Repeat(" ", 1<<20) + "a: 1",
	} {
		if _, err := policy.Parse("large.yaml", []byte(text), policy.Options{Now: now}); err == nil || len(err.Error()) > 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
