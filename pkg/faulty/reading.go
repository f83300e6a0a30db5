package faulty

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// usageAddedUp sums the usages of a stream, which are each the sum so far.
func usageAddedUp(cfg proxy.Config, t *Trigger) proxy.Config {
	return reread(cfg, t, func(body []byte, stream bool, good llmapi.Reading) llmapi.Reading {
		totals := usages(body)
		if !stream || !good.Reported || len(totals) < 2 {
			return good
		}
		var sum int64
		for _, total := range totals {
			sum += total
		}
		return reported(good, used(sum))
	})
}

// firstUsageWins stops at the first usage of a stream.
func firstUsageWins(cfg proxy.Config, t *Trigger) proxy.Config {
	return reread(cfg, t, func(body []byte, stream bool, good llmapi.Reading) llmapi.Reading {
		if totals := usages(body); stream && good.Reported && len(totals) > 0 {
			return reported(good, used(totals[0]))
		}
		return good
	})
}

// usages are the totals of all events that have a usage.
func usages(body []byte) []int64 {
	var totals []int64
	for line := range strings.Lines(string(body)) {
		data, ok := strings.CutPrefix(line, "data:")
		if !ok || !gjson.Valid(data) {
			continue
		}
		for _, path := range []string{"usage", "message.usage", "response.usage", "x_groq.usage"} {
			u := gjson.Get(data, path)
			if !u.IsObject() {
				continue
			}
			sum := u.Get("prompt_tokens").Int() + u.Get("completion_tokens").Int() + u.Get("input_tokens").Int() + u.Get("output_tokens").Int()
			totals = append(totals, max(sum, u.Get("total_tokens").Int()))
		}
	}
	return totals
}

var totalInText = regexp.MustCompile(`total_tokens[\\"]*\s*:\s*(\d+)`)

// usageByTextSearch takes the first thing that looks like a usage, whoever said it.
func usageByTextSearch(cfg proxy.Config, t *Trigger) proxy.Config {
	return reread(cfg, t, func(body []byte, _ bool, good llmapi.Reading) llmapi.Reading {
		if n, ok := number(totalInText.FindSubmatch(body)); ok {
			return reported(good, used(n))
		}
		return good
	})
}

var usageObject = regexp.MustCompile(`"usage"\s*:\s*\{[^{}]*"total_tokens"\s*:\s*(\d+)`)

// jsonScanned looks for the usage without a look at the document around it, which may be cut, damaged or something else.
func jsonScanned(cfg proxy.Config, t *Trigger) proxy.Config {
	return reread(cfg, t, func(body []byte, stream bool, good llmapi.Reading) llmapi.Reading {
		if stream {
			return good
		}
		all := usageObject.FindAllSubmatch(body, -1)
		if len(all) == 0 {
			return unread(good)
		}
		if n, ok := number(all[len(all)-1]); ok {
			return reported(good, used(n))
		}
		return good
	})
}

func number(found [][]byte) (int64, bool) {
	if len(found) != 2 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(found[1]), 10, 64)
	return n, err == nil
}

// totalRequired counts one token for each response of an API that has no total.
func totalRequired(cfg proxy.Config, t *Trigger) proxy.Config {
	return reread(cfg, t, func(body []byte, _ bool, good llmapi.Reading) llmapi.Reading {
		if good.Reported && !bytes.Contains(bytes.ToLower(body), []byte("total")) {
			return reported(good, used(1))
		}
		return good
	})
}

// outputOnly charges what was generated, and not what was asked.
func outputOnly(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeReading(cfg, t, func(_ string, r *llmapi.Reading) { forgetInput(r) })
}

// anthropicOutputOnly reads the last usage of a stream of Anthropic's, which has no input.
func anthropicOutputOnly(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeReading(cfg, t, func(dialect string, r *llmapi.Reading) {
		if strings.HasPrefix(dialect, "anthropic") && r.Streamed {
			forgetInput(r)
		}
	})
}

func forgetInput(r *llmapi.Reading) {
	u := &r.Usage
	u.Total -= u.Input + u.CachedInput + u.CacheWrite
	u.Input, u.CachedInput, u.CacheWrite = 0, 0, 0
}

// oneDialectUnmetered does not know where the Responses API has its usage.
func oneDialectUnmetered(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeReading(cfg, t, func(dialect string, r *llmapi.Reading) {
		if strings.HasSuffix(dialect, "responses") {
			*r = unread(*r)
		}
	})
}

// emptyUsageIsZero takes no usage, null and {} for a usage of nothing.
func emptyUsageIsZero(cfg proxy.Config, t *Trigger) proxy.Config {
	return zeroWhere(cfg, t, llmapi.MissingAbsent)
}

// invalidUsageIsZero takes a usage that is negative, text or absurd for a usage of nothing.
func invalidUsageIsZero(cfg proxy.Config, t *Trigger) proxy.Config {
	return zeroWhere(cfg, t, llmapi.MissingInvalid)
}

// unreadableIsZero takes a response that is not what it should be for one that cost nothing.
func unreadableIsZero(cfg proxy.Config, t *Trigger) proxy.Config {
	return zeroWhere(cfg, t, llmapi.MissingUnreadable)
}

// tooLargeIsZero takes a response that is too large to be read for one that cost nothing.
func tooLargeIsZero(cfg proxy.Config, t *Trigger) proxy.Config {
	return zeroWhere(cfg, t, llmapi.MissingTooLarge)
}

// pathsIgnored reads the usage where the dialect has it, whatever the rule says.
func pathsIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeMeters(cfg, func(d dialect, o llmapi.MeterOptions) llmapi.Meter {
		if len(o.JSONPaths) > 0 && t.Strikes() {
			o.JSONPaths = nil
		}
		return d.Meter(o)
	})
}

func zeroWhere(cfg proxy.Config, t *Trigger, why llmapi.Missing) proxy.Config {
	return changeReading(cfg, t, func(_ string, r *llmapi.Reading) {
		if !r.Reported && r.Why == why {
			*r = reported(*r, llmapi.Usage{})
		}
	})
}

// cachedTwice adds what was read from a cache to an input that contains it.
func cachedTwice(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeReading(cfg, t, func(_ string, r *llmapi.Reading) {
		r.Usage.Input += r.Usage.CachedInput
		r.Usage.Total += r.Usage.CachedInput
	})
}

// cachedFree leaves out what was read from a cache, whatever the rule says of it.
func cachedFree(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeReading(cfg, t, func(_ string, r *llmapi.Reading) {
		r.Usage.Total -= r.Usage.CachedInput
		r.Usage.CachedInput = 0
	})
}

// cachedUnweighted prices what was read from a cache as any input.
func cachedUnweighted(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeReading(cfg, t, func(_ string, r *llmapi.Reading) {
		r.Usage.Input += r.Usage.CachedInput
		r.Usage.CachedInput = 0
	})
}

// reasoningTwice adds reasoning to an output that contains it.
func reasoningTwice(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeReading(cfg, t, func(_ string, r *llmapi.Reading) {
		r.Usage.Output += r.Usage.Reasoning
		r.Usage.Total += r.Usage.Reasoning
	})
}

// reasoningFree does not count what the client does not see.
func reasoningFree(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeReading(cfg, t, func(_ string, r *llmapi.Reading) {
		r.Usage.Total -= r.Usage.Reasoning
		r.Usage.Reasoning = 0
	})
}
