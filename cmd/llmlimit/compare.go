package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/pkg/report"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// compareFlags are the floors of `compare`.
type compareFlags struct {
	relative float64
	absolute time.Duration
	samples  int64
}

func (a *app) compareCommand() *cobra.Command {
	standard := report.DefaultFloors()
	var f compareFlags
	cmd := &cobra.Command{
		Use:   "compare BASE NEW",
		Short: "Say what became worse from one run to another",
		Long: `Say what became worse from one run to another, and end with exit code 8 if something did.

BASE and NEW are what --report json=PATH wrote. A latency is worse when it grew by more
than both floors, relative and absolute, and when there are samples enough to tell.`,
		Example: `  llmlimit run --report json=base.json
  llmlimit run --report json=new.json
  llmlimit compare base.json new.json --max-slower 0.2 --max-slower-by 5ms`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: filesOnly,
		RunE:              func(_ *cobra.Command, args []string) error { return a.compare(args[0], args[1], f) },
	}
	fl := cmd.Flags()
	fl.Float64Var(&f.relative, "max-slower", standard.Relative, "share of the baseline by which a latency may grow")
	fl.DurationVar(&f.absolute, "max-slower-by", standard.Absolute, "and by how much at least it has to grow to count")
	fl.Int64Var(&f.samples, "min-samples", standard.Samples, "fewest samples of a median; other quantiles need ten times as many")
	return cmd
}

func (a *app) compare(base, now string, f compareFlags) error {
	if f.relative < 0 || f.absolute < 0 || f.samples < 0 {
		return failWith(exitUsage, "--max-slower, --max-slower-by and --min-samples cannot be negative")
	}
	before, err := readRun("the baseline", base)
	if err != nil {
		return err
	}
	after, err := readRun("the run", now)
	if err != nil {
		return err
	}
	c := report.Compare(before, after, report.Floors{Relative: f.relative, Absolute: f.absolute, Samples: f.samples})
	if err := c.Text(a.stdout); err != nil {
		return written(err)
	}
	if c.Regressions() > 0 {
		return silent(exitRegression)
	}
	return nil
}

// compared sets a run beside its baseline; nil without one.
func compared(baseline, run *scenarios.RunResult) *report.Comparison {
	if baseline == nil {
		return nil
	}
	return report.Compare(baseline, run, report.DefaultFloors())
}

// regressions tells what changed on stderr: stdout is for the results.
func (a *app) regressions(c *report.Comparison) error {
	if c == nil {
		return nil
	}
	if err := c.Text(a.stderr); err != nil {
		return written(err)
	}
	if c.Regressions() > 0 {
		return silent(exitRegression)
	}
	return nil
}
