package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/internal/freeport"
	"github.com/llmlimit/llmlimit/pkg/faulty"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// unseen are the faulty limiters that nobody can find through a URL and what
// docs/token-limit/target.yaml claims, and why.
var unseen = map[string]string{
	"cap-not-forwarded":      "a target block has no word for a cap of the output",
	"ceilings-ignored":       "nor for a ceiling of one request",
	"mid-stream-ignored":     "nor for a limit in the middle of a stream",
	"throttle-ignored":       "nor for a stage that delays",
	"warnings-unsaid":        "nor for one that warns",
	"retroactive-ignored":    "nor for retroactive refunds",
	"settle-options-ignored": "nor for what is kept on an error or a departure: the reference gives back",
	"paths-ignored":          "nor for other places of the usage",
	"kill-switch-ignored":    "nor for kill switches",
	"guards-ignored":         "nor for loops and circuit breakers",
	"shadow-enforces":        "nor for policies on trial",
	"shadow-silent":          "nor for policies on trial",
	"shadow-shares":          "nor for policies on trial",
	"reserved-unsaid":        "nor for a header that tells the reservation",
	"forwarded-for-believed": "clients are told apart by a header, not by their address",
	"keys-collide":           "a client is one header, not a tuple of values",
	"keys-run-together":      "a client is one header, not a tuple of values",
	"keys-untrimmed":         "HTTP itself trims the blanks around a header",
	"drains-everything":      "a target block bounds the reading for a client that has left by time, not by size",
	"drains-for-everyone":    "nor by how many there are",
	"unreachable-keeps-all":  "the mock is the upstream, and it is there",
	"unreachable-leaks":      "the mock is the upstream, and it is there",
	"interim-keeps-all":      "what a provider costs that only gave hints is no claim of a target block",
	"failure-keeps-all":      "the limiter has to break down first",
	"window-rolling":         "it takes a midnight: the smallest window of the reference is an hour",
	"window-local-midnight":  "it takes a midnight",
	"refund-into-today":      "it takes a midnight",
}

// turnedAway are faulty limiters that are found before the first check, because
// target.ready asks for a limiter that works, and what is said.
var turnedAway = map[string]string{
	"tpm-ignored":  "its limit is not enforced",
	"fails-inside": "gave no answer",
}

// The profile against `serve` as a process of its own, by the clock on the wall: three
// times without a finding, each in less than three minutes.
func TestProfileAgainstProcess(t *testing.T) {
	soakOnly(t)
	for i := range 3 {
		began := now()
		code, out, _ := judgeProcess(t, "")
		if took := time.Since(began); code != 0 || !strings.Contains(out, "level: L4") || took > 3*time.Minute {
			t.Errorf("run %d: exit code %d after %v\n%s", i, code, took, out)
		} else {
			t.Logf("run %d: L4 after %v", i, took.Round(time.Second))
		}
	}
}

// Each fault that can be seen from outside is found by the checks that name it, in a
// process that knows no more than a URL and the block.
func TestProfileFindsFaultyProcesses(t *testing.T) {
	soakOnly(t)
	named := catching(t)
	for _, f := range faulty.Table {
		checks := named[f.Name]
		if reason := unseen[f.Name]; reason != "" {
			if len(checks) > 0 {
				t.Errorf("%s cannot be seen (%s), and %v name it", f.Name, reason, checks)
			}
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			if len(checks) == 0 {
				t.Fatal("no check of the profile names it")
			}
			t.Parallel()
			code, out, red := judgeProcess(t, f.Name, checks...)
			if said := turnedAway[f.Name]; said != "" && code == exitEnvironment && strings.Contains(out, said) {
				return
			}
			if code != exitFail {
				t.Errorf("exit code %d, expected %d\n%s", code, exitFail, out)
			}
			for _, check := range checks {
				if !red[check] {
					t.Errorf("%s names it in catches: and does not catch it", check)
				}
			}
		})
	}
}

func soakOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("LLMLIMIT_SOAK") != "1" {
		t.Skip("minutes by the clock on the wall; LLMLIMIT_SOAK=1 runs it")
	}
}

// catching maps each fault to the checks of the profile that name it.
func catching(t *testing.T) map[string][]string {
	t.Helper()
	named := map[string][]string{}
	for _, l := range profileScenarios(t) {
		for _, fault := range l.Catches {
			named[fault] = append(named[fault], l.ID)
		}
	}
	return named
}

// judgeProcess starts serve and runs checks of the profile against it, or all. A SHOULD
// that does not hold counts. The output has the compliance report behind it; red are
// the checks that something of did not hold.
func judgeProcess(t *testing.T, fault string, checks ...string) (code int, output string, red map[string]bool) {
	t.Helper()
	folder := t.TempDir()
	program, target, policy := filepath.Join(folder, "llmlimit"), filepath.Join(folder, "target.yaml"), filepath.Join(folder, "policy.yaml")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, program); err != nil { // its name makes the test binary the program
		t.Fatal(err)
	}
	mock, public, admin := freeport.Addr(t), freeport.Addr(t), freeport.Addr(t)
	copied(t, "../../docs/token-limit/policy.yaml", policy)
	copied(t, "../../docs/token-limit/target.yaml", target, "127.0.0.1:8080", public, "127.0.0.1:8081", admin, "docs/token-limit", "../../docs/token-limit")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	args := []string{"serve", "--policy", policy, "--backend", "http://" + mock, "--listen", public, "--admin", admin, "--log", "off", "--timeout-headers", "5s", "--lease", "6s"}
	if fault != "" {
		args = append(args, "--fault", fault)
	}
	serve := exec.CommandContext(ctx, program, args...)
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = serve.Process.Kill()
		_ = serve.Wait()
	}()
	report, results := filepath.Join(folder, "report.yaml"), filepath.Join(folder, "run.json")
	args = []string{"run", "--profile", "token-limit", "--target-file", target, "--mock-listen", mock, "--progress", "none", "--fail-on", "fail,error,warn", "--report", "compliance=" + report, "--report", "json=" + results}
	for _, id := range checks {
		args = append(args, "--id", id)
	}
	run := exec.CommandContext(ctx, program, args...)
	run.Env = append(os.Environ(), "LLMLIMIT_POLICY="+policy)
	out, err := run.CombinedOutput()
	if err != nil && run.ProcessState == nil {
		t.Fatal(err)
	}
	claims, _ := os.ReadFile(report) // without it the output says why
	return run.ProcessState.ExitCode(), string(out) + string(claims), redOf(results)
}

// redOf lists the scenarios of a run that failed, or passed with a warning.
func redOf(results string) map[string]bool {
	red := map[string]bool{}
	all, err := readRun("the results", results)
	if err != nil {
		return red // the exit code has said why
	}
	for _, s := range all.Suites {
		for _, sc := range s.Scenarios {
			red[sc.Scenario] = red[sc.Scenario] || sc.Outcome == scenarios.Fail || len(sc.Warnings) > 0
		}
	}
	return red
}

// copied copies a file with some of its text replaced.
func copied(t *testing.T, from, to string, pairs ...string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(fmt.Errorf("copying %s: %w", from, err))
	}
}
