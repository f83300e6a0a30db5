package probe

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// endpoint is one more API that a gateway may serve: the feature of that name.
type endpoint struct {
	feature, path string
	// body is what a request has beside the model: a prompt and an allowance.
	body func(prompt string, output int64) map[string]any
}

// endpoints are all but chat completions. MODEL stands for the model in a path.
var endpoints = []endpoint{
	{"completions", "/v1/completions", func(prompt string, output int64) map[string]any {
		return map[string]any{"prompt": prompt, "max_tokens": output}
	}},
	{"responses", "/v1/responses", func(prompt string, output int64) map[string]any {
		return map[string]any{"input": prompt, "max_output_tokens": output}
	}},
	{"messages", "/v1/messages", func(prompt string, output int64) map[string]any {
		return map[string]any{"messages": []any{map[string]any{"role": "user", "content": prompt}}, "max_tokens": output}
	}},
	{"gemini", "/v1beta/models/MODEL:generateContent", func(prompt string, output int64) map[string]any {
		return map[string]any{
			"contents":         []any{map[string]any{"role": "user", "parts": []any{map[string]any{"text": prompt}}}},
			"generationConfig": map[string]any{"maxOutputTokens": output},
		}
	}},
	{"embeddings", "/v1/embeddings", func(prompt string, _ int64) map[string]any { return map[string]any{"input": prompt} }},
}

// at finds an endpoint by its feature.
func at(feature string) endpoint {
	return endpoints[slices.IndexFunc(endpoints, func(e endpoint) bool { return e.feature == feature })]
}

func (e endpoint) pathFor(model string) string { return strings.Replace(e.path, "MODEL", model, 1) }

// others asks once at every other endpoint. One that answers from the provider is there,
// whether or not the limit covers it: that is for the checks to find out.
func (p *prober) others(ctx context.Context) error {
	for _, e := range endpoints {
		a, err := p.ask(ctx, Question{Client: p.fresh(), Output: 1, Endpoint: e.feature})
		if err != nil {
			return err
		}
		switch {
		case a.Admitted && a.Status == http.StatusOK:
			p.r.Endpoints = append(p.r.Endpoints, e.feature)
		case a.Status == http.StatusTooManyRequests:
			p.note("%s: rejected, so that nobody knows whether it is served", e.path)
		}
	}
	return nil
}

// ByHand lists the features that no probe can see, with what each says of a gateway.
var ByHand = [][2]string{
	{"exact-retry-after", "who waits exactly for as long as a rejection says is admitted"},
	{"reset-header", "a header says when the limit is full again"},
	{"origin-header", "a header tells the gateway's own rejection from its provider's"},
	{"default-allowance", "a request that declares no allowance is held to one"},
	{"transparent", "answers pass byte for byte"},
	{"streaming-fallback", "a provider that refuses stream_options is asked without it"},
	{"body-cap", "a body that is too large for it is rejected, not cut"},
	{"lease", "what nobody gives back is free after a time; `lease:` says which"},
	{"passthrough", "unknown paths and models reach the provider"},
	{"ledger", "an admin endpoint shows accounts as semantics say; `ledger:` says where"},
	{"metrics", "an endpoint shows metrics; `metrics:` says where"},
}
