package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/llmlimit/llmlimit/internal/freeport"
)

// smallGateway is a limiter of a few lines with what the bundled one has not: windows
// of seconds, a store that can go down, an operator who can reset accounts. Its wrongs
// are those that the checks about them are for.
type smallGateway struct {
	backend      string
	folder       string // its operator's files
	refundsToNow bool   // what is given back goes to the window of the settlement
	keepsOnReset bool
	failsOpen    bool

	mu   sync.Mutex
	used map[string]int64
}

const smallLimit = 10000

// account names one client in one window of the clock.
func account(r *http.Request) string {
	window := time.Minute
	if r.Header.Get("X-Plan") == "window" {
		window = 3 * time.Second
	}
	return fmt.Sprint(r.Header.Get("X-Tenant"), r.Header.Get("X-Plan"), now().UTC().Truncate(window).UnixNano())
}

func (g *smallGateway) told(name string) bool {
	_, err := os.Stat(filepath.Join(g.folder, name))
	return err == nil
}

func (g *smallGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	cost := gjson.GetBytes(body, "max_tokens").Int()
	if g.told("down") && !g.failsOpen {
		http.Error(w, `{"error":{"message":"no store"}}`, http.StatusServiceUnavailable)
		return
	}
	key := account(r)
	g.mu.Lock()
	if g.told("reset") && !g.keepsOnReset {
		_ = os.Remove(filepath.Join(g.folder, "reset"))
		clear(g.used)
	}
	fits := g.used[key]+cost <= smallLimit || g.told("down")
	if fits {
		g.used[key] += cost
	}
	g.mu.Unlock()
	if !fits {
		http.Error(w, `{"error":{"message":"no","type":"rate_limit_error"}}`, http.StatusTooManyRequests)
		return
	}
	req, _ := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, g.backend+r.URL.Path, bytes.NewReader(body))
	req.Header = r.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if g.refundsToNow {
		key = account(r)
	}
	g.mu.Lock()
	g.used[key] += gjson.GetBytes(answer, "usage.total_tokens").Int() - cost
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer)
}

const smallTarget = `target:
  url: %q
  identity: { header: x-tenant, pool: "t-${run.id}-${i}" }
  accounting: reserve
  estimator: { per-char: 0..1, per-message: 0..4 }
  settle: 20ms
  tolerance: 1%%
  limits:
    - { name: tpm, dimension: tokens, amount: 10000, per: 60s, window: calendar }
    - { name: window, dimension: tokens, amount: 10000, per: 3s, window: calendar, headers: { x-plan: window } }
  hooks:
    reset: [ touch, %q ]
    store-down: [ touch, %q ]
    store-up: [ rm, %q ]
features: { supported: [ reserve ] }
`

// What only an operator can do, and what happens at the edge of a window, by the
// profile's own checks: they pass on a limiter that is right, and each finds its wrong.
func TestOperatorAndWindowChecks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		check string
		wrong *smallGateway
	}{
		{"operator/reset", &smallGateway{keepsOnReset: true}},
		{"operator/store-down", &smallGateway{failsOpen: true}},
		{"limits/window-boundary", &smallGateway{refundsToNow: true}},
	} {
		for _, g := range []*smallGateway{{}, c.wrong} {
			right := g != c.wrong
			t.Run(fmt.Sprint(c.check, " ", right), func(t *testing.T) {
				t.Parallel() // most of it is waiting for a window of the clock on the wall
				mock := freeport.Addr(t)
				g.folder, g.backend, g.used = t.TempDir(), "http://"+mock, map[string]int64{}
				server := httptest.NewServer(g)
				defer server.Close()
				target := filepath.Join(g.folder, "target.yaml")
				down := filepath.Join(g.folder, "down")
				block := fmt.Sprintf(smallTarget, server.URL, filepath.Join(g.folder, "reset"), down, down)
				if err := os.WriteFile(target, []byte(block), 0o600); err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				code := run([]string{
					"run", "--profile", "token-limit", "--target-file", target, "--mock-listen", mock, "--id", c.check,
					"--progress", "none", "--fail-on", "fail,error,warn,skip",
				}, os.Environ(), strings.NewReader(""), &out, &out)
				if right && code != 0 || !right && code != exitFail {
					t.Errorf("exit code %d\n%s", code, &out)
				}
			})
		}
	}
}
