package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// pageFailure is one failed check with all that explains it.
type pageFailure struct {
	Name, Message, Expected, Found, Tree, Source, Curl string
	Place                                              string
	Request, Same                                      string // its id, or that of one that is shown already
	Wire                                               *scenarios.Wire
	Proof                                              string
	Tried                                              []pageTries
	Ledger                                             []ledgerRow
}

// pageTries are attempts of an eventually in a row that found the same.
type pageTries struct {
	When, Found, Outcome string
	Times                int
}

// ledgerRow is the budget at one instant about a failure: what the judge holds for
// possible, or what the target itself says.
type ledgerRow struct {
	At      string
	Says    string // who
	Text    string
	Failing bool // it is the last one before the failure
	at      time.Duration
}

func (c *pageCell) failure(sc *scenarios.ScenarioResult, l leaf) pageFailure {
	f := pageFailure{Name: l.name, Message: l.message, Place: fmt.Sprintf("%s:%d", sc.File, l.line)}
	if l.step != nil {
		f.Source = dedent(l.step.Source)
		f.Tried = tried(l.step)
	}
	if l.check == nil {
		return f
	}
	f.Expected, f.Found = l.check.Expected, l.check.Found
	if l.check.Values != nil {
		f.Tree = l.check.Values.String()
	}
	if l.check.Request != nil && *l.check.Request >= 0 && *l.check.Request < len(sc.Requests) {
		x := sc.Requests[*l.check.Request]
		if c.shown == nil {
			c.shown = map[string]bool{}
		}
		switch {
		case c.shown[x.ID]:
			f.Same = x.ID
		default:
			c.shown[x.ID] = true
			f.Request, f.Curl = x.ID, x.Curl
			if c.Number < maxEvidence || c.Open {
				f.Wire = x.Wire
			}
		}
	}
	if l.check.Kind == scenarios.KindJudge {
		f.Proof = proofOf(sc, l.check)
	}
	f.Ledger = ledgerSlice(sc, l.check.At)
	return f
}

// tried is the timeline of an eventually.
func tried(st *scenarios.StepResult) []pageTries {
	all := make([]pageTries, 0, len(st.Tried))
	for _, t := range st.Tried {
		when := "at " + shortSpan(t.At)
		if t.Until > t.At {
			when = fmt.Sprintf("%s to %s", shortSpan(t.At), shortSpan(t.Until))
		}
		all = append(all, pageTries{When: when, Times: t.Times, Outcome: string(t.Outcome), Found: first(t.Message, "everything held")})
	}
	return all
}

// sliceRows is how many instants before a failure are shown, and as many after it.
const sliceRows = 4

// ledgerSlice is the budget about an instant: the bounds of the judge, and the
// target's own account where it was read.
func ledgerSlice(sc *scenarios.ScenarioResult, at time.Duration) []ledgerRow {
	var all []ledgerRow
	if sc.Judged != nil {
		if accounts := interesting(sc); len(accounts) > 0 {
			a := accounts[0]
			for _, s := range a.Level {
				text := thousands(s.Min) + " left"
				if s.Min != s.Max {
					text = fmt.Sprintf("%s to %s left", thousands(s.Min), thousands(s.Max))
				}
				all = append(all, ledgerRow{Says: "the judge, of " + accountTitle(a.Limit, a.Key), Text: text, at: time.Duration(s.At - sc.Start.UnixNano())})
			}
		}
	}
	for i := range sc.Ledgers {
		l := &sc.Ledgers[i]
		all = append(all, ledgerRow{Says: "the target, of " + ledgerTitle(l), at: l.At, Text: fmt.Sprintf(
			"reserved %s, used %s, given back %s, debited %s, outstanding %s",
			thousands(l.Reserved), thousands(l.Actual), thousands(l.Refunded), thousands(l.Debited), thousands(l.Outstanding))})
	}
	slices.SortStableFunc(all, func(a, b ledgerRow) int { return cmp.Compare(a.at, b.at) })
	after, _ := slices.BinarySearchFunc(all, at+1, func(r ledgerRow, at time.Duration) int { return cmp.Compare(r.at, at) })
	all = all[max(0, after-sliceRows):min(len(all), after+sliceRows)]
	for i := range all {
		all[i].At = shortSpan(all[i].at)
		all[i].Failing = all[i].at <= at && (i+1 == len(all) || all[i+1].at > at)
	}
	return all
}

// dedent takes the indentation off that all lines share.
func dedent(text string) string {
	indent := -1
	for line := range strings.Lines(text) {
		if body := strings.TrimLeft(line, " "); strings.TrimSpace(body) != "" && (indent < 0 || len(line)-len(body) < indent) {
			indent = len(line) - len(body)
		}
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(line[min(max(indent, 0), len(line)-len(strings.TrimLeft(line, " "))):])
	}
	return strings.TrimRight(b.String(), "\n")
}

// proofOf is the smallest stretch of the history that proves a finding.
func proofOf(sc *scenarios.ScenarioResult, c *scenarios.Check) string {
	if sc.Judged == nil {
		return ""
	}
	for _, f := range sc.Judged.Findings {
		if f.Message != c.Message && string(f.Kind) != c.Text || time.Duration(f.At-sc.Start.UnixNano()) != c.At {
			continue
		}
		if f.From == 0 && f.To == 0 || f.Limit == "" {
			return "" // it is proved by one response alone
		}
		from, to := time.Duration(f.From-sc.Start.UnixNano()), time.Duration(f.To-sc.Start.UnixNano())
		if f.Events == 0 {
			return fmt.Sprintf("all of %s from %s to %s of the scenario", accountTitle(f.Limit, f.Key), shortSpan(from), shortSpan(to))
		}
		return fmt.Sprintf("from %s to %s of the scenario, %d charges and refunds of %s", shortSpan(from), shortSpan(to), f.Events, accountTitle(f.Limit, f.Key))
	}
	return ""
}
