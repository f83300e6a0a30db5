package scenarios_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/tidwall/gjson"

	"github.com/llmlimit/llmlimit/internal/freeport"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// forward is a gateway that passes everything on.
func forward(mock string) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: mock}) }}
}

// outside is a suite against a gateway; block is added to its target.
func outside(mock, gateway, block string) string {
	return fmt.Sprintf(`version: 1
suite: outside
backend: { mock: { listen: %q, plan: { usage: 10/490 } } }
target:
  url: %q
%s
defaults: { request: { path: /v1/chat/completions, json: { model: mock, max_tokens: 500 } } }
scenarios:
  - id: first
    steps: [ { send: {}, expect: { status: 200 } } ]
  - id: second
    steps: [ { send: { key: other }, expect: { status: 200 } } ]
`, mock, gateway, block)
}

const withLimit = `  identity: { header: x-tenant, pool: "t-${run.id}-${i}" }
  limits: [ { name: tpm, dimension: tokens, amount: 1000, per: 60s, burst: 1000 } ]
  ready: { within: 300ms, limiter-probe: true }
  settle: 1ms`

// Whoever configures a target wrong is told which side is wrong and what to do. No
// scenario runs then, and none fails: it is an error of the environment.
func TestMisconfigurations(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, status) }
	}
	for _, c := range []struct {
		name    string
		gateway func(mock string) http.Handler // nil: nobody listens
		tls     bool
		url     func(url string) string
		block   string
		options scenarios.Options
		want    []string // in the reason
		note    string   // or, where the run goes on, in a note
	}{
		{name: "wrong port", want: []string{"the gateway at", "nothing listens on that port", "correct the port in --target"}},
		{
			name: "mock not reachable from the gateway", gateway: func(string) http.Handler { return forward("127.0.0.1:1") },
			want: []string{"cannot reach the mock", "its upstream has to be http://", "--mock-advertise"},
		},
		{
			name: "wrong key", gateway: func(string) http.Handler { return answer(401, `{"error":{"message":"bad key"}}`) },
			want: []string{"refuses the credentials", "bad key", "--header 'authorization"},
		},
		{name: "limit not enforced", gateway: forward, block: withLimit, want: []string{"1000 are declared as the most", "its limit is not enforced", "target.identity"}},
		{
			name: "limit larger than declared", block: withLimit, note: "says that its limit is 5000 tokens, and target.limits declares another",
			gateway: func(mock string) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Ratelimit-Limit-Tokens", "5000")
					w.Header().Set("X-Ratelimit-Remaining-Tokens", "4000")
					forward(mock).ServeHTTP(w, r)
				})
			},
		},
		{
			name: "HTTP instead of HTTPS", gateway: forward, tls: true, url: func(u string) string { return strings.Replace(u, "https://", "http://", 1) },
			want: []string{"speaks HTTPS there", "write https:// in --target"},
		},
		{
			name: "HTTPS instead of HTTP", gateway: forward, url: func(u string) string { return strings.Replace(u, "http://", "https://", 1) },
			want: []string{"speaks plain HTTP there", "write http:// in --target"},
		},
		{name: "unknown authority", gateway: forward, tls: true, want: []string{"certificate that is not trusted here", "--ca FILE", "--insecure"}},
		{name: "wrong path", gateway: func(string) http.Handler { return answer(404, "no such route") }, want: []string{"has no route for /v1/chat/completions", "target.url is the part of the URL before"}},
		{
			name: "another upstream", gateway: func(string) http.Handler { return answer(200, `{"choices":[]}`) },
			want: []string{"not from this mock, which saw nothing", "point it at http://"},
		},
		{name: "account used up", gateway: func(string) http.Handler { return answer(429, "slow down") }, want: []string{"rejects a client that has sent nothing yet", "shared by all"}},
		{name: "model unknown", gateway: func(string) http.Handler { return answer(400, `{"error":"no model mock"}`) }, want: []string{"refuses the request itself", "no model mock"}},
		{
			name: "marker lost", block: "  control: marker\n", gateway: func(mock string) http.Handler { return rewriting(mock, "", "") },
			want: []string{"reaches the mock, but not by target.control: marker; something rewrites the prompt; what arrives is model, queue"},
		},
		{
			name: "path not configured", block: "  control: path\n  namespace: ci-7\n", gateway: forward,
			want: []string{"not by target.control: path; its upstream has to be http://", "/p/ci-7; what arrives is marker, header, queue"},
		},
		{name: "mock elsewhere not there", gateway: forward, options: scenarios.Options{MockURL: "http://127.0.0.1:1"}, want: []string{"the mock at http://127.0.0.1:1 is not there", "llmlimit mock-backend"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mock := freeport.Addr(t)
			address := "http://127.0.0.1:1"
			if c.gateway != nil {
				server := httptest.NewUnstartedServer(c.gateway(mock))
				server.Config.ErrorLog = nil
				if c.tls {
					server.StartTLS()
				} else {
					server.Start()
				}
				defer server.Close()
				address = server.URL
			}
			if c.url != nil {
				address = c.url(address)
			}
			r, err := scenarios.Execute(t.Context(), plan(t, outside(mock, address, c.block), suite.Options{}), c.options)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range r.Suites[0].Scenarios {
				if c.note != "" && !strings.Contains(strings.Join(s.Notes, "\n"), c.note) {
					t.Errorf("%s: notes %q", s.ID, s.Notes)
				}
				if c.note == "" && s.Outcome != scenarios.Error {
					t.Errorf("%s: %s", s.ID, dump(s))
				}
				for _, want := range c.want {
					if !strings.Contains(s.Reason, want) {
						t.Errorf("%s: %q does not say %q", s.ID, s.Reason, want)
					}
				}
			}
		})
	}
}

// A gateway that goes down in the middle is not one that never was there.
func TestDownInTheMiddle(t *testing.T) {
	mock := freeport.Addr(t)
	var server *httptest.Server
	var count atomic.Int64
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		forward(mock).ServeHTTP(w, r)
		if count.Add(1) == 2 { // the look, and the first scenario
			go server.Listener.Close()
		}
	}))
	defer server.Close()
	text := strings.Replace(outside(mock, server.URL, ""), "steps: [ { send: { key: other }", "steps: [ { wait: { for: 50ms } }, { send: { key: other }", 1)
	r, err := scenarios.Execute(t.Context(), plan(t, text, suite.Options{}), scenarios.Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := r.Suites[0].Scenarios[0], r.Suites[0].Scenarios[1]
	if first.Outcome != scenarios.Pass || second.Outcome != scenarios.Error || !strings.Contains(second.Reason, "it went down in the middle of the run") {
		t.Errorf("%s %s", dump(first), dump(second))
	}
}

// A status that nobody expected is told with who gave it.
func TestWhoAnswered(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"by itself", `found 503, expected 200; the mock never saw the request, it was the gateway that said status 503, "cooling down"`},
		{"in the mock's place", `found 503, expected 200; the mock answered 200, the gateway told its client status 503, "cooling down"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			mock := freeport.Addr(t)
			var looked atomic.Bool
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !looked.Swap(true) {
					forward(mock).ServeHTTP(w, r)
					return
				}
				if c.name != "by itself" {
					forward(mock).ServeHTTP(httptest.NewRecorder(), r)
				}
				http.Error(w, "cooling down", http.StatusServiceUnavailable)
			}))
			defer server.Close()
			r, err := scenarios.Execute(t.Context(), plan(t, outside(mock, server.URL, ""), suite.Options{}), scenarios.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if s := r.Suites[0].Scenarios[0]; s.Outcome != scenarios.Fail || !strings.Contains(s.Reason, c.want) {
				t.Error(dump(s))
			}
		})
	}
}

// A key that the gateway does not know is an error of the target block and no finding,
// unless the scenario is about it; a client that was served before is rejected, with
// 401 too.
func TestStranger(t *testing.T) {
	mock := freeport.Addr(t)
	var mu sync.Mutex
	served := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		key := r.Header.Get("X-Key")
		if key == "" || key == "k2" || served[key] == 2 {
			http.Error(w, `{"error":"no such key"}`, http.StatusUnauthorized)
			return
		}
		served[key]++
		forward(mock).ServeHTTP(w, r)
	}))
	defer server.Close()
	text := strings.Replace(outside(mock, server.URL, "  identity: { header: x-key, pool: [ k1, k2, k3, k4 ] }"), "  - id: second\n    steps: [ { send: { key: other }, expect: { status: 200 } } ]", `  - id: second
    steps: [ { send: {}, expect: { status: 200 } } ]
  - id: third
    steps: [ { send: { key: k2 }, expect: { status: [ 200, 401 ] } }, { send: {}, repeat: 3, expect: { status: 200 } } ]
  - id: fourth
    steps: [ { drain: { until: res.status == 401, at-most: 2, request: { nobody: true } } } ]`, 1)
	r, err := scenarios.Execute(t.Context(), plan(t, text, suite.Options{}), scenarios.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		outcome scenarios.Outcome
		reason  string
	}{
		{scenarios.Pass, ""},
		{scenarios.Error, "refuses the credentials: status 401, \"no such key\"; correct target.headers or target.identity"},
		{scenarios.Fail, "found 401, expected 200"},
		{scenarios.Pass, ""},
	} {
		if s := r.Suites[0].Scenarios[i]; s.Outcome != want.outcome || !strings.Contains(s.Reason, want.reason) {
			t.Error(dump(s))
		}
	}
}

// Every JSON body gets what target.body has and it has not, the look beforehand too.
func TestTargetBody(t *testing.T) {
	mock := freeport.Addr(t)
	var mu sync.Mutex
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, gjson.GetBytes(text, "stream").Raw+" "+gjson.GetBytes(text, "user").String()+" "+gjson.GetBytes(text, "model").String())
		mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(text)))
		forward(mock).ServeHTTP(w, r)
	}))
	defer server.Close()
	text := strings.Replace(outside(mock, server.URL, `  body: { stream: false, user: "u-${run.id}", model: other }`), "send: { key: other }", "send: { stream: true, json: { user: mine } }", 1)
	r, err := scenarios.Execute(t.Context(), plan(t, text, suite.Options{RunID: "abcd1234"}), scenarios.Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := "[false u-abcd1234 mock false u-abcd1234 mock true mine mock]"
	if r.Counts.Pass != 2 || fmt.Sprint(seen) != want {
		t.Errorf("%q, expected %s: %s", seen, want, dump(r))
	}
}

// Identities come from a list, a signed token or a command, and no two cells share
// one where that can be had.
func TestIdentities(t *testing.T) {
	folder := t.TempDir()
	secret := filepath.Join(folder, "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	claim := func(r *http.Request) string {
		token, err := jwt.Parse(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), func(*jwt.Token) (any, error) {
			return []byte("0123456789abcdef0123456789abcdef"), nil
		})
		if err != nil {
			return err.Error()
		}
		claims, _ := token.Claims.(jwt.MapClaims)
		return fmt.Sprint(claims["org_id"], " ", claims["tier"])
	}
	for _, c := range []struct {
		name, block string
		who         func(*http.Request) string
		want        []string // of the look, the first cell, the second cell's other
	}{
		{"list", `  identity: { header: authorization, pool: [ k1, k2, k3, k4 ] }`, func(r *http.Request) string { return r.Header.Get("Authorization") }, []string{"Bearer k4", "Bearer k1", "Bearer k4"}},
		{
			"token", fmt.Sprintf(`  identity: { jwt: { claim: org_id, claims: { tier: gold }, alg: HS256, key-file: %q } }`, secret), claim,
			[]string{"llmlimit-abcd1234-0 gold", "llmlimit-abcd1234-1 gold", "other gold"},
		},
		{
			"command", `  identity: { header: x-key, setup: [ sh, -c, "echo key-for-$LLMLIMIT_IDENTITY" ] }`, func(r *http.Request) string { return r.Header.Get("X-Key") },
			[]string{"key-for-llmlimit-abcd1234-0", "key-for-llmlimit-abcd1234-1", "key-for-llmlimit-abcd1234-4"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			mock := freeport.Addr(t)
			var mu sync.Mutex
			var seen []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen = append(seen, c.who(r))
				mu.Unlock()
				forward(mock).ServeHTTP(w, r)
			}))
			defer server.Close()
			r, err := scenarios.Execute(t.Context(), plan(t, outside(mock, server.URL, c.block), suite.Options{RunID: "abcd1234"}), scenarios.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Counts.Pass != 2 || fmt.Sprint(seen) != fmt.Sprint(c.want) {
				t.Errorf("came as %q, expected %q: %s", seen, c.want, dump(r))
			}
		})
	}
}

// The clock of a mock elsewhere may be an hour off: what it says is put on ours.
func TestClockOfMockElsewhere(t *testing.T) {
	mock := mockllm.Start(t)
	at, _ := url.Parse(mock.URL)
	stamp := regexp.MustCompile(`"(now|recv|end|first|usage|last)_ns": ?[1-9][0-9]*`)
	late := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: at.Host}) },
		ModifyResponse: func(r *http.Response) error {
			text, err := io.ReadAll(r.Body)
			text = stamp.ReplaceAllFunc(text, func(field []byte) []byte {
				name, value, _ := strings.Cut(string(field), ":")
				n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				return []byte(name + ":" + strconv.FormatInt(n+int64(time.Hour), 10))
			})
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			r.Header.Set("Content-Length", strconv.Itoa(len(text)))
			return err
		},
	})
	defer late.Close()
	server := httptest.NewServer(forward(at.Host))
	defer server.Close()
	r, err := scenarios.Execute(t.Context(), plan(t, outside("127.0.0.1:0", server.URL, ""), suite.Options{}), scenarios.Options{MockURL: late.URL})
	if err != nil {
		t.Fatal(err)
	}
	x := r.Suites[0].Scenarios[0].Requests[0]
	if r.Counts.Pass != 2 || x.Received < x.Sent-50e6 || x.Received > x.Ended+50e6 {
		t.Errorf("received at %v, sent at %v, ended at %v: %s", x.Received, x.Sent, x.Ended, dump(r))
	}
}

// A gateway that rewrites prompts and headers can still be told requests apart by the
// model.
func TestControlByModel(t *testing.T) {
	mock := freeport.Addr(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.Contains(name, "Llmlimit") {
				r.Header.Del(name)
			}
		}
		forward(mock).ServeHTTP(w, r)
	}))
	defer server.Close()
	text := strings.Replace(outside(mock, server.URL, "  control: model"), "steps: [ { send: {}, expect: { status: 200 } } ]",
		"steps: [ { send: { plan: { usage: 10/77 } }, expect: { status: 200, upstream: 1 }, check: [ res.mock.usage.total == 87 ] } ]", 1)
	r, err := scenarios.Execute(t.Context(), plan(t, text, suite.Options{}), scenarios.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Counts.Pass != 2 || strings.Contains(r.Suites[0].Scenarios[0].Requests[0].Curl, "[[llmlimit") {
		t.Error(dump(r))
	}
}

// A mock in another process is told plans and read as one's own, on our clock.
func TestMockElsewhere(t *testing.T) {
	mock := mockllm.Start(t)
	at, _ := url.Parse(mock.URL)
	server := httptest.NewServer(forward(at.Host))
	defer server.Close()
	text := strings.Replace(outside("127.0.0.1:0", server.URL, ""), "steps: [ { send: {}, expect: { status: 200 } } ]",
		"steps: [ { send: { plan: { usage: 10/77 } }, expect: { status: 200, bytes: mock, usage: { total: 87 }, upstream: 1 }, check: [ res.mock.usage.total == 87 ] } ]", 1)
	r, err := scenarios.Execute(t.Context(), plan(t, text, suite.Options{}), scenarios.Options{MockURL: mock.URL})
	if err != nil {
		t.Fatal(err)
	}
	if r.Counts.Pass != 2 {
		t.Fatal(dump(r))
	}
	x := r.Suites[0].Scenarios[0].Requests[0]
	if x.Received < x.Sent-50e6 || x.Received > x.Ended+50e6 {
		t.Errorf("received at %v, sent at %v, ended at %v", x.Received, x.Sent, x.Ended)
	}
	if got := gjson.Get(dump(r), "suites.0.scenarios.0.outcome").String(); got != "pass" {
		t.Error(got)
	}
}
