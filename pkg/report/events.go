package report

import (
	"errors"
	"io"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// ErrNoHistories says that a run was read from run.json, which does not hold what
// the judge read.
var ErrNoHistories = errors.New("a run.json holds no histories: write events while running")

// Events writes the history of every scenario cell as JSON lines, from which
// `llmlimit judge` judges again. Histories exist only in the process that ran.
func Events(w io.Writer, run *scenarios.RunResult) error {
	cells, written := 0, 0
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			cells++
			if sc.History == nil {
				continue
			}
			h := *sc.History
			// Two suites may have a cell of the same name; lines of a file are tied by it.
			h.Header.Cell = run.Suites[i].Name + "/" + h.Header.Cell
			if err := judge.WriteHistory(w, &h); err != nil {
				return err
			}
			written++
		}
	}
	if cells > 0 && written == 0 && run.Counts.Pass+run.Counts.Fail > 0 {
		return ErrNoHistories
	}
	return nil
}
