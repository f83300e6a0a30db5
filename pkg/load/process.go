package load

import (
	"math"
	"math/rand/v2"
)

// Process is how arrivals lie on an axis on which one is expected per unit. The
// zero Process is [Poisson].
//
// Each begins in the middle of its own course, not with an arrival at 0: then the
// number of arrivals that is expected in a stretch is exactly its length, from the
// first unit on.
type Process struct {
	// axis gives the first arrival and a source of distances, of mean 1.
	axis func(*rand.Rand) (first float64, gap func() float64)
}

// Constant arrivals are equally far apart, each in the middle of its unit: at 20/s
// after 25 ms, 75 ms and so on. An arrival never falls on a border between stages,
// where rounding would decide whether it counts.
func Constant() Process {
	return Process{func(*rand.Rand) (float64, func() float64) {
		return 0.5, func() float64 { return 1 }
	}}
}

// Poisson arrivals know nothing of each other, as those of many clients do.
func Poisson() Process {
	return Process{func(rng *rand.Rand) (float64, func() float64) {
		return rng.ExpFloat64(), rng.ExpFloat64
	}}
}

// Gamma arrivals have distances of a gamma distribution. A shape of 1 is Poisson,
// below it they come in bursts, above it ever more evenly. The coefficient of
// variation of the distances is 1/√shape. It panics if shape is not positive.
func Gamma(shape float64) Process {
	if !(shape > 0) { // NaN fails every comparison
		panic("load: the shape of gamma arrivals has to be positive")
	}
	return Process{func(rng *rand.Rand) (float64, func() float64) {
		// A distance that an observer falls into is longer than others (its
		// distribution is that of shape+1), and he falls anywhere in it.
		first := rng.Float64() * gamma(rng, shape+1) / shape
		return first, func() float64 { return gamma(rng, shape) / shape }
	}}
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
