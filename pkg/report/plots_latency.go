package report

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// latencyShares are where a distribution is drawn: evenly on an axis on which each
// further nine is as wide as the one before.
var latencyShares = sharesOf(120, 5)

func sharesOf(n int, nines float64) []float64 {
	shares := make([]float64, n+1)
	for i := range shares {
		shares[i] = 1 - math.Pow(10, -nines*float64(i)/float64(n))
	}
	return shares
}

// line sorts the durations and reads the distribution off them; a share that so few
// samples cannot tell is left out.
func line(name string, of []time.Duration) latencyLine {
	slices.Sort(of)
	l := latencyLine{Name: name, Count: len(of)}
	for _, share := range latencyShares {
		if share > 0 && (1-share)*float64(len(of)) < 0.5 {
			break
		}
		l.Y = append(l.Y, millis(quantile(of, share)))
	}
	return l
}

// fewest is how many samples make a distribution worth a line.
const fewest = 5

func latencyLines(sc *scenarios.ScenarioResult) []latencyLine {
	by := map[string][]time.Duration{}
	for _, x := range sc.Requests {
		if x.Ended < 0 || x.Status == 0 {
			continue
		}
		by[lanes[laneOf(x)]] = append(by[lanes[laneOf(x)]], x.Ended-x.Sent)
		if x.Due != 0 && laneOf(x) == 0 {
			by["admitted, from due"] = append(by["admitted, from due"], x.Ended-x.Due)
		}
	}
	return lines(by, append(slices.Clone(lanes), "admitted, from due"))
}

// addedLines set how long whole answers took through the target beside how long the
// mock alone took for them: what lies between is what the target adds.
func addedLines(sc *scenarios.ScenarioResult) []latencyLine {
	by := map[string][]time.Duration{}
	for _, x := range sc.Requests {
		if x.Outcome == "complete" && x.Finished > x.Received && x.Received >= 0 && x.Ended-x.Sent != x.Finished-x.Received {
			by[through] = append(by[through], x.Ended-x.Sent)
			by[direct] = append(by[direct], x.Finished-x.Received)
		}
	}
	return lines(by, []string{through, direct})
}

const through, direct = "through the target", "the mock alone"

// firstLines part answers by what a limiter may treat apart: streams, and bodies whose
// length the header says or not.
func firstLines(sc *scenarios.ScenarioResult) []latencyLine {
	by := map[string][]time.Duration{}
	for _, x := range sc.Requests {
		if x.First < 0 || x.Status != 200 {
			continue
		}
		name := "whole"
		if x.Stream {
			name = "streaming"
		}
		if x.Framing != "" {
			name += ", " + x.Framing
		}
		by[name] = append(by[name], x.First-x.Sent)
	}
	return lines(by, slices.Sorted(maps.Keys(by)))
}

// gapLines are the pauses between the events of streams, which only loads measure.
func gapLines(sc *scenarios.ScenarioResult) []latencyLine {
	var all []latencyLine
	eachStep(sc.Steps, func(st *scenarios.StepResult) {
		if st.Measured == nil {
			return
		}
		gap := st.Measured.All.Gap
		if h := gap.HDR.Histogram(); h != nil && gap.Count >= fewest {
			all = append(all, histogramLine(stepName(st), h))
		}
	})
	return all[:min(len(all), maxGapLines)]
}

// maxGapLines is how many loads one plot can show.
const maxGapLines = 5

// histogramLine reads a distribution off a histogram of microseconds.
func histogramLine(name string, h *hdrhistogram.Histogram) latencyLine {
	l := latencyLine{Name: name, Count: int(h.TotalCount())}
	for _, share := range latencyShares {
		if share > 0 && (1-share)*float64(l.Count) < 0.5 {
			break
		}
		l.Y = append(l.Y, millis(time.Duration(h.ValueAtQuantile(100*share))*time.Microsecond))
	}
	return l
}

func lines(by map[string][]time.Duration, order []string) []latencyLine {
	var all []latencyLine
	for _, name := range order {
		if len(by[name]) >= fewest {
			all = append(all, line(name, by[name]))
		}
	}
	return all
}
