package load

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Trace paces a load by instants that were recorded elsewhere.
type Trace struct{ arrivals []Arrival }

// ReadTrace reads one instant per line, in order: a duration (1.5s, 250ms) or a
// number of seconds, since the beginning. Empty lines and what follows a # are left
// out. name is the file's, for messages.
func ReadTrace(name string, text []byte) (*Trace, error) {
	t := &Trace{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		due, ok := instant(line)
		if !ok {
			return nil, fmt.Errorf("reading the trace %s:%d: found %q, expected seconds or a duration since the beginning", name, number, line)
		}
		if n := len(t.arrivals); n > 0 && due < t.arrivals[n-1].Due {
			return nil, fmt.Errorf("reading the trace %s:%d: %s is before the line above it", name, number, line)
		}
		t.arrivals = append(t.arrivals, Arrival{Due: due})
	}
	if len(t.arrivals) == 0 {
		return nil, fmt.Errorf("reading the trace %s: found no instant, expected one per line", name)
	}
	return t, nil
}

func instant(text string) (time.Duration, bool) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		nanos := seconds * float64(time.Second)
		return time.Duration(nanos), nanos >= 0 && nanos < math.MaxInt64
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// Arrivals implements [Pacer].
func (t *Trace) Arrivals() iter.Seq[Arrival] { return slices.Values(t.arrivals) }

// Span implements [Pacer]: up to the last arrival.
func (t *Trace) Span() Span { return Span{Whole: t.arrivals[len(t.arrivals)-1].Due} }
