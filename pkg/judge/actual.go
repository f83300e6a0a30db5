package judge

import "math/bits"

// actual is what a correct target charges in the end for one hold of an admitted
// request, by the table of semantics.md 5: a point where the outcome is known,
// bounds otherwise.
func actual(r *Request, h *Hold, l *Limit, t *Target) Span {
	switch {
	case h.Actual != nil:
		return *h.Actual
	case !l.Settles:
		return h.Reserved
	}
	a := byOutcome(r, h, l, t)
	if !t.KnownOutcomes {
		a = unknownActual(r, h, l)
	}
	if l.Parseable > 0 && r.Document > l.Parseable {
		a = a.join(h.Reserved) // another rule of the same request may have a larger cap
	}
	if t.Lease > 0 && r.lasted() > t.Lease {
		a = a.join(h.Reserved) // expired: settled at cost, and the later one is a duplicate
	}
	return a
}

// lasted is how long a request may have been open, in ns.
func (r *Request) lasted() int64 {
	if r.Ended == 0 || (r.Received != 0 && r.Finished == 0) {
		return forever
	}
	return max(r.Ended, r.Finished) - r.Sent
}

func byOutcome(r *Request, h *Hold, l *Limit, t *Target) Span {
	keep := h.Reserved.atLeast(observed(r, h, l))
	keep.Hi = max(keep.Hi, weighed(r.Early, l.Weights))
	keep = orEarly(keep, r, l)
	used, reported := weighed(r.Usage, l.Weights), r.Usage != nil
	switch r.Outcome {
	case OutcomeUsage:
		if reported {
			return Exactly(used)
		}
		return keep
	case OutcomeNoUsage, OutcomeTimeout:
		return keep
	case OutcomeEmpty, OutcomeUnreachable, OutcomeInternal:
		return Span{}
	case OutcomeClientError:
		if reported {
			return Exactly(used)
		}
		return Span{}
	case OutcomeServerError:
		switch {
		case reported:
			return Exactly(used)
		case l.KeepOn5xx:
			return keep
		}
		return Span{}
	case OutcomeCut:
		if reported {
			return keep.atLeast(Exactly(used))
		}
		return keep
	case OutcomeLeft:
		return afterLeaving(r, h, l, t, keep)
	case OutcomeLeftEarly:
		if r.Received == 0 {
			return Between(0, keep.Hi) // written to the upstream or not: nobody saw it
		}
		if reported {
			return keep.join(Exactly(used))
		}
		return keep
	case OutcomeCutByTarget:
		return observed(r, h, l).atLeast(h.Prompt)
	case OutcomeUnknown:
	}
	return unknownActual(r, h, l)
}

// afterLeaving is the cost when the client left after the upstream's headers. A
// usage that the mock wrote long before the drain's end was drained; one at its
// very end may have been missed.
func afterLeaving(r *Request, h *Hold, l *Limit, t *Target, keep Span) Span {
	how := l.OnDisconnect
	if how == DisconnectUnknown {
		how = t.Disconnect
	}
	seen := orEarly(observed(r, h, l).atLeast(h.Prompt), r, l)
	used := Exactly(weighed(r.Usage, l.Weights))
	wrote := r.Usage != nil && r.UsageAt != 0
	// A usage that was written may have been read in every mode: it came before the
	// client left, or another rule of the same request had the upstream drained.
	switch how {
	case DisconnectDrain:
		if !wrote {
			return keep
		}
		if r.UsageAt+t.ClockError+t.SettleDelay < r.leftAt()+t.Drain {
			return used
		}
		return used.join(keep)
	case DisconnectKeep:
		if wrote {
			return keep.join(used)
		}
		return keep
	case DisconnectObserved:
		if wrote {
			return seen.join(used)
		}
		return seen
	case DisconnectCancel, DisconnectUnknown:
	}
	return unknownActual(r, h, l)
}

func (r *Request) leftAt() int64 {
	if r.Left != 0 {
		return r.Left
	}
	return r.Ended
}

// unknownActual bounds the cost where nobody declared it: the usage where it was
// written in full, at least the prompt for what was cut, else anything up to the
// larger of reservation and truth.
func unknownActual(r *Request, h *Hold, l *Limit) Span {
	used := weighed(r.Usage, l.Weights)
	most := max(h.Reserved.Hi, used, weighed(r.Early, l.Weights), observed(r, h, l).Hi)
	switch {
	case r.Usage != nil && r.Outcome == OutcomeUsage:
		return Exactly(used)
	case r.Outcome == OutcomeCut || r.Outcome == OutcomeCutByTarget:
		return orEarly(Between(min(h.Prompt.Lo, most), most), r, l)
	}
	return Between(0, most)
}

// orEarly is a charge, or that of the early usage if its reader may take it for the
// last one. The input is told whole from the start.
func orEarly(charge Span, r *Request, l *Limit) Span {
	u := r.Early
	if u == nil || !r.EarlyEnds {
		return charge
	}
	input := &Usage{In: u.In, Cached: u.Cached, CacheWrite: u.CacheWrite}
	return charge.join(Between(weighed(input, l.Weights), weighed(u, l.Weights)))
}

// observed is P plus a quarter of the content bytes that were seen, rounded up. Under
// a rule with weights it may be priced as its reservation is, or not at all.
func observed(r *Request, h *Hold, l *Limit) Span {
	plain := Between(h.Prompt.Lo+(r.Content.Lo+3)/4, h.Prompt.Hi+(r.Content.Hi+3)/4)
	if l.Weights == nil {
		return plain
	}
	return plain.join(Between(
		weightedCost(h.Prompt.Lo, 1, (r.Content.Lo+3)/4, l.Weights), weightedCost(h.Prompt.Hi, 1, (r.Content.Hi+3)/4, l.Weights)))
}

// weighed prices a usage in its classes, each token in exactly one, rounded up
// once, at most 2^53; what the total has beyond both sides is output.
func weighed(u *Usage, w *Weights) int64 {
	if u == nil {
		return 0
	}
	total := max(u.Total, u.In+u.Out)
	if w == nil {
		return total
	}
	input := max(0, u.In-u.Cached-u.CacheWrite)
	output := max(0, u.Out-u.Reasoning) + total - u.In - u.Out
	var high, low uint64
	for _, class := range [][2]int64{
		{input, w.Input}, {u.Cached, w.CachedInput}, {u.CacheWrite, w.CacheWrite}, {output, w.Output}, {u.Reasoning, w.Reasoning},
	} {
		h, l := bits.Mul64(uint64(class[0]), uint64(class[1]))
		var carry uint64
		low, carry = bits.Add64(low, l, 0)
		high, _ = bits.Add64(high, h, carry)
	}
	const dearest = 1 << 53
	if high >= 1000 {
		return dearest
	}
	cost, rest := bits.Div64(high, low, 1000)
	if rest > 0 {
		cost++
	}
	return int64(min(cost, dearest))
}

// Costs bounds what an admitted request costs the account of one of its holds in the
// end, if the target is right.
func (h *History) Costs(r *Request, hold *Hold) Span {
	for i := range h.Header.Limits {
		if l := &h.Header.Limits[i]; l.ID == hold.Limit {
			return actual(r, hold, l, &h.Header.Target)
		}
	}
	return Span{}
}
