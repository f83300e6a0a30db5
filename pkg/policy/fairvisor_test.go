package policy_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/policy"
)

// TestFairvisorFormat loads bundles that use every field which Fairvisor Edge documents, unchanged.
func TestFairvisorFormat(t *testing.T) {
	trusted := map[string]string{}
	for _, d := range []string{"ip:country", "ip:asn", "ip:type", "ip:tor", "ua:bot", "ua:bot_category"} {
		trusted[d] = "X-Edge-" + d[:2]
	}
	for file, warnings := range map[string]int{"llm-per-organisation.json": 0, "guards-and-stages.json": 1, "network-descriptors.json": 0} {
		data, err := os.ReadFile(filepath.Join("testdata/fairvisor", file))
		if err != nil {
			t.Fatal(err)
		}
		b, err := policy.Parse(file, data, policy.Options{Now: now, TrustedHeaders: trusted})
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if len(b.Warnings()) != warnings || len(b.Extensions()) != 0 {
			t.Errorf("%s: warnings %v, extensions %v", file, b.Warnings(), b.Extensions())
		}
		for _, rule := range b.Rules() {
			for _, l := range rule.Limits {
				if err := l.Limit.Validate(); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
	}
}

// TestFairvisorValues looks at what a documented bundle compiles to: nothing of it may be read and forgotten.
func TestFairvisorValues(t *testing.T) {
	data, err := os.ReadFile("testdata/fairvisor/llm-per-organisation.json")
	if err != nil {
		t.Fatal(err)
	}
	all := parse(t, string(data)).Rules()
	tokens := all[0].Tokens
	if tokens.DefaultCompletion != 800 || tokens.MaxPrompt != 32000 || tokens.MaxPerRequest != 40000 || tokens.MaxCompletion != 4096 || !tokens.HeaderHint {
		t.Errorf("tokens: %+v", tokens)
	}
	if tokens.Streaming != (policy.Streaming{Enabled: true, MidStream: true, BufferTokens: 50, ErrorChunk: true, PartialUsage: true}) {
		t.Errorf("streaming: %+v", tokens.Streaming)
	}
	if l := all[0].Limits; len(l) != 2 || l[0].Limit.TokensPerMinute != 90000 || l[0].Limit.Burst != 120000 || l[1].Limit.Amount != 1500000 {
		t.Errorf("limits: %+v", l)
	}
	if l := all[1].Limits[0].Limit; all[1].Name != "fallback_limit" || l.MicroPerSecond != 500_000 || l.Burst != 3_000_000 {
		t.Errorf("fallback: %+v", l)
	}
}
