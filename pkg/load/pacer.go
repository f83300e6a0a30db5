package load

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// Arrival is one shot of an open load before it is fired.
type Arrival struct {
	Due    time.Duration // since the load began; never less than that of the one before
	Warmup bool          // kept out of the statistics
}

// Pacer says when each shot of an open load is due. It is pure: the same pacer
// yields the same arrivals every time, whatever became of the shots.
type Pacer interface {
	// Arrivals yields every shot in the order of its due time.
	Arrivals() iter.Seq[Arrival]
	// Span is how long the load lasts, arrivals or not.
	Span() Span
}

// Span is the length of a load.
type Span struct {
	Whole  time.Duration
	Warmup time.Duration // part of Whole; always at its beginning or between measured stretches
}

// Measured is the part whose shots count.
func (s Span) Measured() time.Duration { return s.Whole - s.Warmup }

// Stage is a stretch of an open load. Its rate moves in a straight line from From
// to To, both in shots per second.
type Stage struct {
	For      time.Duration
	From, To float64
	Warmup   bool
}

// expected is how many shots the stage brings: the integral of its rate.
func (s Stage) expected() float64 { return (s.From + s.To) / 2 * s.For.Seconds() }

// after is when the stage has brought n shots, in seconds since its beginning: the
// root of from·t + slope/2·t² = n. It is written such that a level rate needs no
// rule of its own and a gentle slope loses no digits.
func (s Stage) after(n float64) float64 {
	slope := (s.To - s.From) / s.For.Seconds()
	root := math.Sqrt(math.Max(0, s.From*s.From+2*slope*n)) // below 0 only by rounding, at the end of a ramp to 0
	if n <= 0 || s.From+root == 0 {
		return 0
	}
	return math.Min(2*n/(s.From+root), s.For.Seconds())
}

// Stages paces a load by stages. Arrivals of rate 1 are laid on an axis of expected
// arrivals, and each stage maps a stretch of that axis onto its own time: so a ramp
// is exact, not a staircase, and a process knows nothing of rates.
type Stages struct {
	stages  []Stage
	process Process
	seed    uint64
}

// NewStages makes a pacer; it refuses stages that have no length or a rate that is
// negative or not a number.
func NewStages(process Process, seed uint64, stages ...Stage) (*Stages, error) {
	for i, s := range stages {
		switch {
		case s.For <= 0:
			return nil, fmt.Errorf("load: stage %d lasts %v, expected more than 0", i+1, s.For)
		case !(s.From >= 0 && s.To >= 0) || math.IsInf(s.From+s.To, 0): // NaN fails every comparison
			return nil, fmt.Errorf("load: stage %d has the rate %g/s..%g/s, expected numbers from 0", i+1, s.From, s.To)
		}
	}
	if process.axis == nil {
		process = Poisson()
	}
	return &Stages{stages: stages, process: process, seed: seed}, nil
}

// Span implements [Pacer].
func (p *Stages) Span() Span {
	var s Span
	for _, stage := range p.stages {
		s.Whole += stage.For
		if stage.Warmup {
			s.Warmup += stage.For
		}
	}
	return s
}

// Expected is how many shots the stages bring on average, warm-up included.
func (p *Stages) Expected() float64 {
	sum := 0.0
	for _, stage := range p.stages {
		sum += stage.expected()
	}
	return sum
}

// Arrivals implements [Pacer].
func (p *Stages) Arrivals() iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		next, gap := p.process.axis(rand.New(rand.NewPCG(p.seed, paceStream))) //nolint:gosec // reproducible on purpose
		var begun time.Duration                                                // of the stage
		for _, stage := range p.stages {
			expected := stage.expected()
			for ; next < expected; next += gap() {
				due := begun + time.Duration(stage.after(next)*float64(time.Second))
				if !yield(Arrival{Due: due, Warmup: stage.Warmup}) {
					return
				}
			}
			// The axis begins anew at each border: small numbers keep their digits,
			// however long the load.
			next -= expected
			begun += stage.For
		}
	}
}

// The streams keep the draws of one seed apart.
const (
	paceStream   = 0x70616365
	spreadStream = 0x73707264
	rankStream   = 0x72616e6b
)
