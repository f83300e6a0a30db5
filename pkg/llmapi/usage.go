package llmapi

import (
	"strings"

	"github.com/tidwall/gjson"
)

// counts is a usage object while it is read. In every dialect input includes what was cached and output includes
// reasoning, once the dialect's reader is done: the differences between the dialects end there.
//
// Reading merges: a figure that is given twice, under one name or two, in one object or several, counts with its
// largest value.
type counts struct {
	input, cached, cacheWrite, output, reasoning, total int64
	// some tells that at least one token figure is there, bad that one is there that is no possible amount.
	some, bad bool
}

// figure consumes a token figure. Null is absent.
func (c *counts) figure(r *jsonReader, to *int64) {
	if r.isNull() {
		return
	}
	n, ok := r.whole()
	if !ok || n > maxExact {
		c.bad = true
		return
	}
	c.some = true
	*to = max(*to, n)
}

// detail consumes a figure that only divides another one: if it is no possible amount, nothing is divided.
func (c *counts) detail(r *jsonReader, to *int64) {
	if n, ok := r.whole(); ok && n <= maxExact {
		*to = max(*to, n)
	}
}

// object enters the usage object at hand; null is no usage, anything else is a bad one.
func (c *counts) object(r *jsonReader) bool {
	if r.isNull() {
		return false
	}
	if r.peek() != '{' {
		c.bad = true
	}
	return r.object()
}

// merge takes the larger of each figure.
func (c *counts) merge(d counts) {
	c.input = max(c.input, d.input)
	c.cached = max(c.cached, d.cached)
	c.cacheWrite = max(c.cacheWrite, d.cacheWrite)
	c.output = max(c.output, d.output)
	c.reasoning = max(c.reasoning, d.reasoning)
	c.total = max(c.total, d.total)
	c.some = c.some || d.some
	c.bad = c.bad || d.bad
}

// usage puts each token into one class, and tells whether the counts are a valid usage. What an explicit total has
// beyond input and output is output.
func (c *counts) usage() (Usage, bool) {
	total := max(c.total, c.input+c.output)
	if c.bad || !c.some || total == 0 || total > maxExact {
		return Usage{}, false
	}
	u := Usage{Total: total}
	u.CachedInput = min(c.cached, c.input)
	u.CacheWrite = min(c.cacheWrite, c.input-u.CachedInput)
	u.Input = c.input - u.CachedInput - u.CacheWrite
	u.Reasoning = min(c.reasoning, c.output)
	u.Output = total - c.input - u.Reasoning
	return u, true
}

// readOpenAI reads the usage of the OpenAI family: prompt_tokens and completion_tokens, or input_tokens and
// output_tokens as the Responses API says, cached and reasoning tokens included. DeepSeek's cache figure is known.
func (c *counts) readOpenAI(r *jsonReader) {
	for ok := c.object(r); ok && r.more(); {
		switch string(r.key) {
		case "prompt_tokens", "input_tokens":
			c.figure(r, &c.input)
		case "completion_tokens", "output_tokens":
			c.figure(r, &c.output)
		case "total_tokens":
			c.figure(r, &c.total)
		case "prompt_cache_hit_tokens":
			c.detail(r, &c.cached)
		case "prompt_tokens_details", "input_tokens_details":
			c.readDetails(r)
		case "completion_tokens_details", "output_tokens_details":
			c.readDetails(r)
		default:
			r.skip()
		}
	}
}

func (c *counts) readDetails(r *jsonReader) {
	for ok := r.object(); ok && r.more(); {
		switch string(r.key) {
		case "cached_tokens":
			c.detail(r, &c.cached)
		case "cache_write_tokens":
			c.detail(r, &c.cacheWrite)
		case "reasoning_tokens":
			c.detail(r, &c.reasoning)
		default:
			r.skip()
		}
	}
}

// apart reads one of the figures of a dialect that counts cached input beside the input, not inside it. Both figures of
// the cache are part of the sum, so that a bad one makes the whole usage bad.
type apart struct{ counts }

// together moves the cached input into the input, where the other dialects have it.
func (a apart) together() counts {
	c := a.counts
	c.input += c.cached + c.cacheWrite
	return c
}

// readAnthropic reads the usage of the Messages API, cached input apart.
func (a *apart) readAnthropic(r *jsonReader) {
	for ok := a.object(r); ok && r.more(); {
		switch string(r.key) {
		case "input_tokens":
			a.figure(r, &a.input)
		case "cache_read_input_tokens":
			a.figure(r, &a.cached)
		case "cache_creation_input_tokens":
			a.figure(r, &a.cacheWrite)
		case "output_tokens":
			a.figure(r, &a.output)
		default:
			r.skip()
		}
	}
}

// fromPaths reads the usage of a valid document by the configured paths: the first one that yields something counts.
func fromPaths(data []byte, paths []string) counts {
	var c counts
	for _, path := range paths {
		found := gjson.GetBytes(data, strings.TrimPrefix(path, "$."))
		if !found.Exists() || found.Type == gjson.Null {
			continue
		}
		r := jsonReader{data: []byte(found.Raw)}
		if found.IsObject() {
			c = anyUsage(&r)
		} else {
			c.figure(&r, &c.total)
		}
		break
	}
	return c
}
