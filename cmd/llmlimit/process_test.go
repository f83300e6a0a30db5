package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for another process. It is only ever reached by
// a failure.
const patience = 60 * time.Second

// process is the program, running as a process of its own.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *transcript
	ended          chan struct{}
}

// start runs the program. It is killed with the test if it still runs.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return startTo(t, nil, dir, args...)
}

// startTo is start with somebody else at the end of stdout; nil for nobody.
func startTo(t *testing.T, stdout *os.File, dir string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, stdout: newTranscript(), stderr: newTranscript(), ended: make(chan struct{})}
	p.cmd = exec.Command(self, args...)
	p.cmd.Args[0] = "llmlimit" // by this name the test binary is the program
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "NO_COLOR=1")
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // awaited by the cleanup
		defer close(p.ended)
		_ = p.cmd.Wait() // the code is read from the state
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
		if t.Failed() {
			t.Logf("llmlimit %s\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), p.stdout, p.stderr)
		}
	})
	return p
}

// url waits for the line that every server prints first.
func (p *process) url() string {
	p.t.Helper()
	line := p.stdout.await(p.t, "listening on ")
	return strings.TrimPrefix(line, "listening on ")
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and demands a code.
func (p *process) exit(want int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Fatalf("%v, expected exit code %d", p.cmd.ProcessState, want)
	}
}

// transcript is what a process wrote, while it runs.
type transcript struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{} // closed and replaced with every write
}

func newTranscript() *transcript { return &transcript{grown: make(chan struct{})} }

func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.grown)
	s.grown = make(chan struct{})
	return s.text.Write(b)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits for a whole line that contains part and returns it.
func (s *transcript) await(t *testing.T, part string) string {
	t.Helper()
	return s.awaitNth(t, part, 1)
}

// awaitNth waits for the nth such line.
func (s *transcript) awaitNth(t *testing.T, part string, nth int) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		text, grown := s.text.String(), s.grown
		s.mu.Unlock()
		count := 0
		for line := range strings.Lines(text) {
			if strings.Contains(line, part) && strings.HasSuffix(line, "\n") {
				if count++; count == nth {
					return strings.TrimSuffix(line, "\n")
				}
			}
		}
		select {
		case <-grown:
		case <-timeout:
			t.Fatalf("%q was never written; there is:\n%s", part, text)
		}
	}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends one request. Headers are "Name: value".
func ask(t *testing.T, client *http.Client, method, url, body string, headers ...string) reply {
	t.Helper()
	r, err := tryAsk(t.Context(), client, method, url, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryAsk(ctx context.Context, client *http.Client, method, url, body string, headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		req.Header.Set("content-type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(bufio.NewReader(res.Body))
	return reply{res.StatusCode, res.Header, string(text)}, err
}

// demand fails unless the reply has the status.
func (r reply) demand(t *testing.T, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, expected %d; body:\n%s", r.status, status, r.body)
	}
	return r
}

// place writes a file as editors do: beside it, and renamed over it.
func place(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	err := os.WriteFile(path+".new", []byte(text), 0o600)
	if err := errors.Join(err, os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	return path
}

// hangUp is the signal that means "read again".
const hangUp = syscall.SIGHUP
