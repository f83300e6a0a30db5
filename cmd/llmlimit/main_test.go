package main

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/llmlimit/llmlimit/internal/freeport"
)

// TestMain lets the test binary be the program, and the program's own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == bubbleCommand {
		runBubble()
	}
	// Under -race every process sleeps for a second before it exits, and these tests
	// start hundreds.
	if _, set := os.LookupEnv("GORACE"); !set {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	testscript.Main(m, map[string]func(){"llmlimit": main})
}

// TestScripts runs every command as a process: testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("NO_COLOR", "1")
			env.Setenv("GORACE", os.Getenv("GORACE"))
			for _, name := range []string{"GATEWAY", "MOCKADDR"} { // where two servers may listen
				env.Setenv(name, freeport.Addr(t))
			}
			suites, err := filepath.Abs("../../scenarios")
			env.Setenv("SUITES", suites)
			return err
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":     exits,
			"port":      port,
			"reached":   reached,
			"readyfile": readyFile,
			"replace":   replace,
		},
	})
}

// exits runs a program and demands its exit code: exits CODE PROGRAM [ARGUMENT]...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGUMENT]...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("running %s: %v", args[1], err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, expected %s", code, args[0])
	}
}

// readyFile waits for a file that a background process writes when it is ready, and
// puts its first line into a variable: readyfile FILE VAR.
func readyFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: readyfile FILE VAR")
	}
	deadline := now().Add(20 * time.Second)
	for now().Before(deadline) { // another process: there is nothing to wait on but the clock
		if data, err := os.ReadFile(ts.MkAbs(args[0])); err == nil {
			ts.Setenv(args[1], strings.TrimSpace(string(data)))
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s was never written", args[0])
}

// reached waits until something listens: reached HOST:PORT.
func reached(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: reached HOST:PORT")
	}
	var dialer net.Dialer
	for deadline := now().Add(20 * time.Second); now().Before(deadline); time.Sleep(10 * time.Millisecond) { // as above
		if conn, err := dialer.DialContext(context.Background(), "tcp", args[0]); err == nil {
			_ = conn.Close()
			return
		}
	}
	ts.Fatalf("nothing ever listened on %s", args[0])
}

// port puts the host and port of a URL into a variable: port URL VAR.
func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: port URL VAR")
	}
	u, err := url.Parse(args[0])
	ts.Check(err)
	ts.Setenv(args[1], u.Host)
}

// replace changes text in a file: replace OLD NEW FILE.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace OLD NEW FILE")
	}
	path := ts.MkAbs(args[2])
	text := ts.ReadFile(args[2])
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("%s does not contain %q", args[2], args[0])
	}
	ts.Check(os.WriteFile(path, []byte(strings.ReplaceAll(text, args[0], args[1])), 0o600))
}

// BenchmarkVersion is what a start costs: the whole process, with the inits of every
// library. 20 ms is the bound.
func BenchmarkVersion(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cmd := exec.Command(self, "version")
		cmd.Args[0] = "llmlimit"
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
}
