// Package report shows the result of a run to whoever needs it: a person, a CI
// system, a spreadsheet.
//
// There is one model, [scenarios.Run], which is run.json, and many views. A view is
// one file with one function and one row in [Kinds]; it reads the model and nothing
// else, so that a report can be made again from a run.json of last year. No view
// decides anything: outcomes were decided by the runner and the judge.
package report

import (
	"fmt"
	"io"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// Kind is one form of report.
type Kind struct {
	Name string // as in --report NAME=PATH
	Doc  string // one line
	// Write renders the run. It neither closes w nor keeps it.
	Write func(w io.Writer, run *scenarios.Run) error
}

// Kinds are all forms, in the order in which help lists them.
var Kinds = []Kind{
	{"json", "the model that every other form renders from", JSON},
	{"junit", "one test case per check and invariant, for CI systems", JUnit},
	{"tap", "TAP 14 with YAML diagnostics", TAP},
	{"github", "annotations on the lines of the suite, for GitHub workflows", GitHub},
}

// Find returns the kind with that name.
func Find(name string) (Kind, error) {
	for _, k := range Kinds {
		if k.Name == name {
			return k, nil
		}
	}
	return Kind{}, fmt.Errorf("unknown kind of report %q, expected one of %s", name, Names())
}

// Names lists the names of all kinds, for messages.
func Names() string {
	names := ""
	for i, k := range Kinds {
		if i > 0 {
			names += ", "
		}
		names += k.Name
	}
	return names
}
