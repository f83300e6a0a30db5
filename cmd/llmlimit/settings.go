package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/llmlimit/llmlimit/internal/nearest"
)

// configFile is read from the working directory where it exists.
const configFile = "llmlimit.yaml"

// settings gives every flag that was not set on the command line the value of the
// environment or of the config file, in this order. After it, flags are the only
// source of settings.
//
// `--mock-listen` of the command `run` is LLMLIMIT_RUN_MOCK_LISTEN, or
// LLMLIMIT_MOCK_LISTEN for every command that has it; in the file it is
// `mock-listen` under `run:`, or at the top.
func (a *app) settings(cmd *cobra.Command) error {
	file, err := a.readConfig(cmd)
	if err != nil {
		return err
	}
	scope := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()), " ")
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "config" || f.Name == "help" || err != nil {
			return
		}
		if value, origin, ok := a.lookup(scope, f.Name, file); ok {
			if e := cmd.Flags().Set(f.Name, value); e != nil {
				err = failWith(exitUsage, "%s: %w", origin, badValue(f, value, e))
			}
			a.origins[f.Name] = origin
		}
	})
	return err
}

// lookup finds the value of a flag outside the command line and says where it was.
func (a *app) lookup(scope, name string, file *config) (value, origin string, ok bool) {
	screaming := func(s string) string { return strings.ToUpper(strings.NewReplacer("-", "_", " ", "_").Replace(s)) }
	for _, key := range []string{"LLMLIMIT_" + screaming(scope+"-"+name), "LLMLIMIT_" + screaming(name)} {
		if v := a.env[key]; v != "" { // an empty variable is as one that is not set
			return v, key, true
		}
	}
	for _, key := range []string{strings.ReplaceAll(scope, " ", ".") + "." + name, name} {
		if file != nil && file.IsSet(key) {
			return file.value(key), file.place(key) + ": " + key, true
		}
	}
	return "", "", false
}

// config is the config file: what viper reads, and where each setting stands, which
// viper does not tell.
type config struct {
	*viper.Viper
	path  string
	lines map[string]int // by key, in the small letters that viper makes of it
}

func (c *config) value(key string) string {
	if list, ok := c.Get(key).([]any); ok {
		parts := make([]string, len(list))
		for i, v := range list {
			parts[i] = fmt.Sprint(v)
		}
		return strings.Join(parts, ",")
	}
	return c.GetString(key)
}

// place is file and line of a setting.
func (c *config) place(key string) string {
	if line, ok := c.lines[key]; ok {
		return fmt.Sprintf("%s:%d", c.path, line)
	}
	return c.path
}

// note remembers the lines of all keys below a node.
func (c *config) note(prefix string, n ast.Node) {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	}
	for _, pair := range pairs {
		key := prefix + strings.ToLower(pair.Key.GetToken().Value)
		c.lines[key] = pair.Key.GetToken().Position.Line
		c.note(key+".", pair.Value)
	}
}

// readConfig returns nil if there is no file and none was asked for.
func (a *app) readConfig(cmd *cobra.Command) (*config, error) {
	path, asked := configFile, false
	if f := cmd.Flag("config"); f != nil && f.Value.String() != "" {
		path, asked = f.Value.String(), true
	} else if v := a.env["LLMLIMIT_CONFIG"]; v != "" {
		path, asked = v, true
	}
	text, err := os.ReadFile(path)
	if !asked && errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no file is a valid answer, and not an error
	}
	c := &config{Viper: viper.New(), path: path, lines: map[string]int{}}
	c.SetConfigType("yaml")
	if err == nil {
		err = c.ReadConfig(bytes.NewReader(text))
	}
	if err != nil {
		return nil, failWith(exitInvalid, "reading the config file %s: %w", path, err)
	}
	if tree, err := parser.ParseBytes(text, 0); err == nil {
		for _, doc := range tree.Docs {
			c.note("", doc.Body)
		}
	}
	return c, c.check(cmd.Root())
}

// check refuses keys that are no flag of any command: viper would ignore them
// silently.
func (c *config) check(root *cobra.Command) error {
	known := map[string]bool{}
	for _, cmd := range root.Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			known[f.Name], known[cmd.Name()+"."+f.Name] = true, true
		})
	}
	words := slices.Sorted(maps.Keys(known))
	var unknown []string
	for _, key := range c.AllKeys() {
		if known[key] {
			continue
		}
		text := fmt.Sprintf("%s: unknown setting %q", c.place(key), key)
		if near := nearest.Word(key, words); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		unknown = append(unknown, text)
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return failWith(exitInvalid, "%s", strings.Join(unknown, "\n")).
		withHint("settings are the flags of a command: `jobs: 4` for all that have it, or below `run:`; `llmlimit help run` lists those of run")
}
