// Package report renders the result of a run to whoever needs it: a person, a CI
// system, a spreadsheet.
//
// There is one model, [scenarios.RunResult], which is run.json, and many views. A view is
// one file with one function and one row in [Kinds]; it reads the model and nothing
// else, so that a report can be made again from a run.json of last year. No view
// decides anything: outcomes were decided by the runner and the judge.
package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// Kind is one form of report.
type Kind struct {
	Name string // as in --report NAME=PATH
	Doc  string // one line
	// Write renders the run. It neither closes w nor keeps it.
	Write func(w io.Writer, run *scenarios.RunResult) error
}

// Kinds are all forms, in the order in which help lists them.
var Kinds = []Kind{
	{"json", "the model that every other form renders from", JSON},
	{"html", "one page with the budget drawn, for a browser", HTML},
	{"junit", "one test case per check and invariant, for CI systems", JUnit},
	{"tap", "TAP 14 with YAML diagnostics", TAP},
	{"ctrf", "the Common Test Report Format", CTRF},
	{"md", "Markdown for a GitHub step summary", Markdown},
	{"github", "annotations on the lines of the suite, for GitHub workflows", GitHub},
	{"events", "the histories that llmlimit judge judges again", Events},
	{"compliance", "the claim of one implementation, to be published", WriteCompliance},
}

// Find returns the kind with that name.
func Find(name string) (Kind, error) {
	for _, k := range Kinds {
		if k.Name == name {
			return k, nil
		}
	}
	var names []string
	for _, k := range Kinds {
		names = append(names, k.Name)
	}
	if near := nearest.Word(name, names); near != "" {
		return Kind{}, fmt.Errorf("unknown kind of report %q, did you mean %s? The kinds are %s", name, near, Names())
	}
	return Kind{}, fmt.Errorf("unknown kind of report %q, expected one of %s", name, Names())
}

// Names lists the names of all kinds, for messages.
func Names() string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = k.Name
	}
	return strings.Join(names, ", ")
}

// packedSuffix ends the names of files that are compressed with zstd.
const packedSuffix = ".zst"

// WriteAs renders the run as it belongs into a file of that name: compressed, where
// the name ends in .zst. It neither closes w nor keeps it.
func (k Kind) WriteAs(name string, w io.Writer, run *scenarios.RunResult) error {
	if !strings.HasSuffix(name, packedSuffix) {
		return k.Write(w, run)
	}
	packed, err := zstd.NewWriter(w)
	if err != nil {
		return fmt.Errorf("compressing: %w", err)
	}
	return errors.Join(k.Write(packed, run), packed.Close())
}

// Open opens a file that [Kind.WriteAs] wrote, unpacked.
func Open(name string) (io.ReadCloser, error) {
	file, err := os.Open(name) //nolint:gosec // the file that the user named
	if err != nil || !strings.HasSuffix(name, packedSuffix) {
		return file, err
	}
	unpacked, err := zstd.NewReader(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("decompressing %s: %w", name, err), file.Close())
	}
	return unpackedFile{Decoder: unpacked, file: file}, nil
}

type unpackedFile struct {
	*zstd.Decoder
	file *os.File
}

// Close closes both.
func (u unpackedFile) Close() error {
	u.Decoder.Close()
	return u.file.Close()
}
