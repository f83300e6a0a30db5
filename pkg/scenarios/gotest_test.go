package scenarios_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// t is that of the test that calls an example.
var t *testing.T

// An example of a test needs a test around it: without an Output comment `go test`
// only compiles it.
func TestExamples(tt *testing.T) {
	for _, example := range []struct {
		name string
		run  func()
	}{{"handler", ExampleRun}, {"url", ExampleRun_url}} {
		tt.Run(example.name, func(inner *testing.T) {
			t = inner
			example.run()
		})
	}
}

// A handler, here one that limits nothing, is a target of its own in each scenario,
// and time is virtual: what the suite waits for costs nothing.
func ExampleRun() {
	scenarios.Run(t, "testdata/pass-through.yaml", scenarios.Options{
		Target: scenarios.Handler(func(backend string, to http.RoundTripper) (http.Handler, error) {
			base, err := url.Parse(backend)
			if err != nil {
				return nil, err
			}
			return &httputil.ReverseProxy{Transport: to, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(base) }}, nil
		}),
	})
}

// A gateway that runs already has its upstream at a mock that runs already.
func ExampleRun_url() {
	mock := mockllm.Start(t)
	upstream, err := url.Parse(mock.URL)
	if err != nil {
		t.Fatal(err)
	}
	gateway := httptest.NewServer(httputil.NewSingleHostReverseProxy(upstream))
	t.Cleanup(gateway.Close)

	scenarios.Run(t, "testdata/pass-through.yaml", scenarios.Options{Target: scenarios.URL(gateway.URL), MockURL: mock.URL})
}

// What a suite finds fails the test that runs it, with the place in the suite. It has
// to be seen from outside, for this test would fail too.
func TestRunFailsItsTest(t *testing.T) {
	const inside = "LLMLIMIT_INSIDE"
	if os.Getenv(inside) != "" {
		scenarios.Run(t, "testdata/pass-through.yaml", scenarios.Options{
			Target: scenarios.Handler(func(string, http.RoundTripper) (http.Handler, error) { return http.NotFoundHandler(), nil }),
		})
		return
	}
	program := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRunFailsItsTest$")
	program.Env = append(os.Environ(), inside+"=1")
	out, err := program.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("found %v, expected exit status 1", err)
	}
	for _, want := range []string{"--- FAIL: TestRunFailsItsTest/bytes[", "testdata/pass-through.yaml:12: status: found 404, expected 200"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output has no %q:\n%s", want, out)
		}
	}
}
