package scenarios

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// hook runs a command of target.hooks: what only the operator of a gateway can do,
// such as giving it another policy.
func (l *lane) hook(ctx context.Context, run *stepRun) error {
	name := run.bound.Hook
	argv := l.w.cell.Target.Hooks[name]
	if len(argv) == 0 {
		return fmt.Errorf("target.hooks has no %q", name)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the user's own command, from the target block
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("target.hooks.%s: running %s: %w: %s", name, argv[0], err, shorten(strings.TrimSpace(said.String()), 400))
	}
	return pause(ctx, l.w.settle())
}
