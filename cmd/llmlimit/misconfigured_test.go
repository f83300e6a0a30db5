package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/llmlimit/llmlimit/internal/freeport"
	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// passOn is a gateway without a limiter.
func passOn(upstream string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: upstream}) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "no upstream", http.StatusBadGateway)
		},
	}
}

// demandKey is a gateway that knows one key, and passes on what comes with it.
func demandKey(upstream string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "good" {
			http.Error(w, `{"error":{"message":"no such key"}}`, http.StatusUnauthorized)
			return
		}
		passOn(upstream).ServeHTTP(w, r)
	})
}

// limitedTo is a gateway with a limit of tokens for each X-Key, charged afterwards at
// 500 for a request.
func limitedTo(tokens int64, header bool) func(string) http.Handler {
	return func(upstream string) http.Handler {
		var used atomic.Int64
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if header {
				w.Header().Set("X-Ratelimit-Limit-Tokens", fmt.Sprint(tokens))
			}
			if used.Load() >= tokens {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusTooManyRequests)
				fmt.Fprint(w, `{"error":{"message":"slow down","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`)
				return
			}
			used.Add(500)
			passOn(upstream).ServeHTTP(w, r)
		})
	}
}

func saying(status int, body string, header ...string) func(string) http.Handler {
	return func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if len(header) > 0 {
				w.Header().Set(header[0], header[1])
			}
			http.Error(w, body, status)
		})
	}
}

// misconfigured is what people get wrong, and what each of three commands has to say:
// which side is wrong, and what to do.
var misconfigured = []struct {
	name     string
	gateway  func(mock string) http.Handler // nil: nobody listens
	secure   bool
	url      func(url string) string
	flags    []string // of all three
	commands string   // if not all three
	code     int      // 0: 4
	want     []string
}{
	{name: "wrong port", want: []string{"nothing listens on that port; start it, or correct the port in"}},
	{name: "upstream elsewhere", gateway: func(string) http.Handler { return passOn("127.0.0.1:1") }, want: []string{"cannot reach the mock", "no upstream", "its upstream has to be http://127.0.0.1:", "host.docker.internal"}},
	{
		name: "wrong advertised address", gateway: func(string) http.Handler { return passOn("127.0.0.1:1") },
		flags: []string{"--mock-advertise", "http://mock.example:9000"}, want: []string{"its upstream has to be http://mock.example:9000, as seen from the gateway"},
	},
	{name: "another mock", gateway: saying(200, "{}"), want: []string{"not from this mock, which saw nothing", "point it at http://127.0.0.1:"}},
	{name: "no key", gateway: demandKey, want: []string{"refuses the credentials", "no such key", "--header 'authorization: Bearer …'"}},
	{name: "identities refused", gateway: demandKey, flags: []string{"--identity", "x-key"}, commands: "doctor probe", want: []string{"refuses the credentials", "--identity", "use some that exist"}},
	{name: "HTTP for HTTPS", gateway: passOn, secure: true, url: func(u string) string { return strings.Replace(u, "https:", "http:", 1) }, want: []string{"speaks HTTPS there: write https:// in"}},
	{name: "HTTPS for HTTP", gateway: passOn, url: func(u string) string { return strings.Replace(u, "http:", "https:", 1) }, want: []string{"speaks plain HTTP there: write http:// in"}},
	{name: "certificate not trusted", gateway: passOn, secure: true, want: []string{"certificate that is not trusted here", "--ca FILE", "--insecure"}},
	{name: "wrong prefix", gateway: saying(404, "no route"), want: []string{"has no route for /v1/chat/completions", "is the part of the URL before that path"}},
	{name: "moved", gateway: saying(308, "", "Location", "https://there.example/"), want: []string{`sends its client elsewhere, to "https://there.example/"`}},
	{name: "model unknown", gateway: saying(400, "no model mock"), want: []string{"refuses the request itself", "no model mock", "model"}},
	{name: "account used up", gateway: saying(429, "slow down"), want: []string{"rejects a client that has sent nothing yet", "shared by all", "or the limit is smaller than one request"}},
	{name: "another dialect", gateway: func(mock string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			passOn(mock).ServeHTTP(httptest.NewRecorder(), r)
			http.Error(w, "cannot read that", http.StatusInternalServerError)
		})
	}, want: []string{"reaches the mock, which answered 200, and gives its client status 500", "of the dialect of /v1/chat/completions", "stream: false", "body"}},
	{name: "down in the middle", gateway: goesDown(1), commands: "doctor probe", want: []string{"went down in the middle"}},
	{name: "port of the mock taken", gateway: passOn, flags: []string{"--mock-listen", "TAKEN"}, want: []string{"the mock cannot listen", "the port is taken", "correct --mock-listen"}},
	{name: "not enforced", gateway: passOn, flags: []string{"--spend", "20"}, commands: "probe", code: exitGuard, want: []string{"no limit was met within 12 requests and 12 tokens", "is the policy attached to this route", "--spend and --max-requests allow more"}},
	{name: "not enforced, judged", gateway: passOn, commands: "run", code: exitFail, want: []string{"admitted for 12000 tokens, 0 rejected, where target.limits declares 10000", "the limit is not enforced"}},
	{name: "limit larger", gateway: limitedTo(14000, true), commands: "run", code: exitFail, want: []string{"note: the gateway says that its limit is 14000 tokens, and target.limits declares another"}},
	{name: "limit smaller", gateway: limitedTo(5000, false), commands: "run", code: exitFail, want: []string{"hint: the judge holds the gateway to target.limits", "llmlimit probe URL"}},
	{name: "spend too low", gateway: passOn, flags: []string{"--spend", "7"}, commands: "run", code: exitGuard, want: []string{"--spend allows 7; nothing was sent"}},
	{name: "no header", gateway: passOn, flags: []string{"--header", "bearer"}, code: exitUsage, want: []string{`--header "bearer" is not 'Name: value'`}},
	{name: "body that is none", gateway: passOn, flags: []string{"--body", "stream"}, commands: "doctor probe", code: exitUsage, want: []string{`--body "stream" is no JSON object`}},
	{name: "far away", url: func(string) string { return "http://gateway.example" }, code: exitUsage, want: []string{"needs consent", "--allow-remote gives it"}},
}

// goesDown is a gateway that answers n requests, each on a connection of its own, and
// cuts the others off.
func goesDown(n int64) func(string) http.Handler {
	return func(mock string) http.Handler {
		var count atomic.Int64
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if count.Add(1) > n {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Connection", "close")
			passOn(mock).ServeHTTP(w, r)
		})
	}
}

// judgedSuite has one client that spends 12000 tokens.
const judgedSuite = `version: 1
suite: outside
backend: { mock: { plan: { usage: 0/500 } } }
target:
  url: http://127.0.0.1:1
  limits: [ { name: tpm, dimension: tokens, amount: 10000, per: 60s, burst: 10000, window: bucket } ]
  accounting: settle-after
  identity: { header: x-tenant, pool: "t-${i}" }
  settle: 1ms
defaults: { request: { path: /v1/chat/completions, json: { model: mock, max_tokens: 500 } } }
scenarios:
  - id: enforced
    steps: [ { drain: { until: res.status == 429, at-most: 24 } } ]
`

// Whoever misconfigures a target is told which side is wrong and what to do, by
// whichever command looks at it, and the exit code tells a wrong gateway from one that
// cannot be judged. One after the other: side by side they would take ports from each
// other that have to be free.
func TestMisconfigured(t *testing.T) {
	for _, c := range misconfigured {
		commands := c.commands
		if commands == "" {
			commands = "run doctor probe"
		}
		for command := range strings.FieldsSeq(commands) {
			t.Run(c.name+"/"+command, func(t *testing.T) {
				mock := freeport.Addr(t)
				address := "http://127.0.0.1:1" // nobody listens there
				if c.gateway != nil {
					server := httptest.NewUnstartedServer(c.gateway(mock))
					server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
					if c.secure {
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
				dir := t.TempDir()
				args := []string{command, address, "--mock-listen", mock}
				if command == "run" {
					args = []string{command, place(t, dir, "suite.yaml", judgedSuite), "--target", address, "--mock-listen", mock, "--progress", "none"}
				}
				for _, flag := range c.flags {
					if flag == "TAKEN" {
						taken, err := net.Listen("tcp", "127.0.0.1:0")
						if err != nil {
							t.Fatal(err)
						}
						defer taken.Close()
						flag = taken.Addr().String()
					}
					args = append(args, flag)
				}
				p := start(t, dir, args...)
				code := c.code
				if code == 0 {
					code = exitEnvironment
				}
				p.exit(code)
				said := strings.Join(strings.Fields(p.stderr.String()+p.stdout.String()), " ")
				for _, want := range c.want {
					if !strings.Contains(said, want) {
						t.Errorf("%q is not said", want)
					}
				}
			})
		}
	}
}

// A limit that all clients share rejects, in most scenarios, somebody who has sent
// nothing. Once may be chance, and a large request may be too large for a smaller limit.
func TestHintAtOneLimitForAll(t *testing.T) {
	scenario := func(reserved int64, guilty string) *scenarios.ScenarioResult {
		return &scenarios.ScenarioResult{
			Clock: "real", Outcome: scenarios.Fail, Limits: []judge.Limit{{Amount: judge.Exactly(10000)}},
			Requests: []*scenarios.Exchange{{ID: "first", Reserved: reserved}, {ID: "second", Reserved: reserved}},
			Judged: &judge.Report{
				Findings: []judge.Finding{{Kind: judge.WrongfulRejection, Request: guilty}},
				Totals:   judge.Totals{WronglyRejected: 1},
			},
		}
	}
	for _, c := range []struct {
		name string
		all  []*scenarios.ScenarioResult
		want bool
	}{
		{"two", []*scenarios.ScenarioResult{scenario(500, "first"), scenario(500, "first")}, true},
		{"one", []*scenarios.ScenarioResult{scenario(500, "first"), scenario(500, "second")}, false},
		{"large ones", []*scenarios.ScenarioResult{scenario(6000, "first"), scenario(6000, "first")}, false},
		{"later ones", []*scenarios.ScenarioResult{scenario(500, "second"), scenario(500, "second")}, false},
	} {
		var said strings.Builder
		run := &scenarios.RunResult{Suites: []scenarios.SuiteResult{{Scenarios: c.all}}}
		run.Environment.Target = "http://gateway"
		(&app{stderr: &said}).remarks(run)
		if got := strings.Contains(said.String(), "in 2 scenarios a client that had sent nothing was rejected"); got != c.want ||
			got == strings.Contains(said.String(), "the judge holds the gateway") {
			t.Errorf("%s: said %q", c.name, said.String())
		}
	}
}
