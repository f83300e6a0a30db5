package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// The elements and attributes are those that Jenkins' JUnit plugin, GitLab and the
// reporters of test results read, which go beyond the schema of Ant: `file` and
// `properties` of a case, as pytest and others write them.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		File       string          `xml:"file,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name       string          `xml:"name,attr"`
		Class      string          `xml:"classname,attr"`
		File       string          `xml:"file,attr"`
		Line       int             `xml:"line,attr"`
		Time       string          `xml:"time,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Failure    *junitText      `xml:"failure,omitempty"`
		Error      *junitText      `xml:"error,omitempty"`
		Skipped    *junitText      `xml:"skipped,omitempty"`
		Out        string          `xml:"system-out,omitempty"`
	}
	junitText struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes one test case per check and invariant. A failure is the target's, an
// error is ours; a warning is a pass that says so.
func JUnit(w io.Writer, run *scenarios.RunResult) error {
	root := junitSuites{Name: "llmlimit", Time: seconds(run.Elapsed.Seconds())}
	for i := range run.Suites {
		s := junitOf(run, &run.Suites[i])
		root.Tests += s.Tests
		root.Failures += s.Failures
		root.Errors += s.Errors
		root.Suites = append(root.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(root); err != nil {
		return fmt.Errorf("writing JUnit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitOf(run *scenarios.RunResult, s *scenarios.SuiteResult) junitSuite {
	out := junitSuite{
		Name: s.Name, File: s.File, Timestamp: run.Started.UTC().Format("2006-01-02T15:04:05"),
		Properties: []junitProperty{{"seed", fmt.Sprint(run.Seed)}, {"digest", s.Digest}, {"target", run.Environment.Target}},
	}
	total := 0.0
	for _, sc := range s.Scenarios {
		total += sc.Real.Seconds()
		for i, l := range scenarioLeaves(s, sc) {
			c := junitCase{Name: l.name, Class: s.Name + "." + sc.ID, File: sc.File, Line: l.line, Time: "0.000"}
			for _, f := range facts(sc) {
				c.Properties = append(c.Properties, junitProperty{f.name, plain(f.value)})
			}
			if i == 0 { // the time is the scenario's; its checks take none of their own
				c.Time = seconds(sc.Real.Seconds())
			}
			out.count(&c, l)
			out.Cases = append(out.Cases, c)
		}
	}
	out.Time = seconds(total)
	return out
}

func (s *junitSuite) count(c *junitCase, l leaf) {
	s.Tests++
	// GitLab shows the text alone, Jenkins the message above it.
	text := &junitText{Message: plain(l.message), Text: plain(l.message + "\n" + l.detail)}
	switch l.outcome {
	case scenarios.Fail:
		s.Failures++
		c.Failure = text
	case scenarios.Error:
		s.Errors++
		c.Error = text
	case scenarios.Skip:
		s.Skipped++
		c.Skipped = text
	case scenarios.Pass:
		if l.warning {
			c.Out = "warning: " + text.Text
		}
	}
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

// plain drops what XML 1.0 cannot hold.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, text)
}
