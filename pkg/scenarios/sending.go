package scenarios

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// sending is one request of a cell, in the words of a suite, so that it can be sent
// again at the same instant without the load that made it; or another step that
// changed target or mock meanwhile: then Step stands for the request.
type sending struct {
	At      time.Duration `json:"at"` // since the start of the cell
	Ended   time.Duration `json:"ended"`
	Key     string        `json:"key,omitempty"`
	Request words         `json:"request,omitempty"`
	Cancel  words         `json:"cancel,omitempty"`
	Step    words         `json:"step,omitempty"`
}

// words are fields of the language of suites. Whole numbers stay whole on their way
// through JSON.
type words map[string]any

// UnmarshalJSON implements [json.Unmarshaler].
func (w *words) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	m := map[string]any{}
	if err := d.Decode(&m); err != nil {
		return err
	}
	for name, value := range m {
		m[name] = whole(value)
	}
	*w = m
	return nil
}

// whole replaces the numbers in a value by integers where they are.
func whole(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // JSON has no other numbers
		return f
	case map[string]any:
		for name, item := range v {
			v[name] = whole(item)
		}
	case []any:
		for i, item := range v {
			v[i] = whole(item)
		}
	}
	return value
}

// sendings lists what a load that was found guilty has sent, and what was done to
// target and mock meanwhile, by instant; nil for any other cell.
func (w *world) sendings() []sending {
	load := false
	eachStep(w.cell.Steps, func(step *suite.Step) { load = load || step.Load != nil })
	if w.result.Judged == nil || !w.result.Judged.Failed() || !load {
		return nil
	}
	all := w.acts
	for i, s := range w.sent {
		x := w.result.Requests[i]
		if s.x == nil {
			continue
		}
		request, err := w.inWords(s)
		if err != nil {
			return nil
		}
		all = append(all, sending{At: x.Sent, Ended: x.Ended, Key: x.Key, Request: request, Cancel: leaveInWords(s.wire.Leave)})
	}
	slices.SortStableFunc(all, func(a, b sending) int { return cmp.Compare(a.At, b.At) })
	return all
}

// acted keeps a step that changes target or mock.
func (w *world) acted(step *suite.Step) {
	act := sending{At: time.Since(w.start)}
	act.Ended = act.At
	switch {
	case step.Hold != nil:
		act.Step = words{"hold": map[string]any{"at": step.Hold.At}}
	case step.Release != nil:
		act.Step = words{"release": map[string]any{}}
	case step.Fault != nil && step.Fault.Mock != "":
		act.Step = words{"fault": map[string]any{"mock": step.Fault.Mock, "on": step.Fault.On}}
	case step.Fault != nil:
		act.Step = words{"fault": map[string]any{"target": step.Fault.Target, "on": step.Fault.On}}
	case step.Reload != nil && step.Reload.Rules != nil:
		var rules any
		if yaml.Unmarshal(step.Reload.Rules.Data, &rules) != nil {
			return // it has been read before
		}
		act.Step = words{"reload": map[string]any{"rules": rules}}
	case step.Reload != nil:
		act.Step = words{"reload": map[string]any{"policy": step.Reload.Policy}}
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, act)
}

// inWords is a request with everything that was drawn for it written out.
func (w *world) inWords(s *sentRequest) (words, error) {
	r := s.asked
	all := words{"path": r.Path}
	if r.Method != "" {
		all["method"] = r.Method
	}
	if len(r.Headers) > 0 {
		all["headers"] = anyMap(r.Headers)
	}
	if len(r.Query) > 0 {
		all["query"] = anyMap(r.Query)
	}
	if r.Key != "" {
		all["key"] = r.Key
	}
	switch {
	case r.JSON != nil:
		all["json"] = r.JSON.Value
		if object, ok := r.JSON.Value.(map[string]any); ok && r.Stream != nil {
			object = maps.Clone(object)
			object["stream"] = *r.Stream
			all["json"] = object
		}
	default:
		all["body"] = string(s.wire.Body)
	}
	if r.Framing != "" {
		all["framing"] = r.Framing
	}
	if len(r.ChunkSizes) > 0 {
		all["chunk-sizes"] = r.ChunkSizes
	}
	if r.Pace != nil {
		all["pace"] = suite.FormatDuration(*r.Pace)
	}
	if r.Plan == nil {
		return all, nil
	}
	text, err := json.Marshal(w.plan(r.Plan, s.id))
	if err != nil {
		return nil, fmt.Errorf("writing the plan of %s: %w", s.id, err)
	}
	plan := words{}
	if err := json.Unmarshal(text, &plan); err != nil {
		return nil, fmt.Errorf("reading the plan of %s: %w", s.id, err)
	}
	delete(plan, "id")
	all["plan"] = map[string]any(plan)
	return all, nil
}

func anyMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for name, value := range m {
		out[name] = value
	}
	return out
}

// leaveInWords is the modifier `cancel`; nil for a client that stays.
func leaveInWords(l client.Leave) words {
	switch {
	case l.AfterHeaders:
		return words{"after-headers": true}
	case l.AfterBytes > 0:
		return words{"after-bytes": l.AfterBytes}
	case l.AfterEvents > 0:
		return words{"after-events": l.AfterEvents}
	case l.After > 0:
		return words{"after": suite.FormatDuration(l.After)}
	}
	return nil
}
