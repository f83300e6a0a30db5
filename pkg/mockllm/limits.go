package mockllm

import (
	"fmt"
	"strconv"
	"sync"
	"time"
)

// providerLimits plays a provider's own rejections: requests and tokens per API key in windows of a minute that begin with
// the key's first request. It is deliberately simple and its own: the mock judges limiters and must not be one of them.
type providerLimits struct {
	rpm, tpm int64

	mu   *sync.Mutex
	keys map[string]*keyWindow
}

type keyWindow struct {
	start            time.Time
	requests, tokens int64
}

// limitVerdict is what one request meets. The zero one is of a mock without limits.
type limitVerdict struct {
	rejected           string // message, "" if admitted
	rpm, tpm           int64
	requests, tokens   int64 // left
	reset              time.Duration
	resetAt            time.Time
	limited, permanent bool
}

const limitWindow = time.Minute

func newProviderLimits(rpm, tpm int64) providerLimits {
	return providerLimits{rpm: rpm, tpm: tpm, mu: &sync.Mutex{}, keys: map[string]*keyWindow{}}
}

// take counts one request of a key, or rejects it.
func (l *providerLimits) take(key string, tokens int64, clock func() time.Time) limitVerdict {
	if l.rpm <= 0 && l.tpm <= 0 {
		return limitVerdict{}
	}
	now := clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.keys[key]
	if w == nil || now.Sub(w.start) >= limitWindow {
		w = &keyWindow{start: now}
		l.keys[key] = w
	}
	v := limitVerdict{limited: true, rpm: l.rpm, tpm: l.tpm, resetAt: w.start.Add(limitWindow)}
	v.reset = v.resetAt.Sub(now)
	wait := strconv.FormatFloat(v.reset.Seconds(), 'f', 3, 64)
	switch {
	case l.tpm > 0 && tokens > l.tpm:
		v.permanent = true
		v.rejected = fmt.Sprintf("Request too large for mock on tokens per min (TPM): Limit %d, Requested %d. "+
			"The input or output tokens must be reduced in order to run successfully.", l.tpm, tokens)
	case l.tpm > 0 && w.tokens+tokens > l.tpm:
		v.rejected = fmt.Sprintf("Rate limit reached for mock on tokens per min (TPM): Limit %d, Used %d, Requested %d. "+
			"Please try again in %ss.", l.tpm, w.tokens, tokens, wait)
	case l.rpm > 0 && w.requests+1 > l.rpm:
		v.rejected = fmt.Sprintf("Rate limit reached for mock on requests per min (RPM): Limit %d, Used %d, Requested 1. "+
			"Please try again in %ss.", l.rpm, w.requests, wait)
	default:
		w.requests++
		w.tokens += tokens
	}
	v.requests, v.tokens = l.rpm-w.requests, l.tpm-w.tokens
	return v
}

// headers tell the client where it stands, in the words of the dialect.
func (v *limitVerdict) headers(dialect string) map[string]string {
	if !v.limited {
		return nil
	}
	h := map[string]string{}
	switch dialect {
	case "anthropic":
		v.addFamily(h, "Anthropic-Ratelimit-%[2]s-%[1]s", v.resetAt.UTC().Format(time.RFC3339))
	case "gemini", "bedrock-converse", "bedrock-invoke":
		return h // these send none
	default:
		v.addFamily(h, "X-Ratelimit-%[1]s-%[2]s", v.reset.Round(time.Millisecond).String())
	}
	if v.rejected != "" && !v.permanent {
		seconds := int64((v.reset + time.Second - 1) / time.Second)
		h["Retry-After"] = strconv.FormatInt(seconds, 10)
		h["Retry-After-Ms"] = strconv.FormatInt(int64((v.reset+time.Millisecond-1)/time.Millisecond), 10)
	}
	return h
}

func (v *limitVerdict) addFamily(h map[string]string, pattern, reset string) {
	for _, d := range []struct {
		name        string
		limit, left int64
	}{{"Requests", v.rpm, v.requests}, {"Tokens", v.tpm, v.tokens}} {
		if d.limit <= 0 {
			continue
		}
		h[fmt.Sprintf(pattern, "Limit", d.name)] = strconv.FormatInt(d.limit, 10)
		h[fmt.Sprintf(pattern, "Remaining", d.name)] = strconv.FormatInt(d.left, 10)
		h[fmt.Sprintf(pattern, "Reset", d.name)] = reset
	}
}
