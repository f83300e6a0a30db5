package scenarios

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmlimit/llmlimit/internal/bubble"
	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// job is what a child needs in order to run one cell: everything that the parent
// read, so that the child plans the very same program and needs no file, no
// environment and no flag.
type job struct {
	Name    string            `json:"name"`
	Data    []byte            `json:"data"`
	Files   map[string][]byte `json:"files,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Vars    map[string]any    `json:"vars,omitempty"`
	RunID   string            `json:"run_id"`
	Seed    uint64            `json:"seed"`
	Profile string            `json:"profile,omitempty"`
	Tags    string            `json:"tags,omitempty"`
	IDs     []string          `json:"ids,omitempty"`
	Only    []string          `json:"only,omitempty"`
	Faults  []string          `json:"faults,omitempty"`
	Cell    string            `json:"cell"`
}

// answer is what a child says in the end.
type answer struct {
	Result  *ScenarioResult `json:"result"`
	History *judge.History  `json:"history,omitempty"`
	// Sendings are those of a load that was found guilty.
	Sendings []sending `json:"sendings,omitempty"`
}

func newJob(s *PlannedSuite, cell *suite.Cell, o *Options) (json.RawMessage, error) {
	return json.Marshal(job{
		Name: s.source.Name, Data: s.source.Data, Files: s.files, Env: s.env,
		Vars: s.options.Vars, RunID: s.Program.RunID, Seed: s.Program.Seed,
		Profile: s.options.Profile, Tags: s.options.Tags, IDs: s.options.IDs, Only: s.options.Only,
		Faults: o.Faults, Cell: cell.ID,
	})
}

// Child is what a process does whose command line is [Options.Child]: pass it to
// [bubble.Main]. Its targets come from target, made inside the bubble.
func Child(target Target) bubble.Handler {
	var planned struct { // the last plan: jobs of one suite follow each other
		key   string
		suite *PlannedSuite
	}
	return func(ctx context.Context, raw json.RawMessage, emit func(any)) (any, error) {
		var j job
		if err := json.Unmarshal(raw, &j); err != nil {
			return nil, fmt.Errorf("reading a job: %w", err)
		}
		if key := j.key(); planned.suite == nil || planned.key != key {
			s, err := j.plan()
			if err != nil {
				return nil, err
			}
			planned.key, planned.suite = key, s
		}
		for _, cell := range planned.suite.Program.Cells {
			if cell.ID != j.Cell {
				continue
			}
			o := &Options{Target: target, Faults: j.Faults}
			result := runCell(ctx, planned.suite, cell, o, func(p LoadProgress) { emit(p) })
			return answer{Result: result, History: result.History, Sendings: result.sendings}, nil
		}
		return nil, fmt.Errorf("the plan of %s has no cell %q", j.Name, j.Cell)
	}
}

// key tells plans apart.
func (j job) key() string {
	j.Cell, j.Faults = "", nil
	text, err := json.Marshal(j)
	if err != nil { // a job that came from JSON goes back into it
		return ""
	}
	return string(text)
}

func (j *job) plan() (*PlannedSuite, error) {
	source := Source{Name: j.Name, Data: j.Data, ReadFile: func(name string) ([]byte, error) {
		if data, ok := j.Files[name]; ok {
			return data, nil
		}
		return nil, fmt.Errorf("%s was not read by the parent", name)
	}}
	s, problems := planSuite(source, suite.Options{
		Vars: j.Vars, RunID: j.RunID, Seed: &j.Seed, Profile: j.Profile, Tags: j.Tags, IDs: j.IDs, Only: j.Only,
		Env: func(name string) (string, bool) { value, ok := j.Env[name]; return value, ok },
	}, j.RunID)
	if s == nil || problems.Err() != nil {
		return nil, fmt.Errorf("planning %s again: %w", j.Name, problems.Err())
	}
	return s, nil
}
