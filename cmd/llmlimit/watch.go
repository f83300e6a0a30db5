package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// watchEvery is how often files are looked at. Polling works on every file system,
// also on those that containers mount.
const watchEvery = 300 * time.Millisecond

// stamp tells two versions of a file apart. A file that is not there, because it is
// just being replaced, has the empty stamp.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}

// onChange calls changed when the file is another than the one with the stamp last,
// and on each signal, until ctx ends. The stamp is from before the file was read, so
// that no change is missed.
func onChange(ctx context.Context, path, last string, hup <-chan os.Signal, changed func()) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			last = stamp(path)
			changed()
		case <-tick.C:
			if now := stamp(path); now != "" && now != last {
				last = now
				changed()
			}
		}
	}
}

// watch runs suites, and those again that change, until ctx ends. A suite changes
// with every file that it reads: what it includes, its policy, its bodies.
func (a *app) watch(ctx context.Context, args []string, f runFlags, changed map[string]string) error {
	isFile := func(arg string) bool { _, ok := builtIn(arg); return !ok }
	if !slices.ContainsFunc(args, isFile) {
		return failWith(exitUsage, "--watch needs files: the built-in suites do not change")
	}
	seen, trouble := map[string]*watched{}, ""
	for {
		files, err := suites(args)
		switch due := dueIn(files, seen); {
		case err != nil && err.Error() != trouble: // a file that is gone is told once
			trouble = err.Error()
			a.tell(err)
		case len(due) > 0:
			trouble = ""
			a.tell(a.runSuites(ctx, due, f, changed))
			if ctx.Err() == nil {
				fmt.Fprintf(a.stderr, "watching %d suites and what they read; Ctrl-C ends\n", len(files))
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(watchEvery):
		}
	}
}

// watched is a suite as it was when it ran. It is safe for concurrent use.
type watched struct {
	mu     sync.Mutex
	stamps map[string]string // of each file that it read, from before it was read
}

// dueIn returns the suites that never ran or have changed since, and makes them note
// what they read.
func dueIn(files []scenarios.Source, seen map[string]*watched) []scenarios.Source {
	var due []scenarios.Source
	for _, file := range files {
		if w := seen[file.Name]; w != nil && !w.changed() {
			continue
		}
		w := &watched{stamps: map[string]string{file.Name: stamp(file.Name)}}
		seen[file.Name] = w
		file.ReadFile = w.noting(file.Name, file.ReadFile)
		due = append(due, file)
	}
	return due
}

func (w *watched) noting(suite string, read func(string) ([]byte, error)) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		path := name
		if !filepath.IsAbs(name) {
			path = filepath.Join(filepath.Dir(suite), name)
		}
		w.mu.Lock()
		w.stamps[path] = stamp(path)
		w.mu.Unlock()
		return read(name)
	}
}

func (w *watched) changed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path, at := range w.stamps {
		if now := stamp(path); now != "" && now != at {
			return true
		}
	}
	return false
}
