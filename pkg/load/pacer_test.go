package load

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func stages(t *testing.T, process Process, seed uint64, all ...Stage) *Stages {
	t.Helper()
	p, err := NewStages(process, seed, all...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestConstantArrivals(t *testing.T) {
	const second, ms = time.Second, time.Millisecond
	for _, row := range []struct {
		why    string
		stages []Stage
		count  int
		first  time.Duration
		last   time.Duration
	}{
		{"each in the middle of its 50 ms", []Stage{{For: second, From: 20, To: 20}}, 20, 25 * ms, 975 * ms},
		{"less than half a shot is none", []Stage{{For: second, From: 0.4, To: 0.4}}, 0, 0, 0},
		{"one shot in ten seconds comes after five", []Stage{{For: 10 * second, From: 0.1, To: 0.1}}, 1, 5 * second, 5 * second},
		{"what a stage begins the next one ends", []Stage{{For: second, From: 0.25, To: 0.25}, {For: second, From: 0.25, To: 0.25}, {For: second, From: 0.25, To: 0.25}}, 1, 2 * second, 2 * second},
		{"a pause has no arrivals", []Stage{{For: second, From: 2, To: 2}, {For: time.Hour}, {For: second, From: 2, To: 2}}, 4, 250 * ms, time.Hour + second + 750*ms},
		// 10t + 5t² = 0.5 has the root 0.0488; ∫ = 15 over one second, not 10 or 20.
		{"a ramp is the integral of its rate", []Stage{{For: second, From: 10, To: 20}}, 15, 48808848 * time.Nanosecond, 974841766 * time.Nanosecond},
		// 10t² = 0.5: the first of a ramp from nothing comes late.
		{"a ramp from 0", []Stage{{For: second, From: 0, To: 20}}, 10, 223606797 * time.Nanosecond, 974679434 * time.Nanosecond},
		{"a ramp to 0 is its mirror image", []Stage{{For: second, From: 20, To: 0}}, 10, 25320565 * time.Nanosecond, 776393202 * time.Nanosecond},
	} {
		t.Run(row.why, func(t *testing.T) {
			all := slices.Collect(stages(t, Constant(), 1, row.stages...).Arrivals())
			if len(all) != row.count {
				t.Fatalf("%d arrivals, expected %d", len(all), row.count)
			}
			if row.count == 0 {
				return
			}
			if got := all[0].Due; (got - row.first).Abs() > time.Microsecond {
				t.Errorf("the first is due after %v, expected %v", got, row.first)
			}
			if got := all[len(all)-1].Due; (got - row.last).Abs() > time.Microsecond {
				t.Errorf("the last is due after %v, expected %v", got, row.last)
			}
		})
	}
}

var processes = map[string]Process{
	"constant": Constant(), "poisson": Poisson(), "gamma(0.3)": Gamma(0.3), "gamma(4)": Gamma(4), "zero": {},
}

// Arrivals are in order, within their stage, the same for the same seed, and as
// many as the integral of the rate says: neither more nor fewer.
func TestArrivalsOfAnyStages(t *testing.T) {
	for name, process := range processes {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				var all []Stage
				for range rapid.IntRange(1, 4).Draw(t, "stages") {
					all = append(all, Stage{
						For:  time.Duration(rapid.Int64Range(1, int64(20*time.Second)).Draw(t, "for")),
						From: rapid.Float64Range(0, 100).Draw(t, "from"), To: rapid.Float64Range(0, 100).Draw(t, "to"),
						Warmup: rapid.Bool().Draw(t, "warmup"),
					})
				}
				p, err := NewStages(process, rapid.Uint64().Draw(t, "seed"), all...)
				if err != nil {
					t.Fatal(err)
				}
				arrivals := slices.Collect(p.Arrivals())
				if again := slices.Collect(p.Arrivals()); !slices.Equal(arrivals, again) {
					t.Fatal("the same pacer gives different arrivals")
				}
				if !slices.IsSortedFunc(arrivals, func(a, b Arrival) int { return int(a.Due - b.Due) }) {
					t.Fatal("arrivals are out of order")
				}
				for _, a := range arrivals {
					end, inside := time.Duration(0), false
					for _, s := range all {
						inside = inside || a.Warmup == s.Warmup && a.Due >= end && a.Due <= end+s.For
						end += s.For
					}
					if !inside {
						t.Fatalf("%+v lies in no stage of its kind", a)
					}
				}
				// Ten standard deviations of the burstiest process; constant ones differ by rounding alone.
				off, allowed := math.Abs(float64(len(arrivals))-p.Expected()), 10*math.Sqrt(p.Expected()/0.3)+12
				if name == "constant" {
					allowed = 0.5 + 1e-6
				}
				if off > allowed {
					t.Fatalf("%d arrivals, expected %g ± %g", len(arrivals), p.Expected(), allowed)
				}
			})
		})
	}
}

// On average over seeds there are exactly as many arrivals as the rate says, in a
// short load too: a process that begins with a whole distance has a bias, of half a
// shot for constant arrivals and of more than one for bursts.
func TestMeanOfCounts(t *testing.T) {
	const seeds, expected = 20_000, 4.0
	for name, process := range processes {
		sum, squares := 0.0, 0.0
		for seed := range uint64(seeds) {
			n := 0.0
			for range stages(t, process, seed, Stage{For: time.Second, From: 2, To: 6}).Arrivals() {
				n++
			}
			sum += n
			squares += n * n
		}
		mean := sum / seeds
		deviation := math.Sqrt(math.Max(0, squares/seeds-mean*mean) / seeds)
		if math.Abs(mean-expected) > 4*deviation+1e-9 {
			t.Errorf("%s: %.4f arrivals on average, expected %g ± %.4f", name, mean, expected, 4*deviation)
		}
	}
}

// The burstiness is the one that was asked for.
func TestVariationOfDistances(t *testing.T) {
	for _, row := range []struct {
		name    string
		process Process
		cv      float64
	}{{"constant", Constant(), 0}, {"poisson", Poisson(), 1}, {"gamma(0.25)", Gamma(0.25), 2}, {"gamma(4)", Gamma(4), 0.5}} {
		var n, sum, squares float64
		last := time.Duration(-1)
		for a := range stages(t, row.process, 7, Stage{For: 1000 * time.Second, From: 100, To: 100}).Arrivals() {
			if last >= 0 {
				gap := (a.Due - last).Seconds()
				n, sum, squares = n+1, sum+gap, squares+gap*gap
			}
			last = a.Due
		}
		mean := sum / n
		if cv := math.Sqrt(math.Max(0, squares/n-mean*mean)) / mean; math.Abs(cv-row.cv) > 0.03 {
			t.Errorf("%s: the distances vary by %.3f of their mean, expected %.3f", row.name, cv, row.cv)
		}
		if math.Abs(mean-0.01) > 0.0003 {
			t.Errorf("%s: they are %.5f s on average, expected 0.01", row.name, mean)
		}
	}
}

func TestSeedsDiffer(t *testing.T) {
	stage := Stage{For: time.Second, From: 50, To: 50}
	one, two := slices.Collect(stages(t, Poisson(), 1, stage).Arrivals()), slices.Collect(stages(t, Poisson(), 2, stage).Arrivals())
	if slices.Equal(one, two) {
		t.Error("two seeds give the same arrivals")
	}
}

func TestBadStages(t *testing.T) {
	for want, stage := range map[string]Stage{
		"load: stage 1 lasts 0s, expected more than 0":                    {From: 1, To: 1},
		"load: stage 1 has the rate -1/s..1/s, expected numbers from 0":   {For: 1, From: -1, To: 1},
		"load: stage 1 has the rate NaN/s..1/s, expected numbers from 0":  {For: 1, From: math.NaN(), To: 1},
		"load: stage 1 has the rate 1/s..+Inf/s, expected numbers from 0": {For: 1, From: 1, To: math.Inf(1)},
	} {
		if _, err := NewStages(Constant(), 1, stage); err == nil || err.Error() != want {
			t.Errorf("found %v, expected %q", err, want)
		}
	}
}

func TestTrace(t *testing.T) {
	trace, err := ReadTrace("x.trace", []byte("# of yesterday\n0\n0.25\n250ms # a tie\n\n1m\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Arrival{{Due: 0}, {Due: 250 * time.Millisecond}, {Due: 250 * time.Millisecond}, {Due: time.Minute}}
	if got := slices.Collect(trace.Arrivals()); !slices.Equal(got, want) {
		t.Errorf("found %v, expected %v", got, want)
	}
	if got := trace.Span(); got != (Span{Whole: time.Minute}) {
		t.Errorf("the span is %+v", got)
	}
	for text, want := range map[string]string{
		"1\nsoon\n": `reading the trace x.trace:2: found "soon", expected seconds or a duration since the beginning`,
		"-1\n":      `reading the trace x.trace:1: found "-1", expected seconds or a duration since the beginning`,
		"1e300\n":   `reading the trace x.trace:1: found "1e300", expected seconds or a duration since the beginning`,
		"NaN\n":     `reading the trace x.trace:1: found "NaN", expected seconds or a duration since the beginning`,
		"2\n\n1s\n": "reading the trace x.trace:3: 1s is before the line above it",
		"# only\n":  "reading the trace x.trace: found no instant, expected one per line",
	} {
		if _, err := ReadTrace("x.trace", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: found %v, expected %q", strings.TrimSpace(text), err, want)
		}
	}
}

// Ties get distinct instants, in their order and near their own.
func TestSpread(t *testing.T) {
	same := make([]Arrival, 5000)
	for i := range same {
		same[i].Due = time.Second
	}
	last := time.Second - 1
	for a := range spread(slices.Values(same), 3) {
		if a.Due <= last {
			t.Fatalf("%v follows %v", a.Due, last)
		}
		last = a.Due
	}
	if last > time.Second+spreadWithin+time.Duration(len(same)) {
		t.Errorf("the last of %d was moved to %v", len(same), last)
	}
}
