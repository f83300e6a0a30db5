package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// observable are faulty limiters that the profile has to find from outside, with no
// knowledge but what docs/token-limit/target.yaml claims.
var observable = []string{
	"no-refund", "non-stream-unsettled", "stream-unsettled", "n-ignored", "sse-lf-only", "reserve-nothing", "encoded-is-zero", "refund-twice",
	"parts-cost-nothing", "max-output-ignored", "missing-usage-refunds-all", "over-admits-50", "refund-dropped-1-in-100", "usage-by-text-search",
	"odd-allowance-is-zero", "rejected-is-charged", "overshoot-forgiven", "late-refund", "not-atomic", "rate-fast",
}

// The profile against `serve` as a process of its own, by the clock on the wall: three
// times without a finding, and each fault found. It takes half an hour.
func TestProfileAgainstProcesses(t *testing.T) {
	if os.Getenv("LLMLIMIT_SOAK") != "1" {
		t.Skip("half an hour by the clock on the wall; LLMLIMIT_SOAK=1 runs it")
	}
	for range 3 {
		if code, out := judgeProcess(t, ""); code != 0 || !strings.Contains(out, "level: L4") {
			t.Errorf("the good one: exit code %d\n%s", code, out)
		}
	}
	for _, fault := range observable {
		if code, out := judgeProcess(t, fault); code != exitFail {
			t.Errorf("%s: exit code %d, expected %d\n%s", fault, code, exitFail, out)
		}
	}
}

// judgeProcess starts serve and runs the profile against it. The output has the
// compliance report behind it.
func judgeProcess(t *testing.T, fault string) (code int, output string) {
	t.Helper()
	folder := t.TempDir()
	program := filepath.Join(folder, "llmlimit")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, program); err != nil { // its name makes the test binary the program
		t.Fatal(err)
	}
	mock, public, admin := unusedPort(t), unusedPort(t), unusedPort(t)
	block, err := os.ReadFile("../../docs/token-limit/target.yaml")
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(folder, "target.yaml")
	text := strings.NewReplacer("127.0.0.1:8080", public, "127.0.0.1:8081", admin).Replace(string(block))
	if err := os.WriteFile(target, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	args := []string{"serve", "--policy", "../../docs/token-limit/policy.yaml", "--backend", "http://" + mock, "--listen", public, "--admin", admin, "--log", "off"}
	if fault != "" {
		args = append(args, "--fault", fault)
	}
	serve := exec.CommandContext(ctx, program, args...)
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = serve.Process.Signal(os.Interrupt)
		_ = serve.Wait()
	}()
	report := filepath.Join(folder, "report.yaml")
	run := exec.CommandContext(ctx, program, "run", "--profile", "token-limit", "--target-file", target, "--mock-listen", mock, "--progress", "none", "--report", "compliance="+report)
	out, err := run.CombinedOutput()
	if err != nil && run.ProcessState == nil {
		t.Fatal(err)
	}
	claims, _ := os.ReadFile(report) // without it the output says why
	return run.ProcessState.ExitCode(), string(out) + string(claims)
}

func unusedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
