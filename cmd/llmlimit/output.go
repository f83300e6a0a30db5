package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/report"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// outputs are the words of -o.
var outputs = []string{"pretty", "json", "tap", "github", "quiet"}

func (f *runFlags) checkOutput() error {
	if !slices.Contains(outputs, f.output) {
		e := failWith(exitUsage, "-o %q is not known, expected one of %s", f.output, strings.Join(outputs, ", "))
		if near := nearest.Word(f.output, outputs); near != "" {
			return e.withHint("did you mean -o %s?", near)
		}
		return e
	}
	for _, spec := range f.reports {
		if kind, path, _ := strings.Cut(spec, "="); path == stdoutPath && f.output != "quiet" {
			return failWith(exitUsage, "--report %s and the results of -o %s would both be on stdout", spec, f.output).withHint("add -o quiet, or write %s=FILE", kind)
		}
	}
	if !slices.Contains([]string{"auto", "always", "never"}, f.color) {
		return failWith(exitUsage, "--color %q is not known, expected auto, always or never", f.color)
	}
	return nil
}

// show writes the results to stdout.
func (a *app) show(run *scenarios.RunResult, f runFlags) error {
	var err error
	switch f.output {
	case "quiet":
	case "pretty": // ends with the seed
		err = report.Pretty(a.stdout, run, a.style(f.color))
	default:
		var kind report.Kind
		if kind, err = report.Find(f.output); err == nil {
			err = kind.Write(a.stdout, run)
		}
		fmt.Fprintf(a.stderr, "seed %d\n", run.Seed)
	}
	if err != nil {
		return failWith(exitEnvironment, "writing the results: %w", err)
	}
	return nil
}

// remarks says on stderr, once, what concerns the whole of a target by URL: what is
// noted of every scenario, and that verdicts are about what was declared of its limits.
func (a *app) remarks(run *scenarios.RunResult) {
	ran, unserved, proven := 0, 0, false
	noted := map[string]int{}
	for _, s := range run.Suites {
		for _, sc := range s.Scenarios {
			if sc.Outcome == scenarios.Skip || sc.Clock != "real" {
				continue
			}
			ran++
			proven = proven || sc.Judged != nil && sc.Judged.Totals.OverAdmitted+sc.Judged.Totals.WronglyRejected > 0
			if turnedAwayAtOnce(sc) {
				unserved++
			}
			for _, note := range sc.Notes {
				noted[note]++
			}
		}
	}
	if run.Environment.Target == "" || ran == 0 {
		return
	}
	told := unserved > 1
	if told {
		fmt.Fprintf(a.stderr, "hint: in %d scenarios a client that had sent nothing was rejected: is the limit keyed by what target.identity sends, or one for all?\n", unserved)
	}
	for _, note := range slices.Sorted(maps.Keys(noted)) {
		if noted[note] == ran {
			fmt.Fprintf(a.stderr, "note: %s\n", note)
			told = true
		}
	}
	if proven && !told {
		fmt.Fprintln(a.stderr, "hint: the judge holds the gateway to target.limits: where it is configured otherwise, correct the block (`llmlimit probe URL` says what its limit is)")
	}
}

// turnedAwayAtOnce tells whether the first request of a scenario, of a client that had
// sent nothing, was proven to be rejected wrongly, though it was small: a limit that is
// only smaller than what is declared would have had room for it.
func turnedAwayAtOnce(sc *scenarios.ScenarioResult) bool {
	if sc.Judged == nil || len(sc.Requests) == 0 || len(sc.Limits) == 0 {
		return false
	}
	first := sc.Requests[0]
	return first.Reserved > 0 && 10*first.Reserved <= sc.Limits[0].Amount.Lo && slices.ContainsFunc(sc.Judged.Findings, func(f judge.Finding) bool {
		return f.Request == first.ID && (f.Kind == judge.WrongfulRejection || f.Kind == judge.Isolation)
	})
}

// style is how results look on this stdout.
func (a *app) style(color string) report.Style {
	s := report.Style{Width: 100, Color: color == "always"}
	if f, ok := a.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			s.Width, s.Wrap = width, true
		}
		s.Color = color == "always" || color == "auto" && a.env["NO_COLOR"] == "" && a.env["TERM"] != "dumb"
	}
	// The console of older Windows shows letters only.
	s.ASCII = a.env["LLMLIMIT_ASCII"] != "" || a.env["OS"] == "Windows_NT" && a.env["WT_SESSION"] == ""
	return s
}

// verdict turns a run into an exit code.
func (f *runFlags) verdict(run *scenarios.RunResult) error {
	var codes []int
	counts := run.Counts
	if slices.Contains(f.failOn, "fail") && counts.Fail > 0 {
		codes = append(codes, exitFail)
	}
	aborted, invalid := stoppedCells(run)
	if aborted > 0 { // a guard did what it is for: neither the target's fault nor ours
		codes = append(codes, exitGuard)
	}
	if slices.Contains(f.failOn, "error") && counts.Error > aborted {
		codes = append(codes, exitEnvironment)
	}
	if slices.Contains(f.failOn, "warn") && counts.Warnings > 0 {
		codes = append(codes, exitFail)
	}
	if slices.Contains(f.failOn, "skip") && counts.Skip > 0 {
		codes = append(codes, exitFail)
	}
	if counts.Pass+counts.Fail+counts.Error == 0 && run.Stopped == "" {
		codes = append(codes, exitUsage)
	}
	if run.Stopped == scenarios.StoppedTimeout || run.Stopped == scenarios.StoppedSpend {
		codes = append(codes, exitGuard)
	}
	if invalid > 0 {
		codes = append(codes, exitMeasurement)
	}
	if code := worst(codes...); code != exitOK {
		return silent(code)
	}
	return nil
}

// stoppedCells counts the cells that an abort-if stopped, and those whose load was not
// delivered.
func stoppedCells(run *scenarios.RunResult) (aborted, invalid int) {
	for _, s := range run.Suites {
		for _, sc := range s.Scenarios {
			if sc.Aborted != "" && sc.Outcome == scenarios.Error {
				aborted++
			}
			if sc.InvalidLoad != "" {
				invalid++
			}
		}
	}
	return aborted, invalid
}

// reportFiles are the reports that were asked for. They are opened before anything
// is sent, so that a path that cannot be written costs no run.
type reportFiles []reportFile

type reportFile struct {
	kind   report.Kind
	path   string
	stdout io.Writer // of the program: where it goes if path is stdoutPath
}

// stdoutPath in place of a path means stdout.
const stdoutPath = "-"

// openReports reads what was said with a flag; refuse says what is wrong with a kind
// that cannot be written here.
func (a *app) openReports(flag string, specs []string, refuse func(report.Kind) error) (reportFiles, error) {
	var all reportFiles
	for _, spec := range specs {
		name, path, ok := strings.Cut(spec, "=")
		if !ok || path == "" {
			return nil, failWith(exitUsage, "%s %q is not KIND=PATH", flag, spec).withHint("kinds: %s", report.Names())
		}
		kind, err := report.Find(name)
		if err != nil {
			return nil, failWith(exitUsage, "%w", err)
		}
		if err := refuse(kind); err != nil {
			return nil, failWith(exitUsage, "%w", err)
		}
		all = append(all, reportFile{kind, path, a.stdout})
		if path == stdoutPath {
			continue
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // a report is for others to read
		if err != nil {
			return nil, failWith(exitEnvironment, "opening the report: %w", err)
		}
		if err := file.Close(); err != nil {
			return nil, failWith(exitEnvironment, "opening the report: %w", err)
		}
	}
	return all, nil
}

// needsProfile refuses a compliance report of suites that belong to no profile.
func needsProfile(plan *scenarios.Plan) func(report.Kind) error {
	return func(kind report.Kind) error {
		profiled := func(s *scenarios.PlannedSuite) bool { return s.Program.Suite.Profile != nil }
		if kind.Name == "compliance" && !slices.ContainsFunc(plan.Suites, profiled) {
			return report.ErrNoProfile
		}
		return nil
	}
}

// write writes every report, also after one that failed. Each is renamed into
// place: who reads it never sees half of it.
func (r reportFiles) write(run *scenarios.RunResult, changes *report.Comparison) error {
	var errs []error
	for _, f := range r {
		f.kind = f.kind.Against(changes)
		if err := f.write(run); err != nil {
			errs = append(errs, fmt.Errorf("writing the %s report %s: %w", f.kind.Name, f.path, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return failWith(exitEnvironment, "%w", err)
	}
	return nil
}

func (r reportFile) write(run *scenarios.RunResult) error {
	if r.path == stdoutPath {
		return r.kind.Write(r.stdout, run)
	}
	if info, err := os.Stat(r.path); err == nil && !info.Mode().IsRegular() {
		file, err := os.OpenFile(r.path, os.O_WRONLY, 0) // a pipe or a terminal
		if err != nil {
			return err
		}
		return errors.Join(r.kind.WriteAs(r.path, file, run), file.Close())
	}
	return replaceFile(r.path, func(file *os.File) error { return r.kind.WriteAs(r.path, file, run) })
}
