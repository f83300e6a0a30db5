package probe

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// refunds reserves almost everything, lets the response end in each way, and asks
// again until as much is there: the unused part has come back.
func (p *prober) refunds(ctx context.Context) error {
	if !p.r.Reserves || p.edge < 100 {
		return nil
	}
	if !p.s.Identities {
		p.note("refunds were not timed: without identities there is one account, and what is kept of it would spoil the rest")
		return nil
	}
	most := p.edge - p.edge/20 // refill alone takes long to give as much
	for _, ending := range Endings {
		client := p.fresh()
		first, err := p.ask(ctx, Question{Client: client, Output: most, Ending: ending})
		if err != nil {
			return err
		}
		if !first.Admitted {
			p.note("a response that ends by %q could not be had: status %d", nameOf(ending), first.Status)
			continue
		}
		refund := Refund{Ending: ending}
		for !refund.Back && time.Since(first.Ended) < p.s.Patience {
			a, err := p.ask(ctx, Question{Client: client, Output: most})
			if err != nil {
				return err
			}
			if refund.Back = a.Admitted; refund.Back {
				refund.After = a.Decided.Sub(first.Ended)
				break
			}
			if err := sleep(ctx, 2*time.Millisecond+time.Since(first.Ended)/10); err != nil {
				return err
			}
		}
		if ending == Whole {
			p.settle = max(3*refund.After, 5*time.Millisecond)
		}
		p.r.Refunds = append(p.r.Refunds, refund)
	}
	return nil
}

func nameOf(e Ending) string {
	if e == Whole {
		return "whole body"
	}
	return string(e)
}

// refill spends everything and watches what comes back, and when.
func (p *prober) refill(ctx context.Context) error {
	if !p.r.Reserves || p.edge < 10 {
		return nil
	}
	client := p.fresh()
	drained, err := p.ask(ctx, Question{Client: client, Output: p.edge, Used: p.edge})
	if err != nil {
		return err
	}
	if !drained.Admitted {
		return fmt.Errorf("a request of %d tokens of a client that is new passed before and does not pass now: somebody else uses these accounts, "+
			"or all clients share one (is the limit keyed by the identity?)", p.edge)
	}
	if p.s.Identities { // while this client has nothing left, another has everything
		other, err := p.ask(ctx, Question{Client: p.fresh(), Output: p.edge})
		if err != nil {
			return err
		}
		if p.r.Identities = other.Admitted; !other.Admitted {
			p.note("what one client spends is missing to another: the identity is not what the limit is keyed by")
		}
	}
	w := &watch{p: p, client: client, zero: drained.Sent, spent: float64(p.edge)}
	if len(p.r.Refunds) > 0 && !p.r.Refunds[0].Back {
		w.kept = p.r.Burst.Mid() - float64(p.edge)
		w.spent += w.kept
		p.note("what is reserved does not come back: every question about the refill costs what it asks for")
	}
	// Just after the drain next to nothing is left: that is the first inequality.
	w.points = append(w.points, point{cost: float64(p.edge), from: 0, to: w.at(drained.Decided), admitted: true})
	return w.run(ctx)
}

// watch is the observation of one spent account. Costs are allowances plus what was
// used before, so that they speak of one level that only rises.
type watch struct {
	p      *prober
	client int
	zero   time.Time
	spent  float64 // tokens that were used since the account was full
	kept   float64 // reserved for the prompt, where it does not come back; else 0
	points []point
	retry  time.Duration // what the last rejection said of waiting
}

func (w *watch) at(t time.Time) float64 { return t.Sub(w.zero).Seconds() }

// ask puts one question and keeps what it proves.
func (w *watch) ask(ctx context.Context, output int64) (bool, error) {
	a, err := w.p.ask(ctx, Question{Client: w.client, Output: output})
	if err != nil {
		return false, err
	}
	cost := float64(output) + w.spent
	w.points = append(w.points, point{cost: cost, from: w.at(a.Sent), to: w.at(a.Decided), admitted: a.Admitted})
	if !a.Admitted {
		if r := a.Said.Retry; r != nil && r.Seconds != nil {
			w.retry = time.Duration(*r.Seconds) * time.Second
		}
		return false, nil
	}
	if w.kept > 0 {
		w.spent += float64(output) + w.kept
		return true, nil
	}
	w.spent++ // the mock says that one token was used
	return true, sleep(ctx, max(w.p.settle, 5*time.Millisecond))
}

// level finds how much is left now, by bisection.
func (w *watch) level(ctx context.Context) (int64, error) {
	lo, hi := int64(0), w.p.edge+1
	if rate := slope(w.points); rate.Lo > 0 {
		guess := levels(w.points, w.at(time.Now()), rate)
		lo = max(0, int64(guess.Lo-w.spent)-2)
		hi = min(hi, int64(min(guess.Hi-w.spent, float64(hi)))+2)
	}
	for hi-lo > 1 {
		middle := lo + (hi-lo)/2
		ok, err := w.ask(ctx, middle)
		if err != nil {
			return 0, err
		}
		if ok {
			lo = middle
		} else {
			hi = middle
		}
		if ok && w.kept > 0 { // what was asked for is gone
			break
		}
	}
	return lo, nil
}

// run measures until the rate is known well enough, or the horizon ends.
func (w *watch) run(ctx context.Context) error {
	p := w.p
	pause, before := 50*time.Millisecond, int64(0)
	for time.Since(w.zero) < p.s.Horizon {
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		left, err := w.level(ctx)
		if err != nil {
			return err
		}
		rate := slope(w.points)
		switch {
		case left >= p.edge*9/10 && before <= p.edge/10 && len(w.points) > 4:
			w.stepped()
			return nil
		case left >= p.edge*9/10: // full, or nearly so: nothing more can be seen
			w.bucket(rate)
			return nil
		case rate.Lo > 0 && rate.Width() <= p.s.Precision:
			w.bucket(rate)
			return nil
		}
		before = left
		if pause = 2 * pause; left <= p.edge/100 { // waiting for an edge, whose instant matters
			pause = min(pause, 250*time.Millisecond)
		}
		pause = min(pause, 2*time.Second)
	}
	if rate := slope(w.points); rate.Lo > 0 {
		w.bucket(rate)
		return nil
	}
	w.nothing()
	return nil
}

func (w *watch) bucket(rate Interval) {
	w.p.r.Window, w.p.r.Rate = "bucket", &rate
}

// stepped: everything came back at once. A window of the clock begins at a round
// instant, another one when its client was first seen.
func (w *watch) stepped() {
	from, to := w.zero, time.Now()
	for _, p := range w.points[1:] { // the first is the drain
		if p.admitted && p.cost > w.points[0].cost*1.1 { // more than the rest that was left over
			to = w.zero.Add(seconds(p.to))
			break
		}
		if !p.admitted {
			from = w.zero.Add(seconds(p.from))
		}
	}
	var fits []string
	for _, per := range []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		edge := to.Truncate(per)
		if edge.Before(from) || edge.Add(-per).After(w.zero) { // no edge then, or one before at which nothing came
			continue
		}
		if fits == nil {
			w.p.r.Window, w.p.r.Per, w.p.r.Phase = "calendar", per, "begins with the clock's"
		}
		fits = append(fits, per.String())
	}
	if fits == nil {
		w.p.r.Window, w.p.r.Per, w.p.r.Phase = "first-hit", to.Sub(w.zero).Round(time.Second), "begins with a client's first request"
	} else if len(fits) > 1 {
		w.p.note("one edge was seen: a window of %s of the clock has it too", strings.Join(fits[1:], " or "))
	}
}

// nothing came back within the horizon: what the gateway says has to do.
func (w *watch) nothing() {
	p := w.p
	end := time.Now().Add(w.retry)
	var fits []string
	for _, per := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour, 24 * time.Hour} {
		if w.retry <= 0 || w.retry > per || end.Sub(end.Truncate(per)) > 2*time.Second {
			continue
		}
		if fits == nil {
			p.r.Window, p.r.Per, p.r.Phase = "calendar", per, "ends with the clock's, as it says"
		}
		fits = append(fits, per.String())
	}
	switch len(fits) {
	case 0:
		p.note("nothing came back within %v: the window is longer, or never ends", p.s.Horizon)
	case 1:
		p.note("nothing came back within %v; by its Retry-After of %v the window ends with the %v of the clock", p.s.Horizon, w.retry, fits[0])
	default:
		p.note("nothing came back within %v; by its Retry-After of %v the window ends with the %v of the clock, or with the %s, which end with it",
			p.s.Horizon, w.retry, fits[0], strings.Join(fits[1:], " or "))
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
