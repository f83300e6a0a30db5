package probe

import (
	"context"
	"errors"
	"strings"
	"time"
)

// shapes compares what still fits beside the same text in other forms. What costs
// nothing in one of them is a way around the limit.
func (p *prober) shapes(ctx context.Context) error {
	if p.r.PerChar == nil || p.edge < 400 {
		return nil
	}
	length := int64(longPrompt)
	for length > p.edge/2 {
		length /= 2
	}
	plain := strings.Repeat("a", int(length))
	for _, kind := range []struct {
		name  string
		q     Question
		about int64 // what stands around the text and may count, in bytes
		whole bool
	}{
		{"where it needs an escape", Question{Text: strings.Repeat(`"`, int(length))}, 1, false},
		{"in a list of parts", Question{Text: plain, Shape: AsParts}, 0, false},
		{"in the description of a tool", Question{Text: plain, Shape: AsTool}, 100, false},
		{"an image", Question{Shape: AsImage}, 0, true},
	} {
		edge, err := p.largest(ctx, kind.q, max(p.edge-(length+3)/4, 0))
		if err != nil {
			return err
		}
		if edge <= 0 {
			p.note("%s: the limit is too small to measure it", kind.name)
			continue
		}
		fell := float64(p.edge - edge)
		cost := ShapeCost{Name: kind.name, Costs: exactly(max(fell, 0))}
		if !kind.whole {
			cost.Per = "character"
			cost.Costs = Interval{max(0, fell-1-float64(kind.about)) / float64(length), (fell + 1) / float64(length)}
		}
		if fell < 2 {
			p.note("%s costs nothing: a way around the limit", kind.name)
		}
		p.r.Shapes = append(p.r.Shapes, cost)
	}
	return nil
}

// silence reserves almost everything for a request that its provider never answers, and
// asks meanwhile until as much is there: the lease has ended. Or the gateway gives up,
// and then gives back, or keeps.
func (p *prober) silence(ctx context.Context) error {
	if !p.r.Reserves || p.edge < 100 || !p.s.Identities {
		return nil
	}
	client, most := p.fresh(), p.edge-p.edge/20
	s := &Silence{Watched: p.watchable(2*most - p.edge)}
	if s.Watched == 0 {
		p.note("a provider that never answers was not watched: what comes back by itself would hide what is given back")
		return nil
	}
	h := p.hang(ctx, Question{Client: client, Output: most, Ending: Silent, For: s.Watched})
	rejected, every := 0.0, s.Watched/100
	for s.Back == nil && time.Since(h.begun) < s.Watched && sleep(ctx, every) == nil {
		h.look(s, p.s.Patience)
		asked := time.Since(h.begun)
		a, err := p.ask(ctx, Question{Client: client, Output: most})
		if err != nil {
			_ = h.end(s) // what went wrong first is said
			return err
		}
		if a.Admitted {
			s.Back = &Interval{rejected, a.Decided.Sub(h.begun).Seconds()}
		}
		rejected = asked.Seconds()
	}
	p.r.Silence = s
	return errors.Join(h.end(s), ctx.Err())
}

// hanging is a request that waits for a provider that never answers.
type hanging struct {
	begun    time.Time
	answered chan hung
	last     *hung // nil while it waits
}

// hung is how it ended.
type hung struct {
	a   Answer
	err error
}

// hang sends a request and does not wait for it.
func (p *prober) hang(ctx context.Context, q Question) *hanging {
	h := &hanging{begun: time.Now(), answered: make(chan hung, 1)}
	go func() { // awaited by end
		a, err := p.g.Ask(ctx, q)
		h.answered <- hung{a, err}
	}()
	return h
}

// look notes when the gateway has given up. Who has not given back so long afterwards
// keeps it.
func (h *hanging) look(s *Silence, patience time.Duration) {
	select {
	case one := <-h.answered:
		h.note(&one, s)
		if s.GaveUp > 0 {
			s.Watched = min(s.Watched, s.GaveUp+patience)
		}
	default:
	}
}

func (h *hanging) note(one *hung, s *Silence) {
	h.last = one
	if one.a.Status > 0 {
		s.GaveUp, s.Status = one.a.Ended.Sub(h.begun), one.a.Status
	}
}

// end waits until the request is over.
func (h *hanging) end(s *Silence) error {
	if h.last == nil {
		one := <-h.answered
		h.note(&one, s)
	}
	return h.last.err
}

// watchable is how long one can look before so many tokens come back by themselves; 0
// if that cannot be told from what is given back.
func (p *prober) watchable(missing int64) time.Duration {
	switch r := p.r; {
	case r.Per > 0 && r.Per <= 2*p.s.Silence:
		return 0
	case r.Rate != nil && r.Rate.Hi > 0:
		return min(p.s.Silence, seconds(0.9*float64(missing)/r.Rate.Hi))
	}
	return p.s.Silence
}
