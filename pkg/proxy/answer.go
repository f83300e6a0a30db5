package proxy

import (
	"math/bits"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

// The origins of an answer, in x-llmlimit-origin.
const (
	originLimiter  = "limiter"
	originUpstream = "upstream"
)

// rateFields are the fields of a response that tell a client what is left. An upstream's own are replaced by ours, since they
// speak of a budget that is not the client's; on its own 429 they stay.
var rateFields = []string{
	"X-Ratelimit-Limit-Requests", "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Remaining-Tokens",
	"X-Ratelimit-Reset-Requests", "X-Ratelimit-Reset-Tokens", "Ratelimit", "Ratelimit-Policy",
	"Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset",
}

// rateFamily is the beginning of further such fields, of which an API has many.
const rateFamily = "Anthropic-Ratelimit-"

// dropRateFields removes what an upstream says of its own limits.
func dropRateFields(h http.Header) {
	for _, name := range rateFields {
		delete(h, name)
	}
	for name := range h {
		if strings.HasPrefix(name, rateFamily) {
			delete(h, name)
		}
	}
}

// announce sets what every reply of a bound request tells.
func announce(h http.Header, a *admission, origin string) {
	h.Set("X-Llmlimit-Origin", origin)
	if a == nil {
		return
	}
	if a.shadow.rejected != nil {
		h.Set("X-Llmlimit-Shadow", "would-reject")
	}
	for _, warning := range a.warnings {
		h.Add("X-Llmlimit-Warning", warning)
	}
	if i := a.enforced.largest(); i >= 0 && a.enforced.decision.Admitted {
		h.Set("X-Llmlimit-Reserved", strconv.FormatInt(a.enforced.set.Holds[i].Cost, 10))
	}
}

// rateHeaders tells what is left after the reservation: in OpenAI's form, in the dialect's own, and as the IETF draft has it.
func rateHeaders(h http.Header, now time.Time, a *admission) {
	r := &a.enforced
	if len(r.decision.Holds) == 0 {
		return
	}
	state := llmapi.RateState{Now: now}
	tokens, requests := r.tightest(countsTokens), r.tightest(countsRequests)
	if tokens >= 0 {
		state.Tokens = rateWindow(&r.decision.Holds[tokens])
	}
	if requests >= 0 {
		state.Requests = rateWindow(&r.decision.Holds[requests])
	}
	a.dialect.RateHeaders(h, state)
	draftHeaders(h, r)
}

func rateWindow(s *limiter.HoldState) *llmapi.RateWindow {
	return &llmapi.RateWindow{Limit: s.Limit, Remaining: s.Remaining, Reset: s.Reset}
}

func countsTokens(r *reservation, i int) bool { return r.set.Bound[i].Rule.Tokens != nil }

func countsRequests(r *reservation, i int) bool {
	return r.set.Holds[i].Account.Limit.Kind == limiter.RequestBucket
}

// tightest is the index of the hold with the smallest remaining share among those that count, or -1.
func (r *reservation) tightest(counts func(r *reservation, i int) bool) int {
	best := -1
	for i := range r.decision.Holds {
		if counts(r, i) && (best < 0 || lessLeft(&r.decision.Holds[i], &r.decision.Holds[best])) {
			best = i
		}
	}
	return best
}

// lessLeft compares remaining / limit without a division.
func lessLeft(a, b *limiter.HoldState) bool {
	aHigh, aLow := bits.Mul64(uint64(a.Remaining), uint64(b.Limit))
	bHigh, bLow := bits.Mul64(uint64(b.Remaining), uint64(a.Limit))
	return aHigh < bHigh || aHigh == bHigh && aLow < bLow
}

// draftHeaders sets RateLimit-Policy and RateLimit with one item for each binding account, after
// draft-ietf-httpapi-ratelimit-headers-11. The draft is not a standard yet, and its registry has no unit "tokens": we say so
// all the same, since saying nothing would mean requests.
func draftHeaders(h http.Header, r *reservation) {
	policy, state := make([]byte, 0, 192), make([]byte, 0, 128) // enough for most, and gone with the call
	for i := range r.decision.Holds {
		limit, hold := r.set.Holds[i].Account.Limit, &r.decision.Holds[i]
		if i > 0 {
			policy, state = append(policy, ", "...), append(state, ", "...)
		}
		start := len(policy)
		policy = appendQuoted(policy, r.set.Bound[i].Rule.Name, "/", r.set.Bound[i].Window)
		name := policy[start:]
		policy = append(policy, ";q="...)
		policy = strconv.AppendInt(policy, hold.Limit, 10)
		policy = append(append(append(policy, `;qu="`...), unit(r, i)...), '"')
		if w := window(limit); w > 0 {
			policy = strconv.AppendInt(append(policy, ";w="...), ceil(w, time.Second), 10)
		}
		state = append(append(state, name...), ";r="...)
		state = strconv.AppendInt(state, hold.Remaining, 10)
		if t := more(limit, hold); t > 0 {
			state = strconv.AppendInt(append(state, ";t="...), ceil(t, time.Second), 10)
		}
	}
	h["Ratelimit-Policy"] = []string{string(policy)}
	h["Ratelimit"] = []string{string(state)}
}

// appendQuoted appends a string of the structured field syntax: printable ASCII, with quotes and backslashes escaped.
func appendQuoted(b []byte, parts ...string) []byte {
	b = append(b, '"')
	for _, part := range parts {
		for i := range len(part) {
			switch c := part[i]; {
			case c < 0x20 || c > 0x7e:
				b = append(b, '?')
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			default:
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}

// unit is what the account counts, in the words of the draft where it has one.
func unit(r *reservation, i int) string {
	switch {
	case countsTokens(r, i):
		return "tokens"
	case countsRequests(r, i):
		return "requests"
	case r.set.Holds[i].Account.Limit.Kind == limiter.Concurrency:
		return "concurrent-requests"
	}
	return "units"
}

// window is the time over which a limit is spread: a period, or how long an empty bucket takes to be full.
func window(l *limiter.Limit) time.Duration {
	switch l.Kind {
	case limiter.Window:
		return l.Period.Duration()
	case limiter.TokenBucket:
		return spread(l.Burst, l.TokensPerMinute, time.Minute)
	case limiter.RequestBucket:
		return spread(l.Burst, l.MicroPerSecond, time.Second)
	case limiter.Concurrency:
	}
	return 0
}

// spread is amount × per / rate, rounded up.
func spread(amount, rate int64, per time.Duration) time.Duration {
	high, low := bits.Mul64(uint64(amount), uint64(per))
	if rate <= 0 || high >= uint64(rate) {
		return 0
	}
	q, rest := bits.Div64(high, low, uint64(rate))
	if rest > 0 {
		q++
	}
	return time.Duration(min(q, 1<<62))
}

// more is the time until some quota is added: the end of a window, a rejected request's wait, or a bucket's next token.
func more(l *limiter.Limit, s *limiter.HoldState) time.Duration {
	switch {
	case s.Remaining >= s.Limit:
		return 0
	case s.Wait > 0:
		return s.Wait
	case l.Kind == limiter.Window:
		return s.Reset
	case l.Kind == limiter.TokenBucket:
		return spread(1, l.TokensPerMinute, time.Minute)
	case l.Kind == limiter.RequestBucket:
		return spread(limiter.Micro, l.MicroPerSecond, time.Second)
	}
	return 0
}
