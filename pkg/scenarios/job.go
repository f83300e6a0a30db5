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

// news is what a child says on its way: one of the fields.
type news struct {
	Load *LoadProgress `json:"load,omitempty"`
	Part *part         `json:"part,omitempty"`
}

// part is a part of the requests of a result and of its history, which go ahead of the
// answer: as one text, those of a large load would be in memory several times over.
type part struct {
	Requests []*Exchange     `json:"requests"`
	History  []judge.Request `json:"history"`

	err error // of one that could not be read
}

// partSize is how many requests go at once.
const partSize = 1000

// answer is what a child says in the end; its requests are in the parts before it.
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
			result := runCell(ctx, planned.suite, cell, o, func(p LoadProgress) { emit(news{Load: &p}) })
			a := answer{Result: result, History: result.History, Sendings: result.sendings}
			a.hand(func(p *part) { emit(news{Part: p}) })
			return a, nil
		}
		return nil, fmt.Errorf("the plan of %s has no cell %q", j.Name, j.Cell)
	}
}

// hand gives the requests away, in parts.
func (a *answer) hand(give func(*part)) {
	if a.History == nil { // a cell that did not run
		return
	}
	requests, history := a.Result.Requests, a.History.Requests
	for from := 0; from < len(requests); from += partSize {
		to := min(from+partSize, len(requests))
		give(&part{Requests: requests[from:to], History: history[from:to]})
	}
	a.Result.Requests, a.History.Requests = nil, nil
}

// take adds a part that was given.
func (p *part) take(next *part) {
	for i, x := range next.Requests {
		r := &next.History[i]
		x.ID, x.Step, x.Curl = r.ID, r.Step, r.Curl // the same text, in memory once
	}
	p.Requests = append(p.Requests, next.Requests...)
	p.History = append(p.History, next.History...)
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
