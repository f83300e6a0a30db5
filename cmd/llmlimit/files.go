package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/llmlimit/llmlimit/pkg/report"
)

// readFile reads a file that the user named; what says which one it is.
func readFile(what, path string) ([]byte, error) {
	data, err := os.ReadFile(path) //nolint:gosec // reading what the user names is the purpose
	if err != nil {
		return nil, failWith(exitInvalid, "reading %s: %w", what, err)
	}
	return data, nil
}

// openFile opens a file that the user named, for reading, unpacked if its name ends
// in .zst.
func openFile(what, path string) (io.ReadCloser, error) {
	file, err := report.Open(path)
	if err != nil {
		return nil, failWith(exitInvalid, "reading %s: %w", what, err)
	}
	return file, nil
}

// replaceFile writes a file and renames it into place, so that whoever waits for it
// never reads half of it.
func replaceFile(path string, write func(*os.File) error) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".llmlimit-*")
	if err != nil {
		return err
	}
	// Others may read it, as any file that a program writes.
	err = errors.Join(write(temp), temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // what matters is told already
	}
	return err
}
