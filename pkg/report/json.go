package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

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
	return &run, nil
}
