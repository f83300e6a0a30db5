package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// How much a page draws of one cell. A run of a million requests is drawn from
// aggregates and the proven violations; the histories hold the rest.
const (
	maxAccounts = 6    // ledgers of one cell
	maxDots     = 1500 // requests that are drawn one by one
	maxBins     = 600  // of a series over time
	maxRates    = 100  // of rates, which are too restless in shorter ones
	maxPairs    = 800  // distinct points of a scatter
	maxShares   = 16   // keys of the fairness bars
	shortestBin = 100 * time.Millisecond
)

// plots are the series of one cell, as the page's script reads them. Times are
// seconds since the start of the scenario, amounts are tokens, durations are ms.
type plots struct {
	Ledgers   []ledgerPlot   `json:"ledgers,omitempty"`
	Residuals []residualPlot `json:"residuals,omitempty"`
	Arrivals  *arrivalPlot   `json:"arrivals,omitempty"`
	Windows   []windowPlot   `json:"windows,omitempty"`
	Bursts    []burstPlot    `json:"bursts,omitempty"`
	Latency   []latencyLine  `json:"latency,omitempty"`
	Added     []latencyLine  `json:"added,omitempty"` // through the target, and the mock's own part of it
	First     []latencyLine  `json:"first,omitempty"`
	Gaps      []latencyLine  `json:"gaps,omitempty"` // between the events of a stream
	Rates     *ratePlot      `json:"rates,omitempty"`
	Accuracy  *accuracyPlot  `json:"accuracy,omitempty"`
}

// ledgerPlot is the course of one account: what had been used for good, what was
// reserved on top of it, and between which bounds the judge knows their sum.
type ledgerPlot struct {
	Title   string    `json:"title"`
	Limit   int64     `json:"limit"` // the burst, or the amount of a window; 0 if unknown
	X       []float64 `json:"x"`
	Settled []int64   `json:"settled"`
	Total   []int64   `json:"total"` // settled and outstanding
	Low     []int64   `json:"low"`
	High    []int64   `json:"high"`
	Ticks   []float64 `json:"ticks,omitempty"` // where a window begins
}

// residualPlot is reserved - actual - refunded + debited - outstanding of the
// target's own account. It is nought, or tokens were lost or made up. Drift is how far
// used and outstanding are from what the judge reckons.
type residualPlot struct {
	Title string    `json:"title"`
	X     []float64 `json:"x"`
	Y     []int64   `json:"y"`
	Drift []int64   `json:"drift,omitempty"`
}

// arrivalPlot has a dot for each request in the lane of what became of it, or their
// number per bin where they are too many.
type arrivalPlot struct {
	Lanes []string     `json:"lanes"`
	Dots  []arrivalDot `json:"dots,omitempty"`
	Bin   float64      `json:"bin,omitempty"` // seconds
	Count [][]int      `json:"count,omitempty"`
	X     []float64    `json:"x,omitempty"`
}

type arrivalDot struct {
	At       float64 `json:"t"`
	Lane     int     `json:"l"`
	ID       string  `json:"id"`
	Reserved int64   `json:"r"`
	Actual   int64   `json:"a"`
	Wrong    bool    `json:"w,omitempty"` // proved wrong
}

// windowPlot is how much of a calendar window was used for good, per window.
type windowPlot struct {
	Title string    `json:"title"`
	X     []float64 `json:"x"` // where the window begins
	Used  []int64   `json:"used"`
	Limit int64     `json:"limit"`
	Width float64   `json:"width"`
}

// burstPlot is the least burst to which the admitted traffic conforms, by rate.
type burstPlot struct {
	Title string    `json:"title"`
	X     []float64 `json:"x"` // share of the configured rate
	Y     []int64   `json:"y"`
	Limit int64     `json:"limit"`
}

// latencyLine is a distribution: the value in ms at each of latencyShares.
type latencyLine struct {
	Name  string    `json:"name"`
	Count int       `json:"n"`
	Y     []float64 `json:"y"`
}

// ratePlot is what was offered and what became of it, per second.
type ratePlot struct {
	X        []float64 `json:"x"`
	Bin      float64   `json:"bin"` // seconds
	Offered  []float64 `json:"offered"`
	Achieved []float64 `json:"achieved"`
	Dropped  []float64 `json:"dropped,omitempty"`
	Admitted []float64 `json:"admitted"`
	Goodput  []float64 `json:"goodput"`
	Rejected []float64 `json:"rejected"`
}

// accuracyPlot compares reservations with what was used.
type accuracyPlot struct {
	Reserved []int64 `json:"x"`
	Used     []int64 `json:"y"`
	Count    []int   `json:"n"`
	Ratio    float64 `json:"ratio"` // reserved over used, of all
}

// plotsOf draws everything of a cell that there is data for.
func plotsOf(sc *scenarios.ScenarioResult) *plots {
	p := &plots{
		Ledgers: ledgerPlots(sc), Residuals: residualPlots(sc), Windows: windowPlots(sc), Bursts: burstPlots(sc),
		Latency: latencyLines(sc), Added: addedLines(sc), First: firstLines(sc), Gaps: gapLines(sc), Rates: rates(sc), Accuracy: accuracy(sc),
	}
	if len(sc.Requests) > 0 {
		p.Arrivals = arrivals(sc)
	}
	return p
}

func windowPlots(sc *scenarios.ScenarioResult) []windowPlot {
	if sc.Judged == nil {
		return nil
	}
	var all []windowPlot
	for _, a := range interesting(sc) {
		l := limitOf(sc, a.Limit)
		if l == nil || l.Window != judge.WindowCalendar || l.Per <= 0 {
			continue
		}
		if p := windowsOf(sc, a, l); len(p.X) > 1 && len(p.X) <= maxBins {
			all = append(all, p)
		}
	}
	return all
}

func windowsOf(sc *scenarios.ScenarioResult, a *judge.AccountReport, l *judge.Limit) windowPlot {
	p := windowPlot{Title: accountTitle(a.Limit, a.Key), Limit: l.Amount.Hi, Width: seconds64(time.Duration(l.Per))}
	used := map[int64]int64{}
	for _, x := range sc.Requests {
		if x.Key == a.Key && x.Decision == scenarios.Admitted {
			begin := sc.Start.Add(x.Sent).UTC().Truncate(time.Duration(l.Per))
			used[int64(begin.Sub(sc.Start))] += spent(x)
		}
	}
	var begins []int64
	for at := range used {
		begins = append(begins, at)
	}
	slices.Sort(begins)
	for _, at := range begins {
		p.X, p.Used = append(p.X, seconds64(time.Duration(at))), append(p.Used, used[at])
	}
	return p
}

// spent is what a request costs in the end: as the judge knows it, or the true usage.
func spent(x *scenarios.Exchange) int64 {
	if x.Actual == x.AtMost && x.Actual > 0 {
		return x.Actual
	}
	return x.Usage
}

func burstPlots(sc *scenarios.ScenarioResult) []burstPlot {
	if sc.Judged == nil {
		return nil
	}
	var all []burstPlot
	for _, a := range interesting(sc) {
		if len(a.Burstiness) == 0 || a.Requests < 3 {
			continue
		}
		p := burstPlot{Title: accountTitle(a.Limit, a.Key), Limit: capacity(limitOf(sc, a.Limit))}
		for _, b := range a.Burstiness {
			p.X, p.Y = append(p.X, float64(b.RatePPM)/1e6), append(p.Y, b.Burst)
		}
		all = append(all, p)
	}
	return all
}

// lanes of the arrivals, from top to bottom.
var lanes = []string{"admitted", "rejected", "cancelled", "error"}

// droppedLane is below them where a load could not send all that was due.
const droppedLane = "not sent"

func laneOf(x *scenarios.Exchange) int {
	switch {
	case x.Outcome == "cancelled":
		return 2
	case x.Decision == scenarios.Admitted:
		return 0
	case x.Decision == scenarios.Rejected:
		return 1
	}
	return 3
}

func arrivals(sc *scenarios.ScenarioResult) *arrivalPlot {
	p := &arrivalPlot{Lanes: lanes}
	wrong := map[string]bool{}
	if sc.Judged != nil {
		for _, f := range sc.Judged.Findings {
			wrong[f.Request] = true
		}
	}
	many := len(sc.Requests) > maxDots
	lost := notSent(sc)
	if len(lost) > 0 {
		p.Lanes = append(slices.Clone(lanes), droppedLane)
	}
	for _, x := range sc.Requests {
		if !many || wrong[x.ID] {
			p.Dots = append(p.Dots, arrivalDot{seconds64(x.Sent), laneOf(x), x.ID, x.Reserved, spent(x), wrong[x.ID]})
		}
	}
	if many {
		p.bins(sc.Requests, lost)
		return p
	}
	for _, l := range lost {
		p.Dots = append(p.Dots, arrivalDot{At: seconds64(l.at), Lane: len(lanes), ID: fmt.Sprintf("%d requests", l.n)})
	}
	return p
}

// loss is how many requests were due at about an instant and could not be sent.
type loss struct {
	at time.Duration // since the start of the scenario
	n  int64
}

func notSent(sc *scenarios.ScenarioResult) []loss {
	var all []loss
	eachStep(sc.Steps, func(st *scenarios.StepResult) {
		if st.Measured == nil {
			return
		}
		for i, bin := range st.Measured.Series {
			if bin.Dropped > 0 {
				all = append(all, loss{st.At + time.Duration(i)*st.Measured.BinWidth, bin.Dropped})
			}
		}
	})
	return all
}

// bins counts the requests of each lane.
func (p *arrivalPlot) bins(requests []*scenarios.Exchange, lost []loss) {
	bin, n := binning(requests, maxBins)
	p.Bin = bin.Seconds()
	p.Count = make([][]int, len(p.Lanes))
	for lane := range p.Count {
		p.Count[lane] = make([]int, n)
	}
	for i := range n {
		p.X = append(p.X, seconds64(time.Duration(i)*bin))
	}
	for _, x := range requests {
		p.Count[laneOf(x)][int(max(0, x.Sent)/bin)]++
	}
	for _, l := range lost {
		p.Count[len(lanes)][min(int(l.at/bin), n-1)] += int(l.n)
	}
}

// binning divides the time of the requests into at most so many bins of at least
// 100 ms.
func binning(requests []*scenarios.Exchange, most time.Duration) (bin time.Duration, n int) {
	var last time.Duration
	for _, x := range requests {
		last = max(last, x.Sent, x.Ended)
	}
	bin = shortestBin
	for last/bin >= most {
		bin *= 2
	}
	return bin, int(last/bin) + 1
}

func rates(sc *scenarios.ScenarioResult) *ratePlot {
	if len(sc.Requests) < 50 {
		return nil
	}
	bin, n := binning(sc.Requests, maxRates)
	if n < 4 {
		return nil
	}
	p := &ratePlot{
		X: make([]float64, n), Bin: bin.Seconds(), Offered: make([]float64, n), Achieved: make([]float64, n), Admitted: make([]float64, n),
		Goodput: make([]float64, n), Rejected: make([]float64, n),
	}
	one := 1 / bin.Seconds()
	for i := range n {
		p.X[i] = seconds64(time.Duration(i) * bin)
	}
	for _, x := range sc.Requests {
		due := x.Sent
		if x.Due != 0 {
			due = x.Due
		}
		p.Offered[int(max(0, due)/bin)] += one
		at := int(max(0, x.Sent) / bin)
		p.Achieved[at] += one
		switch laneOf(x) {
		case 0:
			p.Admitted[at] += one
		case 1:
			p.Rejected[at] += one
		}
		if x.Status == 200 && x.Outcome == "complete" {
			p.Goodput[int(max(0, x.Ended)/bin)] += one
		}
	}
	if lost := notSent(sc); len(lost) > 0 {
		p.Dropped = make([]float64, n)
		for _, l := range lost {
			at := min(int(l.at/bin), n-1)
			p.Dropped[at] += float64(l.n) * one
			p.Offered[at] += float64(l.n) * one
		}
	}
	return p
}

func accuracy(sc *scenarios.ScenarioResult) *accuracyPlot {
	type pair struct{ reserved, used int64 }
	count := map[pair]int{}
	var reserved, used int64
	for _, x := range sc.Requests {
		if x.Decision != scenarios.Admitted || x.Reserved == 0 || spent(x) == 0 {
			continue
		}
		reserved, used = reserved+x.Reserved, used+spent(x)
		if p := (pair{x.Reserved, spent(x)}); count[p] > 0 || len(count) < maxPairs {
			count[p]++
		}
	}
	if len(count) == 0 || used == 0 {
		return nil
	}
	pairs := make([]pair, 0, len(count))
	for p := range count {
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.reserved, b.reserved), cmp.Compare(a.used, b.used)) })
	out := &accuracyPlot{Ratio: float64(reserved) / float64(used)}
	for _, p := range pairs {
		out.Reserved, out.Used, out.Count = append(out.Reserved, p.reserved), append(out.Used, p.used), append(out.Count, count[p])
	}
	return out
}

// accountTitle names an account for people.
func accountTitle(limit, key string) string {
	if key == "" {
		return limit
	}
	return limit + " of " + keyText(key)
}

// keyText shows a key, a tuple of length-prefixed values, for people.
func keyText(key string) string {
	var values []string
	for rest := key; rest != ""; {
		length, tail, found := strings.Cut(rest, ":")
		n, err := strconv.Atoi(length)
		if !found || err != nil || n < 0 || n > len(tail) {
			return key
		}
		values, rest = append(values, tail[:n]), tail[n:]
	}
	return strings.Join(values, ", ")
}

func seconds64(d time.Duration) float64 { return float64(d) / float64(time.Second) }

func millis(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

// share is a key's part of the tokens that were admitted.
type share struct {
	Key     string
	Tokens  int64
	Percent float64
}

// fairness are the shares of the keys and Jain's index over them, which is 1 when all
// have the same and 1/n when one has everything. Fewer than two keys have none.
func fairness(sc *scenarios.ScenarioResult) (shares []share, index string) {
	by := map[string]int64{}
	var sum, squares float64
	for _, x := range sc.Requests {
		if x.Decision == scenarios.Admitted {
			by[x.Key] += spent(x)
		}
	}
	if len(by) < 2 {
		return nil, ""
	}
	for key, tokens := range by {
		shares = append(shares, share{Key: keyText(key), Tokens: tokens})
		sum, squares = sum+float64(tokens), squares+float64(tokens)*float64(tokens)
	}
	if sum == 0 {
		return nil, ""
	}
	slices.SortFunc(shares, func(a, b share) int { return cmp.Or(cmp.Compare(b.Tokens, a.Tokens), cmp.Compare(a.Key, b.Key)) })
	index = fmt.Sprintf("%.3f", sum*sum/(float64(len(by))*squares))
	shares = shares[:min(len(shares), maxShares)]
	for i := range shares {
		shares[i].Percent = 100 * float64(shares[i].Tokens) / sum
	}
	return shares, index
}
