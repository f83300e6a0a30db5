package judge

import "fmt"

// judgeLedger compares the target's own account with itself and with ours. With
// nothing in flight, everything reserved was charged or given back.
func (c *court) judgeLedger() {
	if !c.history.Header.Target.Ledger {
		return
	}
	for i := range c.history.Ledger {
		e := &c.history.Ledger[i]
		c.judgeEntry(e)
	}
}

func (c *court) judgeEntry(e *LedgerEntry) {
	if d := e.Reserved - e.Outstanding - e.Actual - e.Refunded + e.Debited; d != 0 {
		c.findLedger(Conservation, e, d, fmt.Sprintf(
			"reserved %d - outstanding %d is not actual %d + refunded %d - debited %d: %d off",
			e.Reserved, e.Outstanding, e.Actual, e.Refunded, e.Debited, d))
	}
	if e.Outstanding < 0 || e.Refunded < 0 || e.Debited < 0 || e.WrittenOff < 0 || e.WrittenOff > e.Debited {
		c.findLedger(Conservation, e, min(e.Outstanding, e.Refunded, e.Debited, e.WrittenOff, e.Debited-e.WrittenOff),
			"a total is negative, or more was written off than debited")
	}
	if e.Window != 0 {
		return // ours is summed over all windows
	}
	if c.becameAnother(e.Limit) {
		return
	}
	// Under a reload the account goes on, under several limits of ours.
	var reserved, actual, open Span
	known, settles := false, true
	for _, a := range c.accounts {
		if a.limit.Rule != e.Limit && a.limit.ID != e.Limit || a.key != e.Key {
			continue
		}
		known, settles = true, settles && a.limit.Settles
		for i := range a.charges {
			ch := &a.charges[i]
			if ch.asks || ch.prior || ch.decided.Lo > e.At {
				continue
			}
			certain := func(b bool, v int64) int64 {
				if b {
					return v
				}
				return 0
			}
			taken := ch.judged && ch.decided.Hi < e.At
			reserved = reserved.plus(Between(certain(taken, ch.taken.Lo), ch.taken.Hi))
			actual = actual.plus(Between(
				certain(ch.judged && ch.settled.Hi < e.At, ch.actual.Lo),
				certain(ch.settled.Lo <= e.At, ch.actual.Hi)))
			open = open.plus(Between(
				certain(taken && ch.settled.Lo > e.At, ch.taken.Lo),
				certain(ch.settled.Hi >= e.At, ch.taken.Hi)))
		}
	}
	if !known || !settles {
		return
	}
	c.compare(Conservation, e, "reserved", e.Reserved, reserved)
	c.compare(Conservation, e, "actual", e.Actual, actual)
	kind := Conservation
	if e.Outstanding > open.Hi {
		kind = Residue
	}
	c.compare(kind, e, "outstanding", e.Outstanding, open)
}

// becameAnother reports whether a reload made another kind of limit of a rule. Its
// accounts began anew, and which of them an entry speaks of, nobody says.
func (c *court) becameAnother(rule string) bool {
	var first *Limit
	for i := range c.history.Header.Limits {
		l := &c.history.Header.Limits[i]
		if l.Rule != rule && l.ID != rule {
			continue
		}
		if first == nil {
			first = l
		}
		if !l.follows(first) {
			return true
		}
	}
	return false
}

func (c *court) compare(k Kind, e *LedgerEntry, what string, theirs int64, ours Span) {
	if near := min(max(theirs, ours.Lo), ours.Hi); near != theirs {
		c.findLedger(k, e, theirs-near, fmt.Sprintf("the ledger says %s %d, possible is %s", what, theirs, ours))
	}
}

func (c *court) findLedger(k Kind, e *LedgerEntry, off int64, message string) {
	c.find(Finding{
		Kind: k, Limit: e.Limit, Key: e.Key, At: e.At, From: c.history.Header.Start, To: e.At,
		Tokens: abs(off), Message: fmt.Sprintf("%s of %q: %s", e.Limit, shown(e.Key), message),
	})
}
