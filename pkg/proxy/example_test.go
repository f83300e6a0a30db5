package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// A proxy in front of a provider that uses 50 tokens of the 1006 that were reserved.
func ExampleNew() {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":40,"total_tokens":50}}`)
	}))
	defer provider.Close()
	backend, _ := url.Parse(provider.URL)
	bundle, err := policy.ParseRules(policy.Source{File: "rules", Data: []byte(`
- name: tpm
  limit_keys: ["header:x-tenant"]
  algorithm: token_bucket_llm
  algorithm_config: { tokens_per_minute: 2000 }
`)}, policy.Options{Now: time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := proxy.New(proxy.Config{
		Backend: backend, Bundle: bundle,
		Observe: func(r proxy.Record) { fmt.Println(r.Decision, "reserved", r.Reserved, "charged", r.Actual) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 { // three times 1006 would not fit
		body := strings.NewReader(`{"model":"m","max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}`)
		req := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", body)
		req.Header.Set("X-Tenant", "a")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, req)
		_, _ = io.Copy(io.Discard, w.Body)
	}
	// Output:
	// allow reserved 1006 charged 50
	// allow reserved 1006 charged 50
	// allow reserved 1006 charged 50
}
