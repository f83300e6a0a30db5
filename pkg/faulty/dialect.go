package faulty

import (
	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// changeDialects wraps the table of dialects: change gets every dialect that is found.
func changeDialects(cfg proxy.Config, change func(dialect) llmapi.Dialect) proxy.Config {
	next := cfg.Dialects
	cfg.Dialects = func(method, path string) llmapi.Dialect {
		if d := next(method, path); d != nil {
			return change(dialect{d})
		}
		return nil
	}
	return cfg
}

// dialect is what a faulty dialect embeds. It has every ability; one that the good dialect lacks does nothing.
type dialect struct{ llmapi.Dialect }

// AskUsage implements [llmapi.UsageRequester].
func (d dialect) AskUsage(body []byte) ([]byte, bool) {
	if r, ok := d.Dialect.(llmapi.UsageRequester); ok {
		return r.AskUsage(body)
	}
	return body, false
}

// CapOutput implements [llmapi.OutputCapper].
func (d dialect) CapOutput(body []byte, limit int64) ([]byte, bool) {
	if c, ok := d.Dialect.(llmapi.OutputCapper); ok {
		return c.CapOutput(body, limit)
	}
	return body, false
}

// UsageOnly implements [llmapi.EventDropper].
func (d dialect) UsageOnly(data []byte) bool {
	e, ok := d.Dialect.(llmapi.EventDropper)
	return ok && e.UsageOnly(data)
}
