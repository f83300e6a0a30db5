package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/internal/freeport"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
)

// TestDocs runs what the documentation tells people to type, and reads what it tells
// them to write.
//
// A page is one story, told in a folder of its own, in which the suites of the
// repository lie under scenarios/. A ```yaml block that begins with a comment
// `# name.yaml` becomes that file; each is read as what it is. In a ```sh block each
// line runs, as does what stands behind "$ " in a block without a language; servers
// run beside what follows, and ports are replaced by free ones. In the source, an HTML comment right above a block may say:
//
//	<!-- exits 1 -->         the commands of llmlimit end with this code
//	<!-- part of FILE -->    the block stands in that file, which another test runs
//	<!-- not run: reason --> the block is for reading
//
// A block that is none of these is a failure. The pages in docs/results tell what was
// seen of gateways that are not ours.
func TestDocs(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			newStory(t, root, string(text)).tell()
		})
	}
}

// block is one fenced block of a page.
type block struct {
	line     int
	language string
	note     string // the HTML comment right above
	text     string
}

func blocks(text string) []block {
	var all []block
	var open *block
	note := ""
	for i, line := range strings.Split(text, "\n") {
		switch {
		case open == nil && strings.HasPrefix(line, "```"):
			open = &block{line: i + 1, language: strings.TrimPrefix(line, "```"), note: note}
		case strings.HasPrefix(line, "```"):
			all = append(all, *open)
			open, note = nil, ""
		case open != nil:
			open.text += line + "\n"
		default:
			note = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(line, "<!--"), "-->"))
			if !strings.HasPrefix(line, "<!--") {
				note = ""
			}
		}
	}
	return all
}

// story is a page while it is told.
type story struct {
	t      *testing.T
	root   string // of the repository
	blocks []block
	dir    string
	ports  *strings.Replacer
	serve  string // where `serve` and `mock-backend` listen if the page does not say
	mock   string
	set    string // assignments so far
}

var (
	address   = regexp.MustCompile(`127\.0\.0\.1:(\d+)`)
	announced = regexp.MustCompile(`listening on http://(127\.0\.0\.1:\d+)`)
	// everything is a run of the built-in suites, whole.
	everything = regexp.MustCompile(`^llmlimit run( -[^ ]+ [^ ]+)*$`)
	fileName   = regexp.MustCompile(`^# ([a-z-]+\.ya?ml)\b`)
)

// serveDefault is where `serve` listens unless told otherwise.
const serveDefault = "127.0.0.1:8080"

func newStory(t *testing.T, root, text string) *story {
	t.Helper()
	s := &story{t: t, root: root, dir: t.TempDir(), mock: "127.0.0.1:0"}
	if err := os.Symlink(filepath.Join(root, "scenarios"), filepath.Join(s.dir, "scenarios")); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "llmlimit")); err != nil {
		t.Fatal(err)
	}
	free := map[string]string{serveDefault: freeport.Addr(t)}
	for _, m := range address.FindAllString(text, -1) {
		if free[m] == "" && !strings.HasSuffix(m, ":0") {
			free[m] = freeport.Addr(t)
		}
	}
	var pairs []string
	for from, to := range free {
		pairs = append(pairs, from, to)
	}
	s.ports = strings.NewReplacer(pairs...)
	s.serve = free[serveDefault]
	if m := announced.FindStringSubmatch(text); m != nil {
		s.mock = free[m[1]]
	}
	s.blocks = blocks(text)
	return s
}

func (s *story) tell() {
	for _, b := range s.blocks {
		if strings.HasPrefix(b.note, "not run: ") {
			continue
		}
		if file, ok := strings.CutPrefix(b.note, "part of "); ok {
			s.compare(b, file)
			continue
		}
		switch b.language {
		case "yaml":
			s.read(b)
		case "sh":
			s.run(b)
		case "": // a transcript
			b.text = typed(b.text)
			s.run(b)
		default:
			s.t.Errorf("line %d: nothing runs a block of %s: mark it <!-- part of FILE --> or <!-- not run: reason -->", b.line, b.language)
		}
	}
}

// compare demands that the block stands in a file as it is.
func (s *story) compare(b block, file string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.root, file))
	if err != nil {
		s.t.Errorf("line %d: %v", b.line, err)
	} else if !strings.Contains(string(text), b.text) {
		s.t.Errorf("line %d: the block is not what stands in %s", b.line, file)
	}
}

// read checks a YAML block as what it is, and writes it where it has a name.
func (s *story) read(b block) {
	s.t.Helper()
	text := s.ports.Replace(b.text)
	name := fmt.Sprintf("line-%d.yaml", b.line)
	if m := fileName.FindStringSubmatch(text); m != nil {
		name = m[1]
	}
	place(s.t, s.dir, name, text)
	switch {
	case name == configFile: // every command reads it
		s.llmlimit(b, 0, "version")
	case strings.Contains("\n"+text, "\naccept:"): // a command of the page reads it
	case name == "plans.yaml":
		if _, err := mockllm.ParsePlans([]byte(text)); err != nil {
			s.t.Errorf("line %d: %v", b.line, err)
		}
	case isPolicy([]byte(text)) || strings.Contains("\n"+text, "\nsuite:"):
		s.llmlimit(b, 0, "validate", name)
		if strings.Contains(text, "serve:") {
			s.llmlimit(b, 0, "run", name, "--progress", "none")
		}
	case strings.Contains("\n"+text, "\ntarget:"):
		s.llmlimit(b, 0, "run", "scenarios/refunds.yaml", "--target-file", name, "--dry-run")
	case strings.Contains("\n"+text, "\naccept:"):
		s.llmlimit(b, 0, "run", "scenarios/refunds.yaml", "--expect", name, "--progress", "none")
	case strings.Contains("\n"+text, "\nkind: ComplianceReport"):
		s.llmlimit(b, 0, "report", "verify", name)
	default:
		s.t.Errorf("line %d: this YAML is neither a suite, a policy, plans, settings, accepted findings nor a compliance report: give it a name in its first line, or mark it <!-- not run: reason -->", b.line)
	}
}

// run runs the lines of a block.
func (s *story) run(b block) {
	s.t.Helper()
	want := 0
	if _, err := fmt.Sscanf(b.note, "exits %d", &want); err != nil && b.note != "" {
		s.t.Errorf("line %d: the note %q is not understood", b.line, b.note)
	}
	text := s.ports.Replace(strings.ReplaceAll(b.text, "\\\n", " "))
	text = strings.ReplaceAll(text, "go run ./cmd/llmlimit", "llmlimit")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word, _, _ := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case regexp.MustCompile(`^[A-Z_]+=(\S*|\$\(curl .*\))$`).MatchString(line):
			s.set += line + "\n"
		case word == "llmlimit" && isServer(line):
			s.startServer(line)
		case everything.MatchString(line):
			// One scenario stands for all, which `make suites` runs.
			s.shell(b, want, "LLMLIMIT_RUN_ID='metric*' "+line)
		case word == "llmlimit" || word == "curl":
			s.shell(b, want, line)
		default:
			s.t.Errorf("line %d: %q is not run by this test: mark the block <!-- not run: reason -->", b.line, line)
		}
	}
}

// typed is what a person typed in a transcript: the lines behind "$ ".
func typed(transcript string) string {
	var b strings.Builder
	for line := range strings.Lines(transcript) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			b.WriteString(command)
		}
	}
	return b.String()
}

func isServer(line string) bool {
	fields := strings.Fields(line)
	return len(fields) > 1 && (fields[1] == "serve" || fields[1] == "mock-backend") && !strings.Contains(line, "--help") && !strings.Contains(line, "--fault list")
}

func (s *story) startServer(line string) {
	s.t.Helper()
	line, _, _ = strings.Cut(line, " #")
	args := strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), "&"))[1:]
	if !strings.Contains(line, "--listen") {
		at := map[string]string{"serve": s.serve, "mock-backend": s.mock}[args[0]]
		args = append(args, "--listen", at)
	}
	start(s.t, s.dir, args...).url()
}

// llmlimit runs one command.
func (s *story) llmlimit(b block, want int, args ...string) {
	s.t.Helper()
	s.shell(b, want, "llmlimit '"+strings.Join(args, "' '")+"'")
}

// shell runs one line.
func (s *story) shell(b block, want int, line string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", s.set+line)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "NO_COLOR=1", "PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != want {
		s.t.Errorf("line %d: %s\nexit code %d (%v), expected %d:\n%s", b.line, line, got, err, want, out.String())
	}
}
