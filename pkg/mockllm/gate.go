package mockllm

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// gate is the barrier at which answers wait. Channels are made while somebody waits, by who waits, so that a mock that was
// made outside a synctest bubble can be used inside one.
type gate struct {
	mu     sync.Mutex
	closed []string // the places where every answer waits
	open   chan struct{}
	count  int
}

func (g *gate) hold(at string) {
	if at != "headers" && at != "usage" {
		panic(fmt.Sprintf("mockllm: Hold(%q), expected headers or usage", at))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(g.closed, at) {
		g.closed = append(g.closed, at)
	}
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = nil
	if g.open != nil {
		close(g.open)
		g.open = nil
	}
}

func (g *gate) isClosed(at string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.closed, at)
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

// pass returns at once, unless the gate is closed at this place or the plan's own hold names it; then at the next release.
func (g *gate) pass(ctx context.Context, at, planned string) error {
	g.mu.Lock()
	if at != planned && !slices.Contains(g.closed, at) {
		g.mu.Unlock()
		return nil
	}
	if g.open == nil {
		g.open = make(chan struct{})
	}
	open := g.open
	g.count++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.count--
		g.mu.Unlock()
	}()
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
