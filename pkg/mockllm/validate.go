package mockllm

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/llmlimit/llmlimit/internal/nearest"
)

// words are the fixed vocabularies of a plan's fields. "" always means: not set.
var words = struct{ usageAt, dist, eol, comments, eventLines, split, encoding, framing, proto, hold []string }{
	usageAt: []string{
		"auto", "none", "final", "every", "early", "finish_chunk", "x_groq", "after_done", "twice",
		"null_value", "empty_object",
	},
	dist:       []string{"fixed", "uniform", "normal", "lognormal"},
	eol:        []string{"lf", "crlf", "cr"},
	comments:   []string{"none", "first", "last", "inside", "between", "every:3"},
	eventLines: []string{"auto", "always", "never", "id", "retry", "all"},
	split:      []string{"event", "1byte", "random", "n:7", "at:usage", "at:crlf", "at:escape", "at:rune"},
	encoding:   []string{"none", "gzip", "gzip-flush", "deflate", "br", "zstd", "accepted"},
	framing:    []string{"chunked", "length", "close"},
	proto:      []string{"any", "1.0"},
	hold:       []string{"none", "headers", "usage"},
}

// Validate says everything that is wrong with p: each problem is a [FieldError], joined.
func (p Plan) Validate() error {
	var v validator
	v.word("usage_at", p.UsageAt, words.usageAt)
	v.word("hold", p.Hold, words.hold)
	v.usage(p.Usage)
	v.dist("content.chunks", p.Content.Chunks)
	v.notNegative("content.bytes", int64(p.Content.Bytes))
	v.delay("timing.ttft", p.Timing.TTFT)
	v.delay("timing.itl", p.Timing.ITL)
	v.sse(p.SSE)
	v.http(p.HTTP)
	v.fault(p.Fault)
	if _, err := base64.StdEncoding.DecodeString(p.BodyRaw); err != nil {
		v.fail("body_raw", "not base64: %v", err)
	}
	return errors.Join(v.problems...)
}

type validator struct{ problems []error }

func (v *validator) fail(path, format string, args ...any) {
	v.problems = append(v.problems, &FieldError{Path: path, Problem: fmt.Sprintf(format, args...)})
}

func (v *validator) word(path, found string, known []string) {
	if found != "" && !slices.Contains(known, found) {
		v.fail(path, "unknown value %q, expected one of %s%s", found, strings.Join(known, ", "), didYouMean(found, known))
	}
}

// counted is word for vocabularies with one open entry, such as every:3.
func (v *validator) counted(path, found, prefix string, known []string) {
	n, ok := strings.CutPrefix(found, prefix)
	if !ok {
		v.word(path, found, known)
		return
	}
	if count, err := strconv.Atoi(n); err != nil || count < 1 {
		v.fail(path, "found %q, expected a whole number from 1 on behind %q", found, prefix)
	}
}

func (v *validator) notNegative(path string, n int64) {
	if n < 0 {
		v.fail(path, "found %d, expected 0 or more", n)
	}
}

func (v *validator) dist(path string, d *Tokens) {
	if d != nil {
		v.word(path+".dist", d.Kind, words.dist)
	}
	if err := d.check(path); err != nil {
		v.problems = append(v.problems, err)
	}
}

func (v *validator) delay(path string, d *Delay) {
	if d != nil {
		v.word(path+".dist", d.Kind, words.dist)
	}
	if err := d.check(path); err != nil {
		v.problems = append(v.problems, err)
	}
}

func (v *validator) usage(u Usage) {
	v.dist("usage.in", u.In)
	v.dist("usage.out", u.Out)
	v.dist("usage.cached", u.Cached)
	v.dist("usage.cache_write", u.CacheWrite)
	v.dist("usage.reasoning", u.Reasoning)
	if u.In != nil && u.In.fixed() {
		cached, write := u.Cached.value(0), u.CacheWrite.value(0)
		if cached > u.In.Mean || write > u.In.Mean-cached {
			v.fail("usage.in", "found %d, expected at least cached + cache_write = %d", u.In.Mean, cached+write)
		}
	}
	if u.Out != nil && u.Out.fixed() && u.Reasoning.value(0) > u.Out.Mean {
		v.fail("usage.out", "found %d, expected at least reasoning = %d", u.Out.Mean, u.Reasoning.value(0))
	}
}

func (v *validator) sse(s SSE) {
	v.word("sse.eol", s.EOL, words.eol)
	v.counted("sse.comments", s.Comments, "every:", words.comments)
	v.word("sse.event_lines", s.EventLines, words.eventLines)
	v.counted("sse.split", s.Split, "n:", words.split)
}

func (v *validator) http(h HTTP) {
	if h.Status != 0 && (h.Status < 200 || h.Status > 599) {
		v.fail("http.status", "found %d, expected 200 to 599", h.Status)
	}
	for i, code := range h.Informational {
		if code < 100 || code > 199 || code == 101 {
			v.fail(fmt.Sprintf("http.informational[%d]", i), "found %d, expected 100 or 102 to 199", code)
		}
	}
	v.word("http.encoding", h.Encoding, words.encoding)
	v.word("http.framing", h.Framing, words.framing)
	v.word("http.proto", h.Proto, words.proto)
	v.fields("http.headers", h.Headers)
	v.fields("http.trailers", h.Trailers)
	if len(h.Trailers) > 0 && h.Framing != "" && h.Framing != "chunked" {
		v.fail("http.trailers", "need framing chunked, found %s", h.Framing)
	}
}

// fields refuses what would smuggle a second header into the response.
func (v *validator) fields(path string, fields map[string]string) {
	for name, value := range fields {
		if name == "" || strings.ContainsAny(name, " :\r\n\x00") || strings.ContainsAny(value, "\r\n\x00") {
			v.fail(path, "found %q: %q, expected a header name and one line", name, value)
		}
	}
}

func (v *validator) fault(f Fault) {
	if f.Kind != "" && f.Kind != "none" {
		v.word("fault.kind", f.Kind, faultNames())
	}
	set := 0
	for _, n := range []*int64{f.After.Chunks, f.After.Bytes, f.After.MS} {
		if n != nil {
			set++
			v.notNegative("fault.after", *n)
		}
	}
	for _, b := range []bool{f.After.BeforeUsage, f.After.AfterUsage} {
		if b {
			set++
		}
	}
	if set > 1 {
		v.fail("fault.after", "found %d places, expected one of chunks, bytes, before_usage, after_usage, ms", set)
	}
	v.delay("fault.for", f.For)
}

// didYouMean is a hint with the nearest known word, or "" if none is near.
func didYouMean(found string, known []string) string {
	if best := nearest.Word(found, known); best != "" {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	return ""
}
