package scenarios

import (
	"context"
	"fmt"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// invariants checks properties of the whole history after a step.
func (l *lane) invariants(ctx context.Context, run *stepRun) {
	if len(run.bound.Invariants) == 0 {
		return
	}
	// What has to drain is given its time first; the others look at the end of it.
	for _, i := range run.bound.Invariants {
		if i.Name == suite.InvariantOutstandingDrains {
			l.drains(ctx, run, i)
		}
	}
	report := judge.Judge(l.w.history())
	for _, i := range run.bound.Invariants {
		switch i.Name {
		case suite.InvariantNeverOverAdmit:
			l.invariant(run, i, worst(report.Findings, judge.OverAdmission, 0))
		case suite.InvariantNoWrongfulReject:
			message := worst(report.Findings, judge.WrongfulRejection, i.Slack)
			if message == "" {
				message = worst(report.Findings, judge.Isolation, i.Slack)
			}
			l.invariant(run, i, message)
		case suite.InvariantRefundLeak:
			l.invariant(run, i, l.leak(ctx, report, i.Amount))
		}
	}
}

// invariant enters one check; an empty message means that it holds.
func (l *lane) invariant(run *stepRun, i suite.Invariant, message string) {
	c := Check{
		Kind: KindInvariant, Text: i.Name, File: i.Pos.File, Line: i.Pos.Line, Column: i.Pos.Column,
		Outcome: Pass, At: time.Since(l.w.start),
	}
	if message != "" {
		c.Outcome, c.Message = Fail, i.Name+": "+message
	}
	run.add(c)
}

// worst is the message of the finding of a kind that is wrong by the most tokens,
// empty if none is wrong by more than slack.
func worst(findings []judge.Finding, kind judge.Kind, slack int64) string {
	message := ""
	for _, f := range findings {
		if f.Kind == kind && f.Tokens > slack {
			slack, message = f.Tokens, f.Message
		}
	}
	return message
}

// leak compares the target's own totals at quiescence; a target without a ledger
// is judged by what the judge can prove of it.
func (l *lane) leak(ctx context.Context, report *judge.Report, allowed int64) string {
	for _, kind := range []judge.Kind{judge.Conservation, judge.Residue} {
		if message := worst(report.Findings, kind, allowed); message != "" {
			return message
		}
	}
	if l.w.ledgerURL() == "" {
		return ""
	}
	accounts, err := l.w.readLedger(ctx)
	if err != nil {
		return err.Error()
	}
	for i := range accounts {
		a := &accounts[i]
		if !a.countsTokens() {
			continue
		}
		missing := a.Reserved - a.Actual - a.Refunded + a.Debited
		if missing < -allowed || missing > allowed || a.Outstanding != 0 {
			return fmt.Sprintf("%s/%s: reserved %d, actual %d, refunded %d, debited %d, outstanding %d: %d tokens are not accounted for",
				a.Rule, a.Window, a.Reserved, a.Actual, a.Refunded, a.Debited, a.Outstanding, missing)
		}
	}
	return ""
}

// drains waits until nothing is outstanding, at most as long as the bound says.
func (l *lane) drains(ctx context.Context, run *stepRun, i suite.Invariant) {
	if l.w.ledgerURL() == "" {
		report := judge.Judge(l.w.history())
		l.invariant(run, i, worst(report.Findings, judge.Residue, 0))
		return
	}
	begun := time.Now()
	step := max(i.Within/40, time.Millisecond)
	for {
		outstanding, err := l.outstanding(ctx)
		switch {
		case err != nil:
			l.invariant(run, i, err.Error())
			return
		case outstanding == 0:
			l.invariant(run, i, "")
			return
		case time.Since(begun)+step > i.Within || pause(ctx, step) != nil:
			l.invariant(run, i, fmt.Sprintf("%d tokens are outstanding %v after the last response", outstanding, i.Within))
			return
		}
	}
}

func (l *lane) outstanding(ctx context.Context) (int64, error) {
	accounts, err := l.w.readLedger(ctx)
	var sum int64
	for i := range accounts {
		if accounts[i].countsTokens() {
			sum += accounts[i].Outstanding
		}
	}
	return sum, err
}
