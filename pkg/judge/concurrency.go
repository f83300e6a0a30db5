package judge

// slots counts requests in flight. Its charges hold their slot from decided to
// settled, both points: certainly, in a lower bound, or possibly, in an upper
// one.
type slots struct {
	charges  []charge
	possible bool
	count    int64
}

func (s *slots) reach(m mark) {
	switch {
	case s.charges[m.item].asks:
	case s.possible && m.edge == decidedLo:
		s.count++
	case !s.possible && m.edge == settledLo:
		s.count--
	}
}

func (s *slots) pass(m mark) {
	switch {
	case s.charges[m.item].asks:
	case s.possible && m.edge == settledHi:
		s.count--
	case !s.possible && m.edge == decidedHi:
		s.count++
	}
}

func (s *slots) value(_ int64, n int32) (bound int64, since int32) { return s.count, n }

// judgeConcurrency judges a limit on requests in flight. A request certainly
// holds its slot from when the mock had it until the first of both ends, and
// possibly from when it was sent until D after the last of them.
func (a *account) judgeConcurrency(h *History) {
	certain := &slots{charges: make([]charge, len(a.charges))}
	possible := &slots{charges: make([]charge, len(a.charges)), possible: true}
	for i := range a.charges {
		r := &h.Requests[a.charges[i].request]
		certain.charges[i], possible.charges[i] = slotsOf(r, &h.Header.Target, a.charges[i])
	}
	busy := sweepAll(marksOf(certain.charges), certain, -1)
	maybe := sweepAll(marksOf(possible.charges), possible, 1)
	a.verdicts = make([]verdict, len(a.charges))
	for i := range a.charges {
		c, v := &a.charges[i], &a.verdicts[i]
		if c.prior {
			continue
		}
		own := int64(1)
		if c.asks {
			own = 0
		}
		c.demand = Exactly(1)
		v.most = a.limit.Amount.Hi - busy.around(c.decided)
		v.least = a.limit.Amount.Lo - (maybe.around(c.decided) - own)
		a.conclude(i)
	}
	a.together = a.crowd(certain.charges)
	a.levels = windowSamples(busy, busy, a.limit.Amount.Hi, a.limit.Amount.Lo)
}

// slotsOf are the certain and the possible stay of a request in its slot.
func slotsOf(r *Request, t *Target, c charge) (certain, possible charge) {
	certain, possible = c, c
	certain.prior, possible.prior = false, false // a slot is held on both sides of a reload
	if c.asks {
		return certain, possible
	}
	from := r.Received + t.ClockError
	until := earliest(after(r.Finished, -t.ClockError), r.Ended, r.Left)
	if t.Lease > 0 { // it may have been taken for lost, and its slot given to another
		until = min(until, r.Sent+t.Lease)
	}
	// A target that ended it itself freed the slot before the client heard of it.
	own := r.Finished == 0 || r.Outcome == OutcomeTimeout || r.Outcome == OutcomeInternal || r.Outcome == OutcomeCutByTarget
	if r.Decision != Admitted || r.Received == 0 || own || c.lost || until <= from {
		certain.asks = true // it cannot be seen that it held a slot
	}
	certain.decided, certain.settled = Exactly(from), Exactly(max(from, until))
	end := c.settled.Hi
	if r.Left != 0 && t.KnownOutcomes {
		end = min(end, r.Left+t.SettleDelay) // a drain holds no slot
	}
	possible.decided, possible.settled = Exactly(r.Sent), Exactly(max(end, r.Sent))
	return certain, possible
}

// crowd finds the instants at which certainly too many are in flight, and one of them
// has just been admitted. Those from before a reload may be more than it allows.
func (a *account) crowd(certain []charge) []excess {
	marks := marksOf(certain)
	var count int64
	var found []excess
	for i := 0; i < len(marks); {
		j := i
		for ; j < len(marks) && marks[j].at == marks[i].at; j++ {
			if marks[j].edge == settledLo && !certain[marks[j].item].asks {
				count--
			}
		}
		last := int32(-1)
		for k := i; k < j; k++ {
			if marks[k].edge == decidedLo && !certain[marks[k].item].asks {
				count++
				if !a.charges[marks[k].item].prior {
					last = marks[k].item
				}
			}
		}
		if over := count - a.limit.Amount.Hi; over > 0 && last >= 0 {
			found = append(found, excess{charge: last, tokens: over, from: marks[i].at, to: marks[i].at, events: int(count)})
		}
		i = j
	}
	return found
}
