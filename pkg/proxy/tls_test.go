package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
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
	front, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := proxy.NewServer(p, proxy.ServerOptions{TLS: &tls.Config{Certificates: upstream.TLS.Certificates, MinVersion: tls.VersionTLS12}})
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(front, "", "") }()
	defer func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+front.Addr().String()+chatPath, strings.NewReader(streamBody))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Tenant", "t")
	resp, err := upstream.Client().Do(req)
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

// TestUntrustedUpstream: a provider that cannot show who it is never sees the request, which costs nothing. On real sockets.
func TestUntrustedUpstream(t *testing.T) {
	seen := false
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen = true }))
	upstream.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	upstream.StartTLS()
	defer upstream.Close()
	base, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	var record proxy.Record
	p, err := proxy.New(proxy.Config{Backend: base, Bundle: bundle(t, tpmRules), Observe: func(r proxy.Record) { record = r }})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, chatPath, strings.NewReader(chatBody))
	req.Header.Set("X-Tenant", "t")
	answer := httptest.NewRecorder()
	p.ServeHTTP(answer, req)
	if answer.Code != http.StatusBadGateway || seen || record.Outcome != proxy.OutcomeUnreachable || record.Refunded != chatCost {
		t.Errorf("status %d, seen %v, %s, %d came back; expected 502, an unreachable upstream and all of %d", answer.Code, seen, record.Outcome, record.Refunded, chatCost)
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
