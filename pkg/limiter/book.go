package limiter

import "encoding/binary"

// book finds reservations by id: the open ones, and the latest that were settled, so that a second settlement can be
// told from an unknown one. It is a hash table of fixed size with chains through the reservations: ids are random bits
// already, nothing is allocated, and no growth stops everybody.
type book struct {
	chains []*reservation // a power of two of them
	ring   []*reservation // the settled ones, in order of settlement
	oldest int            // in the ring, once it is full
}

func newBook(remember int) book {
	size := 1024
	for size < 2*remember {
		size *= 2
	}
	return book{chains: make([]*reservation, size), ring: make([]*reservation, remember)}
}

func (b *book) chain(id *ID) **reservation {
	// Ids that were counted instead of drawn must not all fall into one chain.
	h := binary.LittleEndian.Uint64(id[:8])*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(id[8:])*0xc2b2ae3d27d4eb4f
	return &b.chains[(h>>32)&uint64(len(b.chains)-1)]
}

func (b *book) find(id *ID) *reservation {
	r := *b.chain(id)
	for r != nil && r.id != *id {
		r = r.next
	}
	return r
}

func (b *book) add(r *reservation) {
	chain := b.chain(&r.id)
	r.next = *chain
	*chain = r
}

// settled remembers that r is settled. It returns the reservation that is forgotten for it, or nil.
func (b *book) settled(r *reservation) *reservation {
	old := b.ring[b.oldest]
	b.ring[b.oldest] = r
	b.oldest++
	if b.oldest == len(b.ring) {
		b.oldest = 0
	}
	if old == nil {
		return nil
	}
	at := b.chain(&old.id)
	for *at != old {
		at = &(*at).next
	}
	*at = old.next
	old.next = nil
	return old
}
