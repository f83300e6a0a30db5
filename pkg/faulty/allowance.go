package faulty

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// nIgnored reserves one answer, however many are asked for.
func nIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeFacts(cfg, t, func(_ dialect, _ string, _ []byte, f *llmapi.Facts) { f.N = 1 })
}

// maxCompletionIgnored knows only the old name of the field.
func maxCompletionIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return ignoreField(cfg, t, "max_completion_tokens")
}

// maxOutputIgnored does not know the field of the Responses API.
func maxOutputIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return ignoreField(cfg, t, "max_output_tokens")
}

func ignoreField(cfg proxy.Config, t *Trigger, field string) proxy.Config {
	return changeFacts(cfg, t, func(d dialect, path string, body []byte, f *llmapi.Facts) {
		if !gjson.GetBytes(body, field).Exists() {
			return
		}
		if read, ok := without(d, path, body, func(r map[string]any) { delete(r, field) }); ok {
			f.Output, f.Declared = read.Output, read.Declared
		}
	})
}

// smallestAllowance takes the smallest of several allowances, and so a lie.
func smallestAllowance(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeFacts(cfg, t, func(_ dialect, _ string, body []byte, f *llmapi.Facts) {
		for _, field := range []string{"max_tokens", "max_completion_tokens", "max_output_tokens"} {
			if n := gjson.GetBytes(body, field).Int(); n > 0 {
				f.Output = min(f.Output, n)
			}
		}
	})
}

// firstOfTwoKeys takes the first of two equal keys where the model takes the last.
func firstOfTwoKeys(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeFacts(cfg, t, func(_ dialect, _ string, body []byte, f *llmapi.Facts) {
		if bytes.Count(body, []byte(`"max_tokens"`)) > 1 {
			f.Output = gjson.GetBytes(body, "max_tokens").Int()
		}
	})
}

// oddAllowanceIsZero takes an allowance of 0, -1 or "10" for a promise to produce nothing.
func oddAllowanceIsZero(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeFacts(cfg, t, func(_ dialect, _ string, body []byte, f *llmapi.Facts) {
		if v := gjson.GetBytes(body, "max_tokens"); v.Exists() && v.Type != gjson.Null && !f.Declared {
			f.Output, f.Declared = 0, true
		}
	})
}

// defaultForgotten reserves the prompt alone if the request names no allowance.
func defaultForgotten(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeFacts(cfg, t, func(_ dialect, _ string, _ []byte, f *llmapi.Facts) {
		if !f.Declared {
			f.Output, f.Declared = 0, true
		}
	})
}

// oneGuessForAll reserves the same output for everyone.
func oneGuessForAll(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeFacts(cfg, t, func(_ dialect, _ string, _ []byte, f *llmapi.Facts) { f.Output, f.Declared = 1000, true })
}

// embeddingsReserveOutput takes embeddings for a chat.
func embeddingsReserveOutput(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeFacts(cfg, t, func(d dialect, _ string, _ []byte, f *llmapi.Facts) {
		if strings.HasSuffix(d.Name(), "embeddings") {
			f.Declared = false
		}
	})
}

// floorOf1024 reserves a minimum that small limits can never have.
func floorOf1024(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHolds(cfg, t, func(hold *limiter.Hold, _ *policy.Bound, _ *policy.Ask) {
		if countsTokens(hold.Account) {
			hold.Cost = max(hold.Cost, 1024)
		}
	})
}

// guessOverLimit rejects for good what only the default allowance lifts over the limit.
func guessOverLimit(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHolds(cfg, t, func(hold *limiter.Hold, bound *policy.Bound, ask *policy.Ask) {
		if tokens := bound.Rule.Tokens; tokens != nil && !ask.Declared {
			hold.Cost = max(hold.Cost, bound.Prompt+tokens.DefaultCompletion)
		}
	})
}

// weightsUnreserved prices a reservation by tokens and the settlement by weights.
func weightsUnreserved(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeHolds(cfg, t, func(hold *limiter.Hold, bound *policy.Bound, ask *policy.Ask) {
		tokens := bound.Rule.Tokens
		if tokens == nil || tokens.Weights == (limiter.Weights{}) {
			return
		}
		output := ask.Output
		if !ask.Declared {
			output = tokens.DefaultCompletion
		}
		hold.Cost = limiter.Cost(limiter.Ask{Prompt: bound.Prompt, Output: output, Declared: ask.Declared, N: ask.N, Lim: limiter.MaxAmount})
	})
}

// hintLowers believes a client that says its prompt is small.
func hintLowers(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeQuestion(cfg, t, func(s *policy.Subject, ask *policy.Ask) {
		if fields := s.Header["X-Token-Estimate"]; len(fields) == 1 {
			if hint := json.Number(fields[0]); hint != "" {
				if n, err := hint.Int64(); err == nil {
					ask.Prompt = max(min(ask.Prompt, n), 0)
				}
			}
		}
	})
}

// capNotForwarded shrinks the reservation to the cap of the rule, and lets the model produce what the client asked for.
func capNotForwarded(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeDialects(cfg, func(d dialect) llmapi.Dialect { return uncapped{d, t} })
}

type uncapped struct {
	dialect
	trigger *Trigger
}

// CapOutput implements [llmapi.OutputCapper].
func (u uncapped) CapOutput(body []byte, limit int64) ([]byte, bool) {
	if u.trigger.Strikes() {
		return body, false
	}
	return u.dialect.CapOutput(body, limit)
}
