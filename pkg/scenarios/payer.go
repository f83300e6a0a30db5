package scenarios

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// payers are who a cell is at a target by URL: for the target as a whole, and for
// each limit that has clients of its own.
type payers struct {
	common *owner
	own    map[string]*owner // by the name of the limit
}

// owner is one kind of identity and the one that is the cell's own.
type owner struct {
	ids *identities
	who string
}

// newPayers mints the identities that a cell needs.
func (w *world) newPayers(ctx context.Context) (*payers, error) {
	t := w.cell.Target
	mint := func(is *suite.Identity) (*owner, error) {
		ids, err := w.newIdentities(ctx, is, w.place())
		if err != nil {
			return nil, err
		}
		who, err := ids.own()
		return &owner{ids: ids, who: who}, err
	}
	common, err := mint(t.Identity)
	if err != nil {
		return nil, err
	}
	p := &payers{common: common, own: map[string]*owner{}}
	for _, l := range t.Binding(w.cell.Scenario.Limits) {
		if l.Identity == nil {
			continue
		}
		if p.own[l.Name], err = mint(l.Identity); err != nil {
			return nil, fmt.Errorf("the limit %q: %w", l.Name, err)
		}
	}
	return p, nil
}

// shared tells whether two cells may have to be the same client.
func (p *payers) shared() bool {
	for _, o := range p.own {
		if o.ids.shared() {
			return true
		}
	}
	return p.common.ids.shared()
}

// payment is what makes a request one of a client's.
type payment struct {
	keys     map[string]string // who pays, by the name of each limit that binds
	presents []owner
	headers  map[string]string
	path     string // before that of the request
}

// of gives each limit the owner of its clients.
func (p *payers) of(limits []*suite.Limit) ([]*owner, error) {
	owners := make([]*owner, len(limits))
	for i, l := range limits {
		owners[i] = p.common
		if l.Identity == nil {
			continue
		}
		if owners[i] = p.own[l.Name]; owners[i] == nil {
			return nil, fmt.Errorf("a request names the limit %q, and its scenario does not: add it to the scenario's limits", l.Name)
		}
	}
	return owners, nil
}

// payment says how a request comes to the limits that it names. A `key` is somebody
// else for the target as a whole, or for the first limit if all have their own clients.
func (w *world) payment(r *suite.Request) (payment, error) {
	out := payment{keys: map[string]string{}, headers: map[string]string{}}
	if w.payers == nil {
		return out, nil
	}
	names := r.Limits
	if names == nil {
		names = w.cell.Scenario.Limits
	}
	limits := w.cell.Target.Binding(names)
	common := w.payers.common
	if len(limits) == 0 {
		return out, out.add(common, r.Key, r.Nobody)
	}
	owners, err := w.payers.of(limits)
	if err != nil {
		return out, err
	}
	other := owners[0]
	if slices.Contains(owners, common) {
		other = common
	}
	for i, l := range limits {
		key := ""
		if owners[i] == other {
			key = r.Key
		}
		if err := out.add(owners[i], key, r.Nobody, l.Name); err != nil {
			return out, err
		}
		maps.Copy(out.headers, l.Headers)
		out.path += l.Path
	}
	return out, nil
}

// add makes an owner, or who it calls by a key, pay for limits. Nobody does not.
func (p *payment) add(o *owner, key string, nobody bool, limits ...string) error {
	if nobody {
		return nil
	}
	who := o.who
	if key != "" {
		var err error
		if who, err = o.ids.named(key); err != nil {
			return err
		}
	}
	for _, name := range limits {
		p.keys[name] = who
	}
	p.presents = append(p.presents, owner{ids: o.ids, who: who})
	return nil
}

// sameAs tells whether two requests come from the same clients.
func (p payment) sameAs(other payment) bool {
	return slices.EqualFunc(p.presents, other.presents, func(a, b owner) bool { return a.who == b.who })
}

// write puts the identities into a request, except where it has one of its own.
func (p *payment) write(to http.Header, own map[string]string) error {
	for _, one := range p.presents {
		if is := one.ids.is; is == nil || is.Header != "" && own[is.Header] != "" {
			continue
		}
		if err := one.ids.present(one.who, to, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// clients are all identities that the requests of the cell came with.
func (w *world) clients() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := map[string]bool{}
	for _, s := range w.sent {
		for _, one := range s.payment.presents {
			known[one.who] = true
		}
	}
	return known
}
