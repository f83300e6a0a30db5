package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/pkg/faulty"
	"github.com/llmlimit/llmlimit/pkg/report"
)

// suiteCompletion completes the names of files; cobra's default for paths does.
func suiteCompletion(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// complete says what may follow a flag. A flag that the command does not have is a
// mistake of ours, which the tests of the help see.
func complete(cmd *cobra.Command, flag string, values cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err)
	}
}

// words completes a fixed list.
func words(list ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// scenarioIDs completes the scenarios of the suites on the command line, or else of
// the built-in ones, with their requirements.
func scenarioIDs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	all, err := listScenarios(args, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, l := range all {
		ids = append(ids, cobra.CompletionWithDesc(l.ID, l.Requirement))
	}
	slices.Sort(ids)
	return slices.Compact(ids), cobra.ShellCompDirectiveNoFileComp
}

// profileNames completes the profiles of the suites on the command line, or else of the
// built-in ones.
func profileNames(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	all, err := listScenarios(args, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, l := range all {
		if l.Profile != "" {
			names = append(names, l.Profile)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// faultNames completes faulty limiters, with what is wrong with each.
func faultNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, f := range faulty.Table {
		names = append(names, cobra.CompletionWithDesc(f.Name, f.Doc))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// reportKinds completes KIND=, and files behind it.
func reportKinds(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	if strings.Contains(begun, "=") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var kinds []string
	for _, k := range report.Kinds {
		kinds = append(kinds, cobra.CompletionWithDesc(k.Name+"=", k.Doc))
	}
	return kinds, cobra.ShellCompDirectiveNoSpace
}
