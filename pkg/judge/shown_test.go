package judge

import (
	"slices"
	"testing"
)

// Findings show the values of a key, not the lengths that keep them apart.
func TestShownKey(t *testing.T) {
	for key, want := range map[string]string{
		"":                "",
		"4:acme":          "acme",
		"4:acme3:a:b":     "acme, a:b",
		"0:1:x":           ", x",
		"tenant-7":        "tenant-7", // an identity that is no tuple
		"99:short":        "99:short", // a length beyond its end
		"http://a.test/1": "http://a.test/1",
	} {
		if got := shown(key); got != want {
			t.Errorf("shown(%q) = %q, want %q", key, got, want)
		}
	}
}

// What lies beyond the cap of a rule may have been read, for another rule, or not.
func TestBeyondTheCap(t *testing.T) {
	l := &Limit{Settles: true, Parseable: 1000}
	h := &Hold{Reserved: Exactly(1006)}
	for size, want := range map[int64]Span{1000: Exactly(50), 1001: Between(50, 1006)} {
		r := &Request{Outcome: OutcomeUsage, Usage: &Usage{Total: 50, In: 10, Out: 40}, Document: size, Sent: 1, Ended: 2}
		if got := actual(r, h, l, &Target{KnownOutcomes: true}); got != want {
			t.Errorf("a document of %d bytes: %v, want %v", size, got, want)
		}
	}
}

// A wrong decision is told before what the target says of itself, whichever came first.
func TestDecisionsComeFirst(t *testing.T) {
	h := newHistory(minute())
	lie := sent(0, 1000, Admitted)
	lie.Rates = []RateHeader{{Source: "openai", Dimension: Tokens, Remaining: new(int64(17))}}
	h.Requests = []Request{lie, sent(sec, 1000, Rejected)}
	var kinds []Kind
	for _, f := range Judge(h).Findings {
		kinds = append(kinds, f.Kind)
	}
	if want := []Kind{WrongfulRejection, HeaderRemaining}; !slices.Equal(kinds, want) {
		t.Errorf("findings %v, want %v", kinds, want)
	}
}
