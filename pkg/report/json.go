package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// JSON writes run.json, one scenario at a time: that of a million requests is a
// gigabyte, which the encoder would build whole, and twice.
func JSON(w io.Writer, run *scenarios.RunResult) error {
	frame := *run
	frame.Suites = slices.Clone(run.Suites)
	for i := range frame.Suites {
		frame.Suites[i].Scenarios = nil
	}
	text, err := indented(&frame, "")
	if err != nil {
		return err
	}
	// No text of a run can look like this: a string holds no line break.
	parts := bytes.Split(text, []byte("\n      \"scenarios\": null"))
	out := bufio.NewWriter(w)
	for i := range run.Suites {
		_, _ = out.Write(parts[i]) // Flush tells what went wrong
		_, _ = out.WriteString("\n      \"scenarios\": ")
		if err := writeScenarios(out, run.Suites[i].Scenarios); err != nil {
			return err
		}
	}
	_, _ = out.Write(append(parts[len(run.Suites)], '\n'))
	return out.Flush()
}

func writeScenarios(out *bufio.Writer, all []*scenarios.ScenarioResult) error {
	if len(all) == 0 {
		text := "[]"
		if all == nil {
			text = "null"
		}
		_, err := out.WriteString(text)
		return err
	}
	before := "["
	for _, one := range all {
		text, err := indented(one, "        ")
		if err != nil {
			return err
		}
		_, _ = out.WriteString(before + "\n        ")
		_, _ = out.Write(text)
		before = ","
	}
	_, err := out.WriteString("\n      ]")
	return err
}

// indented is a value as it stands in a document, whose first line the caller indents.
func indented(value any, prefix string) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent(prefix, "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
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
