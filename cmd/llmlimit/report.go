package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/pkg/report"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

func (a *app) reportCommand() *cobra.Command {
	var to []string
	var baseline string
	cmd := &cobra.Command{
		Use:   "report RUN.json --to KIND=PATH",
		Short: "Render a run again, check and compare compliance reports",
		Long: `Render a run again in other forms, check and compare compliance reports.

RUN.json is what --report json=PATH wrote; a name that ends in .zst is compressed.
PATH is a file, or - for stdout. Kinds: ` + report.Names() + `.`,
		Example: `  llmlimit run --report json=run.json
  llmlimit report run.json --to html=report.html --to junit=junit.xml
  llmlimit report run.json --to md=- >> "$GITHUB_STEP_SUMMARY"
  llmlimit report verify acme.yaml
  llmlimit report matrix *.yaml > matrix.md
  llmlimit report badge acme.yaml > badge.svg`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: filesOnly,
		RunE:              func(_ *cobra.Command, args []string) error { return a.render(args[0], baseline, to) },
	}
	cmd.Flags().StringArrayVar(&to, "to", nil, "write a report, KIND=PATH, - for stdout; may repeat; kinds: "+report.Names())
	cmd.Flags().StringVar(&baseline, "baseline", "", "run.json to compare with: the html page shows what changed")
	cmd.AddCommand(a.verifyCommand(), a.matrixCommand(), a.badgeCommand(), a.runSchemaCommand())
	return cmd
}

// filesOnly completes arguments with files.
func filesOnly(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func (a *app) render(path, baseline string, to []string) error {
	if len(to) == 0 {
		return failWith(exitUsage, "nothing to write").withHint("give --to KIND=PATH; kinds: %s", report.Names())
	}
	run, err := readRun("the run", path)
	if err != nil {
		return err
	}
	var before *scenarios.RunResult
	if baseline != "" {
		if before, err = readRun("the baseline", baseline); err != nil {
			return err
		}
	}
	files, err := a.openReports("--to", to, func(kind report.Kind) error {
		switch kind.Name {
		case "events":
			return report.ErrNoHistories
		case "compliance":
			_, err := report.ComplianceOf(run)
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	return files.write(run, compared(before, run))
}

// readRun reads a run.json.
func readRun(what, path string) (*scenarios.RunResult, error) {
	file, err := openFile(what, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	run, err := report.Read(file)
	if err != nil {
		return nil, failWith(exitInvalid, "reading %s %s: %w", what, path, err)
	}
	return run, nil
}

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check compliance reports against themselves and the profile in this program",
		Long: `Check compliance reports against themselves and the profile in this program.

A report has to name a release and not a branch, the digest of the suites that this
program has, the same numbers in its statistics and its lists, and must not claim a
feature whose checks were skipped. It cannot be seen whether it was really measured:
run the profile again for that.`,
		Example:           "  llmlimit report verify acme.yaml",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: filesOnly,
		RunE:              func(_ *cobra.Command, args []string) error { return a.verify(args) },
	}
}

func (a *app) verify(paths []string) error {
	wrong := false
	for _, path := range paths {
		c, err := readCompliance(path)
		if err != nil {
			return err
		}
		reference, err := profileReference(c.Profile.Name)
		if err != nil {
			return err
		}
		problems := c.Verify(reference)
		for _, p := range problems {
			fmt.Fprintf(a.stdout, "%s: %s\n", path, p)
		}
		wrong = wrong || len(problems) > 0
		if len(problems) == 0 {
			note := ""
			if reference == nil {
				note = "; this program has no profile " + c.Profile.Name + ", so digest and checks were not compared"
			}
			fmt.Fprintf(a.stdout, "%s: ok, level %s%s\n", path, c.Level, note)
		}
	}
	if wrong {
		return silent(exitFail)
	}
	return nil
}

func readCompliance(path string) (*report.Compliance, error) {
	file, err := openFile("the compliance report", path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	c, err := report.ReadCompliance(file)
	if err != nil {
		return nil, failWith(exitInvalid, "%s: %w", path, err)
	}
	return c, nil
}

// profileReference is a profile as the embedded suites have it; nil if they do not.
// Variables that it asks for may stay unset: nothing is sent.
func profileReference(name string) (*report.Reference, error) {
	if name == "" {
		return nil, nil //nolint:nilnil // no profile is no error
	}
	files, err := embeddedSources()
	if err != nil {
		return nil, err
	}
	plan, _ := scenarios.NewPlan(files, suite.Options{
		Profile: name, URL: "http://127.0.0.1", Env: func(string) (string, bool) { return "", true },
	})
	if plan == nil || plan.Cells() == 0 {
		return nil, nil //nolint:nilnil // likewise
	}
	r := &report.Reference{Profile: name, Tests: map[string]report.Test{}}
	var digests []string
	for _, s := range plan.Suites {
		profile := s.Program.Suite.Profile
		if profile == nil || profile.Name != name {
			continue
		}
		r.Version = profile.Version
		digests = append(digests, s.Digest)
		for _, c := range s.Program.Cells {
			r.Tests[c.ID] = report.Test{
				Feature: c.Scenario.Feature, Limits: c.Scenario.Limits,
				Hook: slices.ContainsFunc(c.Scenario.Needs, func(need string) bool { return strings.HasPrefix(need, "hook:") }),
			}
		}
	}
	r.Digest = report.JoinDigests(digests)
	return r, nil
}

func (a *app) matrixCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "matrix FILE...",
		Short:             "Set compliance reports side by side, as a Markdown table",
		Example:           "  llmlimit report matrix reports/*.yaml > matrix.md",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: filesOnly,
		RunE: func(_ *cobra.Command, args []string) error {
			var all []*report.Compliance
			for _, path := range args {
				c, err := readCompliance(path)
				if err != nil {
					return err
				}
				all = append(all, c)
			}
			return written(report.Matrix(a.stdout, all))
		},
	}
}

func (a *app) badgeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "badge FILE",
		Short:             "Draw the level of a compliance report as an SVG badge",
		Example:           "  llmlimit report badge acme.yaml > badge.svg",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: filesOnly,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := readCompliance(args[0])
			if err != nil {
				return err
			}
			return written(report.Badge(a.stdout, c))
		},
	}
}

func (a *app) runSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of run.json",
		Example: "  llmlimit report schema > run.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(report.Schema())
			return written(err)
		},
	}
}

// written is the error of a result that could not be written.
func written(err error) error {
	if err != nil {
		return failWith(exitEnvironment, "writing the results: %w", err)
	}
	return nil
}
