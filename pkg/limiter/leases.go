package limiter

import (
	"math"
	"time"
)

// reservation is one request's hold on its accounts, and later what became of it.
type reservation struct {
	id       ID
	since    int64 // ns
	deadline int64 // ns, the end of the lease
	prompt   int64
	place    int  // in the leases; -1 once settled
	released bool // the slots are back already
	result   Settlement
	next     *reservation // in the book, with the same hash

	holds []held
	few   [4]held
}

// held is a hold that was taken.
type held struct {
	account *account
	cost    int64
	mark    int64 // what account.take returned
}

// leases are the open reservations, as a binary heap by deadline. Since most leases are equally long, a new one is
// mostly the latest and stays where it is put.
type leases []*reservation

func (h *leases) push(r *reservation) {
	*h = append(*h, r)
	h.put(len(*h)-1, r)
	h.up(r.place)
}

func (h *leases) remove(r *reservation) {
	last := len(*h) - 1
	at, moved := r.place, (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	r.place = -1
	if at == last {
		return
	}
	h.put(at, moved)
	h.up(h.down(at))
}

// delay moves a deadline back.
func (h *leases) delay(r *reservation, deadline int64) {
	r.deadline = deadline
	h.down(r.place)
}

func (h *leases) put(i int, r *reservation) {
	(*h)[i] = r
	r.place = i
}

func (h *leases) up(i int) {
	r := (*h)[i]
	for i > 0 {
		parent := (i - 1) / 2
		if (*h)[parent].deadline <= r.deadline {
			break
		}
		h.put(i, (*h)[parent])
		i = parent
	}
	h.put(i, r)
}

func (h *leases) down(i int) int {
	r := (*h)[i]
	for {
		child := 2*i + 1
		if child >= len(*h) {
			break
		}
		if right := child + 1; right < len(*h) && (*h)[right].deadline < (*h)[child].deadline {
			child = right
		}
		if r.deadline <= (*h)[child].deadline {
			break
		}
		h.put(i, (*h)[child])
		i = child
	}
	h.put(i, r)
	return i
}

// deadline is the end of a lease, or the last instant there is.
func deadline(now int64, lease time.Duration) int64 {
	if now > 0 && int64(lease) > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + int64(lease)
}
