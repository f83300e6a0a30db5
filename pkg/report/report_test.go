package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

var update = flag.Bool("update", false, "write golden files and the schema")

// small is testdata/run.json: something of everything.
func small(tb testing.TB) *scenarios.RunResult {
	tb.Helper()
	file, err := os.Open("testdata/run.json")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	run, err := Read(file)
	if err != nil {
		tb.Fatal(err)
	}
	return run
}

func render(tb testing.TB, write func(io.Writer, *scenarios.RunResult) error, run *scenarios.RunResult) string {
	tb.Helper()
	var b bytes.Buffer
	if err := write(&b, run); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// golden compares with a file; -update writes it. Look at what changes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test ./pkg/report -update writes it.\n%s", path, firstDifference(got, string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "found    " + g[i] + "\nexpected " + w[i]
		}
	}
	return "one is longer than the other"
}

func TestGolden(t *testing.T) {
	run := small(t)
	for _, tc := range []struct {
		file  string
		write func(io.Writer, *scenarios.RunResult) error
	}{
		{"golden.json", JSON},
		{"golden.junit.xml", JUnit},
		{"golden.tap", TAP},
		{"golden.ctrf.json", CTRF},
		{"golden.md", Markdown},
		{"golden.github", GitHub},
		{"golden.compliance.yaml", WriteCompliance},
		{"golden.txt", func(w io.Writer, run *scenarios.RunResult) error { return Pretty(w, run, Style{Width: 100}) }},
		{"golden.narrow.txt", func(w io.Writer, run *scenarios.RunResult) error {
			return Pretty(w, run, Style{Width: 60, Wrap: true, ASCII: true})
		}},
		{"golden.40.txt", func(w io.Writer, run *scenarios.RunResult) error { return Pretty(w, run, Style{Width: 40, Wrap: true}) }},
		{"golden.color.txt", func(w io.Writer, run *scenarios.RunResult) error {
			return Pretty(w, run, Style{Width: 100, Color: true})
		}},
		{"golden.html", htmlWithoutAssets},
	} {
		t.Run(tc.file, func(t *testing.T) { golden(t, tc.file, render(t, tc.write, run)) })
	}
}

var (
	nonces  = regexp.MustCompile(`nonce(-|=")[A-Z2-7]{26}`)
	scripts = regexp.MustCompile(`(?s)(<script nonce[^>]*>).*?(</script>)`)
	styles  = regexp.MustCompile(`(?s)(<style>).*?(</style>)`)
)

// htmlWithoutAssets leaves out what is random and what has files of its own.
func htmlWithoutAssets(w io.Writer, run *scenarios.RunResult) error {
	var b bytes.Buffer
	if err := HTML(&b, run); err != nil {
		return err
	}
	text := nonces.ReplaceAllString(b.String(), "nonce${1}NONCE")
	text = scripts.ReplaceAllString(text, "$1…$2")
	_, err := io.WriteString(w, styles.ReplaceAllString(text, "$1…$2"))
	return err
}

// An old console gets nothing that it cannot show.
func TestPrettyASCII(t *testing.T) {
	run := small(t)
	run.Suites[0].Scenarios[1].Reason = "über 5µs"
	run.Suites[0].Scenarios[1].Requirement = "naïve"
	text := render(t, func(w io.Writer, run *scenarios.RunResult) error { return Pretty(w, run, Style{ASCII: true}) }, run)
	if at := strings.IndexFunc(text, func(r rune) bool { return r > 127 }); at >= 0 {
		t.Errorf("found %q", text[at:min(len(text), at+20)])
	}
	if !strings.Contains(text, "na?ve") {
		t.Error("what cannot be shown is gone")
	}
}

// Everything that is rendered is rendered from what run.json holds.
func TestEveryKindReadsTheModelAlone(t *testing.T) {
	run := small(t)
	var text bytes.Buffer
	if err := JSON(&text, run); err != nil {
		t.Fatal(err)
	}
	again, err := Read(&text)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Kinds {
		if k.Name == "events" || k.Name == "html" {
			continue // the one needs histories, the other has a nonce
		}
		if render(t, k.Write, run) != render(t, k.Write, again) {
			t.Errorf("%s differs after a way through run.json", k.Name)
		}
	}
	if render(t, htmlWithoutAssets, run) != render(t, htmlWithoutAssets, again) {
		t.Error("html differs after a way through run.json")
	}
}

// Written in parts, run.json is byte for byte what the encoder makes of the whole.
func TestJSONIsTheWholeInParts(t *testing.T) {
	strange := small(t)
	strange.Suites[0].Name = "\n      \"scenarios\": null <&>"
	strange.Suites = append(strange.Suites, scenarios.SuiteResult{Name: "none"}, scenarios.SuiteResult{Name: "empty", Scenarios: []*scenarios.ScenarioResult{}})
	for name, run := range map[string]*scenarios.RunResult{"small": small(t), "everything": everything(t), "strange": strange, "nothing": {}} {
		var whole bytes.Buffer
		enc := json.NewEncoder(&whole)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(run); err != nil {
			t.Fatal(err)
		}
		if got := render(t, JSON, run); got != whole.String() {
			t.Errorf("%s: it differs:\n%s", name, got)
		}
	}
	full := errors.New("no space left")
	if err := JSON(failingWriter{full}, strange); !errors.Is(err, full) {
		t.Errorf("found %v, expected %v", err, full)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"schemaVersion": 99}`: "schemaVersion is 99, this program reads 1 to 1",
		`{}`:                    "schemaVersion is 0",
		``:                      "it is empty",
		`nonsense`:              "expected what --report json=PATH writes: invalid character",
		`{"schemaVersion": 1, "suites": [{"suite": "a", "scenarios": [null]}]}`:                                                        `suite "a" has a null`,
		`{"schemaVersion": 1, "suites": [{"suite": "a", "scenarios": [{"requests": [null]}]}]}`:                                        `suite "a" has a null`,
		`{"schemaVersion": 1, "suites": [{"suite": "a", "scenarios": [{"steps": [null]}]}]}`:                                           `suite "a" has a null`,
		`{"schemaVersion": 1, "suites": [{"suite": "a", "scenarios": [{"steps": [{"parallel": [[null]]}]}]}]}`:                         `suite "a" has a null`,
		`{"schemaVersion": 1, "suites": [{"suite": "a", "scenarios": [{"steps": [{"measured": {"outcomes": {"admitted": null}}}]}]}]}`: `suite "a" has a null`,
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%s): found %v, expected %q", text, err, want)
		}
	}
}

func TestFind(t *testing.T) {
	for _, k := range Kinds {
		if found, err := Find(k.Name); err != nil || found.Doc != k.Doc {
			t.Errorf("Find(%q) = %v, %v", k.Name, found, err)
		}
	}
	if _, err := Find("pdf"); err == nil || !strings.Contains(err.Error(), "json, html, junit") {
		t.Errorf("Find(pdf): found %v, expected the list of kinds", err)
	}
}

// junitRead is a JUnit file as its readers take it apart: GitLab looks up a case by
// class and name, links its file and shows the text of its outcome; Jenkins' JUnit
// plugin shows the message and, if it keeps them, the properties.
type junitRead struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Suites   []struct {
		Properties []junitReadProperty `xml:"properties>property"`
		Cases      []junitReadCase     `xml:"testcase"`
	} `xml:"testsuite"`
}

type junitReadProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitReadCase struct {
	Name       string              `xml:"name,attr"`
	Class      string              `xml:"classname,attr"`
	File       string              `xml:"file,attr"`
	Line       int                 `xml:"line,attr"`
	Properties []junitReadProperty `xml:"properties>property"`
	Outcomes   []struct {
		XMLName xml.Name
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	} `xml:",any"` // those of its elements that have no field here
	Out string `xml:"system-out"`
}

func (c junitReadCase) property(name string) string { return junitValue(c.Properties, name) }

func junitValue(all []junitReadProperty, name string) string {
	for _, p := range all {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

func readJUnit(t *testing.T, run *scenarios.RunResult) junitRead {
	t.Helper()
	var doc junitRead
	if err := xml.Unmarshal([]byte(render(t, JUnit, run)), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// What Jenkins and GitLab count is one case per check, each with one outcome in an
// element of its own, which says in its text what its message says.
func TestJUnitOutcomes(t *testing.T) {
	run := small(t)
	doc := readJUnit(t, run)
	found := map[string]int{}
	seen := map[string]bool{}
	for _, s := range doc.Suites {
		for _, c := range s.Cases {
			name := c.Class + " " + c.Name
			if seen[name] {
				t.Errorf("two cases are called %s; GitLab keeps one of them", name)
			}
			seen[name] = true
			switch len(c.Outcomes) {
			case 0:
				found["pass"]++
			case 1:
				o := c.Outcomes[0]
				found[o.XMLName.Local]++
				if o.Message == "" || !strings.HasPrefix(o.Text, o.Message) {
					t.Errorf("%s: the message %q is not in the text %q, which is all that GitLab shows", name, o.Message, o.Text)
				}
			default:
				t.Errorf("%s has %d outcomes", name, len(c.Outcomes))
			}
		}
	}
	if want := map[string]int{"pass": 5, "failure": 5, "error": 1, "skipped": 1}; !maps.Equal(found, want) {
		t.Errorf("found %v, expected %v", found, want)
	}
	if want := len(leaves(run)); doc.Tests != want || len(seen) != want || doc.Failures != 5 || doc.Errors != 1 {
		t.Errorf("the head says %d cases, %d failures, %d errors; found %d cases, expected %d, 5, 1", doc.Tests, doc.Failures, doc.Errors, len(seen), want)
	}
	if strings.Contains(render(t, JUnit, run), "\x1b") {
		t.Error("a control character, which XML cannot hold")
	}
}

// What a case is for and where it stands are with the case, as other tools write it.
func TestJUnitSaysWhereAndWhatFor(t *testing.T) {
	doc := readJUnit(t, small(t))
	levels := map[string]bool{}
	for _, s := range doc.Suites {
		if junitValue(s.Properties, "seed") != "42" {
			t.Errorf("the seed of a suite is %q, expected 42", junitValue(s.Properties, "seed"))
		}
		for _, c := range s.Cases {
			if !strings.HasPrefix(c.File, "scenarios/") || c.Line == 0 {
				t.Errorf("%s %s stands at %s:%d", c.Class, c.Name, c.File, c.Line)
			}
			if c.property("requirement") == "" || !strings.HasPrefix(c.property("rerun"), "llmlimit run ") {
				t.Errorf("%s %s has the properties %v", c.Class, c.Name, c.Properties)
			}
			levels[c.property("level")+" "+c.property("strength")+" "+c.property("feature")] = true
			if warned := strings.HasPrefix(c.Out, "warning: "); warned != (c.property("strength") == "SHOULD") {
				t.Errorf("%s %s: its output is %q; a SHOULD that does not hold warns, and nothing else", c.Class, c.Name, c.Out)
			}
		}
	}
	for _, want := range []string{"L3 MUST refund", "L0 SHOULD retry-after", "L2 MUST reserve", "L0 MUST "} {
		if !levels[want] {
			t.Errorf("no case has level, strength and feature %q: %v", want, levels)
		}
	}
}

// A failed SHOULD is a pass with a warning, in every form that counts.
func TestWarningIsNoFailure(t *testing.T) {
	for _, l := range leaves(small(t)) {
		if l.scenario.ID == "core/retry-after" && (l.outcome != scenarios.Pass || !l.warning) {
			t.Errorf("%s: found %s, expected a pass with a warning", l.name, l.outcome)
		}
	}
}

func TestMarkdownStaysSmall(t *testing.T) {
	run := small(t)
	s := &run.Suites[0]
	failed := *s.Scenarios[1]
	check := &failed.Steps[0].Checks[0]
	check.Message = strings.Repeat("x", 2000) + "``` |"
	for range 2000 {
		one := failed
		one.Scenario += "x"
		one.ID = one.Scenario
		s.Scenarios = append(s.Scenarios, &one)
		failed = one
		failed.Scenario = strings.Repeat("s", len(s.Scenarios)%50) + "refund"
	}
	text := render(t, Markdown, run)
	if len(text) >= 1<<20 {
		t.Errorf("found %d bytes, GitHub takes less than %d", len(text), 1<<20)
	}
	if !strings.Contains(text, "more scenarios did not pass") {
		t.Error("what was left out is not told")
	}
	if strings.Count(text, "<details>") != strings.Count(text, "</details>") {
		t.Error("cut in the middle of an element")
	}
}

func TestEvents(t *testing.T) {
	run := small(t)
	if err := Events(io.Discard, run); err == nil {
		t.Error("a run without histories has no events, and said nothing")
	}
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			sc.History = &judge.History{Header: judge.Header{Cell: sc.ID, Start: 1}}
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"events.jsonl", "events.jsonl.zst"} {
		path := filepath.Join(dir, name)
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		kind, _ := Find("events")
		if err := kind.WriteAs(path, file, run); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		raw, _ := os.ReadFile(path)
		if packed := bytes.HasPrefix(raw, []byte("\x28\xb5\x2f\xfd")); packed != strings.HasSuffix(name, ".zst") {
			t.Errorf("%s: packed is %v", name, packed)
		}
		back, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		histories, err := judge.ReadHistories(back)
		if err != nil || len(histories) != 10 {
			t.Errorf("%s: found %d histories, %v; expected 10", name, len(histories), err)
		}
		if err := back.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What a target sends can hold anything; no form may be broken by it, and no page
// may run it.
func TestHostileText(t *testing.T) {
	run := small(t)
	const evil = "</script><script>hacked=1</script><img src=x onerror=hacked=1>\"'&]]>\x00\x1b[31m\n::error::%0A| `\u2028"
	poison(run, evil)
	page := render(t, HTML, run)
	if strings.Contains(page, "<script>hacked") || strings.Contains(page, "<img src=x") {
		t.Error("the page holds markup of the target")
	}
	if n := strings.Count(page, "</script>"); n != 2 {
		t.Errorf("found %d ends of scripts, expected 2", n)
	}
	if err := xml.Unmarshal([]byte(render(t, JUnit, run)), new(junitSuites)); err != nil {
		t.Errorf("JUnit: %v", err)
	}
	if !json.Valid([]byte(render(t, CTRF, run))) {
		t.Error("CTRF is no JSON")
	}
	for line := range strings.Lines(render(t, GitHub, run)) {
		if !strings.HasPrefix(line, "::error file=") && !strings.HasPrefix(line, "::warning file=") && !strings.HasPrefix(line, "::notice file=") {
			t.Errorf("a command of the target's: %q", line)
		}
	}
	for line := range strings.Lines(render(t, TAP, run)) {
		if strings.HasPrefix(line, "::") {
			t.Errorf("a line of the target's: %q", line)
		}
	}
	if text := render(t, func(w io.Writer, run *scenarios.RunResult) error { return Pretty(w, run, Style{}) }, run); strings.ContainsAny(text, "\x00\x1b") {
		t.Error("pretty output passes control characters on to the terminal")
	}
}

// poison puts a text wherever a target or a suite can put one.
func poison(run *scenarios.RunResult, evil string) {
	for i := range run.Suites {
		for _, sc := range run.Suites[i].Scenarios {
			sc.Requirement += evil
			sc.Stderr += evil
			if sc.Reason != "" {
				sc.Reason += evil
			}
			for _, x := range sc.Requests {
				x.ID, x.Curl, x.Key = x.ID+evil, x.Curl+evil, x.Key+evil
				if x.Wire != nil {
					x.Wire.Response += evil
				}
			}
			if sc.Judged != nil {
				for j := range sc.Judged.Accounts {
					sc.Judged.Accounts[j].Key += evil
				}
			}
			sc.EachStep(func(st *scenarios.StepResult) {
				for j := range st.Checks {
					c := &st.Checks[j]
					c.Text, c.Message, c.Found = c.Text+evil, c.Message+evil, c.Found+evil
				}
			})
		}
	}
}
