package faulty

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// encodedUnread does not decode what is compressed.
func encodedUnread(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeMeters(cfg, func(d dialect, o llmapi.MeterOptions) llmapi.Meter {
		if compressed(o) && t.Strikes() {
			o.Encoding = "unknown"
		}
		return d.Meter(o)
	})
}

// encodedIsZero reads compressed bytes as text, finds no usage there, and takes that for a usage of nothing.
func encodedIsZero(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeMeters(cfg, func(d dialect, o llmapi.MeterOptions) llmapi.Meter {
		good := d.Meter(o)
		if !compressed(o) {
			return good
		}
		return &meter{Meter: good, last: func(r llmapi.Reading, _ []byte) llmapi.Reading {
			if t.Strikes() {
				r = reported(r, llmapi.Usage{})
			}
			return r
		}}
	})
}

// sseLFOnly knows lines that end with a line feed, and takes what other lines end with for a part of them.
func sseLFOnly(cfg proxy.Config, t *Trigger) proxy.Config {
	return readAs(cfg, t, func(body string) string { return strings.ReplaceAll(body, "\r", " ") })
}

// sseNeedsSpace does not know a field without a space after its colon.
func sseNeedsSpace(cfg proxy.Config, t *Trigger) proxy.Config {
	return readAs(cfg, t, func(body string) string {
		if strings.HasPrefix(body, "data:") && !strings.HasPrefix(body, "data: ") {
			body = "other:" + body
		}
		return strings.NewReplacer("\ndata: ", "\ndata: ", "\ndata:", "\nother:", "\rdata: ", "\rdata: ", "\rdata:", "\rother:").Replace(body)
	})
}

// sseOneReadPerEvent takes every read for whole events, and loses one that comes in two.
func sseOneReadPerEvent(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeMeters(cfg, func(d dialect, o llmapi.MeterOptions) llmapi.Meter {
		good := d.Meter(o)
		if compressed(o) || !events(o) {
			return good
		}
		return &readwise{meter{Meter: good, last: func(r llmapi.Reading, _ []byte) llmapi.Reading { return r }}, t}
	})
}

type readwise struct {
	meter
	trigger *Trigger
}

// Write implements [llmapi.Meter].
func (w *readwise) Write(p []byte) (int, error) {
	whole := bytes.HasSuffix(p, []byte("\n\n")) || bytes.HasSuffix(p, []byte("\r\n\r\n")) || bytes.HasSuffix(p, []byte("\r\r"))
	if !whole && w.trigger.Strikes() {
		return len(p), nil
	}
	return w.meter.Write(p)
}

// includeUsageNotForced relies on clients that ask for the usage of their streams.
func includeUsageNotForced(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeDialects(cfg, func(d dialect) llmapi.Dialect { return unasking{d, t} })
}

type unasking struct {
	dialect
	trigger *Trigger
}

// AskUsage implements [llmapi.UsageRequester].
func (u unasking) AskUsage(body []byte) ([]byte, bool) {
	if u.trigger.Strikes() {
		return body, false
	}
	return u.dialect.AskUsage(body)
}

// usageEventSwallowed drops the usage event also where the client asked for it.
func usageEventSwallowed(cfg proxy.Config, t *Trigger) proxy.Config {
	find := cfg.Dialects
	return changeStreams(cfg, t, func(r *http.Request) func([]byte) bool {
		if d := find(r.Method, r.URL.Path); d != nil {
			return dialect{d}.UsageOnly
		}
		return func([]byte) bool { return false }
	})
}

// changeStreams wraps the front: events that drop recognises do not reach the client.
func changeStreams(cfg proxy.Config, t *Trigger, drop func(r *http.Request) func(data []byte) bool) proxy.Config {
	return changeAnswers(cfg, func(r *http.Request, w http.ResponseWriter) *answerWriter {
		a := &answerWriter{ResponseWriter: w}
		a.head = func(status int, h http.Header) int {
			if isStream(h) && t.Strikes() {
				filter := llmapi.NewEventFilter(drop(r))
				a.body = func(piece []byte) []byte { return filter.Filter(nil, piece) }
				a.rest = filter.Rest
			}
			return status
		}
		return a
	})
}

// isStream reports whether an answer is an event stream that can be read as it is.
func isStream(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") && h.Get("Content-Encoding") == ""
}

// streamOptionsNotRetried hands the refusal of a provider that does not know stream_options to a client that never sent it.
func streamOptionsNotRetried(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg.Transport = changeResponse(cfg.Transport, func(resp *http.Response) error {
		if resp.StatusCode == http.StatusBadRequest && t.Strikes() {
			return editBody(resp, func(body []byte) []byte {
				return bytes.ReplaceAll(body, []byte("stream_options"), []byte("stream options"))
			})
		}
		return nil
	})
	return cfg
}

// buffersStream hands an answer over when it has ended.
func buffersStream(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeAnswers(cfg, func(_ *http.Request, w http.ResponseWriter) *answerWriter {
		a := &answerWriter{ResponseWriter: w}
		a.head = func(status int, h http.Header) int {
			if isStream(h) && t.Strikes() {
				var whole []byte
				a.body = func(piece []byte) []byte { whole = append(whole, piece...); return nil }
				a.rest = func() []byte { return whole }
			}
			return status
		}
		return a
	})
}

// commentsDropped passes on events, and no comments: the signs of life of a slow provider.
func commentsDropped(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeLines(cfg, t, func() func(line []byte) bool {
		return func(line []byte) bool { return !bytes.HasPrefix(line, []byte(":")) }
	})
}

// nothingAfterDone passes on nothing that follows [DONE].
func nothingAfterDone(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeLines(cfg, t, func() func(line []byte) bool {
		done := false
		return func(line []byte) bool {
			pass := !done || len(bytes.TrimSpace(line)) == 0
			done = done || bytes.HasPrefix(line, []byte("data: [DONE]"))
			return pass
		}
	})
}

// changeLines wraps the front: of a stream only lines that pass reach the client.
func changeLines(cfg proxy.Config, t *Trigger, pass func() func(line []byte) bool) proxy.Config {
	return changeAnswers(cfg, func(_ *http.Request, w http.ResponseWriter) *answerWriter {
		a := &answerWriter{ResponseWriter: w}
		a.head = func(status int, h http.Header) int {
			if !isStream(h) || !t.Strikes() {
				return status
			}
			passes, held := pass(), []byte(nil)
			a.body = func(piece []byte) []byte {
				var out []byte
				held = append(held, piece...)
				for {
					at := bytes.IndexByte(held, '\n')
					if at < 0 {
						return out
					}
					if line := held[:at+1]; passes(line) {
						out = append(out, line...)
					}
					held = held[at+1:]
				}
			}
			a.rest = func() []byte { return held }
			return status
		}
		return a
	})
}
