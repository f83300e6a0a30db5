package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// JSON writes run.json.
func JSON(w io.Writer, run *scenarios.RunResult) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(run)
}

// Read reads a run.json back. A file of a newer schema is refused: what it says
// could mean something else.
func Read(r io.Reader) (*scenarios.RunResult, error) {
	var run scenarios.RunResult
	switch err := json.NewDecoder(r).Decode(&run); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("it is empty, expected what --report json=PATH writes")
	case err != nil:
		return nil, fmt.Errorf("expected what --report json=PATH writes: %w", err)
	case run.SchemaVersion < 1 || run.SchemaVersion > scenarios.SchemaVersion:
		return nil, fmt.Errorf("schemaVersion is %d, this program reads 1 to %d", run.SchemaVersion, scenarios.SchemaVersion)
	}
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			if !whole(sc) {
				return nil, fmt.Errorf("suite %q has a null in place of a scenario, a step, a request or a distribution", run.Suites[i].Name)
			}
		}
	}
	return &run, nil
}

// whole tells whether nothing is null that every view relies on.
func whole(sc *scenarios.ScenarioResult) bool {
	return sc != nil && !slices.Contains(sc.Requests, nil) && allThere(sc.Steps)
}

func allThere(steps []*scenarios.StepResult) bool {
	for _, step := range steps {
		if step == nil {
			return false
		}
		if step.Measured != nil {
			for _, t := range step.Measured.Outcomes {
				if t == nil {
					return false
				}
			}
		}
		if slices.ContainsFunc(step.Parallel, func(lane []*scenarios.StepResult) bool { return !allThere(lane) }) {
			return false
		}
	}
	return true
}
