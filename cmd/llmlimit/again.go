package main

import (
	"net/url"
	"strings"

	"github.com/spf13/pflag"
)

// again are the flags that a scenario needs to run as it did, without what may be
// secret.
func (f *runFlags) again() []string {
	args := flagValues(nil, "profile", f.profile)
	args = append(flagValues(args, "tags", f.tags), f.reaching()...)
	args = flagValues(args, "var-file", f.varFile)
	for _, v := range f.vars {
		name, _, _ := strings.Cut(v, "=")
		args = flagValues(args, "var", name+"=…")
	}
	return args
}

// reaching are the flags that say how target and mock are reached, likewise.
func (f *runFlags) reaching() []string {
	args := flagValues(nil, "target", redacted(f.targetURL))
	args = flagValues(args, "target-file", f.targetFile)
	args = flagValues(args, "mock", redacted(f.mockURL))
	args = flagValues(args, "mock-listen", f.mockListen)
	args = flagValues(args, "mock-advertise", redacted(f.mockAdvertise))
	for _, h := range f.headers {
		name, _, _ := strings.Cut(h, ":")
		args = flagValues(args, "header", name+": …")
	}
	args = flagValues(args, "ca", f.ca)
	args = flagValues(args, "cert", f.cert)
	args = flagValues(args, "key", f.key)
	if f.insecure {
		args = append(args, "--insecure")
	}
	if f.remote {
		args = append(args, "--allow-remote")
	}
	return args
}

// flagValues appends a flag for each value that is not empty.
func flagValues(args []string, flag string, values ...string) []string {
	for _, value := range values {
		if value != "" {
			args = append(args, "--"+flag, value)
		}
	}
	return args
}

// changedFlags are the settings that are not defaults, for the report, each with where
// it comes from.
func (a *app) changedFlags(fl *pflag.FlagSet) map[string]string {
	changed := map[string]string{}
	fl.Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			value = strings.Join(list.GetSlice(), " ")
		}
		switch f.Name {
		case "header", "var": // may hold secrets
			value = "…"
		case "target", "mock", "mock-advertise": // may hold a password
			value = redacted(value)
		}
		origin := a.origins[f.Name]
		if origin == "" {
			origin = "the command line"
		}
		changed[f.Name] = value + ", from " + origin
	})
	return changed
}

// credentials are the values of headers that nobody else may see.
func credentials(lines []string) []string {
	var all []string
	for name, value := range headerMap(lines) {
		switch name = strings.ToLower(name); {
		case name == "authorization", name == "proxy-authorization":
			_, credential, ok := strings.Cut(value, " ") // the scheme is no secret
			if !ok {
				credential = value
			}
			all = append(all, credential)
		case isSecret(name):
			all = append(all, value)
		}
	}
	return all
}

// redacted is a URL without its password.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "…"
	}
	return u.Redacted()
}
