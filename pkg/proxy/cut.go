package proxy

import (
	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/policy"
)

// cutter ends streams that exceed the output limit of a rule. The count is of content: a token for every four bytes.
type cutter struct {
	meter  llmapi.Meter
	ender  llmapi.StreamEnder
	set    *policy.Set
	facts  *llmapi.Facts
	shadow bool  // only says so
	limit  int64 // tokens, over all choices
	step   int64 // tokens that may pass between two looks
	next   int64 // the count at the next look
}

// newCutter returns what enforces the output limit of an admission in its stream, nil if no rule wants that.
func newCutter(a *admission, m llmapi.Meter) *cutter {
	ender, ok := m.(llmapi.StreamEnder)
	if !ok {
		return nil
	}
	c := &cutter{meter: m, ender: ender, set: &a.enforced.set, facts: &a.facts}
	if c.set.MidStream == nil {
		c.set, c.shadow = &a.shadow.set, true
	}
	if c.set.MidStream == nil || c.set.OutputCap <= 0 {
		return nil
	}
	c.limit = c.set.OutputCap * max(a.facts.N, 1)
	c.step = max(c.set.MidStream.BufferTokens, 1)
	c.next = min(c.step, c.limit+1)
	return c
}

// due reports whether the stream has exceeded its limit, of what a look at it shows now.
func (c *cutter) due(contentBytes int64) bool {
	tokens := (contentBytes + 3) / 4
	if tokens < c.next {
		return false
	}
	c.next = min(tokens+c.step, max(c.limit, tokens)+1)
	return tokens > c.limit
}

// last is what the client receives in place of the rest: nil if this stream has no polite end.
func (c *cutter) last(x *exchange) []byte {
	tokens := (c.meter.Content() + 3) / 4
	end := llmapi.StreamEnd{Model: c.facts.Model, Created: x.p.cfg.Now().Unix()}
	if c.set.MidStream.PartialUsage {
		end.Usage = &llmapi.Usage{Input: c.set.Prompt, Output: tokens, Total: c.set.Prompt + tokens}
	}
	if c.set.MidStream.ErrorChunk {
		end.Error = &llmapi.Rejection{
			Reason: "max_completion_tokens_exceeded", Dimension: "completion tokens", Limit: c.limit, Requested: tokens, Permanent: true,
			Message: "the output limit of this request was reached",
		}
	}
	return c.ender.EndStream(end)
}
