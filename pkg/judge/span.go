package judge

import (
	"encoding/json"
	"fmt"
	"math"
)

// forever is an instant, or an amount, that no history reaches.
const forever = math.MaxInt64 / 4

// Span is an interval of integers, both ends included. A value that is known is
// a span whose ends are equal; in JSON it is a number, and [lo, hi] otherwise.
type Span struct{ Lo, Hi int64 }

// Exactly is the span of one value.
func Exactly(v int64) Span { return Span{Lo: v, Hi: v} }

// Between is the span from lo to hi.
func Between(lo, hi int64) Span { return Span{Lo: lo, Hi: hi} }

// IsPoint reports whether the value is known.
func (s Span) IsPoint() bool { return s.Lo == s.Hi }

// IsZero reports whether it is exactly nought.
func (s Span) IsZero() bool { return s == Span{} }

// String is "5" or "3..7".
func (s Span) String() string {
	if s.IsPoint() {
		return fmt.Sprint(s.Lo)
	}
	return fmt.Sprintf("%d..%d", s.Lo, s.Hi)
}

// MarshalJSON writes a number or a pair.
func (s Span) MarshalJSON() ([]byte, error) {
	if s.IsPoint() {
		return json.Marshal(s.Lo)
	}
	return json.Marshal([2]int64{s.Lo, s.Hi})
}

// UnmarshalJSON reads a number or a pair.
func (s *Span) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var pair []int64
		if err := json.Unmarshal(b, &pair); err != nil {
			return fmt.Errorf("reading an interval: %w", err)
		}
		if len(pair) != 2 || pair[0] > pair[1] {
			return fmt.Errorf("reading an interval: found %s, expected [low, high]", b)
		}
		s.Lo, s.Hi = pair[0], pair[1]
		return nil
	}
	var v int64
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("reading an amount: %w", err)
	}
	*s = Exactly(v)
	return nil
}

// join is the smallest span that contains both.
func (s Span) join(o Span) Span { return Span{Lo: min(s.Lo, o.Lo), Hi: max(s.Hi, o.Hi)} }

// atLeast raises both ends to those of the other where they are lower.
func (s Span) atLeast(o Span) Span { return Span{Lo: max(s.Lo, o.Lo), Hi: max(s.Hi, o.Hi)} }

// plus adds the ends.
func (s Span) plus(o Span) Span { return Span{Lo: s.Lo + o.Lo, Hi: s.Hi + o.Hi} }
