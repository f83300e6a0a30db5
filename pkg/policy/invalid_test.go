package policy_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/policy"
)

var update = flag.Bool("update", false, "write the expected messages of testdata anew")

// TestInvalid reads every bad bundle and compares all of its messages, letter for letter.
func TestInvalid(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid-*.*")
	if err != nil || len(files) < 15 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".want") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			opts := policy.Options{Now: now}
			if strings.Contains(file, "invalid-version") {
				opts.Previous = parse(t, "bundle_version: 7\npolicies: []\n")
			}
			b, err := policy.Parse(filepath.Base(file), data, opts)
			var bad *policy.Error
			if b != nil || !errors.As(err, &bad) {
				t.Fatalf("got a bundle %v and the error %v", b, err)
			}
			golden(t, file+".want", err.Error()+"\n")
		})
	}
}

// golden compares with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

func TestWarnings(t *testing.T) {
	data, err := os.ReadFile("testdata/valid-warnings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b, err := policy.Parse("valid-warnings.yaml", data, policy.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, w := range b.Warnings() {
		fmt.Fprintln(&out, w)
	}
	fmt.Fprintln(&out, "\nOf our own:")
	for _, w := range b.Extensions() {
		fmt.Fprintln(&out, w)
	}
	golden(t, "testdata/valid-warnings.yaml.want", out.String())
}

// numericFields are all fields of a rule that hold a number, with the rest of a rule around them.
var numericFields = []struct{ algorithm, config string }{
	{"token_bucket_llm", "tokens_per_minute: %s"},
	{"token_bucket_llm", "tokens_per_minute: 9, tokens_per_day: %s"},
	{"token_bucket_llm", "tokens_per_minute: 9, burst_tokens: %s"},
	{"token_bucket_llm", "tokens_per_minute: 9, default_max_completion: %s"},
	{"token_bucket_llm", "tokens_per_minute: 9, max_prompt_tokens: %s"},
	{"token_bucket_llm", "tokens_per_minute: 9, max_tokens_per_request: %s"},
	{"token_bucket_llm", "tokens_per_minute: 9, max_completion_tokens: %s"},
	{"token_bucket_llm", "tokens_per_minute: 9, token_source: { max_parseable_body_bytes: %s }"},
	{"token_bucket_llm", "tokens_per_minute: 9, streaming: { buffer_tokens: %s }"},
	{"token_bucket", "tokens_per_second: %s, burst: 9"},
	{"token_bucket", "rps: %s, burst: 9"},
	{"token_bucket", "rps: 1, burst: %s"},
	{"token_bucket", "rps: 1, burst: 9, fixed_cost: %s"},
	{"token_bucket", "rps: 1, burst: 9, default_cost: %s"},
	{"cost_based", "period: 1h, staged_actions: [ { threshold_percent: 100, action: reject } ], budget: %s"},
	{"cost_based", "period: 1h, staged_actions: [ { threshold_percent: 100, action: reject } ], budget: 9, fixed_cost: %s"},
	{"cost_based", "period: 1h, staged_actions: [ { threshold_percent: 100, action: reject } ], budget: 9, default_cost: %s"},
	{"cost_based", "period: 1h, budget: 9, staged_actions: [ { threshold_percent: %s, action: reject } ]"},
	{"cost_based", "period: 1h, budget: 9, staged_actions: [ { threshold_percent: 50, action: throttle, delay_ms: %s }, { threshold_percent: 100, action: reject } ]"},
	{"concurrency", "max_concurrent: %s"},
}

// TestEveryNumber puts every bad number into every numeric field: one problem each, at the place of the number.
func TestEveryNumber(t *testing.T) {
	bad := []string{
		"-1", "0", "010", "1_000", "1e3", "1e-3", "0x10", "0o7", "+5", ".nan", ".inf", "99999999999999999999999", "1.0000001",
		`"5"`, "'5'", "five", "~", "true", "[5]", "{ a: 5 }", "5tokens", "1,000", "5 000", "١٢", ".5", "5.",
	}
	for _, f := range numericFields {
		values := bad
		if f.algorithm != "token_bucket" {
			values = append(values, "1.5", "2.0")
		}
		for _, v := range values {
			if v == "1,000" {
				v = "[1,000]" // in a flow mapping a comma begins another field
			}
			config := fmt.Sprintf(f.config, v)
			text := "- { name: r, limit_keys: [], algorithm: " + f.algorithm + ", algorithm_config: { " + config + " } }"
			_, err := policy.ParseRules(policy.Source{File: "s.yaml", Data: []byte(text), Line: 40}, policy.Options{Now: now})
			var bad *policy.Error
			if !errors.As(err, &bad) || len(bad.Problems) != 1 {
				t.Errorf("%s\ngot %v", text, err)
				continue
			}
			if p := bad.Problems[0]; p.Line != 40 || p.Column != strings.Index(text, config)+strings.Index(f.config, "%s")+1 {
				t.Errorf("%s\nis placed at %d:%d: %s", text, p.Line, p.Column, p.Message)
			}
		}
	}
}

// TestRulesPlace shows that the problems of a suite's rules carry the suite's lines.
func TestRulesPlace(t *testing.T) {
	text := "      - name: tpm\n        limit_keys: [\"header:x-tenant\"]\n        limitkeys: token_bucket_llm\n"
	_, err := policy.ParseRules(policy.Source{File: "suite.yaml", Data: []byte(text), Line: 12}, policy.Options{Now: now})
	want := `suite.yaml:12:9: [0]: field "algorithm" is missing
  12 |       - name: tpm
     |         ^
suite.yaml:12:9: [0]: field "algorithm_config" is missing
  12 |       - name: tpm
     |         ^
suite.yaml:14:9: [0]: unknown field "limitkeys" (did you mean "limit_keys"?)
  14 |         limitkeys: token_bucket_llm
     |         ^`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}
