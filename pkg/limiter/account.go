package limiter

import "time"

// account is the state behind an Account. Its bucket's level is, by the limit's kind: the level of the bucket; the tokens
// used in the present window; the slots in use. The store's lock guards all of it.
type account struct {
	bucket

	key    string
	limit  *Limit
	replay *replay // of retroactive refunds; running or not
	ledger Ledger  // of a window: of the present one

	end  int64       // of the present window, ns
	past *pastWindow // the latest first

	open int32 // unsettled reservations; of a window: of the present one
	slot int32 // place in the roster
}

// start makes a an untouched account at now: a bucket is full, a window and a counter are empty.
func (a *account) start(key string, l *Limit, now int64) {
	*a = account{key: key, limit: l}
	a.clock = now
	switch l.Kind {
	case TokenBucket, RequestBucket:
		a.level = l.flow().burst
		if l.Refund == Retroactive {
			a.replay = a.replay.begin(a)
		}
	case Window:
		a.end = windowEnd(l.Period, now)
	case Concurrency:
	}
}

// touch brings the account to now, which is never before its clock.
func (a *account) touch(now int64) {
	switch a.limit.Kind {
	case TokenBucket, RequestBucket:
		a.refill(a.limit.flow(), now)
	case Window:
		a.roll(now)
	case Concurrency:
		a.clock = now
	}
}

// judge says in s what the account makes of a cost, and changes nothing. Lag is how far the caller's now lies before the
// account's clock.
func (a *account) judge(s *HoldState, cost, lag int64) {
	if cost > a.limit.Capacity() {
		s.Rejected, s.Permanent = true, true
		return
	}
	switch a.limit.Kind {
	case TokenBucket, RequestBucket:
		f := a.limit.flow()
		if need := cost * f.scale; a.level < need {
			s.Rejected, s.Wait = true, saturating(lag, a.wait(f, need))
		}
	case Window:
		if a.level+cost > a.limit.Capacity() {
			s.Rejected, s.Wait = true, saturating(lag, time.Duration(a.end-a.clock))
		} else if stage := a.limit.stage(a.level + cost); stage.Action != None {
			s.Action, s.Delay = stage.Action, stage.Delay
		}
	case Concurrency:
		if a.level+cost > a.limit.MaxConcurrent {
			s.Rejected, s.Wait = true, time.Second
		}
	}
}

// report fills in how much is left, as the account stands.
func (a *account) report(s *HoldState, lag int64) {
	switch a.limit.Kind {
	case TokenBucket, RequestBucket:
		f := a.limit.flow()
		s.Limit = f.burst / Micro
		s.Remaining = max(a.level, 0) / Micro
		if wait := a.wait(f, f.burst); wait > 0 {
			s.Reset = saturating(lag, wait)
		}
	case Window:
		s.Limit = a.limit.Amount
		s.Remaining = max(a.limit.Capacity()-a.level, 0)
		s.Reset = saturating(lag, time.Duration(a.end-a.clock))
	case Concurrency:
		s.Limit = a.limit.MaxConcurrent
		s.Remaining = max(a.limit.MaxConcurrent-a.level, 0)
	}
}

// take reserves a cost that judge has let pass. The mark is what settle needs to find it again.
func (a *account) take(cost int64) (mark int64) {
	a.ledger.Reserved += cost
	a.ledger.Outstanding += cost
	a.open++
	switch a.limit.Kind {
	case TokenBucket, RequestBucket:
		a.charge(a.limit.flow(), cost)
		if a.replay.running() {
			return a.replay.take(a.clock, cost)
		}
	case Window:
		a.level += cost
		return a.end
	case Concurrency:
		a.level += cost
	}
	return 0
}

// settle replaces a cost that was taken by the actual one, in an account that has been touched.
func (a *account) settle(cost, mark, actual int64) HoldSettlement {
	ledger, open := &a.ledger, &a.open
	var off WrittenOff
	switch a.limit.Kind {
	case TokenBucket:
		before := a.ledger.WrittenOff
		if a.replay.running() {
			a.bucket, a.ledger.WrittenOff = a.replay.settle(a, mark, cost, actual)
		} else {
			a.ledger.WrittenOff = before.plus(a.charge(a.limit.flow(), actual-cost))
		}
		off = a.ledger.WrittenOff.minus(before)
	case RequestBucket:
		actual = cost
	case Window:
		if mark == a.end {
			a.level = correct(a.level, cost, actual)
		} else {
			w := a.pastWindow(mark)
			w.used = correct(w.used, cost, actual)
			ledger, open = &w.ledger, &w.open
		}
	case Concurrency:
		a.level -= cost
		actual = cost
	}
	*open--
	result := HoldSettlement{Refunded: max(cost-actual, 0), Debited: max(actual-cost, 0), WrittenOff: off}
	ledger.Outstanding -= cost
	ledger.Actual += actual
	ledger.Refunded += result.Refunded
	ledger.Debited += result.Debited
	return result
}

// idle says whether the account, brought to its clock, equals one that does not exist.
func (a *account) idle() bool {
	if a.open > 0 {
		return false
	}
	switch a.limit.Kind {
	case TokenBucket, RequestBucket:
		return a.level == a.limit.flow().burst
	case Window:
		for w := a.past; w != nil; w = w.older {
			if w.open > 0 {
				return false
			}
		}
		return a.level == 0
	case Concurrency:
		return a.level == 0
	}
	return false
}
