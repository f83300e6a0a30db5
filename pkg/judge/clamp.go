package judge

// infinite is beyond every level; sums of amounts stay below half of it.
const infinite = int64(1) << 61

// clamp is the function x -> min(hi, max(lo, x + add)). What happens to a level
// is made of such functions (a charge, a refund, the cap, the debt floor), and
// two of them in sequence are again one. loAt and hiAt remember which link of a
// chain set the ends, -1 if none did: there the memory of the level begins.
type clamp struct {
	add, lo, hi int64
	loAt, hiAt  int32
}

// unchanged is the identity.
var unchanged = clamp{lo: -infinite, hi: infinite, loAt: -1, hiAt: -1}

// apply gives the value, and the link at which it was last cut off; from is that
// of x.
func (f *clamp) apply(x int64, from int32) (int64, int32) {
	x += f.add
	switch {
	case x >= f.hi:
		return f.hi, f.hiAt
	case x <= f.lo:
		return f.lo, f.loAt
	}
	return x, from
}

// then is g after f.
func (f *clamp) then(g *clamp) clamp {
	h := clamp{add: f.add + g.add}
	h.lo, h.loAt = g.apply(f.lo, f.loAt)
	h.hi, h.hiAt = g.apply(f.hi, f.hiAt)
	return h
}

// chain is a sequence of clamps of which any may change at any time; the whole
// sequence is applied in one step. It is a segment tree.
type chain struct {
	size  int
	nodes []clamp
}

func newChain(n int) *chain {
	size := 1
	for size < n {
		size *= 2
	}
	c := &chain{size: size, nodes: make([]clamp, 2*size)}
	for i := range c.nodes {
		c.nodes[i] = unchanged
	}
	return c
}

func (c *chain) set(i int, f clamp) {
	f.loAt, f.hiAt = int32(i), int32(i)
	i += c.size
	c.nodes[i] = f
	for i /= 2; i > 0; i /= 2 {
		c.nodes[i] = c.nodes[2*i].then(&c.nodes[2*i+1])
	}
}

// apply runs the whole sequence on x.
func (c *chain) apply(x int64) (int64, int32) { return c.nodes[1].apply(x, -1) }
