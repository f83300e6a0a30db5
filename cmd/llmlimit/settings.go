package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strings"

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
				err = failWith(exitUsage, "%s: %q is not a value for --%s: %w", origin, value, f.Name, e)
			}
			a.origins[f.Name] = origin
		}
	})
	return err
}

// lookup finds the value of a flag outside the command line and says where it was.
func (a *app) lookup(scope, name string, file *viper.Viper) (value, origin string, ok bool) {
	screaming := func(s string) string { return strings.ToUpper(strings.NewReplacer("-", "_", " ", "_").Replace(s)) }
	for _, key := range []string{"LLMLIMIT_" + screaming(scope+"-"+name), "LLMLIMIT_" + screaming(name)} {
		if v, found := a.env[key]; found {
			return v, key, true
		}
	}
	for _, key := range []string{strings.ReplaceAll(scope, " ", ".") + "." + name, name} {
		if file != nil && file.IsSet(key) {
			return configValue(file, key), file.ConfigFileUsed() + ": " + key, true
		}
	}
	return "", "", false
}

func configValue(file *viper.Viper, key string) string {
	if list, ok := file.Get(key).([]any); ok {
		parts := make([]string, len(list))
		for i, v := range list {
			parts[i] = fmt.Sprint(v)
		}
		return strings.Join(parts, ",")
	}
	return file.GetString(key)
}

// readConfig returns nil if there is no file and none was asked for.
func (a *app) readConfig(cmd *cobra.Command) (*viper.Viper, error) {
	path, asked := configFile, false
	if f := cmd.Flag("config"); f != nil && f.Value.String() != "" {
		path, asked = f.Value.String(), true
	} else if v := a.env["LLMLIMIT_CONFIG"]; v != "" {
		path, asked = v, true
	}
	if _, err := os.Stat(path); !asked && errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no file is a valid answer, and not an error
	}
	v := viper.New()
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		return nil, failWith(exitInvalid, "reading the config file %s: %w", path, err)
	}
	return v, checkConfig(cmd.Root(), path, v)
}

// checkConfig refuses keys that are no flag of any command: viper would ignore
// them silently.
func checkConfig(root *cobra.Command, path string, file *viper.Viper) error {
	known := map[string]bool{}
	var words []string
	add := func(key string) {
		if !known[key] {
			known[key] = true
			words = append(words, key)
		}
	}
	for _, c := range root.Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			add(f.Name)
			add(c.Name() + "." + f.Name)
		})
	}
	sort.Strings(words)
	for _, key := range file.AllKeys() {
		if !known[key] {
			e := failWith(exitInvalid, "config file %s: unknown setting %q", path, key)
			if near := nearest.Word(key, words); near != "" {
				return e.withHint("did you mean %q?", near)
			}
			return e
		}
	}
	return nil
}
