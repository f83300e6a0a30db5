package faulty

import (
	"bytes"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// estimateScansText looks for the content with a text search: compact JSON only, up to the first quote.
func estimateScansText(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeFacts(cfg, t, func(_ dialect, _ string, body []byte, f *llmapi.Facts) {
		const key = `"content":"`
		total := 0
		for rest := body; ; {
			at := bytes.Index(rest, []byte(key))
			if at < 0 {
				break
			}
			rest = rest[at+len(key):]
			total += max(bytes.IndexByte(rest, '"'), 0)
		}
		f.Prompt = int64(total+3) / 4
	})
}

// partsCostNothing reads a content that is text, and passes over one that is a list of parts.
func partsCostNothing(cfg proxy.Config, t *Trigger) proxy.Config {
	return estimateWithout(cfg, t, func(request map[string]any) {
		messages, _ := request["messages"].([]any)
		for _, m := range messages {
			if message, ok := m.(map[string]any); ok {
				if _, parts := message["content"].([]any); parts {
					message["content"] = ""
				}
			}
		}
	})
}

// toolsCostNothing forgets that the definitions of tools are part of the prompt.
func toolsCostNothing(cfg proxy.Config, t *Trigger) proxy.Config {
	return estimateWithout(cfg, t, func(request map[string]any) { delete(request, "tools") })
}

// lastMessageOnly estimates what the user said last, not the conversation that is sent with it.
func lastMessageOnly(cfg proxy.Config, t *Trigger) proxy.Config {
	return estimateWithout(cfg, t, func(request map[string]any) {
		if messages, ok := request["messages"].([]any); ok && len(messages) > 1 {
			request["messages"] = messages[len(messages)-1:]
		}
	})
}

func estimateWithout(cfg proxy.Config, t *Trigger, edit func(request map[string]any)) proxy.Config {
	return changeFacts(cfg, t, func(d dialect, path string, body []byte, f *llmapi.Facts) {
		if read, ok := without(d, path, body, edit); ok {
			f.Prompt = read.Prompt
		}
	})
}

// promptForgotten reserves the output alone.
func promptForgotten(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeFacts(cfg, t, func(_ dialect, _ string, _ []byte, f *llmapi.Facts) { f.Prompt = 0 })
}
