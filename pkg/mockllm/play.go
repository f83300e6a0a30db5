package mockllm

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// player plays one answer on one connection and notes what it really wrote, when. It lives in the handler's goroutine.
type player struct {
	m    *Mock
	a    *answer
	out  output
	name string     // of the plan, which seeds timer offsets
	rng  *rand.Rand // of timer offsets, made by the first
	recv time.Time
	sent Sent
	gone *Place
}

// output is the way to the client: net/http's, or the bare connection for what net/http refuses to send.
type output interface {
	interim(codes []int) error     // 1xx responses, flushed
	head(a *answer) error          // status line and headers, not yet flushed
	write(data []byte) error       // body bytes
	flush() error                  // what was written is on its way
	end(ctx context.Context) error // completes the framing
	abort(reset bool) error        // closes the connection as it is
}

// errGone says that the client is not there any more.
var errGone = errors.New("the client has gone")

// play writes the answer. It returns the word for the journal's End, and whether the connection must be aborted.
func (p *player) play(ctx context.Context) string {
	err := p.body(ctx)
	switch {
	case err == nil && p.a.kind == "":
		return "complete"
	case err == nil:
		return "fault:" + p.a.kind
	case errors.Is(context.Cause(ctx), errShutdown):
		return "shutdown"
	default:
		p.gone = &Place{Chunk: p.sent.Chunks, Bytes: p.sent.Bytes, MS: p.m.opts.Now().Sub(p.recv).Milliseconds()}
		return "client_gone"
	}
}

func (p *player) body(ctx context.Context) error {
	plan := &p.a.x.plan
	if err := p.sleep(ctx, p.a.wait); err != nil {
		return err
	}
	if err := p.m.gate.pass(ctx, "headers", plan.Hold); err != nil {
		return err
	}
	if err := p.out.interim(plan.HTTP.Informational); err != nil {
		return errors.Join(errGone, err)
	}
	if p.a.ending == endHang {
		return p.stall(ctx)
	}
	if err := p.out.head(p.a); err != nil {
		return err
	}
	p.sent.Status = p.a.status
	if len(p.a.segments) == 0 || p.a.segments[0].wait > 0 { // else the headers leave with the first bytes
		if err := p.flush(); err != nil {
			return err
		}
	}
	for i := range p.a.segments {
		if err := p.segment(ctx, &p.a.segments[i]); err != nil {
			return err
		}
	}
	switch p.a.ending {
	case endStall:
		return p.stall(ctx)
	case endClose, endReset:
		if p.sent.Bytes == 0 {
			if err := p.flush(); err != nil {
				return err
			}
		}
		return p.out.abort(p.a.ending == endReset)
	case endWhole, endHang:
	}
	err := p.out.end(ctx)
	if p.sent.Head.IsZero() { // nothing was flushed
		p.headed(p.m.opts.Now())
	}
	return err
}

// segment waits, writes one piece, and flushes it.
func (p *player) segment(ctx context.Context, s *segment) error {
	if err := p.sleep(ctx, s.wait); err != nil {
		return err
	}
	from := 0
	if !s.usage.empty() && p.a.holds(p.m) { // what comes before the usage is already out when the answer waits
		from = s.usage.from
		if err := p.write(s, 0, from); err != nil {
			return err
		}
		if p.sent.Bytes == 0 {
			if err := p.flush(); err != nil {
				return err
			}
		}
		if err := p.m.gate.pass(ctx, "usage", p.a.x.plan.Hold); err != nil {
			return err
		}
	}
	return p.write(s, from, len(s.data))
}

// holds reports whether the barrier before the usage is closed for this answer.
func (a *answer) holds(m *Mock) bool { return a.x.plan.Hold == "usage" || m.gate.isClosed("usage") }

// write sends s.data[from:to].
func (p *player) write(s *segment, from, to int) error {
	if from == to {
		return nil
	}
	if err := p.out.write(s.data[from:to]); err != nil {
		return errors.Join(errGone, err)
	}
	if err := p.out.flush(); err != nil {
		return errors.Join(errGone, err)
	}
	now := p.m.opts.Now()
	p.flushed(now)
	if p.sent.Bytes == 0 {
		p.sent.First = now
	}
	before := p.sent.Bytes
	p.sent.Bytes += int64(to - from)
	p.sent.Last = now
	p.sent.Segments++
	if event := s.asked.clip(from, to); !event.empty() {
		if p.sent.UsageEvent == nil {
			p.sent.UsageEvent = &Range{From: before + int64(event.from)}
		}
		p.sent.UsageEvent.To = before + int64(event.to)
	}
	if to < len(s.data) {
		return nil
	}
	if s.content {
		p.sent.Chunks++
	}
	if !s.usage.empty() {
		p.sent.Usage = now
		p.sent.UsageBytesOffset = p.sent.Bytes - int64(len(s.data)-s.usage.to)
	}
	return nil
}

func (p *player) flush() error {
	if err := p.out.flush(); err != nil {
		return errors.Join(errGone, err)
	}
	p.flushed(p.m.opts.Now())
	return nil
}

// flushed notes that what was written until now is out.
func (p *player) flushed(now time.Time) {
	p.sent.Flushes++
	p.headed(now)
}

// headed notes that the headers are out, if they are now.
func (p *player) headed(now time.Time) {
	if p.sent.Status != 0 && p.sent.Head.IsZero() {
		p.sent.Head = now
	}
}

// stall sends nothing more until the fault's time is over or the client has left, and closes the connection. A client that
// leaves a stalled answer is how such a fault ends, and is still noted as having left.
func (p *player) stall(ctx context.Context) error {
	if p.a.ending == endStall && p.sent.Bytes == 0 {
		if err := p.flush(); err != nil {
			return err
		}
	}
	limit := p.a.x.plan.Fault.For
	if limit == nil {
		<-ctx.Done()
		return errGone
	}
	if err := p.sleep(ctx, time.Duration(limit.value(0))); err != nil {
		return err
	}
	return p.out.abort(false)
}

// sleep waits for d and a few nanoseconds drawn for this answer, so that timers of different answers never end at the same
// instant of a virtual clock, and the same seed is the same run.
func (p *player) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if p.rng == nil {
		seed := drawSeed(p.m.opts.Seed, "timers", p.name, p.a.x.plan.ID)
		p.rng = rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // reproducible on purpose
	}
	const spread = 1000
	timer := time.NewTimer(d + time.Duration(1+p.rng.IntN(spread)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errGone
	}
}

// finish fills what is computed at the end.
func (p *player) finish() Sent {
	s := p.sent
	s.HeadNS, s.FirstNS, s.UsageNS, s.LastNS = unixNano(s.Head), unixNano(s.First), unixNano(s.Usage), unixNano(s.Last)
	s.SHA256 = p.a.sum
	body := p.a.whole[:s.Bytes]
	if len(body) < len(p.a.whole) {
		s.SHA256 = sumOf(body)
	}
	if keep := min(len(body), p.m.opts.KeepSent); keep > 0 {
		s.Body = body[:keep:keep]
		if keep < len(p.a.whole)/2 {
			s.Body = bytes.Clone(s.Body) // a beginning must not keep the whole in memory
		}
	}
	return s
}

// unixNano is 0 for the zero time.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
