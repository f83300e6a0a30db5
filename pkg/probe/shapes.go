package probe

import (
	"context"
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
	type ended struct {
		a   Answer
		err error
	}
	client, most := p.fresh(), p.edge-p.edge/20
	s := &Silence{Watched: p.watchable(2*most - p.edge)}
	if s.Watched == 0 {
		p.note("a provider that never answers was not watched: what comes back by itself would hide what is given back")
		return nil
	}
	begun, waiting := time.Now(), make(chan ended, 1)
	go func() {
		a, err := p.g.Ask(ctx, Question{Client: client, Output: most, Ending: Silent, For: s.Watched})
		waiting <- ended{a, err}
	}()
	lo := 0.0
	until, over := s.Watched, false
	for s.Back == nil && time.Since(begun) < until {
		if err := sleep(ctx, s.Watched/100); err != nil {
			break
		}
		select {
		case e := <-waiting:
			over = true
			if e.err != nil {
				return e.err
			}
			if e.a.Status > 0 {
				s.GaveUp, s.Status = e.a.Ended.Sub(begun), e.a.Status
				until = min(until, s.GaveUp+p.s.Patience)
			}
		default:
		}
		asked := time.Since(begun)
		a, err := p.ask(ctx, Question{Client: client, Output: most})
		switch {
		case err != nil && over:
			return err
		case err != nil:
			<-waiting
			return err
		case a.Admitted:
			s.Back = &Interval{lo, a.Decided.Sub(begun).Seconds()}
		default:
			lo = asked.Seconds()
		}
	}
	p.r.Silence = s
	if !over {
		<-waiting
	}
	return ctx.Err()
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
