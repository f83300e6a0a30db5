package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// listed is one scenario as `list` shows it.
type listed struct {
	Suite       string   `json:"suite"`
	File        string   `json:"file"`
	ID          string   `json:"id"`
	Requirement string   `json:"requirement,omitempty"`
	Cells       int      `json:"cells"`
	Tags        []string `json:"tags,omitempty"`
	Needs       []string `json:"needs,omitempty"`
	Catches     []string `json:"catches,omitempty"`
	Level       string   `json:"level,omitempty"`
	Strength    string   `json:"strength,omitempty"`
	Feature     string   `json:"feature,omitempty"`
	Limits      []string `json:"limits,omitempty"`
	Reason      string   `json:"reason,omitempty"`
	Refs        []string `json:"refs,omitempty"`
	Profile     string   `json:"profile,omitempty"`
	Left        string   `json:"not_selected,omitempty"` // why a plain run leaves it out

	source string // its lines in the file
}

func (a *app) listCommand() *cobra.Command {
	var output, profile string
	cmd := &cobra.Command{
		Use:               "list [FILE|DIR|GLOB]...",
		Short:             "Show the scenarios, what each requires and needs",
		Example:           "  llmlimit list\n  llmlimit list scenarios.yaml -o json\n  llmlimit list --profile token-limit     the checks of a profile, with level and strength",
		ValidArgsFunction: suiteCompletion,
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := listScenarios(args, profile)
			if err != nil {
				return err
			}
			switch output {
			case "text":
				return a.showList(all)
			case "json":
				enc := json.NewEncoder(a.stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(all)
			}
			return failWith(exitUsage, "-o %q is not known, expected text or json", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.Flags().StringVar(&profile, "profile", "", "only the checks of this compliance profile")
	complete(cmd, "profile", profileNames)
	return cmd
}

// listScenarios lists what files hold, all of it or what belongs to a profile.
func listScenarios(args []string, profile string) ([]listed, error) {
	files, err := suites(args)
	if err != nil {
		return nil, err
	}
	var all []listed
	var profiles []string
	for _, file := range files {
		one, err := listFile(file)
		if err != nil {
			return nil, err
		}
		for _, l := range one {
			if l.Profile != "" && !slices.Contains(profiles, l.Profile) {
				profiles = append(profiles, l.Profile)
			}
			if profile == "" || l.Profile == profile {
				all = append(all, l)
			}
		}
	}
	if len(all) == 0 && profile != "" {
		return nil, unknownProfile(profile, profiles)
	}
	return all, nil
}

// unknownProfile helps with a slip of the keyboard.
func unknownProfile(profile string, known []string) error {
	e := failWith(exitUsage, "no suite belongs to the profile %q", profile)
	if near := nearest.Word(profile, known); near != "" {
		return e.withHint("did you mean %q?", near)
	}
	return e.withHint("the profiles are: %s", strings.Join(known, ", "))
}

func listFile(file scenarios.Source) ([]listed, error) {
	s, problems := suite.Read(file.Name, file.Data, file.ReadFile)
	if err := problems.Err(); err != nil {
		return nil, failWith(exitInvalid, "%s", problems.Errors().String())
	}
	profile := profileOf(s)
	cells, left := map[string]int{}, map[string]string{}
	program, problems := suite.Compile(s, suite.Options{ReadFile: file.ReadFile, Profile: profile})
	if err := problems.Err(); err != nil {
		return nil, failWith(exitInvalid, "%s", problems.Errors().String())
	}
	for _, c := range program.Cells {
		cells[c.Scenario.ID]++
	}
	for _, n := range program.NotSelected { // cells, of which a scenario may have several
		id, _, _ := strings.Cut(n.ID, "[")
		left[id] = n.Reason
	}
	var all []listed
	for _, sc := range s.Scenarios {
		all = append(all, listed{
			Suite: s.Name, File: file.Name, ID: sc.ID, Requirement: sc.Requirement, Cells: cells[sc.ID],
			Tags: sc.Tags, Needs: sc.Needs, Catches: sc.Catches, Level: sc.Level, Strength: sc.Strength, Feature: sc.Feature,
			Limits: sc.Limits, Reason: sc.Reason, Refs: sc.Refs, Profile: profile, Left: left[sc.ID],
			source: excerpt(file, s, sc.Pos),
		})
	}
	return all, nil
}

// excerpt is a scenario as it stands in its file; empty if that is another one.
func excerpt(file scenarios.Source, s *suite.Suite, at suite.Pos) string {
	if at.File != file.Name {
		return ""
	}
	lines := strings.Split(string(file.Data), "\n")
	end := len(lines)
	for _, other := range s.Scenarios {
		if other.Pos.File == at.File && other.Pos.Line > at.Line {
			end = min(end, other.Pos.Line-1)
		}
	}
	return strings.TrimRight(strings.Join(lines[at.Line-1:end], "\n"), " \n")
}

func (a *app) showList(all []listed) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	last := ""
	for _, l := range all {
		if l.Suite != last {
			last = l.Suite
			profile := ""
			if l.Profile != "" {
				profile = ", by --profile " + l.Profile
			}
			fmt.Fprintf(w, "%s\t(%s%s)\n", l.Suite, l.File, profile)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", l.ID, l.Requirement, strings.Join(l.details(), "; "))
	}
	if err := w.Flush(); err != nil {
		return failWith(exitEnvironment, "writing the list: %w", err)
	}
	return nil
}

func (l listed) details() []string {
	var d []string
	if l.Level != "" {
		d = append(d, strings.TrimSpace(l.Level+" "+l.Strength))
	}
	if len(l.Limits) > 0 {
		d = append(d, "limits "+strings.Join(l.Limits, " "))
	}
	if l.Feature != "" && !strings.Contains(l.Feature, "${") {
		d = append(d, "feature "+l.Feature)
	}
	if l.Cells > 1 {
		d = append(d, fmt.Sprintf("%d cells", l.Cells))
	}
	if len(l.Tags) > 0 {
		d = append(d, "tags "+strings.Join(l.Tags, " "))
	}
	if len(l.Needs) > 0 {
		d = append(d, "needs "+strings.Join(l.Needs, " "))
	}
	if l.Left != "" {
		d = append(d, l.Left)
	}
	return d
}
