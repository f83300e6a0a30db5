// Package shrink finds a small part of a list that still shows what the whole list
// shows: the requests of a load, for instance, that are enough to make a limiter go
// wrong. It knows nothing of what the things are; the caller tries each part.
//
// The method is delta debugging (Zeller and Hildebrandt, 2002): try ever smaller
// pieces, and what is left when a piece is taken away, until nothing can be taken
// away any more. What is found is minimal in that sense, not the smallest there is.
package shrink

// Minimal returns indices below n, in rising order, for which fails still holds and
// for which it holds no more when any single one is left out, as far as it could be
// seen within the number of tries. It assumes that fails holds for first, which are
// indices in rising order. fails is called with a fresh slice each time, and should
// answer alike when asked alike.
func Minimal(first []int, tries int, fails func(kept []int) bool) []int {
	kept := first
	for pieces := 2; len(kept) > 1; {
		pieces = min(pieces, len(kept))
		smaller, single, spent := round(kept, pieces, tries, fails)
		tries -= spent
		switch {
		case single: // one piece is enough: begin again within it
			kept, pieces = smaller, 2
		case smaller != nil:
			kept, pieces = smaller, max(2, pieces-1)
		case pieces == len(kept) || tries <= 0:
			return kept
		default:
			pieces *= 2
		}
		if tries <= 0 {
			return kept
		}
	}
	return kept
}

// round cuts kept into pieces and tries each, then what is left without each. It
// returns the first that fails, whether it is a single piece, and the tries spent.
func round(kept []int, pieces, tries int, fails func([]int) bool) (smaller []int, single bool, spent int) {
	bounds := func(i int) (from, to int) { return i * len(kept) / pieces, (i + 1) * len(kept) / pieces }
	for i := range pieces {
		from, to := bounds(i)
		if spent++; spent > tries {
			return nil, false, spent
		}
		if part := append([]int(nil), kept[from:to]...); fails(part) {
			return part, true, spent
		}
	}
	if pieces == 2 {
		return nil, false, spent // what is left without one is the other
	}
	for i := range pieces {
		from, to := bounds(i)
		if spent++; spent > tries {
			return nil, false, spent
		}
		rest := append(append([]int(nil), kept[:from]...), kept[to:]...)
		if fails(rest) {
			return rest, false, spent
		}
	}
	return nil, false, spent
}
