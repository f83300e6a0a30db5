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

// become is first and then next.
func (f *clamp) become(first, next *clamp) {
	f.add = first.add + next.add
	f.lo, f.loAt = next.apply(first.lo, first.loAt)
	f.hi, f.hiAt = next.apply(first.hi, first.hiAt)
}

// chain is a long sequence of clamps that is applied in one step. Its links are
// set in any order, but not long after one another, and each becomes final: what
// leads is folded into the value it starts from, and only the links behind it
// stand in a segment tree. So a link costs the logarithm of what is open at a
// time, not of the whole run.
type chain struct {
	start int64 // after the links that are folded
	since int32 // the link that set it, -1 if none did
	base  int   // number of the first link in the tree
	size  int   // of the tree
	nodes []clamp
	final []bool // by place in the tree
}

func newChain(start int64) *chain {
	c := &chain{start: start, since: -1}
	c.grow(64)
	return c
}

// set replaces a link; a final one is not set again.
func (c *chain) set(i int32, f clamp, final bool) {
	f.loAt, f.hiAt = i, i
	if int(i) >= c.base+c.size {
		c.slide(int(i))
	}
	n := int(i) - c.base
	c.final[n] = final
	n += c.size
	c.nodes[n] = f
	for n /= 2; n > 0; n /= 2 {
		c.nodes[n].become(&c.nodes[2*n], &c.nodes[2*n+1])
	}
}

// value is what the whole sequence makes of the start, and the link at which it
// was last cut off.
func (c *chain) value() (int64, int32) { return c.nodes[1].apply(c.start, c.since) }

// slide folds what is final and makes room for a link and as many more as there
// are before it, so that each link is moved but a few times.
func (c *chain) slide(link int) {
	n := 0
	for n < c.size && c.final[n] {
		c.start, c.since = c.nodes[c.size+n].apply(c.start, c.since)
		n++
	}
	c.base += n
	links, final := c.nodes[c.size+n:], c.final[n:]
	if needed := 2 * (link - c.base + 1); needed > c.size {
		c.grow(needed)
	}
	moved := copy(c.nodes[c.size:], links)
	copy(c.final, final)
	for i := moved; i < c.size; i++ {
		c.nodes[c.size+i], c.final[i] = unchanged, false
	}
	for i := c.size - 1; i > 0; i-- {
		c.nodes[i].become(&c.nodes[2*i], &c.nodes[2*i+1])
	}
}

// grow makes an empty tree of at least so many links.
func (c *chain) grow(links int) {
	for c.size < links {
		c.size = max(1, 2*c.size)
	}
	c.nodes, c.final = make([]clamp, 2*c.size), make([]bool, c.size)
	for i := range c.nodes {
		c.nodes[i] = unchanged
	}
}
