package report

import (
	"encoding/json"
	"io"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// The fields are those of https://github.com/ctrf-io/ctrf, schema/ctrf.schema.json.
type (
	ctrfReport struct {
		Format  string      `json:"reportFormat"`
		Version string      `json:"specVersion"`
		RunID   string      `json:"runId,omitempty"`
		By      string      `json:"generatedBy"`
		Results ctrfResults `json:"results"`
	}
	ctrfResults struct {
		Tool        ctrfTool       `json:"tool"`
		Summary     ctrfSummary    `json:"summary"`
		Tests       []ctrfTest     `json:"tests"`
		Environment map[string]any `json:"environment"`
	}
	ctrfTool struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	ctrfSummary struct {
		Tests   int   `json:"tests"`
		Passed  int   `json:"passed"`
		Failed  int   `json:"failed"`
		Skipped int   `json:"skipped"`
		Pending int   `json:"pending"`
		Other   int   `json:"other"`
		Start   int64 `json:"start"` // ms since the epoch
		Stop    int64 `json:"stop"`
	}
	ctrfTest struct {
		Name      string         `json:"name"`
		Status    string         `json:"status"`
		RawStatus string         `json:"rawStatus"`
		Duration  int64          `json:"duration"` // ms
		Message   string         `json:"message,omitempty"`
		Trace     string         `json:"trace,omitempty"`
		Suite     []string       `json:"suite"`
		File      string         `json:"filePath,omitempty"`
		Line      int            `json:"line,omitempty"`
		Tags      []string       `json:"tags,omitempty"`
		Extra     map[string]any `json:"extra,omitempty"`
	}
)

// CTRF writes the Common Test Report Format, one test per check. Its statuses have
// no word for an error of the harness: it is "failed", so that no reader takes it
// for a success, and rawStatus keeps the difference.
func CTRF(w io.Writer, run *scenarios.RunResult) error {
	out := ctrfReport{Format: "CTRF", Version: "0.0.0", RunID: run.ID, By: "llmlimit", Results: ctrfResults{
		Tool:        ctrfTool{Name: "llmlimit", Version: run.Environment.Version},
		Tests:       []ctrfTest{},
		Environment: map[string]any{"osPlatform": run.Environment.OS, "extra": map[string]any{"seed": run.Seed, "target": run.Environment.Target}},
	}}
	out.Results.Summary.Start = run.Started.UnixMilli()
	out.Results.Summary.Stop = run.Started.Add(run.Elapsed).UnixMilli()
	var last *scenarios.ScenarioResult
	for _, l := range leaves(run) {
		t := ctrfTest{
			Name: l.scenario.ID + ": " + l.name, Status: out.Results.Summary.count(l.outcome), RawStatus: string(l.outcome),
			Message: l.message, Trace: l.detail, Suite: []string{l.suite.Name, l.scenario.ID}, File: l.scenario.File, Line: l.line,
			Tags: l.scenario.Tags, Extra: ctrfExtra(l.scenario),
		}
		if l.scenario != last { // the time is the scenario's; its checks take none of their own
			t.Duration, last = l.scenario.Real.Milliseconds(), l.scenario
		}
		if l.warning {
			t.RawStatus = "warning"
		}
		out.Results.Tests = append(out.Results.Tests, t)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// count counts an outcome and returns its word.
func (s *ctrfSummary) count(o scenarios.Outcome) string {
	s.Tests++
	switch o {
	case scenarios.Pass:
		s.Passed++
		return "passed"
	case scenarios.Skip:
		s.Skipped++
		return "skipped"
	case scenarios.Fail, scenarios.Error:
		s.Failed++
		return "failed"
	}
	s.Other++
	return "other"
}

func ctrfExtra(sc *scenarios.ScenarioResult) map[string]any {
	extra := map[string]any{}
	for _, p := range facts(sc) {
		extra[p.name] = p.value
	}
	return extra
}
