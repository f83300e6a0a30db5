package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// longSuite has a scenario that passes at once and one that waits for a minute of
// real time.
const longSuite = `version: 1
suite: long
target:
  serve:
    rules:
      - name: tpm
        limit_keys: []
        algorithm: token_bucket_llm
        algorithm_config: { tokens_per_minute: 2000 }
scenarios:
  - id: quick
    requirement: one request passes
    steps:
      - send: { path: /v1/chat/completions, json: { model: m, max_tokens: 10, messages: [ { role: user, content: x } ] } }
        expect: { status: 200 }
  - id: slow
    requirement: it takes a minute
    clock: real
    steps:
      - wait: { for: 60s }
      - send: { path: /v1/chat/completions, json: { model: m, max_tokens: 10, messages: [ { role: user, content: x } ] } }
        expect: { status: 200 }
`

func startLong(t *testing.T, args ...string) (p *process, report string) {
	t.Helper()
	dir := t.TempDir()
	place(t, dir, "long.yaml", longSuite)
	p = start(t, dir, append([]string{"run", "long.yaml", "--id", "*", "-j", "2", "--progress", "plain", "--report", "json=run.json"}, args...)...)
	p.stderr.await(t, "pass  long/quick")
	return p, filepath.Join(dir, "run.json")
}

// demandPartial fails unless the report has what had finished.
func demandPartial(t *testing.T, report string) {
	t.Helper()
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(data); !strings.Contains(text, `"id": "quick"`) || !strings.Contains(text, `"stopped"`) {
		t.Errorf("the report is not that of a run that was stopped:\n%s", text)
	}
}

// One signal: what had finished is reported, and the code says which signal.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	for signal, code := range map[os.Signal]int{os.Interrupt: exitInterrupt, syscall.SIGTERM: exitTerminate} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p, report := startLong(t)
			p.signal(signal)
			p.exit(code)
			demandPartial(t, report)
			if !strings.Contains(p.stdout.String(), "quick") {
				t.Errorf("the results are not shown:\n%s", p.stdout)
			}
		})
	}
}

// A second signal does not wait for the end that the first one asked for. Here that
// never comes: nobody reads the results beyond their first byte.
func TestRunInterruptedTwice(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = read.Close() }()
			dir := t.TempDir()
			place(t, dir, "long.yaml", strings.Replace(longSuite, "- send: {", "- repeat: 20\n        send: { query: { padding: "+strings.Repeat("x", 50_000)+" },", 1))
			p := startTo(t, write, dir, "run", "long.yaml", "--id", "*", "-j", "2", "--progress", "plain", "-o", "json")
			_ = write.Close() // the process has its own
			p.stderr.await(t, "pass  long/quick")
			p.signal(signal)
			if _, err := io.ReadFull(read, make([]byte, 1)); err != nil {
				t.Fatalf("the first signal brought no results: %v", err)
			}
			p.signal(signal)
			p.exit(-1) // by the signal: a shell says 130 or 143
			if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != signal {
				t.Errorf("%v, expected the end by %v", p.cmd.ProcessState, signal)
			}
		})
	}
}

// A disk that is full, or a pipe that nobody reads, is said and has its code.
func TestStdoutFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("this system has no /dev/full")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	dir := t.TempDir()
	suite := place(t, dir, "long.yaml", longSuite)
	for _, args := range [][]string{
		{"run", suite, "--id", "quick"},
		{"run", suite, "--id", "quick", "-o", "json"},
		{"list", suite},
	} {
		var stderr bytes.Buffer
		if code := run(append(args, "--config", place(t, dir, "none.yaml", "")), nil, strings.NewReader(""), full, &stderr); code != exitEnvironment {
			t.Errorf("llmlimit %v: exit code %d, expected %d; stderr:\n%s", args, code, exitEnvironment, stderr.String())
		}
		if !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("llmlimit %v does not say why:\n%s", args, stderr.String())
		}
	}
}

// --timeout does the same, with a code of its own.
func TestRunTimeout(t *testing.T) {
	t.Parallel()
	p, report := startLong(t, "--timeout", "8s")
	p.exit(exitGuard)
	demandPartial(t, report)
}

// --watch runs again what changed, also by a file that a suite reads, and survives
// files that are wrong.
func TestWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	place(t, dir, "policy.yaml", perMinute(1, 2000))
	suite := func(name string) string {
		return strings.Replace(`version: 1
suite: NAME
target: { serve: { policy: policy.yaml } }
scenarios:
  - id: one
    requirement: one request passes
    steps:
      - send: { path: /v1/chat/completions, headers: { x-tenant: a }, json: { model: m, max_tokens: 1000, messages: [ { role: user, content: x } ] } }
        expect: { status: 200 }
`, "NAME", name, 1)
	}
	place(t, dir, "a.yaml", suite("a"))
	place(t, dir, "b.yaml", strings.Replace(suite("b"), "policy: policy.yaml", "rules: []", 1))
	p := start(t, dir, "run", "a.yaml", "b.yaml", "--watch", "--progress", "plain")
	p.stderr.await(t, "watching 2 suites")
	p.stderr.await(t, "pass  a/one")
	p.stderr.await(t, "pass  b/one")

	place(t, dir, "policy.yaml", perMinute(2, 500)) // only a reads it
	p.stderr.awaitNth(t, "watching 2 suites", 2)
	p.stderr.await(t, "fail  a/one")
	if n := strings.Count(p.stderr.String(), "b/one"); n != 1 {
		t.Errorf("b ran %d times, and nothing of it has changed", n)
	}
	place(t, dir, "b.yaml", strings.Replace(suite("b"), "scenarios:", "scenaros:", 1))
	p.stderr.await(t, `did you mean "scenarios"`)
	place(t, dir, "b.yaml", suite("b"))
	p.stderr.await(t, "fail  b/one")
	p.signal(os.Interrupt)
	p.exit(exitInterrupt)
}

// A name that only looks like the loopback is another machine.
func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{
		"http://127.0.0.1:8080":        true,
		"http://127.8.8.8":             true,
		"http://localhost:1":           true,
		"http://[::1]:8080":            true,
		"http://127.0.0.1.example.com": false,
		"http://127.evil":              false,
		"http://localhost.example":     false,
		"http://10.0.0.1":              false,
		"http://0.0.0.0:80":            false,
		"http://u@127.0.0.1@evil":      false,
		"::":                           false,
	} {
		if got := isLoopback(target); got != want {
			t.Errorf("isLoopback(%s) = %v", target, got)
		}
	}
}

func TestRedacted(t *testing.T) {
	t.Parallel()
	if got := redacted("http://user:hush@host/x"); strings.Contains(got, "hush") {
		t.Errorf("the password is still there: %s", got)
	}
}
