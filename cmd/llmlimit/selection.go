package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/report"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// selection says which cells of which suites run. Several commands share it.
type selection struct {
	profile, tags, varFile, seed string
	ids, vars                    []string
	rerunFailed                  string
	targetURL                    string
	targetFile                   string
}

func (s *selection) register(fl *pflag.FlagSet) {
	fl.StringVar(&s.targetURL, "target", "", "base URL of the gateway to judge, instead of the suite's target")
	fl.StringVar(&s.targetFile, "target-file", "", "file with a target: block, instead of the suite's")
	fl.StringVar(&s.profile, "profile", "", "run the suites of this compliance profile")
	fl.StringVar(&s.tags, "tags", "", "run scenarios whose tags match: 'a && !b || (c)'")
	fl.StringArrayVar(&s.ids, "id", nil, "run scenarios whose id matches this glob; may repeat")
	fl.StringArrayVar(&s.vars, "var", nil, "set a variable of the suites, name=value; may repeat")
	fl.StringVar(&s.varFile, "var-file", "", "YAML file with variables of the suites")
	fl.StringVar(&s.seed, "seed", "", "a number, or random; default: the suite's, else 1")
	fl.StringVar(&s.rerunFailed, "rerun-failed", "", "run only what did not pass in this run.json")
}

// tokenLimit is the profile that is meant for any gateway.
const tokenLimit = "token-limit"

// aim chooses the profile where a gateway is to be judged and nobody says by what: the
// other built-in suites bring policies of their own, which it does not have.
func (a *app) aim(args []string, s *selection) {
	if len(args) > 0 || s.profile != "" || s.targetURL == "" && s.targetFile == "" {
		return
	}
	s.profile = tokenLimit
	fmt.Fprintf(a.stderr, "no suite is named: the gateway is judged by --profile %s\n", tokenLimit)
}

// plan reads and selects. Problems of the suites are shown whole.
func (a *app) plan(files []scenarios.Source, s selection) (*scenarios.Plan, error) {
	o, err := s.options(a)
	if err != nil {
		return nil, err
	}
	plan, problems := scenarios.NewPlan(files, o)
	if plan == nil {
		e := failWith(exitInvalid, "%s", problems.Errors().String())
		if slices.ContainsFunc(problems, func(p suite.Problem) bool { return p.Anchor == suite.ProfileAnchor }) {
			return nil, e.withHint("nothing was sent; `llmlimit init DIR --target-file %s` writes a suite for the limit in it", s.targetFile)
		}
		return nil, e.withHint("nothing was sent")
	}
	for _, p := range problems.Warnings() {
		fmt.Fprintln(a.stderr, p.String())
	}
	if plan.Cells() == 0 {
		return nil, s.nothingSelected(plan)
	}
	return plan, nil
}

// nothingSelected names the scenario that was probably meant, or why the one that was
// named does not run.
func (s *selection) nothingSelected(plan *scenarios.Plan) error {
	e := failWith(exitUsage, "nothing was selected: %s left out", report.Counted(plan.NotSelected(), "scenario"))
	var names []string
	for _, p := range plan.Suites {
		for _, left := range p.Program.NotSelected {
			name, _, _ := strings.Cut(left.ID, "[")
			if slices.Contains(s.ids, name) || slices.Contains(s.ids, left.ID) {
				return e.withHint("%s is left out: %s", left.ID, left.Reason)
			}
			names = append(names, name)
		}
	}
	for _, id := range s.ids {
		if near := nearest.Word(id, names); near != "" {
			return e.withHint("no scenario is named %s; did you mean --id %s?", id, near)
		}
	}
	return e.withHint("`llmlimit list` shows what there is; --tags, --id and --profile select")
}

// options are what the command line adds to the suites.
func (s *selection) options(a *app) (suite.Options, error) {
	o := suite.Options{Profile: s.profile, Tags: s.tags, IDs: s.ids, URL: s.targetURL, Env: func(name string) (string, bool) {
		v, ok := a.env[name]
		return v, ok
	}}
	switch s.seed {
	case "":
	case "random":
		seed := rand.Uint64() //nolint:gosec // a seed is no secret
		o.Seed = &seed
	default:
		seed, err := strconv.ParseUint(s.seed, 10, 64)
		if err != nil {
			return o, failWith(exitUsage, "--seed %q is neither a number nor random", s.seed)
		}
		o.Seed = &seed
	}
	if s.targetURL != "" || s.targetFile != "" {
		o.RunID = fmt.Sprintf("%08x", rand.Uint32()) //nolint:gosec // it only has to differ from the last run's
	}
	var err error
	if o.Vars, err = s.variables(); err != nil {
		return o, err
	}
	if s.targetFile != "" {
		if o.Target, err = readTarget(s.targetFile); err != nil {
			return o, err
		}
	}
	if s.rerunFailed != "" {
		o.Only, err = failedIn(s.rerunFailed)
	}
	return o, err
}

func (s *selection) variables() (map[string]any, error) {
	vars := map[string]any{}
	if s.varFile != "" {
		text, err := readFile("the variables", s.varFile)
		if err != nil {
			return nil, err
		}
		file, problems := suite.ReadVars(s.varFile, text)
		if problems.Err() != nil {
			return nil, failWith(exitInvalid, "%s", problems.Errors().String())
		}
		maps.Copy(vars, file)
	}
	for _, text := range s.vars {
		name, value, err := suite.ParseVar(text)
		if err != nil {
			return nil, failWith(exitUsage, "--var: %w", err)
		}
		vars[name] = value
	}
	return vars, nil
}

func readTarget(path string) (*suite.TargetFile, error) {
	text, err := os.ReadFile(path) //nolint:gosec // reading what the user names is the purpose
	if err != nil {
		return nil, failWith(exitInvalid, "reading the target: %w", err).withHint("--target-file names a file with a target: block: "+
			"`llmlimit probe URL --mock-listen ADDR > %[1]s` writes one, and `llmlimit init DIR --target-file %[1]s` a suite for the limit in it", path)
	}
	target, problems := suite.ReadTargetFile(path, text)
	if err := problems.Err(); err != nil {
		return nil, failWith(exitInvalid, "%s", problems.Errors().String())
	}
	return target, nil
}

func failedIn(path string) ([]string, error) {
	run, err := readRun("the results of --rerun-failed", path)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range run.Suites {
		for _, sc := range s.Scenarios {
			if sc.Outcome == scenarios.Fail || sc.Outcome == scenarios.Error {
				ids = append(ids, sc.ID)
			}
		}
	}
	if len(ids) == 0 {
		return nil, failWith(exitUsage, "nothing failed in %s", path)
	}
	return ids, nil
}
