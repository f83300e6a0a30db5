package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/faulty"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// selftestFlags are the flags of `selftest`.
type selftestFlags struct {
	all     bool
	faults  []string
	workers int
	output  string
}

func (a *app) selftestCommand() *cobra.Command {
	var f selftestFlags
	cmd := &cobra.Command{
		Use:   "selftest [FILE|DIR|GLOB]...",
		Short: "Prove that the suites can fail: run them against every faulty limiter",
		Long: `Prove that the suites can fail: run them against every faulty limiter.

Without files each fault meets the built-in scenarios that name it in catches:, and the
first red one is enough. With files each fault meets all their scenarios: what survives
is what your suite would miss. --all fills the whole table, and also fails where a
scenario names a fault that it does not catch.

Exit code 1 if a fault survives, or if the good limiter is not green.`,
		Example: `  llmlimit selftest
  llmlimit selftest my-suite.yaml
  llmlimit selftest --all
  llmlimit selftest --fault no-refund`,
		ValidArgsFunction: suiteCompletion,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.selftest(cmd.Context(), args, f)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.all, "all", false, "every fault against every scenario, not only to the first red")
	fl.StringArrayVar(&f.faults, "fault", nil, "only this fault; may repeat")
	fl.IntVarP(&f.workers, "jobs", "j", 2, "scenarios side by side")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	complete(cmd, "fault", faultNames)
	complete(cmd, "output", words("text", "json"))
	return cmd
}

// trial is one fault against the suites.
type trial struct {
	Fault  string           `json:"fault"`
	Family string           `json:"family"`
	Caught map[string]catch `json:"caught"` // by suite
	// Broken names scenarios that claim to catch the fault and do not; only known
	// where every scenario ran.
	Broken []string `json:"broken,omitempty"`
	Tried  int      `json:"tried"` // scenario cells that ran
}

// catch is what turned red.
type catch struct {
	Scenario string `json:"scenario"`
	By       string `json:"by"` // the check or the verdict
	Cells    int    `json:"cells"`
}

func (a *app) selftest(ctx context.Context, args []string, f selftestFlags) error {
	if err := checkFaults(f.faults); err != nil {
		return err
	}
	files, err := suites(args)
	if err != nil {
		return err
	}
	claims, err := claimed(files)
	if err != nil {
		return err
	}
	s := &selftester{app: a, files: files, claims: claims, everything: f.all || len(args) > 0, toTheEnd: f.all, workers: f.workers}
	if err := s.good(ctx); err != nil {
		return err
	}
	var trials []trial
	for _, fault := range faulty.Table {
		if len(f.faults) > 0 && !slices.Contains(f.faults, fault.Name) {
			continue
		}
		t, err := s.try(ctx, fault)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "%-28s %s\n", t.Fault, t.line())
		trials = append(trials, t)
	}
	return a.showTrials(trials, f.output, len(args) > 0)
}

// claimed maps each fault to the scenarios that name it, by file.
func claimed(files []scenarios.Source) (map[string]map[string][]string, error) {
	claims := map[string]map[string][]string{}
	for _, file := range files {
		all, err := listFile(file)
		if err != nil {
			return nil, err
		}
		for _, l := range all {
			for _, fault := range l.Catches {
				if !isFault(fault) {
					return nil, failWith(exitInvalid, "%s: scenario %s catches %q, which is no fault", file.Name, l.ID, fault).
						withHint("%s", nearestFault(fault))
				}
				if l.Left != "" { // nightly, in real time or of a profile: a plain run leaves it out too
					continue
				}
				if claims[fault] == nil {
					claims[fault] = map[string][]string{}
				}
				claims[fault][file.Name] = append(claims[fault][file.Name], l.ID)
			}
		}
	}
	return claims, nil
}

func isFault(name string) bool {
	return slices.ContainsFunc(faulty.Table, func(f faulty.Fault) bool { return f.Name == name })
}

func nearestFault(name string) string {
	var names []string
	for _, f := range faulty.Table {
		names = append(names, f.Name)
	}
	if near := nearest.Word(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "`llmlimit serve --fault list` shows them all"
}

// selftester runs suites against faults.
type selftester struct {
	app        *app
	files      []scenarios.Source
	claims     map[string]map[string][]string
	everything bool // every scenario, not only those that name the fault
	toTheEnd   bool // not only to the first red
	workers    int
}

// good demands that the limiter without a fault is green: red means nothing before
// that.
func (s *selftester) good(ctx context.Context) error {
	run, err := s.run(ctx, s.files, suite.Options{}, nil, false)
	if err != nil {
		return err
	}
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			if sc.Outcome == scenarios.Fail || sc.Outcome == scenarios.Error {
				return failWith(exitFail, "the good limiter is not green: %s/%s: %s", run.Suites[i].Name, sc.ID, firstFailure(sc)).
					withHint("`llmlimit run` shows why; a fault that turns red what is red already proves nothing")
			}
		}
	}
	fmt.Fprintf(s.app.stderr, "%-28s green: %d scenarios\n", "(no fault)", run.Counts.Pass)
	return nil
}

// try runs the scenarios that one fault has to meet.
func (s *selftester) try(ctx context.Context, fault faulty.Fault) (trial, error) {
	t := trial{Fault: fault.Name, Family: fault.Family, Caught: map[string]catch{}}
	files, options := s.files, suite.Options{}
	if !s.everything {
		files = nil
		for _, file := range s.files {
			if ids := s.claims[fault.Name][file.Name]; len(ids) > 0 {
				files = append(files, file)
				options.IDs = append(options.IDs, ids...)
			}
		}
		if len(files) == 0 {
			return t, nil
		}
	}
	run, err := s.run(ctx, files, options, []string{fault.Name}, !s.toTheEnd)
	if err != nil {
		return t, err
	}
	red := t.read(run)
	if s.toTheEnd {
		for file, ids := range s.claims[fault.Name] {
			for _, id := range ids {
				if !red[file+"/"+id] {
					t.Broken = append(t.Broken, file+"/"+id)
				}
			}
		}
		slices.Sort(t.Broken)
	}
	return t, ctx.Err()
}

func (s *selftester) run(ctx context.Context, files []scenarios.Source, o suite.Options, faults []string, failFast bool) (*scenarios.RunResult, error) {
	o.Env = noEnvironment
	plan, problems := scenarios.NewPlan(files, o)
	if plan == nil {
		return nil, failWith(exitInvalid, "%s", problems.Errors().String())
	}
	if err := checkPolicies(plan); err != nil {
		return nil, err
	}
	child, err := bubbleChild()
	if err != nil {
		return nil, err
	}
	run, err := scenarios.Execute(ctx, plan, scenarios.Options{
		Target: bundled{}, Faults: faults, Child: child, Workers: s.workers, FailFast: failFast, Started: now(),
	})
	if err != nil {
		return nil, failWith(exitEnvironment, "%w", err)
	}
	return run, ctx.Err()
}

// read notes what turned red, and returns it by file and scenario. A scenario in
// error is no catch: it proves nothing about the limiter.
func (t *trial) read(run *scenarios.RunResult) map[string]bool {
	red := map[string]bool{}
	for i := range run.Suites {
		suite := &run.Suites[i]
		for _, sc := range suite.Scenarios {
			switch sc.Outcome {
			case scenarios.Fail:
				c, seen := t.Caught[suite.Name]
				if !seen {
					c = catch{Scenario: sc.Scenario, By: firstFailure(sc)}
				}
				c.Cells++
				t.Caught[suite.Name] = c
				red[suite.File+"/"+sc.Scenario] = true
				t.Tried++
			case scenarios.Pass:
				t.Tried++
			case scenarios.Skip, scenarios.Error:
			}
		}
	}
	return red
}

// firstFailure is what turned a scenario red, in a few words.
func firstFailure(sc *scenarios.ScenarioResult) string {
	if sc.Judged != nil && sc.Judged.Failed() {
		return "verdict " + string(sc.Judged.Findings[0].Kind)
	}
	for _, st := range sc.Steps {
		for _, c := range st.Checks {
			if c.Outcome == scenarios.Fail {
				return c.Text
			}
		}
	}
	return sc.Reason
}

func (t *trial) survived() bool { return len(t.Caught) == 0 }

func (t *trial) line() string {
	if t.survived() {
		return fmt.Sprintf("SURVIVED %d scenarios", t.Tried)
	}
	var parts []string
	for suite, c := range t.Caught {
		parts = append(parts, suite+"/"+c.Scenario)
	}
	slices.Sort(parts)
	return "caught by " + strings.Join(parts, ", ")
}

// showTrials shows what was caught, and of a user's own suites what they would miss.
func (a *app) showTrials(trials []trial, output string, own bool) error {
	survivors, broken := 0, 0
	for i := range trials {
		if trials[i].survived() {
			survivors++
		}
		broken += len(trials[i].Broken)
	}
	switch output {
	case "json":
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(trials); err != nil {
			return failWith(exitEnvironment, "writing the results: %w", err)
		}
	case "text":
		a.trialTable(trials, own)
		if own && survivors > 0 {
			if err := a.missed(trials); err != nil {
				return err
			}
		}
		caught := len(trials) - survivors
		fmt.Fprintf(a.stdout, "\nscore %d of %d (%d %%)\n", caught, len(trials), caught*100/max(len(trials), 1))
	default:
		return failWith(exitUsage, "-o %q is not known, expected text or json", output)
	}
	for i := range trials {
		for _, b := range trials[i].Broken {
			fmt.Fprintf(a.stderr, "%s names %s in catches: and does not catch it\n", b, trials[i].Fault)
		}
	}
	if survivors > 0 || broken > 0 {
		return silent(exitFail)
	}
	return nil
}

// trialTable is the matrix fault × suite; own suites are told apart what survives.
func (a *app) trialTable(trials []trial, own bool) {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\tsuite\tscenario\tcaught by")
	for i := range trials {
		t := &trials[i]
		if t.survived() && !own {
			fmt.Fprintf(w, "%s\t-\t-\tSURVIVED\n", t.Fault)
		}
		var suites []string
		for s := range t.Caught {
			suites = append(suites, s)
		}
		slices.Sort(suites)
		for _, s := range suites {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Fault, s, t.Caught[s].Scenario, shortenTo(t.Caught[s].By, 70))
		}
	}
	_ = w.Flush() // stdout: nothing else could be said either
}

// missed says, family by family, what the survivors do wrong, and which scenario of
// the built-in suites turns each of them red.
func (a *app) missed(trials []trial) error {
	builtIn, err := listScenarios(nil, "")
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, "\nA limiter with one of these faults would pass. At the end of the line, a built-in scenario that it fails:")
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	family := ""
	for _, fault := range faulty.Table {
		i := slices.IndexFunc(trials, func(t trial) bool { return t.Fault == fault.Name && t.survived() })
		if i < 0 {
			continue
		}
		if fault.Family != family {
			family = fault.Family
			fmt.Fprintf(w, "\n%s\n", family)
		}
		model := ""
		if all := catchers(builtIn, fault.Name); len(all) > 0 {
			model = all[0]
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", fault.Name, shortenTo(fault.Doc, 90), model)
	}
	_ = w.Flush() // as above
	fmt.Fprintln(a.stdout, "\n`llmlimit explain SCENARIO` shows one to start from. What your limits cannot do wrong needs no scenario.")
	return nil
}

func shortenTo(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
