package mockllm_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

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
