package mockllm

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Dist is a number that is fixed or drawn. The fixed one is written as itself, the others as
// {dist: lognormal, mean: 180, p99: 900, max: 980}. A draw is never negative and never above Max, if Max is set.
type Dist[T int64 | Duration] struct {
	Kind string `json:"dist,omitempty" yaml:"dist,omitempty"` // fixed (also ""), uniform, normal, lognormal
	Mean T      `json:"mean" yaml:"mean"`
	SD   T      `json:"sd,omitempty" yaml:"sd,omitempty"`   // standard deviation
	P99  T      `json:"p99,omitempty" yaml:"p99,omitempty"` // lognormal: in place of SD
	Max  T      `json:"max,omitempty" yaml:"max,omitempty"` // uniform: the upper end, the lower one lies as far below the mean
}

// Count returns a fixed number of tokens.
func Count(n int64) *Tokens { return &Tokens{Mean: n} }

// Every returns a fixed delay.
func Every(d time.Duration) *Delay { return &Delay{Mean: Duration(d)} }

// Duration is a time.Duration that is written "50ms".
type Duration time.Duration

// MarshalText writes it as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("found %q, expected a duration such as 50ms", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes a fixed one as a plain number or duration.
func (d Dist[T]) MarshalJSON() ([]byte, error) {
	if d.fixed() {
		return json.Marshal(d.Mean)
	}
	type plain Dist[T]
	return json.Marshal(plain(d))
}

func (d *Dist[T]) fixed() bool { return d.Kind == "" || d.Kind == "fixed" }

// value is the fixed value, or whenUnset for nil. Plans are drawn before they are compiled, so nothing else is left then.
func (d *Dist[T]) value(whenUnset T) T {
	if d == nil {
		return whenUnset
	}
	return d.Mean
}

func (d *Dist[T]) drawn(r *rand.Rand) *Dist[T] {
	if d == nil || d.fixed() {
		return d
	}
	return &Dist[T]{Mean: d.Draw(r)}
}

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// Draw returns one value. A fixed one draws nothing from r.
func (d *Dist[T]) Draw(r *rand.Rand) T {
	mean, sd := float64(d.Mean), float64(d.SD)
	var v float64
	switch d.Kind {
	case "uniform":
		half := float64(d.Max) - mean
		if d.Max == 0 {
			half = sd * math.Sqrt(3)
		}
		v = mean - half + 2*half*r.Float64()
	case "normal":
		v = mean + sd*r.NormFloat64()
	case "lognormal":
		mu, sigma := d.lognormal()
		v = math.Exp(mu + sigma*r.NormFloat64())
	default:
		return d.Mean
	}
	v = math.Round(max(v, 0))
	if d.Max > 0 {
		v = min(v, float64(d.Max))
	}
	return T(v)
}

// lognormal solves for the parameters of the underlying normal distribution. From ln mean = mu + s²/2 and
// ln p99 = mu + z s follows s²/2 - z s + ln(p99/mean) = 0, whose smaller root is the one with a mode near the mean.
func (d *Dist[T]) lognormal() (mu, sigma float64) {
	mean := float64(d.Mean)
	if d.P99 > 0 {
		sigma = z99 - math.Sqrt(max(0, z99*z99-2*math.Log(float64(d.P99)/mean)))
	} else {
		ratio := float64(d.SD) / mean
		sigma = math.Sqrt(math.Log1p(ratio * ratio))
	}
	return math.Log(mean) - sigma*sigma/2, sigma
}

// check says what is wrong with the distribution at path, or returns nil.
func (d *Dist[T]) check(path string) error {
	switch {
	case d == nil:
		return nil
	case d.Mean < 0 || d.SD < 0 || d.P99 < 0 || d.Max < 0:
		return &FieldError{Path: path, Problem: "found a negative number, expected 0 or more"}
	case d.Kind == "uniform" && d.Max == 0 && d.SD == 0:
		return &FieldError{Path: path, Problem: "a uniform distribution needs max or sd"}
	case d.Max > 0 && d.Max < d.Mean:
		return &FieldError{Path: path, Problem: "max is below the mean"}
	case d.Kind == "lognormal" && d.Mean == 0:
		return &FieldError{Path: path, Problem: "a lognormal distribution needs a mean above 0"}
	case d.Kind == "lognormal" && d.P99 > 0 && d.P99 < d.Mean:
		return &FieldError{Path: path, Problem: "p99 is below the mean"}
	case d.Kind == "lognormal" && d.P99 > 0 && 2*math.Log(float64(d.P99)/float64(d.Mean)) > z99*z99:
		return &FieldError{Path: path, Problem: "p99 is more than 14.9 times the mean, which no lognormal distribution has"}
	}
	return nil
}
