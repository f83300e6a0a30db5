package limiter

import "math/bits"

// Weights price the classes of tokens, in thousandths of a token. The zero value prices every class at 1000, as does a
// rule without weights.
type Weights struct {
	Input       int64
	CachedInput int64
	CacheWrite  int64
	Output      int64
	Reasoning   int64
}

func (w Weights) orPlain() Weights {
	if w == (Weights{}) {
		return Weights{Input: 1000, CachedInput: 1000, CacheWrite: 1000, Output: 1000, Reasoning: 1000}
	}
	return w
}

// Classes are the tokens of a usage, each in exactly one class.
type Classes struct {
	Input       int64 // not cached
	CachedInput int64
	CacheWrite  int64
	Output      int64 // without reasoning
	Reasoning   int64
}

// Charge returns what the tokens cost, rounded up once, at most [MaxAmount].
func (w Weights) Charge(c Classes) int64 {
	w = w.orPlain()
	var sum thousandths
	sum.add(c.Input, w.Input)
	sum.add(c.CachedInput, w.CachedInput)
	sum.add(c.CacheWrite, w.CacheWrite)
	sum.add(c.Output, w.Output)
	sum.add(c.Reasoning, w.Reasoning)
	return sum.ceil()
}

// Ask is what a request asks of one rule.
type Ask struct {
	Prompt   int64 // P: the estimate of the prompt
	Output   int64 // C: the output allowance, of the request or by default
	Declared bool  // the request declares C itself
	N        int64 // answers; below 1 counts as 1

	Weights Weights // of the rule

	// Lim is the smallest capacity among the rule's limits, min(burst, tokens per day).
	Lim int64
}

// Cost returns what a request reserves under one rule: P + n × C, weighted, at most [MaxAmount].
//
// A default allowance is a guess that the client did not make. Where it alone lifts the cost over Lim, the cost is Lim,
// so that a small limit does not reject every first request. A declared allowance, or a prompt over Lim, keeps its
// cost, and the store rejects it for good.
func Cost(a Ask) int64 {
	w := a.Weights.orPlain()
	output := product(max(a.N, 1), max(a.Output, 0))
	var sum thousandths
	sum.add(a.Prompt, max(w.Input, w.CacheWrite))
	sum.add(output, max(w.Output, w.Reasoning))
	cost := sum.ceil()
	if !a.Declared && a.Prompt <= a.Lim && cost > a.Lim {
		return a.Lim
	}
	return cost
}

// product is a × b, at most MaxAmount.
func product(a, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > MaxAmount {
		return MaxAmount
	}
	return int64(lo)
}

// thousandths is a sum of products in 128 bits.
type thousandths struct{ hi, lo uint64 }

func (t *thousandths) add(tokens, weight int64) {
	hi, lo := bits.Mul64(uint64(max(tokens, 0)), uint64(max(weight, 0)))
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, lo, 0)
	t.hi, _ = bits.Add64(t.hi, hi, carry)
}

// ceil is the sum in whole tokens, rounded up, at most MaxAmount.
func (t *thousandths) ceil() int64 {
	if t.hi >= 1000 { // the quotient does not fit in 64 bits
		return MaxAmount
	}
	q, r := bits.Div64(t.hi, t.lo, 1000)
	if q >= MaxAmount {
		return MaxAmount
	}
	if r > 0 {
		q++
	}
	return int64(q)
}
