package main

import (
	"context"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/pkg/report"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

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
tokens, and a curl line that shows it. Ctrl-C ends the run with reports of what had
finished, a second one at once. Exit codes: docs/exit-codes.md.`,
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
	fl.StringArrayVar(&f.reports, "report", nil, "write a report, KIND=PATH, - for stdout; may repeat; kinds: "+report.Names())
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
	reports, err := a.openReports("--report", f.reports, needsProfile(plan))
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
	if f.targetURL != "" {
		if err := checkURL(f.targetURL); err != nil {
			return err
		}
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
