package load

import "time"

// Bin counts what happened within one stretch of a load, warm-up included.
type Bin struct {
	Offered  int64 `json:"offered"`  // due
	Sent     int64 `json:"sent"`     // fired
	Dropped  int64 `json:"dropped"`  // due while there was no room
	Admitted int64 `json:"admitted"` // ended so
	Rejected int64 `json:"rejected"` // ended so
	Goodput  int64 `json:"goodput"`  // ended so
}

func (b *Bin) add(other Bin) {
	b.Offered += other.Offered
	b.Sent += other.Sent
	b.Dropped += other.Dropped
	b.Admitted += other.Admitted
	b.Rejected += other.Rejected
	b.Goodput += other.Goodput
}

const (
	// wantedBins is how fine a series is that knows how long it will be.
	wantedBins = 100
	// mostBins bounds the memory of one that does not.
	mostBins = 2 * wantedBins
)

// series counts over time. When it has grown too long, neighbours are put together
// and its bins are twice as wide from then on.
type series struct {
	width time.Duration
	bins  []Bin
}

// newSeries makes bins of a hundredth of the load, and of a second where nobody
// knows how long it will be.
func newSeries(span time.Duration) series {
	if span <= 0 {
		return series{width: time.Second}
	}
	return series{width: max(1, span/wantedBins)}
}

// bin is the one at an instant since the load began. It is good until the next call.
func (s *series) bin(at time.Duration) *Bin {
	for max(0, at)/s.width >= mostBins {
		half := make([]Bin, (len(s.bins)+1)/2, mostBins)
		for i, bin := range s.bins {
			half[i/2].add(bin)
		}
		s.bins, s.width = half, 2*s.width
	}
	i := int(max(0, at) / s.width)
	for len(s.bins) <= i {
		s.bins = append(s.bins, Bin{})
	}
	return &s.bins[i]
}
