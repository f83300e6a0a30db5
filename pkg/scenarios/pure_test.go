package scenarios

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

func ramp(t *testing.T, text string) suite.Ramp {
	t.Helper()
	r, err := suite.ParseRamp(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestConstantArrivals(t *testing.T) {
	l := &suite.Load{
		Arrivals: &suite.Arrivals{Kind: "constant"},
		Stages: []suite.Stage{
			{For: 2 * time.Second, Rate: ramp(t, "1/s"), Warmup: true},
			{For: time.Second, Rate: ramp(t, "4/s")},
		},
	}
	all, err := schedule(l, seeded(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range all {
		got = append(got, fmt.Sprint(a.due, a.warmup))
	}
	want := "[1s true 2s false 2.25s false 2.5s false 2.75s false]"
	if fmt.Sprint(got) != want {
		t.Errorf("arrivals %v, want %s", got, want)
	}
}

// A ramp from 0 to 10/s over 10 s brings 50 arrivals, and the n-th of them when
// t²/2 = n.
func TestRamp(t *testing.T) {
	l := &suite.Load{
		Arrivals: &suite.Arrivals{Kind: "constant"},
		Stages:   []suite.Stage{{For: 10 * time.Second, Rate: ramp(t, "0/s..10/s")}},
	}
	all, err := schedule(l, seeded(), nil)
	if err != nil || len(all) != 49 {
		t.Fatalf("%d arrivals, %v; want 49 before the end", len(all), err)
	}
	for i, a := range all {
		if want := math.Sqrt(2 * float64(i+1)); math.Abs(a.due.Seconds()-want) > 1e-6 {
			t.Errorf("arrival %d at %v, want %.6fs", i+1, a.due, want)
		}
	}
}

// Whatever the process: arrivals are in order, inside their stages, as many as the
// rates say, and the same for the same seed.
func TestArrivals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{"constant", "poisson", "gamma"}).Draw(t, "kind")
		l := &suite.Load{Arrivals: &suite.Arrivals{Kind: kind, Shape: rapid.Float64Range(0.5, 8).Draw(t, "shape")}}
		var whole time.Duration
		expected := 0.0
		for range rapid.IntRange(1, 4).Draw(t, "stages") {
			from, to := rapid.Float64Range(1, 100).Draw(t, "from"), rapid.Float64Range(1, 100).Draw(t, "to")
			length := time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second
			l.Stages = append(l.Stages, suite.Stage{For: length, Rate: suite.Ramp{
				From: suite.Rate{Count: from, Per: time.Second}, To: suite.Rate{Count: to, Per: time.Second},
			}})
			whole += length
			expected += (from + to) / 2 * length.Seconds()
		}
		seed := rapid.Uint64().Draw(t, "seed")
		once := func() []arrival {
			all, err := schedule(l, rand.New(rand.NewPCG(seed, 0)), nil)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		all := once()
		if !slices.Equal(all, once()) {
			t.Fatal("the same seed gave other arrivals")
		}
		for i, a := range all {
			if a.due < 0 || a.due > whole || i > 0 && a.due < all[i-1].due {
				t.Fatalf("arrival %d of %d at %v of %v", i, len(all), a.due, whole)
			}
		}
		// Eight standard deviations: once in more runs than there will be.
		spread := 8 * math.Sqrt(expected/min(1, l.Arrivals.Shape))
		if n := float64(len(all)); math.Abs(n-expected) > spread+2 {
			t.Fatalf("%v arrivals, expected %.0f ± %.0f", n, expected, spread)
		}
	})
}

func TestTrace(t *testing.T) {
	l := &suite.Load{Arrivals: &suite.Arrivals{Kind: "trace", File: "x.trace"}}
	for _, tc := range []struct{ text, want string }{
		{"0\n1.5 # a comment\n\n2s\n", "[0s 1.5s 2s]"},
		{"1\n0.5\n", "x.trace:2: 0.5 is before the line above"},
		{"1\nsoon\n", `x.trace:2: found "soon"`},
		{"-1\n", `x.trace:1: found "-1"`},
	} {
		all, err := schedule(l, nil, func(string) ([]byte, error) { return []byte(tc.text), nil })
		got := fmt.Sprint(err)
		if err == nil {
			var due []time.Duration
			for _, a := range all {
				due = append(due, a.due)
			}
			got = fmt.Sprint(due)
		}
		if !strings.Contains(got, tc.want) {
			t.Errorf("%q: %s, want %s", tc.text, got, tc.want)
		}
	}
	missing := errors.New("no such file")
	if _, err := schedule(l, nil, func(string) ([]byte, error) { return nil, missing }); !errors.Is(err, missing) {
		t.Errorf("a missing trace: %v", err)
	}
}

func TestSelector(t *testing.T) {
	for _, tc := range []struct{ selector, want string }{
		{"a_total", "a_total map[]"},
		{`a_total{x='1',y="b c"}`, "a_total map[x:1 y:b c]"},
		{"a_total{ x = '1' , }", "a_total map[x:1]"},
		{"{x='1'}", "has no name"},
		{"a{x='1'", "not closed"},
		{"a{x=1}", "expected label='value'"},
		{"a{x='1'} 5", "not closed at its end"},
	} {
		name, labels, err := parseSelector(tc.selector)
		got := fmt.Sprint(name, " ", labels)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s, want %s", tc.selector, got, tc.want)
		}
	}
}

func TestKeysOfALedger(t *testing.T) {
	h := &judge.History{Requests: []judge.Request{{Holds: []judge.Hold{{Key: "3:abc"}, {Key: "5:x,y\\z1:k"}, {Key: "9:cut"}, {Key: ""}}}}}
	keys := shownKeys(h)
	for shown, want := range map[string]string{
		"abc":                 "3:abc",
		"sha256:ba7816bf8f01": "3:abc", // of "abc", as everybody can compute
		`x\,y\\z,k`:           "5:x,y\\z1:k",
		"":                    "",
	} {
		if got, ok := keys[shown]; !ok || got != want {
			t.Errorf("%q is %q, %v; want %q", shown, got, ok, want)
		}
	}
	if _, ok := keys["cut"]; ok {
		t.Error("a key that is no tuple was taken for one")
	}
}

func TestOutcomeOfParents(t *testing.T) {
	for _, tc := range []struct {
		counts Counts
		want   Outcome
	}{
		{Counts{}, ""},
		{Counts{Skip: 2}, Skip},
		{Counts{Skip: 2, Pass: 1}, Pass},
		{Counts{Skip: 1, Pass: 1, Fail: 1}, Fail},
		{Counts{Pass: 1, Fail: 1, Error: 1}, Error},
	} {
		if got := tc.counts.Outcome(); got != tc.want {
			t.Errorf("%+v is %q, want %q", tc.counts, got, tc.want)
		}
	}
	if Fail.Worse(Skip) != Fail || Skip.Worse(Fail) != Fail || Fail.Worse(Error) != Error || Outcome("").Worse(Pass) != Pass {
		t.Error("the worse of two outcomes is not the worse")
	}
}

func TestMasking(t *testing.T) {
	mask := masker([]string{"secret", "secret-and-more", "abc"})
	if got := mask("a secret-and-more, a secret, abc"); got != "a ***, a ***, abc" {
		t.Errorf("masked to %q", got)
	}
}
