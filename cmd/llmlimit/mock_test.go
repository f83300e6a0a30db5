package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// waitUntil asks another process until it agrees: there is nothing to wait on but
// the clock.
func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for began := now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if now().Sub(began) > patience {
			t.Fatal("it never came to that")
		}
	}
}

// Plans are read again when their file changes; a file that is wrong leaves the old
// ones in force.
func TestMockReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	place(t, dir, "plans.yaml", "default: { usage: 1/2 }\nslow: { usage: 3/4 }\n")
	mock := start(t, dir, "mock-backend", "--plans", "plans.yaml", "--plan", "slow")
	url := mock.url()
	usage := func() string {
		return ask(t, http.DefaultClient, "POST", url+completions, chat(5)).demand(t, 200).body
	}
	if got := usage(); !strings.Contains(got, `"total_tokens":7`) {
		t.Fatalf("the plan of --plan is not played: %s", got)
	}
	place(t, dir, "plans.yaml", "slow: { usage: 30/40 }\n")
	mock.stderr.await(t, "read plans.yaml again: 1 plans")
	if got := usage(); !strings.Contains(got, `"total_tokens":70`) {
		t.Fatalf("the new plan is not played: %s", got)
	}
	place(t, dir, "plans.yaml", "slow: { usagee: 1/1 }\n")
	mock.stderr.await(t, "the old plans stay in force")
	if got := usage(); !strings.Contains(got, `"total_tokens":70`) {
		t.Fatalf("a file that is wrong replaced one that is right: %s", got)
	}
	mock.signal(hangUp)
	mock.stderr.awaitNth(t, "the old plans stay in force", 2)
	mock.signal(os.Interrupt)
	mock.exit(0)
}

// --tls self serves HTTPS, and HTTP/2 over it, with the certificate that it prints.
func TestMockTLS(t *testing.T) {
	t.Parallel()
	mock := start(t, t.TempDir(), "mock-backend", "--tls", "self")
	url := mock.url()
	if !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Fatalf("listens on %s", url)
	}
	mock.stderr.await(t, "END CERTIFICATE")
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM([]byte(mock.stderr.String())) {
		t.Fatal("no certificate on stderr")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}}
	ask(t, client, "POST", url+completions, chat(5)).demand(t, 200)
	if got := ask(t, client, "GET", url+"/__mock/journal", "").body; !strings.Contains(got, `"proto":"HTTP/2.0"`) {
		t.Errorf("not HTTP/2: %s", got)
	}
}

// --h2c speaks HTTP/2 without TLS, and HTTP/1.1 beside it.
func TestMockH2C(t *testing.T) {
	t.Parallel()
	mock := start(t, t.TempDir(), "mock-backend", "--h2c")
	url := mock.url()
	ask(t, http.DefaultClient, "POST", url+completions, chat(5)).demand(t, 200)
	only := new(http.Protocols)
	only.SetUnencryptedHTTP2(true)
	ask(t, &http.Client{Transport: &http.Transport{Protocols: only}}, "POST", url+completions, chat(5)).demand(t, 200)
	got := ask(t, http.DefaultClient, "GET", url+"/__mock/journal", "").body
	if !strings.Contains(got, `"proto":"HTTP/2.0"`) || !strings.Contains(got, `"proto":"HTTP/1.1"`) {
		t.Errorf("not both protocols: %s", got)
	}
}
