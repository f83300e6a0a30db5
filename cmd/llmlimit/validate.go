package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/report"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE|DIR|GLOB...",
		Short: "Check suites, policies and targets, and send nothing",
		Long: `Check suites, policies and targets, and send nothing.

Every problem of every file is shown at once: file, line and column, the line with a
caret, what was found, what was expected, the nearest known word. A file with a
bundle_version is a policy, one with a target and no version is for --target-file, every
other one a suite. Of a target it says how much of the profiles it lets run.`,
		Example: `  llmlimit validate scenarios.yaml
  llmlimit validate target.yaml
  llmlimit validate policy.yaml scenarios/`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: suiteCompletion,
		RunE:              func(_ *cobra.Command, args []string) error { return a.validate(args) },
	}
}

func (a *app) validate(args []string) error {
	files, err := sources(args)
	if err != nil {
		return err
	}
	wrong := 0
	for _, file := range files {
		var ok bool
		switch {
		case isPolicy(file.Data):
			ok = a.validatePolicy(file)
		case isTarget(file.Data):
			ok = a.validateTarget(file)
		default:
			ok = a.validateSuite(file)
		}
		if !ok {
			wrong++
		}
	}
	if wrong > 0 {
		return failWith(exitInvalid, "%d of %d files are not valid", wrong, len(files))
	}
	return nil
}

// isPolicy tells a policy bundle from a suite by the one field that every bundle
// has to have, at the top of YAML or anywhere in JSON.
func isPolicy(data []byte) bool {
	indent := ""
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		indent = " \t{\"'"
	}
	for line := range bytes.Lines(data) {
		key := bytes.TrimLeft(line, indent)
		if bytes.HasPrefix(key, []byte("bundle_version")) || bytes.HasPrefix(key, []byte("policies")) {
			return true
		}
	}
	return false
}

func (a *app) validatePolicy(file scenarios.Source) bool {
	bundle, err := policy.Parse(file.Name, file.Data, policy.Options{Now: now()})
	if err != nil {
		fmt.Fprintln(a.stdout, err)
		return false
	}
	for _, w := range bundle.Warnings() {
		fmt.Fprintf(a.stdout, "warning: %s\n", w)
	}
	for _, e := range bundle.Extensions() {
		fmt.Fprintf(a.stdout, "note: %s\n", e)
	}
	fmt.Fprintf(a.stdout, "%s: a valid policy, version %d, %d rules\n", file.Name, bundle.Version(), len(bundle.Rules()))
	return true
}

func (a *app) validateSuite(file scenarios.Source) bool {
	s, problems := suite.Read(file.Name, file.Data, file.ReadFile)
	var program *suite.Program
	if s != nil && problems.Err() == nil {
		var more suite.Problems
		program, more = suite.Compile(s, suite.Options{ReadFile: file.ReadFile})
		problems = append(problems, more...)
	}
	if len(problems) > 0 {
		fmt.Fprintln(a.stdout, problems.String())
	}
	if problems.Err() != nil || program == nil {
		return false
	}
	plan, _ := scenarios.NewPlan([]scenarios.Source{file}, suite.Options{Env: noEnvironment, Profile: profileOf(s)})
	if plan != nil {
		if err := checkPolicies(plan); err != nil {
			fmt.Fprintln(a.stdout, err)
			return false
		}
	}
	fmt.Fprintf(a.stdout, "%s: a valid suite, %s\n", file.Name, report.Counted(len(s.Scenarios), "scenario"))
	return true
}

// noEnvironment lets a suite be planned whose variables are not set here.
func noEnvironment(string) (string, bool) { return "", true }

func profileOf(s *suite.Suite) string {
	if s.Profile == nil {
		return ""
	}
	return s.Profile.Name
}

// checkPolicies reads every policy that a plan would start a target with, so that
// nothing is sent before everything is valid.
func checkPolicies(plan *scenarios.Plan) error {
	var errs []error
	for _, spec := range plan.Policies() {
		if _, err := readPolicy(spec); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return failWith(exitInvalid, "%w", err).withHint("nothing was sent")
	}
	return nil
}

// readPolicy reads the rules or the policy of a suite's target.
func readPolicy(spec scenarios.TargetSpec) (*policy.Bundle, error) {
	o := policy.Options{Now: now()}
	if spec.Rules != nil {
		return policy.ParseRules(policy.Source{File: spec.RulesFile, Data: spec.Rules, Line: spec.RulesLine}, o)
	}
	return policy.Parse(spec.PolicyFile, spec.Policy, o)
}
