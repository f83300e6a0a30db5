package faulty

import (
	"strings"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// changeReading wraps the meters: change may alter what a response said of its cost.
func changeReading(cfg proxy.Config, t *Trigger, change func(dialect string, r *llmapi.Reading)) proxy.Config {
	return changeMeters(cfg, func(d dialect, o llmapi.MeterOptions) llmapi.Meter {
		return &meter{Meter: d.Meter(o), last: func(r llmapi.Reading, _ []byte) llmapi.Reading {
			if t.Strikes() {
				change(d.Name(), &r)
			}
			return r
		}}
	})
}

// reread wraps the meters: read gets the whole body of a response that is not compressed, and what a good meter read in it.
func reread(cfg proxy.Config, t *Trigger, read func(body []byte, stream bool, good llmapi.Reading) llmapi.Reading) proxy.Config {
	return changeMeters(cfg, func(d dialect, o llmapi.MeterOptions) llmapi.Meter {
		if compressed(o) {
			return d.Meter(o)
		}
		return &meter{Meter: d.Meter(o), keep: true, last: func(r llmapi.Reading, body []byte) llmapi.Reading {
			if !t.Strikes() {
				return r
			}
			return read(body, events(o), r)
		}}
	})
}

// readAs wraps the meters: an event stream is read in another form than it has.
func readAs(cfg proxy.Config, t *Trigger, change func(body string) string) proxy.Config {
	return changeMeters(cfg, func(d dialect, o llmapi.MeterOptions) llmapi.Meter {
		if compressed(o) || !events(o) {
			return d.Meter(o)
		}
		return &meter{Meter: d.Meter(o), keep: true, last: func(r llmapi.Reading, body []byte) llmapi.Reading {
			if !t.Strikes() {
				return r
			}
			again := d.Meter(o)
			_, _ = again.Write([]byte(change(string(body)))) // never fails
			return again.Close()
		}}
	})
}

// changeMeters wraps the dialects: open gives the meter of a response.
func changeMeters(cfg proxy.Config, open func(d dialect, o llmapi.MeterOptions) llmapi.Meter) proxy.Config {
	return changeDialects(cfg, func(d dialect) llmapi.Dialect { return metered{d, open} })
}

type metered struct {
	dialect
	open func(d dialect, o llmapi.MeterOptions) llmapi.Meter
}

// Meter implements [llmapi.Dialect].
func (m metered) Meter(o llmapi.MeterOptions) llmapi.Meter { return m.open(m.dialect, o) }

// mostKept bounds the body that a faulty meter remembers.
const mostKept = 8 << 20

// meter is a good meter whose last word is changed.
type meter struct {
	llmapi.Meter
	keep bool
	last func(good llmapi.Reading, body []byte) llmapi.Reading

	body    []byte
	closed  bool
	reading llmapi.Reading
}

// Write implements [llmapi.Meter].
func (m *meter) Write(p []byte) (int, error) {
	if m.keep && len(m.body)+len(p) <= mostKept {
		m.body = append(m.body, p...)
	}
	return m.Meter.Write(p)
}

// Close implements [llmapi.Meter].
func (m *meter) Close() llmapi.Reading {
	if !m.closed {
		m.closed = true
		m.reading = m.last(m.Meter.Close(), m.body)
	}
	return m.reading
}

// EndStream implements [llmapi.StreamEnder] where the good meter does.
func (m *meter) EndStream(e llmapi.StreamEnd) []byte {
	if ender, ok := m.Meter.(llmapi.StreamEnder); ok {
		return ender.EndStream(e)
	}
	return nil
}

func compressed(o llmapi.MeterOptions) bool { return o.Encoding != "" && o.Encoding != "identity" }

func events(o llmapi.MeterOptions) bool { return strings.HasPrefix(o.ContentType, "text/event-stream") }

// used is a usage of so many tokens, of which nothing more is known.
func used(total int64) llmapi.Usage { return llmapi.Usage{Output: total, Total: total} }

// reported is what a response said in the end, as a meter has it.
func reported(good llmapi.Reading, u llmapi.Usage) llmapi.Reading {
	good.Usage, good.Reported, good.Why, good.Complete = u, true, "", true
	return good
}

// unread is a response in which a meter found no usage.
func unread(good llmapi.Reading) llmapi.Reading {
	good.Usage, good.Reported, good.Why = llmapi.Usage{}, false, llmapi.MissingAbsent
	return good
}
