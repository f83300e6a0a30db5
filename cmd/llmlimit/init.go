package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// templates are the files that `init` writes; a script runs them as they are.
//
//go:embed templates/*.yaml templates/*.tmpl
var templates embed.FS

// schemaFile completes suites in editors; their first line names it.
const schemaFile = "llmlimit.schema.json"

// starter is one file that `init` writes.
type starter struct {
	name string
	data []byte
}

func (a *app) initCommand() *cobra.Command {
	var curl, targetFile string
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a suite and a policy to start from, a suite for a gateway, or a scenario from a curl line",
		Long: `Write a suite and a policy to start from, a suite for a gateway, or a scenario from a curl line.

Both files have comments, are valid, and pass as they are. Nothing is ever
overwritten. Credentials of a curl line are not written: each becomes a variable of
the environment, and its name is said. With a target block, such as probe prints, the
sizes of the requests are made for the limit that it declares.`,
		Example: `  llmlimit init
  llmlimit init limits/
  llmlimit init gateway/ --target-file target.yaml
  llmlimit init --from-curl "curl http://127.0.0.1:8080/v1/chat/completions -H 'Authorization: Bearer sk-1' -d '{\"model\":\"m\"}'"`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			switch {
			case cmd.Flags().Changed("from-curl"):
				return a.initFromCurl(dir, curl)
			case targetFile != "":
				return a.initGateway(dir, targetFile)
			}
			return a.initFiles(dir)
		},
	}
	cmd.Flags().StringVar(&curl, "from-curl", "", "a curl command line, quoted as one argument")
	cmd.Flags().StringVar(&targetFile, "target-file", "", "file with a target: block that declares a limit of tokens")
	cmd.MarkFlagsMutuallyExclusive("from-curl", "target-file")
	return cmd
}

func (a *app) initFiles(dir string) error {
	files := []starter{{schemaFile, suite.Schema()}}
	for _, name := range []string{"policy.yaml", "scenarios.yaml"} {
		data, err := templates.ReadFile("templates/" + name)
		if err != nil {
			return failWith(exitInternal, "reading a template: %w", err)
		}
		files = append(files, starter{name, data})
	}
	if err := writeNew(dir, files); err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	fmt.Fprintf(a.stdout, "wrote %s, %s and %s\n\nnext:\n", at("scenarios.yaml"), at("policy.yaml"), at(schemaFile))
	fmt.Fprintf(a.stdout, "  llmlimit run %s                      two scenarios, against the bundled proxy\n", at("scenarios.yaml"))
	fmt.Fprintf(a.stdout, "  llmlimit run %s --fault no-refund    the same against one that is wrong\n", at("scenarios.yaml"))
	fmt.Fprintf(a.stdout, "  llmlimit selftest %s                 what this suite would miss\n", at("scenarios.yaml"))
	fmt.Fprintf(a.stdout, "  llmlimit serve --policy %s --backend URL\n", at("policy.yaml"))
	return nil
}

// writeNew writes all files or, if one is there already, none.
func writeNew(dir string, files []starter) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a project's folder is for others to read
		return failWith(exitEnvironment, "making the folder: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if _, err := os.Lstat(path); err == nil {
			return failWith(exitUsage, "%s is there already, and init overwrites nothing", path).
				withHint("give another folder: llmlimit init DIR")
		} else if !errors.Is(err, fs.ErrNotExist) {
			return failWith(exitEnvironment, "looking for %s: %w", path, err)
		}
	}
	for _, f := range files {
		if err := createFile(filepath.Join(dir, f.name), f.data); err != nil {
			return failWith(exitEnvironment, "writing a file to start from: %w", err)
		}
	}
	return nil
}

// createFile fails if the file has come into being in the meantime.
func createFile(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // a suite is for others to read
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}
