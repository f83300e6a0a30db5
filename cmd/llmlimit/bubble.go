package main

import (
	"os"

	"github.com/llmlimit/llmlimit/internal/bubble"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// bubbleCommand is the argument that makes a process a child in which virtual time
// is spent. It is not a command for people.
const bubbleCommand = "bubble"

// runBubble never returns.
func runBubble() { bubble.Main(scenarios.Child(bundled{})) }

// bubbleChild is the command line of a child.
func bubbleChild() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, failWith(exitInternal, "finding this program's own file: %w", err)
	}
	return []string{self, bubbleCommand}, nil
}
