package main

import (
	"io"
	"net/url"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// No listener of a limiter lets a client hold a connection, or memory for its head, for
// as long or as much as it likes.
func TestListenersAreBounded(t *testing.T) {
	bundle, err := policy.ParseRules(policy.Source{File: "rules", Data: []byte("[]")}, policy.Options{Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.New(proxy.Config{Backend: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	f := serveFlags{listen: "127.0.0.1:0", admin: "127.0.0.1:0", decision: "127.0.0.1:0"}
	_, servers, err := f.listeners(t.Context(), &app{stderr: io.Discard}, p)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range servers {
		if err := s.listener.Close(); err != nil {
			t.Error(err)
		}
		got := []any{s.server.ReadHeaderTimeout, s.server.IdleTimeout, s.server.MaxHeaderBytes}
		want := []any{10 * time.Second, 2 * time.Minute, 64 << 10}
		for j := range want {
			if got[j] != want[j] {
				t.Errorf("listener %d: %v, expected the time for a head, the time between two requests and the size of a head to be %v", i, got, want)
				break
			}
		}
	}
	if len(servers) != 3 {
		t.Errorf("%d listeners, expected 3", len(servers))
	}
}
