package report

import (
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/llmlimit/llmlimit/pkg/load"
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
		by[name] = append(by[name], x.First-x.Sent)
	}
	return lines(by, []string{"streaming", "whole"})
}

// loadLines are what only a load measures: how long its clients waited since a request
// was due, the gaps between events, what the target adds to the mock's own time.
func loadLines(sc *scenarios.ScenarioResult) []latencyLine {
	var all []latencyLine
	eachStep(sc.Steps, func(st *scenarios.StepResult) {
		m := st.Measured
		if m == nil {
			return
		}
		for _, of := range []struct {
			name string
			d    load.Distribution
		}{{"from due", m.All.Response}, {"from sent", m.All.Service}, {"first token", m.All.TTFT}, {"gap", m.All.Gap}, {"overhead", m.Overhead}} {
			if h := of.d.HDR.Histogram(); h != nil && of.d.Count >= fewest {
				all = append(all, histogramLine(stepName(st)+" "+of.name, h))
			}
		}
	})
	return all[:min(len(all), maxLoadLines)]
}

// maxLoadLines is how many distributions one plot of loads can show.
const maxLoadLines = 10

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
