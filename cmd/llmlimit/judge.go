package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/pkg/judge"
)

func (a *app) judgeCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "judge EVENTS",
		Short: "Judge a recorded history again, offline",
		Long: `Judge a recorded history again, offline.

EVENTS is what --report events=PATH wrote, compressed if PATH ends in .zst. The same history gives the same verdict,
byte for byte, on every machine: an argument about a finding is about the history.`,
		Example: "  llmlimit run --report events=events.jsonl\n  llmlimit judge events.jsonl",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.judge(args[0], output) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func (a *app) judge(path, output string) error {
	file, err := openFile("the events", path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	histories, err := judge.ReadHistories(file)
	if err != nil {
		return failWith(exitInvalid, "reading the events %s: %w", path, err)
	}
	if len(histories) == 0 {
		return failWith(exitUsage, "%s holds no history", path)
	}
	enc := json.NewEncoder(a.stdout)
	failed := false
	for _, h := range histories {
		r := judge.Judge(h)
		failed = failed || r.Failed()
		switch output {
		case "json":
			if err := enc.Encode(r); err != nil {
				return failWith(exitEnvironment, "writing the verdict: %w", err)
			}
		case "text":
			a.showVerdict(r, h.Header.Start)
		default:
			return failWith(exitUsage, "-o %q is not known, expected text or json", output)
		}
	}
	if failed {
		return silent(exitFail)
	}
	return nil
}

func (a *app) showVerdict(r *judge.Report, start int64) {
	t := r.Totals
	fmt.Fprintf(a.stdout, "%s: %d requests, %d admitted, %d rejected; %d proved right, %d undecidable; %d findings\n",
		r.Cell, t.Requests, t.Admitted, t.Rejected, t.Right, t.Undecidable, len(r.Findings)+r.Dropped)
	for _, f := range r.Findings {
		fmt.Fprintf(a.stdout, "  %s  %s\n    %s\n", f.Kind, f.Message, f.Proof(start))
		if f.Curl != "" {
			fmt.Fprintf(a.stdout, "    %s\n", f.Curl)
		}
	}
}
