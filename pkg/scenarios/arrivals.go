package scenarios

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// arrival is one request of an open load before it is sent.
type arrival struct {
	due    time.Duration // since the load began
	warmup bool
}

// schedule is every arrival of an open load, in order: a pure function of the load
// and the seed, so that the same seed offers the same traffic to every target.
//
// Arrivals of rate 1 are drawn (or counted, or read) on an axis of expected
// arrivals, and each stage maps a stretch of that axis to its own time. So a ramp
// needs no rule of its own: it only maps differently.
func schedule(l *suite.Load, rng *rand.Rand, readFile func(string) ([]byte, error)) ([]arrival, error) {
	if l.Arrivals != nil && l.Arrivals.Kind == "trace" {
		return trace(l.Arrivals.File, readFile)
	}
	gap := gaps(l.Arrivals, rng)
	var all []arrival
	var begun time.Duration // of the stage
	var passed float64      // expected arrivals before the stage
	next := gap()
	for _, stage := range l.Stages {
		from, to, length := stage.Rate.From.PerSecond(), stage.Rate.To.PerSecond(), stage.For.Seconds()
		expected := (from + to) / 2 * length
		for ; next < passed+expected; next += gap() {
			at := inverse(next-passed, from, to, length)
			all = append(all, arrival{due: begun + time.Duration(at*float64(time.Second)), warmup: stage.Warmup})
		}
		passed += expected
		begun += stage.For
	}
	return all, nil
}

// inverse is when a rate that moves linearly from one value to another over length
// seconds has brought n arrivals: the root of from·t + (to-from)/(2·length)·t² = n.
func inverse(n, from, to, length float64) float64 {
	slope := (to - from) / length
	if math.Abs(slope) < 1e-12 {
		return n / from
	}
	return (math.Sqrt(from*from+2*slope*n) - from) / slope
}

// gaps draws distances of mean 1 between arrivals.
func gaps(a *suite.Arrivals, rng *rand.Rand) func() float64 {
	kind := "poisson"
	if a != nil {
		kind = a.Kind
	}
	switch kind {
	case "constant":
		return func() float64 { return 1 }
	case "gamma":
		return func() float64 { return gamma(rng, a.Shape) / a.Shape }
	}
	return rng.ExpFloat64
}

// gamma draws from a gamma distribution of scale 1 by the method of Marsaglia and
// Tsang (2000): a normal, cubed and accepted or not.
func gamma(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(rng, shape+1) * math.Pow(rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		root := 1 + c*x
		v := root * root * root
		if v > 0 && math.Log(rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// trace reads arrivals from a file: one per line, as a duration or in seconds since
// the beginning, in order. Empty lines and what follows a # are left out.
func trace(name string, readFile func(string) ([]byte, error)) ([]arrival, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the trace of a load: %w", err)
	}
	var all []arrival
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		due, err := suite.ParseDuration(line)
		if seconds, isNumber := strconv.ParseFloat(line, 64); isNumber == nil && seconds >= 0 {
			due, err = time.Duration(seconds*float64(time.Second)), nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the trace %s:%d: found %q, expected seconds or a duration", name, number, line)
		}
		if len(all) > 0 && due < all[len(all)-1].due {
			return nil, fmt.Errorf("reading the trace %s:%d: %s is before the line above", name, number, line)
		}
		all = append(all, arrival{due: due})
	}
	return all, nil
}
