package main

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	embedded "github.com/llmlimit/llmlimit/scenarios"
)

// suites reads the suites that the arguments name. Policies that lie beside them in a
// folder are left out.
func suites(args []string) ([]scenarios.Source, error) {
	files, err := sources(args)
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(slices.Clone(files), func(s scenarios.Source) bool { return isPolicy(s.Data) })
	for _, f := range files {
		if isPolicy(f.Data) && (slices.Contains(args, f.Name) || len(found) == 0) {
			return nil, failWith(exitUsage, "%s is a policy, not a suite", f.Name).
				withHint("`llmlimit validate` reads policies, `llmlimit serve --policy` enforces them")
		}
	}
	return found, nil
}

// sources reads the files that the arguments name, also by folder or glob. No argument
// means the suites in the binary; one of those can be named where there is no such file.
func sources(args []string) ([]scenarios.Source, error) {
	if len(args) == 0 {
		return embeddedSources()
	}
	var all []scenarios.Source
	seen := map[string]bool{}
	for _, arg := range args {
		if s, ok := builtIn(arg); ok {
			all = append(all, s)
			continue
		}
		files, err := suiteFiles(arg)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if path, err := filepath.Abs(file); err == nil {
				if seen[path] { // given twice, perhaps by a folder and by name
					continue
				}
				seen[path] = true
			}
			data, err := readFile("the suite", file)
			if err != nil {
				return nil, err
			}
			all = append(all, scenarios.Source{Name: file, Data: data, ReadFile: beside(os.ReadFile, filepath.Dir(file), filepath.Join)})
		}
	}
	return all, nil
}

// builtIn is the suite in the binary that an argument means: refunds, or its path in a
// clone, where no file has that name.
func builtIn(arg string) (scenarios.Source, bool) {
	if _, err := os.Stat(arg); !errors.Is(err, fs.ErrNotExist) {
		return scenarios.Source{}, false
	}
	name := func(file string) string {
		return strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(file), "scenarios/"), ".yaml")
	}
	all, err := embeddedSources()
	if err != nil {
		return scenarios.Source{}, false // who asks for all of them is told
	}
	i := slices.IndexFunc(all, func(s scenarios.Source) bool { return name(s.Name) == name(arg) })
	if i < 0 {
		return scenarios.Source{}, false
	}
	return all[i], true
}

// suiteFiles expands one argument.
func suiteFiles(arg string) ([]string, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && !info.IsDir():
		return []string{arg}, nil
	case err == nil:
		return suitesIn(arg)
	case strings.ContainsAny(arg, "*?["):
		files, err := filepath.Glob(arg)
		if err != nil {
			return nil, failWith(exitUsage, "%s: %w", arg, err)
		}
		if len(files) == 0 {
			return nil, failWith(exitUsage, "no file matches %s", arg)
		}
		return files, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, noSuchSuite(arg)
	}
	return nil, failWith(exitInvalid, "reading the suite: %w", err)
}

func suitesIn(folder string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(folder, func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && isSuite(file) && d.Name() != configFile {
			files = append(files, file)
		}
		return err
	})
	if err != nil {
		return nil, failWith(exitInvalid, "reading %s: %w", folder, err)
	}
	if len(files) == 0 {
		return nil, failWith(exitUsage, "no suite in the folder %s: a suite is a file that ends in .yaml or .yml", folder)
	}
	return files, nil
}

func isSuite(file string) bool {
	return strings.HasSuffix(file, ".yaml") || strings.HasSuffix(file, ".yml")
}

// noSuchSuite helps with a slip of the keyboard and with the names of the built-in
// suites.
func noSuchSuite(arg string) error {
	e := failWith(exitInvalid, "there is no suite file %s", arg)
	builtIn, _ := embeddedSources()
	var names []string
	for _, s := range builtIn {
		names = append(names, stem(s.Name))
	}
	asked := stem(filepath.ToSlash(arg))
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(arg), "*.y*ml"))
	if near := nearest.Word(arg, files); near != "" && !slices.Contains(names, asked) {
		return e.withHint("did you mean %s?", near)
	}
	if near := nearest.Word(asked, names); near != "" {
		return e.withHint("%s is a built-in suite", near)
	}
	return e.withHint("`llmlimit init` writes one to start from")
}

// stem is a file's name without folder and ending, which would make all suites look
// alike.
func stem(file string) string { return strings.TrimSuffix(path.Base(file), path.Ext(file)) }

// embeddedSources are the suites in the binary, named as in the repository.
func embeddedSources() ([]scenarios.Source, error) {
	var all []scenarios.Source
	err := fs.WalkDir(embedded.Suites, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isSuite(file) {
			return err
		}
		data, err := embedded.Suites.ReadFile(file)
		all = append(all, scenarios.Source{Name: "scenarios/" + file, Data: data, Builtin: true, ReadFile: beside(embedded.Suites.ReadFile, path.Dir(file), path.Join)})
		return err
	})
	if err != nil {
		return nil, failWith(exitInternal, "reading the built-in suites: %w", err)
	}
	sort.Slice(all, func(i, j int) bool { return suiteOrder(all[i].Name) < suiteOrder(all[j].Name) })
	return all, nil
}

// suiteOrder tells the story in the order in which it is best understood: what
// llmlimit began with comes first.
func suiteOrder(name string) string {
	first := []string{"scenarios/refunds.yaml", "scenarios/non-streaming.yaml"}
	if i := slices.Index(first, name); i >= 0 {
		return string(rune('0' + i))
	}
	return name
}

// beside reads files relative to a folder.
func beside(read func(string) ([]byte, error), folder string, join func(...string) string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if filepath.IsAbs(name) {
			return read(name)
		}
		return read(join(folder, name))
	}
}
