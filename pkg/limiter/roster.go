package limiter

// roster lists all accounts, so that a sweep can go over them piece by piece. It grows by pages: a slice of all of them
// would stop everybody while a million pointers are copied.
type roster struct {
	pages []*page
	n     int
}

const pageSize = 1024

type page [pageSize]*account

func (r *roster) at(i int) *account { return r.pages[i/pageSize][i%pageSize] }

func (r *roster) set(i int, a *account) { r.pages[i/pageSize][i%pageSize] = a }

func (r *roster) add(a *account) {
	if r.n == len(r.pages)*pageSize {
		r.pages = append(r.pages, new(page))
	}
	a.slot = int32(r.n)
	r.set(r.n, a)
	r.n++
}

// remove puts the last account in the place of a, which gets the slot -1. One who goes over the roster downwards meets every other account at
// least once all the same.
func (r *roster) remove(a *account) {
	r.n--
	last := r.at(r.n)
	r.set(int(a.slot), last)
	last.slot = a.slot
	r.set(r.n, nil)
	a.slot = -1
	if spare := r.n/pageSize + 2; spare < len(r.pages) {
		r.pages[spare] = nil
		r.pages = r.pages[:spare]
	}
}
