package scenarios

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios/shrink"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// Minimal is a few requests of a load that are enough for the judge to find what it
// found in all of it.
type Minimal struct {
	Suite    []byte        // a suite with one scenario, to be put beside the suite that it comes from
	Requests int           // in it
	Of       int           // that the load had sent
	Replays  int           // that it took
	Finding  judge.Finding // what the judge says of it
}

// ErrNotReplayable means that a cell cannot be made smaller: nothing was found in it,
// it sent no load, its target is not in-process, or something beside the requests
// (a reload, a fault that is switched) made its history.
var ErrNotReplayable = errors.New("not a load that can be replayed in virtual time")

// mostReplays bounds a search; each replay is a process for a moment.
const mostReplays = 400

// Shrink replays ever smaller parts of a load that the judge found guilty, in virtual
// time, and returns the smallest that shows the same kind of finding. r is a result
// of Execute with the same plan and options. It returns [ErrNotReplayable], or that
// the whole did not fail again, or the error of ctx.
func Shrink(ctx context.Context, plan *Plan, r *ScenarioResult, o Options) (*Minimal, error) {
	z := &shrinker{ctx: ctx, o: o, result: r}
	for _, s := range plan.Suites {
		for _, cell := range s.Program.Cells {
			if s.source.Name == r.File && cell.ID == r.ID {
				z.suite, z.cell = s, cell
			}
		}
	}
	if z.cell == nil || len(r.sendings) == 0 || z.cell.Target == nil || z.cell.Target.Serve == nil || o.Child == nil {
		return nil, fmt.Errorf("making %s smaller: %w", r.ID, ErrNotReplayable)
	}
	z.o.FailFast, z.o.Observe, z.o.Workers = false, nil, 1
	z.kind = r.Judged.Findings[0].Kind
	return z.run()
}

// shrinker looks for the smallest part of one load.
type shrinker struct {
	ctx    context.Context //nolint:containedctx // of one search; the predicate of the search has no argument for it
	o      Options
	suite  *PlannedSuite
	cell   *suite.Cell
	result *ScenarioResult
	kind   judge.Kind

	replays int
	finding judge.Finding // of the last replay that failed
	err     error         // why the last one could not be replayed
}

func (z *shrinker) run() (*Minimal, error) {
	all := make([]int, len(z.result.sendings))
	for i := range all {
		all[i] = i
	}
	fails := func(kept []int) bool { return z.fails(z.pick(kept), false) }
	first := all
	if near := z.near(); len(near) < len(all) && fails(near) {
		first = near
	} else if !fails(all) {
		return nil, fmt.Errorf("making %s smaller: its %d requests, sent again one by one, did not show the %s again: %w",
			z.result.ID, len(all), z.kind, cmp.Or(z.ctx.Err(), z.err, ErrNotReplayable))
	}
	kept := z.pick(shrink.Minimal(first, mostReplays, fails))
	if err := z.ctx.Err(); err != nil {
		return nil, err
	}
	if round := rounded(kept); z.fails(round, false) {
		kept = round
	}
	chained := z.fails(kept, true)
	if !chained && !z.fails(kept, false) {
		return nil, fmt.Errorf("making %s smaller: what failed once did not fail again", z.result.ID)
	}
	text, err := z.write(kept, chained)
	if err != nil {
		return nil, err
	}
	return &Minimal{Suite: text, Requests: len(kept), Of: len(all), Replays: z.replays, Finding: z.finding}, nil
}

// near lists what was sent for the account of the first finding up to its instant.
func (z *shrinker) near() []int {
	f := &z.result.Judged.Findings[0]
	at := time.Duration(f.At - z.result.Start.UnixNano())
	var kept []int
	for i, s := range z.result.sendings {
		if s.At <= at && (f.Key == "" || s.Key == "" || s.Key == f.Key) {
			kept = append(kept, i)
		}
	}
	return kept
}

func (z *shrinker) pick(kept []int) []sending {
	out := make([]sending, len(kept))
	for i, at := range kept {
		out[i] = z.result.sendings[at]
	}
	return out
}

// rounded moves every instant to a whole millisecond, and the first one to the start.
func rounded(all []sending) []sending {
	out := slices.Clone(all)
	for i := range out {
		out[i].At = (out[i].At - all[0].At).Round(time.Millisecond)
		out[i].Ended = (out[i].Ended - all[0].At).Round(time.Millisecond)
	}
	return out
}

// fails replays a part, and tells whether the judge finds the same kind again.
func (z *shrinker) fails(part []sending, chained bool) bool {
	if len(part) == 0 || z.ctx.Err() != nil {
		return false
	}
	z.replays++
	judged, err := z.replay(part, chained)
	if err != nil {
		z.err = err
		return false
	}
	for _, f := range judged.Findings {
		if f.Kind == z.kind {
			z.finding = f
			return true
		}
	}
	return false
}

// replay sends a part again, as the suite that would be written says.
func (z *shrinker) replay(part []sending, chained bool) (*judge.Report, error) {
	text, err := z.write(part, chained)
	if err != nil {
		return nil, err
	}
	seed := z.cell.Seed
	plan, problems := NewPlan([]Source{{Name: "minimal.yaml", Data: text, ReadFile: z.suite.readFile}}, suite.Options{Seed: &seed})
	if plan == nil {
		return nil, fmt.Errorf("planning the smaller scenario: %w", problems.Err())
	}
	run, err := Execute(z.ctx, plan, z.o)
	if err != nil {
		return nil, err
	}
	r := run.Suites[0].Scenarios[0]
	if r.Judged == nil {
		return nil, fmt.Errorf("running the smaller scenario: %s", r.Reason)
	}
	return r.Judged, nil
}

// write is the suite that sends exactly these requests. What all of them share
// stands in its defaults. Chained, requests that do not overlap follow each other in
// one list; otherwise each has a branch of its own.
func (z *shrinker) write(all []sending, chained bool) ([]byte, error) {
	serve := yaml.MapSlice{}
	if rules := z.cell.Target.Serve.Rules; rules != nil {
		var value any
		if err := yaml.NewDecoder(bytes.NewReader(rules.Data), yaml.UseOrderedMap()).Decode(&value); err != nil {
			return nil, fmt.Errorf("copying the rules: %w", err)
		}
		serve = append(serve, yaml.MapItem{Key: "rules", Value: value})
	} else {
		serve = append(serve, yaml.MapItem{Key: "policy", Value: z.cell.Target.Serve.Policy})
	}
	shared := common(all)
	scenario := yaml.MapSlice{
		{Key: "id", Value: "minimal"},
		{Key: "requirement", Value: fmt.Sprintf("no %s in %d of the requests of %s", z.kind, len(all), z.result.ID)},
		{Key: "start", Value: z.cell.Start.UTC().Format(time.RFC3339Nano)},
		{Key: "steps", Value: steps(all, shared, chained)},
	}
	doc := yaml.MapSlice{
		{Key: "version", Value: 1},
		{Key: "suite", Value: "minimal"},
		{Key: "seed", Value: z.cell.Seed},
		{Key: "target", Value: yaml.MapSlice{{Key: "serve", Value: serve}}},
	}
	if len(shared) > 0 {
		doc = append(doc, yaml.MapItem{Key: "defaults", Value: map[string]any{"request": map[string]any(shared)}})
	}
	doc = append(doc, yaml.MapItem{Key: "scenarios", Value: []any{scenario}})
	text, err := yaml.MarshalWithOptions(doc, yaml.IndentSequence(true), yaml.UseJSONMarshaler())
	if err != nil {
		return nil, fmt.Errorf("writing the scenario: %w", err)
	}
	head := fmt.Sprintf("# Made smaller from %s %s: %d of %d requests show %s.\n# %s\n", z.result.File, z.result.ID, len(all),
		len(z.result.sendings), z.kind, strings.ReplaceAll(z.finding.Message, "\n", " "))
	return append([]byte(head), text...), nil
}

// common holds the fields that are the same in every request. Fields that merge are
// shared as a whole or not at all.
func common(all []sending) words {
	shared := maps.Clone(all[0].Request)
	for _, s := range all[1:] {
		maps.DeleteFunc(shared, func(name string, value any) bool { return !same(value, s.Request[name]) })
	}
	return shared
}

func same(a, b any) bool { return reflect.DeepEqual(a, b) }

// steps are the sends, each at its instant.
func steps(all []sending, shared words, chained bool) []any {
	type branch struct {
		steps []any
		ended time.Duration
	}
	var branches []*branch
	for _, s := range all {
		request := maps.Clone(s.Request)
		maps.DeleteFunc(request, func(name string, _ any) bool { _, ok := shared[name]; return ok })
		send := yaml.MapSlice{{Key: "send", Value: map[string]any(request)}}
		if s.Cancel != nil {
			send = append(send, yaml.MapItem{Key: "cancel", Value: s.Cancel})
		}
		i := slices.IndexFunc(branches, func(b *branch) bool { return chained && b.ended < s.At })
		if i < 0 {
			i, branches = len(branches), append(branches, &branch{})
		}
		b := branches[i]
		if wait := s.At - b.ended; wait > 0 {
			b.steps = append(b.steps, map[string]any{"wait": map[string]any{"for": suite.FormatDuration(wait)}})
		}
		b.steps, b.ended = append(b.steps, send), max(s.Ended, s.At)
	}
	if len(branches) == 1 {
		return branches[0].steps
	}
	var lists []any
	for _, b := range branches {
		lists = append(lists, b.steps)
	}
	return []any{map[string]any{"parallel": lists}}
}
