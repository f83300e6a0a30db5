package probe

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// WriteTable writes what was found for people: each parameter with what is certain of
// it.
func (r *Result) WriteTable(w io.Writer, cost Cost) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-20s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("limit enforced", "%s", map[bool]string{true: "yes", false: "none was met"}[r.Enforced])
	row("reserves", "%s", yes(r.Reserves))
	if r.Burst != nil {
		row("burst", "%s tokens", shown(*r.Burst, 0))
	}
	if r.PerChar != nil {
		row("prompt", "%s tokens per ASCII character", shown(*r.PerChar, 4))
	}
	if r.PerWide != nil {
		row("", "%s tokens per byte of wide ones", shown(*r.PerWide, 4))
	}
	if r.PerMessage != nil {
		row("", "%s tokens per message", shown(*r.PerMessage, 2))
	}
	for _, s := range r.Shapes {
		of := "for all of it"
		if s.Per != "" {
			of = "per " + s.Per
		}
		row("", "%s tokens %s, %s", shown(s.Costs, 4), of, s.Name)
	}
	switch {
	case r.Per > 0:
		row("window", "%s, %v, %s", r.Window, r.Per, r.Phase)
	default:
		row("window", "%s", r.Window)
	}
	if r.Rate != nil {
		row("refill", "%s tokens per second: %.0f a minute, within %.2f %%", shown(*r.Rate, 3), r.Rate.Mid()*60, 50*r.Rate.Width())
	}
	for i, refund := range r.Refunds {
		name := ""
		if i == 0 {
			name = "unused part back"
		}
		text := "not within the patience: kept"
		if refund.Back {
			text = fmt.Sprintf("after %v at most", refund.After.Round(100*time.Microsecond))
		}
		row(name, "%-14s %s", nameOf(refund.Ending), text)
	}
	if s := r.Silence; s != nil {
		row("silent provider", "%s", s)
	}
	row("rate-limit headers", "%s", orDefault(strings.Join(r.Headers, ", "), "none"))
	row("retry-after", "%s", yes(r.RetryAfter))
	row("other endpoints", "%s", orDefault(strings.Join(r.Endpoints, ", "), "none"))
	if r.NoKey != 0 {
		row("without identity", "status %d", r.NoKey)
	}
	for _, note := range r.Notes {
		row("note", "%s", note)
	}
	if amount, burst, likely := r.bucket(); likely {
		row("note", "a minute gives %d, and %d of them are in no prompt: the block claims a burst of %d, of which each request may cost "+
			"a few tokens besides its prompt", amount, amount-burst, amount)
	}
	row("cost", "%d requests, %d tokens used", cost.Requests, cost.Tokens)
}

// String says it in a line.
func (s *Silence) String() string {
	seconds := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	text := fmt.Sprintf("the gateway waited for longer than %v", seconds(s.Watched))
	if s.GaveUp > 0 {
		text = fmt.Sprintf("the gateway gave up after %v with %d", seconds(s.GaveUp), s.Status)
	}
	if s.Back != nil {
		return text + fmt.Sprintf("; the reservation was back after %s s", shown(*s.Back, 1))
	}
	return text + fmt.Sprintf("; the reservation never came back within %v", seconds(s.Watched))
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// shown is an interval, or one number where it is no wider than what is shown.
func shown(i Interval, digits int) string {
	if math.IsInf(i.Hi, 1) {
		return fmt.Sprintf("at least %.*f", digits, i.Lo)
	}
	lo, hi := fmt.Sprintf("%.*f", digits, i.Lo), fmt.Sprintf("%.*f", digits, i.Hi)
	if lo == hi {
		return lo
	}
	return lo + " to " + hi
}

// WriteBlock writes a target: block for --target-file. url, identity and body are what
// the probe itself used; identity is a header's name, empty if there is none, and body
// a JSON object, likewise.
func (r *Result) WriteBlock(w io.Writer, url, identity, body string) {
	fmt.Fprintf(w, "target:\n  url: %q\n", url)
	if body != "" {
		fmt.Fprintf(w, "  body: %s\n", body)
	}
	if identity != "" {
		fmt.Fprintf(w, "  identity: { header: %s, pool: \"t-${run.id}-${i}\" }\n", identity)
	}
	accounting := "unknown"
	switch {
	case r.Reserves:
		accounting = "reserve"
	case r.Enforced:
		accounting = "settle-after"
	}
	fmt.Fprintf(w, "  accounting: %s\n", accounting)
	if r.PerChar != nil && r.PerMessage != nil {
		low, high := *r.PerChar, *r.PerChar
		if r.PerWide != nil {
			low.Lo, high.Hi = min(low.Lo, r.PerWide.Lo), max(high.Hi, r.PerWide.Hi)
		}
		fmt.Fprintf(w, "  estimator: { per-char: %.4f..%.4f, per-message: %.0f..%.0f }\n",
			math.Floor(low.Lo*1000)/1000, math.Ceil(high.Hi*1000)/1000, math.Floor(r.PerMessage.Lo), math.Ceil(r.PerMessage.Hi))
	} else {
		fmt.Fprintln(w, "  estimator: unknown")
	}
	fmt.Fprintln(w, "  debt-floor: unknown")
	r.writeLimit(w)
	settle := 200 * time.Millisecond
	for _, refund := range r.Refunds {
		if refund.Back && (refund.Ending == Whole || refund.Ending == Streamed) {
			settle = max(settle, 2*refund.After)
		}
	}
	fmt.Fprintf(w, "  settle: %dms\n  tolerance: 2%%\n", settle.Milliseconds())
	r.writeFeatures(w)
}

func (r *Result) writeLimit(w io.Writer) {
	if r.Burst == nil {
		fmt.Fprintln(w, "  # no limit was found")
		return
	}
	amount, burst, likely := r.bucket()
	if likely {
		burst = amount
	}
	per := "60s"
	if r.Rate == nil && r.Per > 0 {
		per = fmt.Sprintf("%ds", int64(r.Per.Seconds()))
	}
	if r.Window == "bucket" {
		fmt.Fprintf(w, "  limits: [ { name: tpm, dimension: tokens, amount: %d, per: %s, burst: %d, window: bucket } ]\n", amount, per, burst)
		return
	}
	fmt.Fprintf(w, "  limits: [ { name: tpm, dimension: tokens, amount: %d, per: %s, window: %s } ]\n", amount, per, r.Window)
}

// bucket is what a minute gives and the burst as it was measured. The burst is likely
// the same as what a minute gives where it lacks less than the block tolerates: an
// estimator that adds something to every request takes it from the burst, as it seems
// from outside.
func (r *Result) bucket() (amount, burst int64, likely bool) {
	if r.Burst == nil {
		return 0, 0, false
	}
	burst = int64(math.Round(r.Burst.Mid()))
	if r.Rate == nil || math.IsInf(r.Rate.Hi, 1) {
		return burst, burst, false
	}
	amount = round(*r.Rate)
	return amount, burst, r.Burst.Hi < float64(amount) && 100*burst >= 98*amount
}

// round is the roundest number of tokens a minute that the interval of a rate per
// second allows: people configure round numbers.
func round(rate Interval) int64 {
	lo, hi := rate.Lo*60, rate.Hi*60
	for unit := math.Pow(10, math.Ceil(math.Log10(max(hi, 1)))); unit >= 1; unit /= 10 {
		if n := math.Ceil(lo/unit) * unit; n <= hi && n > 0 {
			return int64(n)
		}
	}
	return int64(math.Round(rate.Mid() * 60))
}

func (r *Result) writeFeatures(w io.Writer) {
	has := func(endings ...Ending) bool {
		for _, e := range endings {
			if !slices.ContainsFunc(r.Refunds, func(f Refund) bool { return f.Ending == e && f.Back }) {
				return false
			}
		}
		return true
	}
	features := []string{"streaming"}
	for _, f := range []struct {
		name string
		on   bool
	}{
		{"identities", r.Identities},
		{"reserve", r.Reserves},
		{"prompt-estimate", r.PerChar != nil && r.PerChar.Lo > 0},
		{"retry-after", r.RetryAfter},
		{"remaining-header", len(r.Headers) > 0},
		{"refund", has(Whole, Streamed)},
		{"error-refund", has(ServerError)},
		{"cancel-refund", has(LeftStream)},
		{"upstream-timeout", r.Silence != nil && r.Silence.GaveUp > 0},
	} {
		if f.on {
			features = append(features, f.name)
		}
	}
	features = append(features, r.Endpoints...)
	fmt.Fprintf(w, "features:\n  supported: [ %s ]\n", strings.Join(features, ", "))
}
