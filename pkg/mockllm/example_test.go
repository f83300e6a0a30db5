package mockllm_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
)

// A mock that reports 50 tokens, told by a control header to break a stream before its usage.
func Example() {
	plan, err := mockllm.ParsePlan([]byte("usage: 10/40"))
	if err != nil {
		fmt.Println(err)
		return
	}
	mock := mockllm.New(mockllm.Options{Plan: plan})
	server := httptest.NewServer(mock.Handler())
	defer server.Close()

	body := `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`
	req, _ := http.NewRequest(http.MethodPost, server.URL+"/v1/chat/completions", strings.NewReader(body))
	req.Header.Set("x-llmlimit-mock", "id=r7;fault=fin@usage")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	_, err = io.ReadAll(res.Body)
	fmt.Println("client:", err)

	entry, err := mock.Journal().Wait(req.Context(), "r7")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("journal:", entry.End, "chunks", entry.Sent.Chunks, "usage written", entry.Sent.UsageNS != 0, "true usage", entry.Usage.Total)
	// Output:
	// client: unexpected EOF
	// journal: fault:fin chunks 8 usage written false true usage 50
}

// t is that of the test that calls an example.
var t *testing.T

// A mock in one line. It ends with the test.
func ExampleStart() {
	mock := mockllm.Start(t)

	res, err := http.Post(mock.URL+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"m","messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("found %s, expected 200", res.Status)
	}
	if n := len(mock.Journal().Entries()); n != 1 {
		t.Errorf("the mock has noted %d requests, expected 1", n)
	}
}

// An example of a test needs a test around it: without an Output comment `go test`
// only compiles it.
func TestExampleStart(tt *testing.T) {
	t = tt
	ExampleStart()
}
