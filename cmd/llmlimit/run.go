package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
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

// runFlags are the flags of `run`.
type runFlags struct {
	selection
	faults           []string
	workers          int
	failFast         bool
	failOn           []string
	timeout          time.Duration
	spend            int64
	maxRequests      int64
	dryRun, watch    bool
	reports          []string
	expect, baseline string
	output           string
	progress         string
	color            string
	mockListen       string
	mockAdvertise    string
	mockURL          string
	headers          []string
	ca, cert, key    string
	insecure, remote bool
	shrink           bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [FILE|DIR|GLOB]...",
		Short: "Run scenarios and judge the limiter",
		Long: `Run scenarios and judge the limiter.

Without an argument the built-in suites run against the bundled proxy, in virtual
time. Scenarios that are tagged nightly or need a real clock are left out and counted.

Each finding is one line: which request was wrongly admitted or rejected, by how many
tokens, and a curl line that shows it. Exit codes: docs/exit-codes.md.`,
		Example: `  llmlimit run
  llmlimit run refunds                              one of them
  llmlimit run scenarios.yaml --report junit=out.xml
  llmlimit run --id 'refund*' --fault no-refund     watch a scenario go red
  llmlimit run --tags 'load && !nightly' -j 2
  llmlimit run --target http://127.0.0.1:8080 --mock-listen 127.0.0.1:9000     your gateway, by the profile
  llmlimit run suite.yaml --target http://127.0.0.1:8080 --mock-listen 127.0.0.1:9000
  llmlimit run suite.yaml --dry-run                 what it would send and cost`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: suiteCompletion,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.aim(args, &f.selection)
			if f.watch {
				return a.watch(cmd.Context(), args, f, a.changedFlags(cmd.Flags()))
			}
			files, err := suites(args)
			if err != nil {
				return err
			}
			return a.runSuites(cmd.Context(), files, f, a.changedFlags(cmd.Flags()))
		},
	}
	fl := cmd.Flags()
	f.register(fl)
	fl.StringArrayVar(&f.faults, "fault", nil, "build this faulty limiter into the bundled proxy; may repeat (llmlimit serve --fault list)")
	fl.IntVarP(&f.workers, "jobs", "j", runtime.GOMAXPROCS(0), "scenarios side by side")
	fl.BoolVar(&f.failFast, "fail-fast", false, "start nothing more after the first failure")
	fl.StringSliceVar(&f.failOn, "fail-on", []string{"fail", "error"}, "outcomes that make the exit code non-zero: fail, error, warn, skip")
	fl.DurationVar(&f.timeout, "timeout", 0, "stop the whole run after this long; 0 is never")
	fl.Int64Var(&f.spend, "spend", 0, "send nothing if the worst case costs more tokens than this; 0 is no bound")
	fl.Int64Var(&f.maxRequests, "max-requests", 0, "send nothing if the worst case is more requests than this; 0 is no bound")
	fl.BoolVar(&f.dryRun, "dry-run", false, "say what would be sent and what it costs at most, and send nothing")
	fl.BoolVar(&f.watch, "watch", false, "run again what changes, until Ctrl-C: suites, and the files that they read")
	fl.BoolVar(&f.shrink, "shrink", false, "make loads that failed smaller and write the few requests that are enough as suites; "+
		"against a target by URL within --spend. Unasked: the first in virtual time; =false: none")
	fl.StringArrayVar(&f.reports, "report", nil, "write a report, KIND=PATH; may repeat; kinds: "+report.Names())
	fl.StringVar(&f.expect, "expect", "", "file of accepted findings: what it names is a warning, the rest counts")
	fl.StringVar(&f.baseline, "baseline", "", "run.json to compare with: what became worse ends with exit code 8")
	fl.StringVarP(&f.output, "output", "o", "pretty", "what stdout shows: pretty, json, tap, github, quiet")
	fl.StringVar(&f.progress, "progress", "auto", "progress on stderr: auto, bar, plain, none")
	fl.StringVar(&f.color, "color", "auto", "colours: auto, always, never (NO_COLOR is honoured)")
	fl.StringVar(&f.mockListen, "mock-listen", "", "address on which the mock listens for an external target")
	fl.StringVar(&f.mockAdvertise, "mock-advertise", "", "base URL by which the target reaches the mock")
	fl.StringVar(&f.mockURL, "mock", "", "base URL of a mock that runs already")
	fl.StringArrayVar(&f.headers, "header", nil, "header for every request to the target, 'Name: value'; may repeat")
	fl.StringVar(&f.ca, "ca", "", "PEM file of authorities to trust")
	fl.StringVar(&f.cert, "cert", "", "PEM file of a client certificate")
	fl.StringVar(&f.key, "key", "", "PEM file of its key")
	fl.BoolVar(&f.insecure, "insecure", false, "do not verify the target's certificate")
	fl.BoolVar(&f.remote, "allow-remote", false, "allow a target that is not on this machine")
	complete(cmd, "id", scenarioIDs)
	complete(cmd, "fault", faultNames)
	complete(cmd, "report", reportKinds)
	complete(cmd, "output", words(outputs...))
	complete(cmd, "progress", words("auto", "bar", "plain", "none"))
	complete(cmd, "color", words("auto", "always", "never"))
	complete(cmd, "fail-on", words("fail", "error", "warn", "skip"))
	complete(cmd, "seed", words("random"))
	complete(cmd, "profile", profileNames)
	return cmd
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

// changedFlags are the settings that are not defaults, for the report, each with where
// it comes from.
func (a *app) changedFlags(fl *pflag.FlagSet) map[string]string {
	changed := map[string]string{}
	fl.Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			value = strings.Join(list.GetSlice(), " ")
		}
		switch f.Name {
		case "header", "var": // may hold secrets
			value = "…"
		case "target", "mock", "mock-advertise": // may hold a password
			value = redacted(value)
		}
		origin := a.origins[f.Name]
		if origin == "" {
			origin = "the command line"
		}
		changed[f.Name] = value + ", from " + origin
	})
	return changed
}

func (a *app) runSuites(ctx context.Context, files []scenarios.Source, f runFlags, changed map[string]string) error {
	if err := f.check(); err != nil {
		return err
	}
	plan, err := a.plan(files, f.selection)
	if err != nil {
		return err
	}
	if err := checkPolicies(plan); err != nil {
		return err
	}
	if err := f.guard(a, plan); err != nil || f.dryRun {
		return err
	}
	reports, err := openReports(f.reports, needsProfile(plan))
	if err != nil {
		return err
	}
	before, err := f.earlier()
	if err != nil {
		return err
	}
	child, err := bubbleChild()
	if err != nil {
		return err
	}
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	progress := a.newProgress(f.progress, plan.Cells())
	info := build()
	options := scenarios.Options{
		Target: bundled{}, Faults: f.faults, Child: child, Workers: f.workers, Gateways: f.gateways(changed), FailFast: f.failFast,
		MockListen: f.mockListen, MockAdvertise: f.mockAdvertise, MockURL: f.mockURL,
		Rerun: f.again(), Header: headerMap(f.headers), Secrets: credentials(f.headers), TLS: scenarios.TLSFiles{CA: f.ca, Cert: f.cert, Key: f.key, Insecure: f.insecure},
		Environment: scenarios.Environment{
			Version: info.Version, Commit: info.Commit, Go: info.Go, OS: info.OS, Arch: info.Arch,
			CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0), Flags: changed,
		},
		Started: now(),
		Observe: progress.observe,
	}
	run, err := scenarios.Execute(ctx, plan, options)
	progress.end()
	if err != nil {
		return failWith(exitEnvironment, "%w", err)
	}
	var shrunk error
	if _, said := changed["shrink"]; f.shrink || !said && !f.watch {
		shrunk = a.shrink(ctx, plan, run, options, &f)
	}
	a.accept(before.accepted, run)
	changes := compared(before.baseline, run)
	shown := a.show(run, f)
	a.remarks(run)
	return errorsFirst(reports.write(run, changes), shown, a.regressions(changes), shrunk, f.verdict(run))
}

// errorsFirst returns the error with the code that goes first.
func errorsFirst(errs ...error) error {
	var first error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if first == nil || worst(codeOf(first), codeOf(err)) == codeOf(err) {
			first = err
		}
	}
	return first
}

// check refuses what can be refused before anything is read.
func (f *runFlags) check() error {
	if len(f.faults) > 0 && (f.targetURL != "" || f.targetFile != "") {
		return failWith(exitUsage, "--fault builds a fault into the bundled proxy; it cannot be given with --target").
			withHint("`llmlimit serve --fault NAME` runs a faulty proxy as a target")
	}
	if err := checkFaults(f.faults); err != nil {
		return err
	}
	for _, o := range f.failOn {
		if !slices.Contains([]string{"fail", "error", "warn", "skip"}, o) {
			return failWith(exitUsage, "--fail-on %q is not an outcome, expected fail, error, warn or skip", o)
		}
	}
	if !slices.Contains([]string{"auto", "bar", "plain", "none"}, f.progress) {
		return failWith(exitUsage, "--progress %q is not known, expected auto, bar, plain or none", f.progress)
	}
	if err := checkHeaders(f.headers); err != nil {
		return err
	}
	return f.checkOutput()
}

func checkHeaders(lines []string) error {
	for _, h := range lines {
		if name, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(name) == "" {
			return failWith(exitUsage, "--header %q is not 'Name: value'", h)
		}
	}
	return nil
}

// again are the flags that a scenario needs to run as it did, without what may be
// secret.
func (f *runFlags) again() []string {
	args := flagValues(nil, "profile", f.profile)
	args = append(flagValues(args, "tags", f.tags), f.reaching()...)
	args = flagValues(args, "var-file", f.varFile)
	for _, v := range f.vars {
		name, _, _ := strings.Cut(v, "=")
		args = flagValues(args, "var", name+"=…")
	}
	return args
}

// reaching are the flags that say how target and mock are reached, likewise.
func (f *runFlags) reaching() []string {
	args := flagValues(nil, "target", redacted(f.targetURL))
	args = flagValues(args, "target-file", f.targetFile)
	args = flagValues(args, "mock", redacted(f.mockURL))
	args = flagValues(args, "mock-listen", f.mockListen)
	args = flagValues(args, "mock-advertise", redacted(f.mockAdvertise))
	for _, h := range f.headers {
		name, _, _ := strings.Cut(h, ":")
		args = flagValues(args, "header", name+": …")
	}
	args = flagValues(args, "ca", f.ca)
	args = flagValues(args, "cert", f.cert)
	args = flagValues(args, "key", f.key)
	if f.insecure {
		args = append(args, "--insecure")
	}
	if f.remote {
		args = append(args, "--allow-remote")
	}
	return args
}

// flagValues appends a flag for each value that is not empty.
func flagValues(args []string, flag string, values ...string) []string {
	for _, value := range values {
		if value != "" {
			args = append(args, "--"+flag, value)
		}
	}
	return args
}

// waiters is how many cells run side by side at a gateway where -j says nothing: most
// of their time is waiting for it.
const waiters = 8

func (f *runFlags) gateways(changed map[string]string) int {
	if _, given := changed["jobs"]; given {
		return f.workers
	}
	return max(waiters, f.workers)
}

func headerMap(lines []string) map[string]string {
	headers := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return headers
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
	e := failWith(exitUsage, "nothing was selected: %d scenarios were left out", plan.NotSelected())
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
	text, err := readFile("the target", path)
	if err != nil {
		return nil, err
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

// credentials are the values of headers that nobody else may see.
func credentials(lines []string) []string {
	var all []string
	for name, value := range headerMap(lines) {
		switch name = strings.ToLower(name); {
		case name == "authorization", name == "proxy-authorization":
			_, credential, ok := strings.Cut(value, " ") // the scheme is no secret
			if !ok {
				credential = value
			}
			all = append(all, credential)
		case isSecret(name):
			all = append(all, value)
		}
	}
	return all
}

// redacted is a URL without its password.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "…"
	}
	return u.Redacted()
}

// isLoopback tells whether a URL stays on this machine.
func isLoopback(target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback()
}
