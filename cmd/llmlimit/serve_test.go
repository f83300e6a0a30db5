package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// chat is a request that reserves 6 tokens and max.
func chat(maxTokens int) string {
	return fmt.Sprintf(`{"model":"m","max_tokens":%d,"messages":[{"role":"user","content":"hello"}]}`, maxTokens)
}

// perMinute is a policy with one bucket for everybody.
func perMinute(version, tokens int) string {
	return fmt.Sprintf(`bundle_version: %d
policies:
  - id: p
    spec:
      selector: { pathPrefix: /v1/ }
      rules:
        - name: tpm
          limit_keys: ["header:x-tenant"]
          algorithm: token_bucket_llm
          algorithm_config: { tokens_per_minute: %d }
`, version, tokens)
}

const (
	completions = "/v1/chat/completions"
	tenant      = "X-Tenant: a"
)

// gateway is a mock and a proxy before it, as two processes.
type gateway struct {
	mock, serve      *process
	mockURL, url     string
	admin, decisions string
	dir              string
}

func startGateway(t *testing.T, policy string, args ...string) *gateway {
	t.Helper()
	g := &gateway{dir: t.TempDir()}
	place(t, g.dir, "policy.yaml", policy)
	g.mock = start(t, g.dir, "mock-backend", "--usage", "10/40")
	g.mockURL = g.mock.url()
	g.serve = start(t, g.dir, append([]string{
		"serve", "--policy", "policy.yaml", "--backend", g.mockURL, "--listen", "127.0.0.1:0", "--decision-listen", "127.0.0.1:0",
	}, args...)...)
	g.url = g.serve.url()
	_, g.admin, _ = strings.Cut(g.serve.stderr.await(t, "admin on "), " on ")
	_, g.decisions, _ = strings.Cut(g.serve.stderr.await(t, "decisions on "), " on ")
	return g
}

// forwarded tells whether the mock has received a request.
func (g *gateway) forwarded() bool {
	return strings.Contains(ask(g.serve.t, http.DefaultClient, "GET", g.mockURL+"/__mock/journal", "").body, completions)
}

// refuses tells whether the public listener is closed.
func (g *gateway) refuses() bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

// Five requests pass where five reservations would not fit, and the metric grows by
// what came back.
func TestServeGivesBack(t *testing.T) {
	t.Parallel()
	g := startGateway(t, perMinute(1, 2000))
	for range 5 {
		ask(t, http.DefaultClient, "POST", g.url+completions, chat(1000), tenant).demand(t, 200)
	}
	refused := ask(t, http.DefaultClient, "POST", g.url+completions, chat(3000), tenant).demand(t, 429)
	if refused.header.Get("X-Ratelimit-Limit-Tokens") == "" {
		t.Errorf("the rejection has no rate-limit headers: %v", refused.header)
	}
	metrics := ask(t, http.DefaultClient, "GET", g.admin+"/metrics", "").demand(t, 200).body
	want := fmt.Sprint(5 * (1006 - 50))
	if !hasMetric(metrics, "llmlimit_token_reservation_unused_total", want) {
		t.Errorf("no llmlimit_token_reservation_unused_total of %s in:\n%s", want, metrics)
	}
	ask(t, http.DefaultClient, "GET", g.admin+"/readyz", "").demand(t, 200)
	// What is for operators is not on the public listener.
	if public := ask(t, http.DefaultClient, "GET", g.url+"/metrics", ""); strings.Contains(public.body, "llmlimit_") {
		t.Error("the metrics are public")
	}
	g.serve.signal(os.Interrupt)
	g.serve.exit(0)
}

func hasMetric(text, name, value string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name) && strings.HasSuffix(strings.TrimSpace(line), " "+value) {
			return true
		}
	}
	return false
}

// The policy is read again when its file changes and on SIGHUP; one that is wrong, or
// not newer, never replaces one that is right.
func TestServeReload(t *testing.T) {
	t.Parallel()
	g := startGateway(t, perMinute(1, 2000))
	try := func(status int) {
		t.Helper()
		ask(t, http.DefaultClient, "POST", g.url+completions, chat(1000), tenant).demand(t, status)
	}
	try(200)
	place(t, g.dir, "policy.yaml", perMinute(2, 900))
	g.serve.stderr.await(t, "policy.yaml version 2 is in force")
	try(429)

	place(t, g.dir, "policy.yaml", strings.Replace(perMinute(3, 5000), "tokens_per_minute", "tokens_per_minite", 1))
	g.serve.stderr.await(t, `did you mean "tokens_per_minute"`)
	g.serve.stderr.await(t, "the old policy stays in force")
	try(429)

	place(t, g.dir, "policy.yaml", perMinute(2, 5000))
	g.serve.stderr.await(t, "bundle_version: found 2, expected more than 2")
	try(429)

	g.serve.signal(hangUp)
	g.serve.stderr.awaitNth(t, "expected more than 2", 2)
	place(t, g.dir, "policy.yaml", perMinute(4, 6000))
	g.serve.stderr.await(t, "policy.yaml version 4 is in force")
	ask(t, http.DefaultClient, "POST", g.url+completions, chat(1000), "X-Tenant: new").demand(t, 200)
}

// A stopped proxy takes nothing new, lets what is in flight end, and settles it.
func TestServeStops(t *testing.T) {
	t.Parallel()
	g := startGateway(t, perMinute(1, 2000), "--log", "json")
	ask(t, http.DefaultClient, "POST", g.mockURL+"/__mock/hold?at=headers", "").demand(t, 200)
	type result struct {
		reply
		err error
	}
	answered := make(chan result, 1)
	go func() {
		r, err := tryAsk(t.Context(), http.DefaultClient, "POST", g.url+completions, chat(1000), tenant)
		answered <- result{r, err}
	}()
	waitUntil(t, g.forwarded)
	g.serve.signal(os.Interrupt)
	waitUntil(t, g.refuses)
	ask(t, http.DefaultClient, "POST", g.mockURL+"/__mock/release", "").demand(t, 200)
	r := <-answered
	if r.err != nil {
		t.Fatal(r.err)
	}
	r.demand(t, 200)
	g.serve.exit(0)
	line := g.serve.stderr.await(t, `"msg":"request"`)
	for _, part := range []string{`"reserved":1006`, `"actual":50`, `"refunded":956`} {
		if !strings.Contains(line, part) {
			t.Errorf("the last request was not settled: no %s in %s", part, line)
		}
	}
}

// What is in flight for longer than it may be is broken off, which is said, and is not
// taken for a client that left.
func TestServeBreaksOff(t *testing.T) {
	t.Parallel()
	g := startGateway(t, perMinute(1, 2000), "--log", "json", "--grace", "100ms")
	ask(t, http.DefaultClient, "POST", g.mockURL+"/__mock/hold?at=headers", "").demand(t, 200)
	go func() { _, _ = tryAsk(t.Context(), http.DefaultClient, "POST", g.url+completions, chat(1000), tenant) }() // broken off
	waitUntil(t, g.forwarded)
	g.serve.signal(os.Interrupt)
	g.serve.exit(0)
	g.serve.stderr.await(t, "requests in flight were broken off after 100ms")
	if line := g.serve.stderr.await(t, `"msg":"request"`); !strings.Contains(line, `"outcome":"no_answer"`) {
		t.Errorf("found %s, expected that it was no answer", line)
	}
}

// A second signal does not wait.
func TestServeStopsAtOnce(t *testing.T) {
	t.Parallel()
	g := startGateway(t, perMinute(1, 2000))
	ask(t, http.DefaultClient, "POST", g.mockURL+"/__mock/hold?at=headers", "").demand(t, 200)
	go func() { _, _ = tryAsk(t.Context(), http.DefaultClient, "POST", g.url+completions, chat(1000), tenant) }() // broken off
	waitUntil(t, g.forwarded)
	g.serve.signal(os.Interrupt)
	waitUntil(t, g.refuses)
	g.serve.signal(os.Interrupt)
	g.serve.exit(-1) // by the signal: a shell says 130
}

// What should not be missed is said at the start.
func TestServeWarns(t *testing.T) {
	t.Parallel()
	claims := strings.Replace(perMinute(1, 2000), "header:x-tenant", "jwt:sub", 1)
	g := startGateway(t, claims, "--fault", "no-refund")
	g.serve.stderr.await(t, "NOTHING VERIFIES THEM")
	g.serve.stderr.await(t, "FAULTY ON PURPOSE: no-refund")
	got := ask(t, http.DefaultClient, "POST", g.url+completions, chat(10), tenant).header.Get("X-Llmlimit-Fault")
	if got != "no-refund" {
		t.Errorf("x-llmlimit-fault is %q", got)
	}

	place(t, g.dir, "secret", "0123456789abcdef0123456789abcdef")
	verified := start(t, g.dir, "serve", "--policy", "policy.yaml", "--backend", g.mockURL, "--listen", "127.0.0.1:0", "--jwt-hmac-file", "secret")
	verified.url()
	if strings.Contains(verified.stderr.String(), "NOTHING VERIFIES") {
		t.Error("warned although a key is given")
	}
}

// A gateway that only asks: the decision service reserves, and gives back by id.
func TestServeDecides(t *testing.T) {
	t.Parallel()
	g := startGateway(t, perMinute(1, 2000))
	original := []string{"X-Original-Method: POST", "X-Original-URI: " + completions, tenant}
	decide := func(query string, estimate int) reply {
		return ask(t, http.DefaultClient, "GET", g.decisions+"/v1/decision"+query, "", append(original, fmt.Sprintf("X-Token-Estimate: %d", estimate))...)
	}
	first := decide("", 500).demand(t, 200) // 500 and the default allowance of 1000
	id := first.header.Get("X-Llmlimit-Reservation")
	if len(id) != 32 {
		t.Fatalf("the reservation's id is %q: %v", id, first.header)
	}
	decide("", 500).demand(t, 429)
	decide("?deny=403", 500).demand(t, 403)
	settle := `{"id":"` + id + `","usage":{"prompt_tokens":10,"completion_tokens":40,"total_tokens":50}}`
	for _, want := range []string{`"duplicate":false`, `"duplicate":true`} {
		got := ask(t, http.DefaultClient, "POST", g.decisions+"/v1/settle", settle).demand(t, 200).body
		if !strings.Contains(got, want) || !strings.Contains(got, `"refunded":1450`) {
			t.Errorf("settled as %s, expected %s and 1450 tokens back", got, want)
		}
	}
	decide("", 500).demand(t, 200)
}

// What a client shows to get in stands in no line of the log, at no level and in no form, whatever becomes of the request.
func TestServeLogsNoCredentials(t *testing.T) {
	t.Parallel()
	policy := strings.ReplaceAll(perMinute(1, 2000), "header:x-tenant", "header:authorization")
	for _, form := range []string{"text", "json"} {
		g := startGateway(t, policy, "--log", form, "--log-level", "debug")
		const secret = "Authorization: Bearer sk-secret"
		ask(t, http.DefaultClient, "POST", g.url+completions+"?key=sk-secret", chat(1000), secret, "X-Api-Key: sk-secret", "Cookie: s=sk-secret").demand(t, 200)
		ask(t, http.DefaultClient, "POST", g.url+completions, chat(1990), secret).demand(t, 429)
		ask(t, http.DefaultClient, "POST", g.url+completions, `{"sk-secret`, secret).demand(t, 400)
		g.mock.signal(os.Interrupt)
		g.mock.exit(0)
		ask(t, http.DefaultClient, "POST", g.url+completions, chat(5), secret).demand(t, 502)
		g.serve.stderr.awaitNth(t, "upstream_unavailable", 1)
		if log := g.serve.stderr.String() + g.serve.stdout.String(); strings.Contains(log, "sk-secret") || !strings.Contains(log, "sha256:") {
			t.Errorf("the log shows a credential, or no key at all:\n%s", log)
		}
	}
}
