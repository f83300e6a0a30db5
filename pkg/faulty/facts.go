package faulty

import (
	"encoding/json"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// changeFacts wraps the dialects: change may alter what a request says of its cost.
func changeFacts(cfg proxy.Config, t *Trigger, change func(d dialect, path string, body []byte, f *llmapi.Facts)) proxy.Config {
	return changeDialects(cfg, func(d dialect) llmapi.Dialect { return misreading{d, t, change} })
}

type misreading struct {
	dialect
	trigger *Trigger
	change  func(d dialect, path string, body []byte, f *llmapi.Facts)
}

// ParseRequest implements [llmapi.Dialect].
func (m misreading) ParseRequest(path string, body []byte) (llmapi.Facts, error) {
	f, err := m.Dialect.ParseRequest(path, body)
	if err == nil && m.trigger.Strikes() {
		m.change(m.dialect, path, body, &f)
	}
	return f, err
}

// without reads the request as if edit had been made to it. It reports whether that could be done.
func without(d dialect, path string, body []byte, edit func(request map[string]any)) (llmapi.Facts, bool) {
	var request map[string]any
	if json.Unmarshal(body, &request) != nil {
		return llmapi.Facts{}, false
	}
	edit(request)
	edited, err := json.Marshal(request)
	if err != nil {
		return llmapi.Facts{}, false
	}
	f, err := d.ParseRequest(path, edited)
	return f, err == nil
}
