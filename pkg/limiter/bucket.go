package limiter

import (
	"math"
	"math/bits"
	"time"
)

// bucket is a level that refills. It is exact: carry holds what the division of elapsed time by rate left over, so that
// refilling in many steps and in one gives the same level.
type bucket struct {
	level int64 // micro-tokens or micro-requests; negative is debt
	carry int64 // in 1/per of the level's unit, 0 ≤ carry < per
	clock int64 // ns, the instant of level and carry
}

// flow is what a bucket needs to know of its limit: the level grows by rate/per in each nanosecond, up to burst.
type flow struct {
	burst int64 // in the level's unit
	rate  uint64
	per   uint64
	scale int64 // the level's unit in one unit of cost
}

// flow returns the numbers of a limit that is a bucket. 60 000 = 60 s × 10^9 ns / 10^6 micro-tokens.
func (l *Limit) flow() flow {
	if l.Kind == TokenBucket {
		return flow{burst: l.Burst * Micro, rate: uint64(l.TokensPerMinute), per: 60_000, scale: Micro}
	}
	return flow{burst: l.Burst, rate: uint64(l.MicroPerSecond), per: 1e9, scale: 1}
}

// refill brings the bucket to now, which must not lie before its clock.
func (b *bucket) refill(f flow, now int64) {
	elapsed := uint64(now - b.clock)
	b.clock = now
	if b.level >= f.burst || elapsed == 0 {
		return
	}
	hi, lo := bits.Mul64(elapsed, f.rate)
	lo, c := bits.Add64(lo, uint64(b.carry), 0)
	hi += c
	if hi >= f.per { // the quotient does not fit in 64 bits, so it is more than any burst
		b.fill(f)
		return
	}
	gain, rest := bits.Div64(hi, lo, f.per)
	if gain >= uint64(f.burst-b.level) {
		b.fill(f)
		return
	}
	b.level += int64(gain)
	b.carry = int64(rest)
}

func (b *bucket) fill(f flow) { b.level, b.carry = f.burst, 0 }

// wait is the shortest time after the bucket's clock at which its level is at least target ≤ burst.
func (b *bucket) wait(f flow, target int64) time.Duration {
	if b.level >= target {
		return 0
	}
	hi, lo := bits.Mul64(uint64(target-b.level), f.per)
	lo, borrow := bits.Sub64(lo, uint64(b.carry), 0)
	hi -= borrow
	lo, c := bits.Add64(lo, f.rate-1, 0) // rounds up
	hi += c
	if hi >= f.rate {
		return math.MaxInt64
	}
	ns, _ := bits.Div64(hi, lo, f.rate)
	return time.Duration(min(ns, math.MaxInt64))
}

// charge takes an amount in units of cost; a negative one is given back. The level stays between -burst and burst: what
// does not fit above is lost, what does not fit below is returned as written off, rounded up to a whole unit of level.
func (b *bucket) charge(f flow, amount int64) WrittenOff {
	if amount < 0 {
		b.level -= amount * f.scale
		if b.level >= f.burst {
			b.fill(f)
		}
		return WrittenOff{}
	}
	room := b.level + f.burst // until the floor
	whole, part := room/f.scale, room%f.scale
	if amount <= whole {
		b.level -= amount * f.scale
		return WrittenOff{}
	}
	b.level, b.carry = -f.burst, 0
	return WrittenOff{Tokens: amount - whole}.minus(WrittenOff{Micro: part})
}

// clamp brings the level into the bounds of another limit.
func (b *bucket) clamp(f flow) WrittenOff {
	if b.level >= f.burst {
		b.fill(f)
		return WrittenOff{}
	}
	if b.level >= -f.burst {
		return WrittenOff{}
	}
	below := -f.burst - b.level
	b.level, b.carry = -f.burst, 0
	return WrittenOff{Tokens: below / f.scale, Micro: below % f.scale}
}

func (w WrittenOff) plus(v WrittenOff) WrittenOff {
	w.Tokens, w.Micro = w.Tokens+v.Tokens, w.Micro+v.Micro
	if w.Micro >= Micro {
		w.Tokens, w.Micro = w.Tokens+1, w.Micro-Micro
	}
	return w
}

// minus is the difference, or zero if v is more than w.
func (w WrittenOff) minus(v WrittenOff) WrittenOff {
	w.Tokens, w.Micro = w.Tokens-v.Tokens, w.Micro-v.Micro
	if w.Micro < 0 {
		w.Tokens, w.Micro = w.Tokens-1, w.Micro+Micro
	}
	if w.Tokens < 0 {
		return WrittenOff{}
	}
	return w
}

// saturating bounds a wait that was counted from an instant before the store's own.
func saturating(lag int64, wait time.Duration) time.Duration {
	if int64(wait) > math.MaxInt64-lag {
		return math.MaxInt64
	}
	return wait + time.Duration(lag)
}
