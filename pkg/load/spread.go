package load

import (
	"iter"
	"math/rand/v2"
	"time"
)

// spreadWithin bounds the offset that a shot gets in virtual time.
const spreadWithin = 1000

// spread moves each arrival by less than a microsecond, so that no two are due at
// the same instant, nor at one where something else happens by a round number. In
// virtual time the scheduler would decide who comes first; so the seed does. The
// order of arrivals stays.
func spread(arrivals iter.Seq[Arrival], seed uint64) iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		rng := rand.New(rand.NewPCG(seed, spreadStream)) //nolint:gosec // reproducible on purpose
		last := time.Duration(-1)
		for a := range arrivals {
			a.Due = max(last+1, a.Due+time.Duration(rng.IntN(spreadWithin)))
			last = a.Due
			if !yield(a) {
				return
			}
		}
	}
}
