//go:build !linux

package load

// newSleeper makes a sleeper for the clock on the wall. Where nothing finer than a
// timer is at hand, the last stretch is spent yielding.
func newSleeper() sleeper { return &exact{} }
