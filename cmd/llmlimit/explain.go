package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/faulty"
	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
)

// findings is what each verdict of the judge means, for people.
var findings = map[judge.Kind]string{
	judge.OverAdmission:      "A request was admitted although its reservation cannot have fitted, whenever in its interval the decision was made. The tokens are by how much it did not fit, at least.",
	judge.WrongfulRejection:  "A request was rejected although it fitted for certain: tokens are missing that nobody used. Most often a refund never came, or came late.",
	judge.Isolation:          "A request was rejected although its own key had enough; the traffic of another key explains it. Two keys share an account.",
	judge.Conservation:       "The target's own ledger does not add up: reserved = actual + refunded - debited + outstanding must hold, and each sum must be what the requests really cost.",
	judge.Residue:            "Reservations are still outstanding although every request has ended. They are lost until a lease ends, or for good.",
	judge.RetryTooEarly:      "Retry-After names a time at which the same request is rejected again. A client that obeys is punished for it.",
	judge.RetryTooLate:       "Retry-After asks for a longer wait than is needed, beyond rounding.",
	judge.RetryImpossible:    "Retry-After is finite, but no wait can help: the request is larger than the limit. Clients retry for ever.",
	judge.RetryMissing:       "A rejection that a wait cures does not say how long.",
	judge.RetryForm:          "Retry-After is a date, or no number of seconds at all; SDKs read seconds.",
	judge.HeaderLimit:        "The limit in the rate-limit headers is none of the limits that bind the request.",
	judge.HeaderRemaining:    "The remaining amount in the headers is impossible: it is not between the proven bounds of the level.",
	judge.HeaderReset:        "The reset time in the headers is not the time until the account is full, or until its window ends.",
	judge.HeaderReserved:     "The header says that another amount was reserved than the request's estimate.",
	judge.RepeatedCall:       "The provider was called more than once for one request: somebody retries, and the provider bills each call.",
	judge.RejectedCall:       "A request was rejected and reached the provider all the same.",
	judge.UpstreamNotStopped: "The client left, and the request to the provider went on beyond the declared time.",
	judge.NotJudged:          "Something has no verdict, and the note says why. It proves nothing.",
}

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Explain a scenario, finding, fault or exit code, offline",
		Example: `  llmlimit explain wrongful-rejection      a finding of the judge
  llmlimit explain no-refund               a faulty limiter
  llmlimit explain refund                  a scenario
  llmlimit explain reset                   a fault of the mock
  llmlimit explain 5                       an exit code`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return explainable(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.explain(args[0]) },
	}
}

func (a *app) explain(id string) error {
	found := false
	say := func(what, text string) {
		if found {
			fmt.Fprintln(a.stdout)
		}
		found = true
		fmt.Fprintf(a.stdout, "%s: %s\n%s\n", id, what, fold(text, a.columns()))
	}
	if code, err := strconv.Atoi(id); err == nil {
		for _, c := range exitCodes {
			if c.Code == code {
				say("an exit code", c.Meaning+"\n"+c.Advice)
			}
		}
	}
	if text, ok := findings[judge.Kind(id)]; ok {
		say("a finding of the judge", text)
	}
	all, err := listScenarios(nil, "")
	for _, f := range faulty.Table {
		if f.Name == id {
			say("a faulty limiter, of the family "+f.Family, f.Doc+".\nScenarios that turn red with it: "+strings.Join(catchers(all, id), ", ")+".")
		}
	}
	for _, f := range mockllm.Faults() {
		if f.Name == id {
			say("a fault of the mock", f.Doc)
		}
	}
	if err != nil && !found {
		return err
	}
	for _, l := range all {
		if l.ID == id || l.Suite+"/"+l.ID == id {
			say("a scenario of "+l.File, l.text())
		}
	}
	if found {
		return nil
	}
	e := failWith(exitUsage, "nothing is called %q", id)
	if near := nearest.Word(id, explainable()); near != "" {
		return e.withHint("did you mean %q?", near)
	}
	return e.withHint("scenarios, findings, faults and exit codes can be explained; `llmlimit list` shows scenarios")
}

// catchers lists the scenarios that name a fault.
func catchers(all []listed, fault string) []string {
	var names []string
	for _, l := range all {
		if slices.Contains(l.Catches, fault) {
			names = append(names, l.Suite+"/"+l.ID)
		}
	}
	return names
}

// text is a scenario in words.
func (l listed) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Requirement: %s.", strings.TrimSuffix(l.Requirement, "."))
	if l.Reason != "" {
		fmt.Fprintf(&b, "\nWhy: %s.", strings.TrimSuffix(l.Reason, "."))
	}
	if l.Profile != "" {
		fmt.Fprintf(&b, "\nIt is of the profile %s, level %s, strength %s.", l.Profile, l.Level, l.Strength)
	}
	if len(l.Limits) > 0 {
		fmt.Fprintf(&b, "\nIt is about limits that a target declares as: %s.", strings.Join(l.Limits, ", "))
	}
	if l.Cells > 1 {
		fmt.Fprintf(&b, "\nIts matrix has %d cells.", l.Cells)
	}
	if len(l.Needs) > 0 {
		fmt.Fprintf(&b, "\nIt needs: %s.", strings.Join(l.Needs, ", "))
	}
	if len(l.Catches) > 0 {
		fmt.Fprintf(&b, "\nIt turns red with: %s.", strings.Join(l.Catches, ", "))
	}
	if len(l.Refs) > 0 {
		fmt.Fprintf(&b, "\nReported as: %s.", strings.Join(l.Refs, ", "))
	}
	profile := ""
	if l.Profile != "" {
		profile = " --profile " + l.Profile + " --target-file target.yaml"
	}
	fmt.Fprintf(&b, "\nRun it: llmlimit run%s --id %s\nAs it stands there:\n\n%s", profile, l.ID, l.source)
	return b.String()
}

// explainable lists everything that has an explanation.
func explainable() []string {
	var names []string
	for _, c := range exitCodes {
		names = append(names, strconv.Itoa(c.Code))
	}
	for kind := range findings {
		names = append(names, string(kind))
	}
	for _, f := range faulty.Table {
		names = append(names, f.Name)
	}
	for _, f := range mockllm.Faults() {
		names = append(names, f.Name)
	}
	if all, err := listScenarios(nil, ""); err == nil {
		for _, l := range all {
			names = append(names, l.ID)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
