package main

import (
	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of suite files, for editors",
		Example: "  llmlimit schema > llmlimit.schema.json\n  # then, as the first line of a suite:\n  # yaml-language-server: $schema=./llmlimit.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(suite.Schema())
			return err
		},
	}
}
