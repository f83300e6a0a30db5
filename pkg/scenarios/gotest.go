package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// Run runs a suite file inside `go test`, as [RunPlan] does: against what
// [Options.Target] makes, such as a [Handler], or against a gateway at a [URL].
func Run(t *testing.T, file string, o Options) {
	t.Helper()
	data, err := os.ReadFile(file) //nolint:gosec // the file that the test names
	if err != nil {
		t.Fatalf("reading the suite: %v", err)
	}
	plan := suite.Options{}
	if base, ok := o.Target.(URL); ok {
		plan.URL = string(base)
	}
	planned, problems := NewPlan([]Source{{Name: file, Data: data, ReadFile: func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(filepath.Dir(file), name)) //nolint:gosec // what the suite refers to
	}}}, plan)
	if planned == nil {
		t.Fatalf("planning the suite:\n%v", problems)
	}
	RunPlan(t, planned, o)
}

// RunPlan runs a plan inside `go test`: one subtest per cell, in virtual time where
// the cell allows it, without a child process. A cell that fails or is in error fails
// its subtest with all that did not hold; a skip is a skip.
func RunPlan(t *testing.T, plan *Plan, o Options) {
	t.Helper()
	if plan.Cells() == 0 {
		t.Fatal("nothing was selected: no scenario of the suites runs")
	}
	o.known = newAcquaintances()
	t.Cleanup(func() {
		if err := o.known.close(); err != nil {
			t.Errorf("closing the mock: %v", err)
		}
	})
	for _, s := range plan.Suites {
		for _, cell := range s.Program.Cells {
			t.Run(cell.ID, func(t *testing.T) {
				if cell.Skip != "" {
					t.Skip(cell.Skip)
				}
				var result *ScenarioResult
				once := func(ctx context.Context) {
					result = runCell(ctx, s, cell, &o, func(LoadProgress) {})
				}
				if cell.Virtual {
					synctest.Test(t, func(t *testing.T) { t.Helper(); once(t.Context()) })
				} else {
					once(t.Context())
				}
				tell(t, result)
			})
		}
	}
}

// tell gives a result to the test.
func tell(t *testing.T, r *ScenarioResult) {
	t.Helper()
	for _, warning := range r.Warnings {
		t.Logf("warning: %s", warning)
	}
	switch r.Outcome {
	case Skip:
		t.Skip(r.Reason)
	case Error:
		t.Errorf("%s:%d: error: %s", r.File, r.Line, r.Reason)
	case Fail:
		walk(r.Steps, func(step *StepResult) {
			for i := range step.Checks {
				if c := &step.Checks[i]; c.Outcome == Fail {
					t.Errorf("%s:%d: %s", c.File, c.Line, c.Message)
				}
			}
		})
		if !t.Failed() {
			t.Errorf("%s:%d: %s", r.File, r.Line, r.Reason)
		}
	case Pass:
	}
}

// URL is the base URL of a gateway that runs already, for [Run]. Its upstream has to be
// the mock: one that runs ([Options.MockURL]), or the suite's own, which listens where
// [Options.MockListen] or the suite says.
type URL string

// Start implements [Target]. What runs already cannot be started with the rules of a
// suite, so that nothing asks for it.
func (u URL) Start(context.Context, TargetSpec) (Conn, error) {
	return nil, fmt.Errorf("%s runs already: run it by scenarios.Run, or plan with that URL", string(u))
}

// Handler makes a target of an [http.Handler], for [Run]. build gets the base URL
// of the mock and the transport by which to reach it, and makes a fresh handler
// for one cell; it may keep no goroutine that outlives its requests.
func Handler(build func(backend string, to http.RoundTripper) (http.Handler, error)) Target {
	return handlerTarget(build)
}

type handlerTarget func(backend string, to http.RoundTripper) (http.Handler, error)

// Start implements [Target].
func (build handlerTarget) Start(_ context.Context, spec TargetSpec) (Conn, error) {
	transport := &http.Transport{DialContext: spec.Net.DialContext, DisableCompression: true}
	handler, err := build(spec.Backend, transport)
	if err != nil {
		return nil, err
	}
	l, err := spec.Net.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &handlerConn{
		url: "http://" + l.Addr().String(), transport: transport, done: make(chan error, 1),
		server: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute},
	}
	go func() { c.done <- c.server.Serve(l) }()
	return c, nil
}

// handlerConn is one handler while it serves.
type handlerConn struct {
	url       string
	transport *http.Transport
	server    *http.Server
	done      chan error
}

func (c *handlerConn) URL() string            { return c.url }
func (c *handlerConn) AdminURL() string       { return "" }
func (c *handlerConn) Capabilities() []string { return nil }

func (c *handlerConn) Reload(context.Context, TargetSpec) error {
	return errors.New("a handler cannot be given another policy")
}

func (c *handlerConn) SetFault(string, bool) error {
	return errors.New("a handler has no faults to switch")
}

// Close waits for the requests under way.
func (c *handlerConn) Close(ctx context.Context) error {
	err := c.server.Shutdown(ctx)
	if served := <-c.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	c.transport.CloseIdleConnections()
	return err
}
