package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llmlimit/llmlimit/internal/nearest"
)

// app is what a command may use of the world. Nothing below cmd reads it.
type app struct {
	env            map[string]string
	stdin          io.Reader
	stdout, stderr io.Writer
	ended          os.Signal         // the signal that ended the context, if one did
	server         bool              // a signal is the ordinary end of this command
	origins        map[string]string // of the flags that were not set on the command line
}

// run is the program: it returns the exit code. The environment is given as
// "key=value".
func run(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == bubbleCommand {
		runBubble() // never returns
	}
	a := &app{env: environment(environ), stdin: stdin, stdout: stdout, stderr: stderr, origins: map[string]string{}}
	ctx, stop := a.signals()
	defer stop()

	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exitCode(ctx, root.ExecuteContext(ctx))
}

// signals returns a context that ends with the first SIGINT or SIGTERM. A second
// one ends the process as if nobody listened.
func (a *app) signals() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		select {
		case a.ended = <-heard:
			signal.Stop(heard)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-done; signal.Stop(heard) }
}

// tell says on stderr what went wrong, unless the results say it, and what to do
// next.
func (a *app) tell(err error) {
	if err == nil || errors.Is(err, errTold) {
		return
	}
	fmt.Fprintf(a.stderr, "llmlimit: %s\n", strings.TrimSpace(err.Error()))
	if ee, ok := errors.AsType[*exitError](err); ok && ee.hint != "" {
		fmt.Fprintf(a.stderr, "hint: %s\n", ee.hint)
	}
}

// exitCode tells what went wrong, once, and returns the code that says it.
func (a *app) exitCode(ctx context.Context, err error) int {
	code := exitOK
	known, ok := errors.AsType[*exitError](err)
	switch {
	case err == nil:
	case ok:
		code = known.code
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = nil // told by the code
	default: // cobra's own errors are about flags and commands
		err = failWith(exitUsage, "%w", err).withHint("`llmlimit --help` lists the commands and their flags")
		code = exitUsage
	}
	a.tell(err)
	if ctx.Err() != nil && !a.server {
		switch a.ended {
		case os.Interrupt:
			code = worst(code, exitInterrupt)
		case syscall.SIGTERM:
			code = worst(code, exitTerminate)
		}
	}
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "llmlimit",
		Short: "Prove that a token limiter keeps its promises",
		Long: `llmlimit proves that a token limiter keeps its promises.

It fires full, chunked and streaming requests at a gateway, knows the true usage of
every one of them, and proves each admission and each rejection right or wrong, with
the number of tokens by which it is wrong.`,
		Example: `  llmlimit run                                   the built-in suites, in virtual time
  llmlimit init                                  a suite and a policy to start from
  llmlimit run scenarios.yaml                    your own
  llmlimit run --target http://127.0.0.1:8080    your own gateway
  llmlimit serve --policy p.yaml --backend URL   a limiting proxy
  llmlimit mock-backend                          an LLM provider without a bill`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().String("config", "", "read settings from this file instead of ./llmlimit.yaml")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.settings(cmd) }
	root.AddCommand(a.runCommand(), a.doctorCommand(), a.probeCommand(), a.serveCommand(), a.mockCommand(), a.selftestCommand(), a.judgeCommand(), a.reportCommand(), a.compareCommand(),
		a.validateCommand(), a.listCommand(), a.schemaCommand(), a.initCommand(), a.manCommand(), a.explainCommand(), a.versionCommand())
	a.fitHelp(root)
	sayUsage(root)
	return root
}

// sayUsage lets every command below say what it takes where the arguments are others.
func sayUsage(parent *cobra.Command) {
	for _, cmd := range parent.Commands() {
		sayUsage(cmd)
		check := cmd.Args
		if check == nil {
			continue
		}
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if check(cmd, args) == nil {
				return nil
			}
			found := "nothing after it"
			if len(args) > 0 {
				found = strings.Join(args, " ")
			}
			usage := strings.TrimSuffix(cmd.UseLine(), " [flags]")
			return failWith(exitUsage, "the command is `%s`, found %s", usage, found).withHint("`%s --help` explains it", cmd.CommandPath())
		}
	}
}

// knownCommand refuses a word that is no command, with the one that was probably meant.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	e := failWith(exitUsage, "unknown command %q", args[0])
	if near := nearest.Word(args[0], names); near != "" {
		return e.withHint("did you mean `llmlimit %s`? `llmlimit --help` lists the commands", near)
	}
	return e.withHint("`llmlimit --help` lists the commands and their flags")
}

// expected is what the flags of a type take, in place of what the parsers of Go say.
var expected = map[string]string{
	"int": "a whole number", "int64": "a whole number", "uint64": "a whole number from 0", "float64": "a number",
	"bool": "true or false", "duration": "a duration such as 30s or 1h30m",
}

// badValue says which value a flag does not take, and which it does.
func badValue(f *pflag.Flag, value string, err error) error {
	if what, ok := expected[f.Value.Type()]; ok {
		return fmt.Errorf("%q is not a value for --%s, expected %s", value, f.Name, what)
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		err = invalid.Unwrap()
	}
	return fmt.Errorf("%q is not a value for --%s: %w", value, f.Name, err)
}

func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	return env
}

// flagError says which flag was probably meant, and where the flags of this command
// are listed.
func flagError(cmd *cobra.Command, err error) error {
	e := failWith(exitUsage, "%w", err)
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		e = failWith(exitUsage, "%w", badValue(invalid.GetFlag(), invalid.GetValue(), err))
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := nearest.Word(unknown.GetSpecifiedName(), names); near != "" {
			return e.withHint("did you mean --%s? `%s --help` lists the flags", near, cmd.CommandPath())
		}
	}
	return e.withHint("`%s --help` lists the flags", cmd.CommandPath())
}
