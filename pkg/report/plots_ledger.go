package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

func ledgerPlots(sc *scenarios.ScenarioResult) []ledgerPlot {
	if sc.Judged == nil {
		return nil
	}
	var all []ledgerPlot
	for _, a := range interesting(sc) {
		if len(a.Level) < 2 {
			continue
		}
		all = append(all, ledgerOf(sc, a))
	}
	return all
}

// interesting are the accounts of tokens, those with findings first, then the
// busiest.
func interesting(sc *scenarios.ScenarioResult) []*judge.AccountReport {
	var all []*judge.AccountReport
	for i := range sc.Judged.Accounts {
		if a := &sc.Judged.Accounts[i]; a.Dimension == judge.Tokens {
			all = append(all, a)
		}
	}
	slices.SortStableFunc(all, func(a, b *judge.AccountReport) int {
		return cmp.Or(cmp.Compare(b.OverAdmitted+b.WronglyRejected, a.OverAdmitted+a.WronglyRejected), cmp.Compare(b.Requests, a.Requests))
	})
	return all[:min(len(all), maxAccounts)]
}

func ledgerOf(sc *scenarios.ScenarioResult, a *judge.AccountReport) ledgerPlot {
	limit := limitOf(sc, a.Limit)
	p := ledgerPlot{Title: accountTitle(a.Limit, a.Key), Limit: capacity(limit)}
	if p.Limit == 0 { // nobody said: the most that was ever left
		for _, s := range a.Level {
			p.Limit = max(p.Limit, s.Max)
		}
	}
	held := outstanding(sc, a.Key)
	if first := a.Level[0]; first.At > sc.Start.UnixNano() && first.Max >= p.Limit { // it began full
		p.X, p.Settled, p.Total, p.Low, p.High = []float64{0}, []int64{0}, []int64{0}, []int64{0}, []int64{0}
	}
	for _, s := range a.Level {
		low, high := max(0, p.Limit-s.Max), max(0, p.Limit-s.Min)
		reserved := min(held.at(s.At-sc.Start.UnixNano()), high)
		settled := max(0, low-reserved)
		p.X = append(p.X, seconds64(time.Duration(s.At-sc.Start.UnixNano())))
		p.Settled, p.Total = append(p.Settled, settled), append(p.Total, max(low, settled+reserved))
		p.Low, p.High = append(p.Low, low), append(p.High, high)
	}
	p.Ticks = windowEdges(sc, limit, p.X[0], p.X[len(p.X)-1])
	return p
}

// held is a sum that changes at instants.
type held struct{ instants, sums []int64 }

// at is the sum at an instant, its changes included.
func (h held) at(instant int64) int64 {
	i, found := slices.BinarySearch(h.instants, instant)
	if found {
		i++
	}
	if i == 0 {
		return 0
	}
	return h.sums[i-1]
}

// outstanding is what the admitted requests of a key hold between their sending and
// their end.
func outstanding(sc *scenarios.ScenarioResult, key string) held {
	type change struct{ at, by int64 }
	var changes []change
	for _, x := range sc.Requests {
		if x.Key == key && x.Decision == scenarios.Admitted && x.Ended >= 0 {
			changes = append(changes, change{int64(x.Sent), x.Reserved}, change{int64(x.Ended), -x.Reserved})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	var h held
	sum := int64(0)
	for i, c := range changes {
		sum += c.by
		if i+1 == len(changes) || changes[i+1].at != c.at {
			h.instants, h.sums = append(h.instants, c.at), append(h.sums, sum)
		}
	}
	return h
}

// limitOf finds the limit of an account; nil where the run does not say.
func limitOf(sc *scenarios.ScenarioResult, id string) *judge.Limit {
	for i := range sc.Limits {
		if sc.Limits[i].ID == id {
			return &sc.Limits[i]
		}
	}
	return nil
}

// capacity is the most that an account ever holds, as far as it is known.
func capacity(l *judge.Limit) int64 {
	switch {
	case l == nil:
		return 0
	case l.Window == judge.WindowBucket && l.Burst.Hi > 0:
		return l.Burst.Hi
	}
	return l.Amount.Hi
}

// windowEdges are the beginnings of calendar windows within a stretch of a scenario.
func windowEdges(sc *scenarios.ScenarioResult, l *judge.Limit, from, to float64) []float64 {
	if l == nil || l.Window != judge.WindowCalendar || l.Per <= 0 {
		return nil
	}
	per := time.Duration(l.Per)
	first := sc.Start.UTC().Truncate(per).Add(per).Sub(sc.Start)
	var edges []float64
	for at := first; seconds64(at) <= to && len(edges) < 200; at += per {
		if seconds64(at) >= from {
			edges = append(edges, seconds64(at))
		}
	}
	return edges
}

// residualPlots follow the target's own accounts: what its bookkeeping loses by itself,
// and how far it is from what the judge reckons.
func residualPlots(sc *scenarios.ScenarioResult) []residualPlot {
	index := map[string]int{}
	var all []residualPlot
	alone := soleBucket(sc)
	for i := range sc.Ledgers {
		l := &sc.Ledgers[i]
		title := ledgerTitle(l)
		at, known := index[title]
		if !known {
			if len(all) == maxAccounts {
				continue
			}
			at = len(all)
			index[title] = at
			all = append(all, residualPlot{Title: title, X: []float64{0}, Y: []int64{0}}) // it began empty
			if alone {
				all[at].Drift = []int64{0}
			}
		}
		p := &all[at]
		p.X = append(p.X, seconds64(l.At))
		p.Y = append(p.Y, l.Reserved-l.Actual-l.Refunded+l.Debited-l.Outstanding)
		if alone {
			p.Drift = append(p.Drift, drift(sc, l))
		}
	}
	return all
}

// ledgerTitle names an account of the target as it does itself.
func ledgerTitle(l *scenarios.LedgerPoint) string {
	name := l.Rule
	if l.Window != "" && l.Window != l.Rule {
		name = strings.TrimPrefix(l.Rule+"/"+l.Window, "/")
	}
	return name + " of " + ledgerKey(l)
}

func ledgerKey(l *scenarios.LedgerPoint) string { return strings.ReplaceAll(l.Key, `\,`, ",") }

// soleBucket tells whether every request with a reservation is one of the same bucket:
// only then is the sum over a key's requests what its account should hold.
func soleBucket(sc *scenarios.ScenarioResult) bool {
	buckets := 0
	for i := range sc.Limits {
		l := &sc.Limits[i]
		if l.Dimension != judge.Tokens {
			continue
		}
		if l.Window != judge.WindowBucket {
			return false
		}
		buckets++
	}
	return buckets == 1 && sc.Judged != nil
}

// drift is by how much the target's account, used and outstanding, is above (or, if
// negative, below) all that the judge holds for possible at that instant.
func drift(sc *scenarios.ScenarioResult, l *scenarios.LedgerPoint) int64 {
	var least, most int64
	key := ledgerKey(l)
	for _, x := range sc.Requests {
		if x.Decision != scenarios.Admitted || x.Sent > l.At || keyText(x.Key) != key {
			continue
		}
		if x.Ended >= 0 && x.Ended <= l.At {
			least, most = least+x.Actual, most+max(x.Actual, x.AtMost)
		} else {
			least, most = least+min(x.Actual, x.Reserved), most+max(x.AtMost, x.Reserved)
		}
	}
	held := l.Actual + l.Outstanding
	return max(held-most, 0) + min(held-least, 0)
}
