package suite

import "math"

// Estimate tells the worst case that one request reserves, in tokens: prompt
// and output allowance. The judge brings it; this package reads no bodies.
type Estimate func(*Request) int64

// Cost is what a cell, or a whole program, may cost at worst.
type Cost struct {
	Requests int64 `json:"requests"`
	Tokens   int64 `json:"tokens"`
	// Bounded is false if a step's requests cannot be counted beforehand, as those
	// of a trace file; Requests and Tokens are then what can be counted.
	Bounded bool `json:"bounded"`
}

// WorstCase sums up a program's cells, without those that are skipped.
func (p *Program) WorstCase(estimate Estimate) Cost {
	total := Cost{Bounded: true}
	for _, cell := range p.Cells {
		if cell.Skip == "" {
			total = total.plus(cell.WorstCase(estimate))
		}
	}
	return total
}

// WorstCase counts what a cell sends if every loop runs to its end.
func (c *Cell) WorstCase(estimate Estimate) Cost {
	return worst(c.Steps, estimate)
}

func (c Cost) plus(other Cost) Cost {
	return Cost{Requests: sum(c.Requests, other.Requests), Tokens: sum(c.Tokens, other.Tokens), Bounded: c.Bounded && other.Bounded}
}

func (c Cost) times(n int64) Cost {
	return Cost{Requests: product(c.Requests, n), Tokens: product(c.Tokens, n), Bounded: c.Bounded}
}

// mostCost is where costs stop to grow: more must not look like less.
const mostCost = math.MaxInt64 / 2

func sum(a, b int64) int64 { return min(a+b, mostCost) }

func product(a, b int64) int64 {
	if a > 0 && b > mostCost/a {
		return mostCost
	}
	return a * b
}

func worst(list []Step, estimate Estimate) Cost {
	total := Cost{Bounded: true}
	for i := range list {
		one := list[i].worst(estimate)
		total = total.plus(one.times(int64(max(1, list[i].Repeat))))
	}
	return total
}

func (s *Step) worst(estimate Estimate) Cost {
	one := func(q *Request) Cost { return Cost{Requests: 1, Tokens: estimate(q), Bounded: true} }
	switch {
	case s.Eventually != nil && s.Send != nil:
		return one(s.Send).times(s.Eventually.attempts())
	case s.Send != nil:
		return one(s.Send)
	case s.Drain != nil:
		return one(s.Drain.Request).times(int64(s.Drain.AtMost))
	case s.Load != nil:
		return s.Load.worst(estimate)
	}
	total := Cost{Bounded: true}
	for _, branch := range s.Parallel {
		total = total.plus(worst(branch, estimate))
	}
	return total
}

// attempts is how often an eventually looks at most.
func (e *Eventually) attempts() int64 {
	every := e.Interval()
	if every <= 0 {
		return 1
	}
	return int64(e.Within/every) + 1
}

// worst takes the dearest request of the mix for all of them.
func (l *Load) worst(estimate Estimate) Cost {
	dearest := estimate(l.Request)
	for _, part := range l.Mix {
		dearest = max(dearest, estimate(part.Request))
	}
	requests, bounded := l.requests()
	return Cost{Requests: requests, Tokens: product(requests, dearest), Bounded: bounded}
}

// requests counts the planned arrivals; Poisson arrivals scatter around it, so
// five standard deviations are added.
func (l *Load) requests() (count int64, bounded bool) {
	if l.Model == ModelClosed {
		return int64(l.Requests), l.Requests > 0
	}
	if l.Arrivals != nil && l.Arrivals.Kind == "trace" {
		return 0, false
	}
	mean := 0.0
	for _, stage := range l.Stages {
		mean += (stage.Rate.From.PerSecond() + stage.Rate.To.PerSecond()) / 2 * stage.For.Seconds()
	}
	if l.Arrivals == nil || l.Arrivals.Kind != "constant" {
		mean += 5 * math.Sqrt(mean)
	}
	return int64(min(math.Ceil(mean), mostCost)), true
}
