package scenarios

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/llmlimit/llmlimit/internal/bubble"
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
	Spent    int64         // tokens that the replays may have cost a target by URL
	Beside   bool          // it refers to a file beside the suite that it comes from
	Finding  judge.Finding // what the judge says of it
}

// ErrNotReplayable means that a cell cannot be made smaller: nothing was found in it,
// it sent no load, or its target cannot be met anew.
var ErrNotReplayable = errors.New("not a load that can be replayed")

// Budget bounds the search against a target by URL: Tokens is what all replays may
// cost at worst, by Estimate.
type Budget struct {
	Tokens   int64
	Estimate suite.Estimate
}

const (
	mostReplays = 400  // in one search; most take a moment
	mostActs    = 1300 // in one replay: a suite has an end
)

// Shrink replays ever smaller parts of a load that the judge found guilty and returns
// the smallest that shows the same kind of finding: in virtual time, or, against a
// target by URL, in real time, each replay as clients that nobody has seen, within
// the budget. r is a result of Execute with the same plan and options. When ctx ends,
// what has been found so far is returned. It returns [ErrNotReplayable], or that the
// whole did not fail again.
func Shrink(ctx context.Context, plan *Plan, r *ScenarioResult, o Options, b Budget) (*Minimal, error) {
	z := &shrinker{ctx: ctx, o: o, result: r, budget: b}
	for _, s := range plan.Suites {
		for _, cell := range s.Program.Cells {
			if s.source.Name == r.File && cell.ID == r.ID {
				z.suite, z.cell = s, cell
			}
		}
	}
	if why := z.refuses(); why != "" {
		return nil, fmt.Errorf("%s: %s: %w", r.ID, why, ErrNotReplayable)
	}
	z.o.FailFast, z.o.Observe, z.o.Workers = false, nil, 1
	z.o.children = &bubble.Pool{Keep: true} // to start a process takes longer than most replays
	defer z.o.children.Close()
	z.kind = kindOf(&r.Judged.Findings[0])
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
	budget Budget

	replays int
	spent   int64
	best    *draft // the last that failed
	text    []byte // of it
	finding judge.Finding
	err     error // why the last one could not be replayed
}

// refuses says why there is nothing to search; empty if there is.
func (z *shrinker) refuses() string {
	switch {
	case z.cell == nil || len(z.result.sendings) == 0:
		return "it sent no load in which anything was found"
	case z.byURL() && z.budget.Tokens <= 0:
		return "replays against a target by URL need a ceiling, --spend, with something left of it"
	case z.byURL() && !anew(z.cell.Target.Identity):
		return "each replay needs clients that the target has not seen: target.identity as a template with ${run.id}, a jwt or a setup command"
	case !z.byURL() && (z.cell.Target == nil || z.cell.Target.Serve == nil):
		return "it has no target"
	}
	return ""
}

func (z *shrinker) byURL() bool { return z.cell.Target != nil && z.cell.Target.URL != "" }

// anew tells whether another run gets other identities.
func anew(i *suite.Identity) bool {
	return i != nil && (i.JWT != nil || len(i.Setup) > 0 || i.Pool != nil && len(i.Pool.List) == 0)
}

func (z *shrinker) run() (*Minimal, error) {
	d, err := z.whole()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(z.parts(), func(part []sending) bool { return z.fails(d.with(part)) }) {
		return nil, fmt.Errorf("%s: what it had sent, sent again one by one, did not show the %s again: %w",
			z.result.ID, z.kind, cmp.Or(z.err, z.ctx.Err(), ErrNotReplayable))
	}
	z.fewer()
	z.simpler()
	if len(z.best.acts) <= 40 {
		z.fewer() // what is simpler may need less
	}
	requests := func(acts []sending) (n int) {
		for _, a := range acts {
			if a.Request != nil {
				n++
			}
		}
		return n
	}
	m := &Minimal{
		Beside:   z.best.rules == nil && !z.byURL() || z.best.reads(),
		Requests: requests(z.best.acts), Of: requests(z.result.sendings), Replays: z.replays, Spent: z.spent, Finding: z.finding,
	}
	head := fmt.Sprintf("# Made smaller from %s, %s: %d of its %d requests show the %s.\n# %s\n", z.result.File, z.result.ID, m.Requests, m.Of,
		z.kind, strings.ReplaceAll(z.finding.Message, "\n", " "))
	m.Suite = append([]byte(head), z.text...)
	return m, nil
}

// parts are where the search may begin, the smallest first: what was sent in the
// stretch that proves the finding, what came before it, all.
func (z *shrinker) parts() [][]sending {
	f, start := &z.result.Judged.Findings[0], z.result.Start.UnixNano()
	from, to := time.Duration(f.From-start), time.Duration(max(f.At, f.To)-start)
	concerned := func(from time.Duration) (acts []sending) {
		for _, s := range z.result.sendings {
			if s.Request == nil || s.Ended >= from && s.At <= to && (f.Key == "" || s.Key == "" || s.Key == f.Key) {
				acts = append(acts, s)
			}
		}
		return acts
	}
	return [][]sending{concerned(from), concerned(0), z.result.sendings}
}

// fewer leaves out acts until none can be left out any more.
func (z *shrinker) fewer() {
	d, all := z.best, make([]int, len(z.best.acts))
	for i := range all {
		all[i] = i
	}
	shrink.Minimal(all, mostReplays-z.replays, func(kept []int) bool {
		acts := make([]sending, len(kept))
		for i, at := range kept {
			acts[i] = d.acts[at]
		}
		return z.fails(d.with(acts))
	})
}

// simpler says the same with fewer words, as long as it is still the same.
func (z *shrinker) simpler() {
	d := z.best
	for _, other := range []*draft{
		d.laid(sequence), d.together(), d.rounded(100 * time.Millisecond), d.rounded(10 * time.Millisecond), d.rounded(time.Millisecond),
	} {
		if z.fails(other) {
			break
		}
	}
	if z.best.by == branches {
		z.fails(z.best.laid(chains))
	}
	for i := len(z.best.rules) - 1; i >= 0 && len(z.best.rules) > 1; i-- {
		z.fails(z.best.withoutRule(i))
	}
	for i := range z.best.rules {
		z.fails(z.best.withoutMatch(i))
	}
	z.fails(z.best.staying())
	for _, f := range z.best.fields() {
		if !slices.Contains(essential, f) {
			z.fails(z.best.without(f))
		}
	}
	for _, f := range z.best.fields() {
		if f.sub != "" || !slices.Contains([]string{"json", "plan", "headers", "query"}, f.name) {
			if d := z.best.alike(f); d != nil {
				z.fails(d)
			}
		}
		if !z.byURL() && (f.name == "key" || f.name == "headers" && f.sub != "") {
			if d := z.best.renamed(f); d != nil {
				z.fails(d)
			}
		}
	}
	plain := *z.best
	plain.seed, plain.start = nil, time.Time{}
	z.fails(&plain)
	if z.best.by != sequence {
		z.fails(z.best.laid(sequence))
	}
}

// fails replays a draft, and keeps it as the best if the judge finds the same kind
// again.
func (z *shrinker) fails(d *draft) bool {
	if len(d.acts) == 0 || len(d.acts) > mostActs || z.replays >= mostReplays || z.ctx.Err() != nil {
		return false
	}
	text := z.write(d)
	if bytes.Equal(text, z.text) {
		return true // it would be the same again
	}
	judged, err := z.replay(text)
	if err != nil {
		z.err = err
		return false
	}
	for _, f := range judged.Findings {
		if kindOf(&f) == z.kind {
			z.best, z.text, z.finding = d, text, f
			return true
		}
	}
	return false
}

// kindOf is what a smaller scenario has to show: a rejection that another key's
// traffic explains is a wrongful one like any other.
func kindOf(f *judge.Finding) judge.Kind {
	if f.Kind == judge.Isolation {
		return judge.WrongfulRejection
	}
	return f.Kind
}

var (
	errSpent       = errors.New("the ceiling of --spend is reached")
	errSameClients = errors.New("each replay needs clients that the target has not seen, and target.identity.pool has no ${run.id} in it")
)

// replay runs a suite, as clients that nobody has seen.
func (z *shrinker) replay(text []byte) (*judge.Report, error) {
	o := suite.Options{Env: z.suite.options.Env}
	if z.byURL() {
		o.URL, o.Target, o.Vars = z.suite.options.URL, z.suite.options.Target, z.suite.options.Vars
	}
	plan, problems := NewPlan([]Source{{Name: "minimal.yaml", Data: text, ReadFile: z.suite.readFile}}, o)
	if plan == nil {
		return nil, fmt.Errorf("planning the smaller scenario: %w", problems.Errors()[:1].Err())
	}
	if z.byURL() {
		if i := plan.Suites[0].Program.Cells[0].Target.Identity; i.Pool != nil && i.Pool.Template == z.cell.Target.Identity.Pool.Template {
			return nil, errSameClients
		}
		cost := plan.Suites[0].Program.WorstCase(z.budget.Estimate)
		if !cost.Bounded || z.spent+cost.Tokens > z.budget.Tokens {
			return nil, errSpent
		}
		z.spent += cost.Tokens
	}
	z.replays++
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

// whole is the load as it was, each request by itself.
func (z *shrinker) whole() (*draft, error) {
	d := &draft{seed: &z.cell.Seed, start: z.cell.Start, acts: z.result.sendings}
	if z.byURL() {
		var err error
		d.other, err = z.suite.blocks("vars", "backend", "target", "features")
		d.seed, d.start = nil, time.Time{}
		return d.anew(z.suite.Program.RunID, z.cell.Target.Identity.Header), err
	}
	if rules := z.cell.Target.Serve.Rules; rules != nil {
		if err := yaml.NewDecoder(bytes.NewReader(rules.Data), yaml.UseOrderedMap()).Decode(&d.rules); err != nil {
			return nil, fmt.Errorf("copying the rules: %w", err)
		}
	}
	return d, nil
}

// write is the suite of a draft. What all requests share stands in its defaults.
func (z *shrinker) write(d *draft) []byte {
	shared := d.shared()
	scenario := object{{"id", "minimal"}, {"requirement", fmt.Sprintf("no finding of %s in what is left of %s", z.kind, z.result.ID)}}
	if !d.start.IsZero() && !d.start.Equal(defaultStart) {
		scenario = append(scenario, pair{"start", d.start.UTC().Format(time.RFC3339Nano)})
	}
	scenario = append(scenario, pair{"steps", d.steps(shared)})
	doc := object{{"version", 1}, {"suite", "minimal"}}
	if d.seed != nil {
		doc = append(doc, pair{"seed", *d.seed})
	}
	switch {
	case d.rules != nil:
		doc = append(doc, pair{"target", object{{"serve", object{{"rules", d.rules}}}}})
	case !z.byURL():
		doc = append(doc, pair{"target", object{{"serve", object{{"policy", z.cell.Target.Serve.Policy}}}}})
	}
	rest := object{{"scenarios", []any{scenario}}}
	if len(shared) > 0 {
		rest = slices.Insert(rest, 0, pair{"defaults", object{{"request", ordered(shared)}}})
	}
	return slices.Concat([]byte(writeYAML(doc)), d.other, []byte(writeYAML(rest)))
}

func same(a, b any) bool { return reflect.DeepEqual(a, b) }
