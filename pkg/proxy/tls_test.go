package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// TestTLS goes from client to upstream over TLS and HTTP/2 on both sides, on real sockets.
func TestTLS(t *testing.T) {
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Upstream-Proto", r.Proto)
		w.Header().Set("X-Forwarded-Proto-Seen", r.Header.Get("X-Forwarded-Proto"))
		if !strings.Contains(string(body), "include_usage") {
			t.Errorf("received %s, expected to be asked for usage", body)
		}
		_, _ = io.WriteString(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":40,\"total_tokens\":50}}\n\ndata: [DONE]\n\n")
	}))
	upstream.EnableHTTP2 = true
	upstream.StartTLS()
	defer upstream.Close()
	roots := x509.NewCertPool()
	roots.AddCert(upstream.Certificate())
	base, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	store := limiter.New(limiter.Options{})
	p, err := proxy.New(proxy.Config{
		Backend: base, Bundle: bundle(t, tpmRules), Store: store,
		Transport: proxy.NewTransport(proxy.TransportOptions{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(nil)
	front.Config = proxy.NewServer(p, proxy.ServerOptions{})
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL+chatPath, strings.NewReader(streamBody))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Tenant", "t")
	resp, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "data: [DONE]\n\n" {
		t.Errorf("received %q, %v", body, err)
	}
	if resp.Proto != "HTTP/2.0" || resp.Header.Get("X-Upstream-Proto") != "HTTP/2.0" || resp.Header.Get("X-Forwarded-Proto-Seen") != "https" {
		t.Errorf("%s in, %s out, for a client on %s; expected HTTP/2.0, HTTP/2.0 and https",
			resp.Proto, resp.Header.Get("X-Upstream-Proto"), resp.Header.Get("X-Forwarded-Proto-Seen"))
	}
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := store.Stats().Open; got != 0 {
		t.Errorf("%d reservations are open", got)
	}
}

// TestCleartextHTTP2 speaks HTTP/2 without TLS on both sides, in virtual time.
func TestCleartextHTTP2(t *testing.T) {
	inSystem(t, tpmRules, speaking(true), func(s *system) {
		client := s.newClient(true)
		defer client.CloseIdleConnections()
		got := s.do(client, s.request(s.t.Context(), chatPath, streamBody, nil))
		if got.Proto != "HTTP/2.0" || s.entry().Proto != "HTTP/2.0" {
			t.Errorf("%s in, %s out, expected HTTP/2.0 twice", got.Proto, s.entry().Proto)
		}
		s.charged(proxy.OutcomeDone, 50)
		s.sameBytes(got.body)
	})
}
