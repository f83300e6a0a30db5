package probe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidwall/gjson"

	"github.com/llmlimit/llmlimit/internal/memnet"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// gateway is a limiter of a few lines: windows that begin by the clock or by their
// first request, charged before or after.
type gateway struct {
	backend  string
	upstream *http.Transport
	limit    int64
	per      time.Duration
	byClock  bool          // else by the first request
	after    bool          // charged after the response, and not before
	prefix   string        // of its upstream's path
	key      string        // of its upstream
	gives    time.Duration // up after so long without an answer of its upstream
	back     bool          // and gives back what was taken
	discount bool          // takes less for longer prompts
	lease    time.Duration // after which what was taken is given back, whatever happens
	alters   bool          // rewrites bodies, strips headers of ours, tries an error three times, holds streams back
	only     string        // path that it serves; empty: all
	plain    bool          // asks for answers that are not compressed
	garbles  bool          // refuses streams, and sends whole answers as streams with a usage of its own

	mu   sync.Mutex
	used map[string]int64
	ends map[string]time.Time
}

// take charges an account, unless its limit is passed.
func (g *gateway) take(key string, n int64, admit bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if g.per > 0 && !now.Before(g.ends[key]) {
		g.used[key] = 0
		g.ends[key] = now.Add(g.per)
		if g.byClock {
			g.ends[key] = now.Truncate(g.per).Add(g.per)
		}
	}
	if admit && g.limit > 0 && (g.used[key]+n > g.limit || g.after && g.used[key] >= g.limit) {
		return false
	}
	g.used[key] += n
	return true
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if g.only != "" && r.URL.Path != g.only {
		http.NotFound(w, r)
		return
	}
	key := r.Header.Get("X-Key")
	cost := gjson.GetBytes(body, "max_tokens").Int() + int64(len(body)/10)
	if g.after {
		cost = 0
	}
	if g.discount {
		cost = gjson.GetBytes(body, "max_tokens").Int() - int64(len(body)/100)
	}
	if !g.take(key, cost, true) {
		http.Error(w, `{"error":{"message":"no"}}`, http.StatusTooManyRequests)
		return
	}
	if g.garbles && gjson.GetBytes(body, "stream").Bool() {
		http.Error(w, `{"error":{"message":"no streams here"}}`, http.StatusInternalServerError)
		return
	}
	if g.lease > 0 {
		timer := time.AfterFunc(g.lease, func() { g.take(key, -cost, false) })
		defer timer.Stop()
	}
	if g.gives > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), g.gives)
		defer cancel()
		r = r.WithContext(ctx)
	}
	if g.alters {
		body = []byte(strings.Replace(string(body), "{", `{"user":"gw",`, 1))
		for name := range r.Header {
			if strings.Contains(name, "Llmlimit") {
				r.Header.Del(name)
			}
		}
	}
	var resp *http.Response
	for range 3 {
		req, _ := http.NewRequestWithContext(r.Context(), r.Method, g.backend+g.prefix+r.URL.Path, bytes.NewReader(body))
		req.Header = r.Header.Clone()
		if g.plain {
			req.Header.Set("Accept-Encoding", "identity")
		}
		if g.key != "" {
			req.Header.Set("Authorization", "Bearer "+g.key)
		}
		if resp, err = g.upstream.RoundTrip(req); err != nil {
			if g.back {
				g.take(key, -cost, false)
			}
			w.WriteHeader(http.StatusGatewayTimeout)
			return
		}
		if resp.StatusCode != http.StatusInternalServerError || !g.alters {
			break
		}
		_ = resp.Body.Close()
	}
	defer resp.Body.Close()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	if coding := resp.Header.Get("Content-Encoding"); coding != "" {
		w.Header().Set("Content-Encoding", coding)
	}
	var all bytes.Buffer
	if g.garbles {
		text, _ := io.ReadAll(resp.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write(bytes.Replace(text, []byte(`"total_tokens":1`), []byte(`"total_tokens":2001`), 1))
		return
	}
	if g.alters {
		_, _ = io.Copy(&all, resp.Body)
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(all.Bytes())
	} else {
		w.WriteHeader(resp.StatusCode)
		part := make([]byte, 4096)
		for {
			n, err := resp.Body.Read(part)
			_, _ = w.Write(part[:n])
			all.Write(part[:n])
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				break
			}
		}
	}
	if total := gjson.GetBytes(all.Bytes(), "usage.total_tokens"); total.Exists() {
		g.take(key, total.Int()-cost, false)
	}
}

// behind runs a gateway with the mock behind it, in virtual time.
func behind(t *testing.T, g *gateway, test func(ctx context.Context, w *Wire)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2030, 1, 2, 12, 0, 7, 300e6, time.UTC)))
		network := &memnet.Network{}
		mock := mockllm.New(mockllm.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		upstream, err := network.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		public, err := network.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		g.backend, g.upstream = "http://"+upstream.Addr().String(), &http.Transport{DialContext: network.DialContext, DisableCompression: true}
		g.used, g.ends = map[string]int64{}, map[string]time.Time{}
		server := &http.Server{Handler: g}
		var running sync.WaitGroup
		running.Go(func() { _ = mock.Serve(ctx, upstream) })
		running.Go(func() { _ = server.Serve(public) })
		w := &Wire{
			Client: client.New(network.DialContext, nil, nil), Mock: mock, URL: "http://" + public.Addr().String(), Run: "t",
			Identity: func(h http.Header, n int) { h.Set("X-Key", fmt.Sprint(n)) },
		}
		test(ctx, w)
		w.Client.Close()
		_ = server.Close()
		cancel()
		g.upstream.CloseIdleConnections()
		running.Wait()
	})
}

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		name   string
		g      *gateway
		window string
		per    time.Duration
	}{
		{"by the clock", &gateway{limit: 20000, per: 10 * time.Second, byClock: true}, "calendar", 10 * time.Second},
		{"by the first request", &gateway{limit: 20000, per: 12 * time.Second}, "first-hit", 12 * time.Second},
		{"for ever", &gateway{limit: 20000}, "unknown", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			behind(t, c.g, func(ctx context.Context, w *Wire) {
				r, err := Infer(ctx, w, Settings{Identities: true})
				if err != nil {
					t.Fatal(err)
				}
				if !r.Reserves || r.Window != c.window || (r.Per-c.per).Abs() > time.Second {
					t.Errorf("%+v", r)
				}
				if r.Rate != nil {
					t.Errorf("nothing refills, found %+v", r.Rate)
				}
			})
		})
	}
}

// A gateway that gives up on its provider gives the reservation back, or keeps it; one
// that has leases gives it back while its provider is still silent. They end between two
// looks: at the very instant of one, either may come first.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name string
		g    *gateway
		want string
	}{
		{"waits", &gateway{limit: 20000}, "the gateway waited for longer than 10s; the reservation never came back within 10s"},
		{"gives up and keeps", &gateway{limit: 20000, gives: 1950 * time.Millisecond}, "the gateway gave up after 1.95s with 504; the reservation never came back within 4.95s"},
		{"gives up and gives back", &gateway{limit: 20000, gives: 1950 * time.Millisecond, back: true}, "the gateway gave up after 1.95s with 504; the reservation was back after 1.9 to 2.0 s"},
		{"has leases", &gateway{limit: 20000, lease: 3950 * time.Millisecond}, "the gateway waited for longer than 10s; the reservation was back after 3.9 to 4.0 s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			behind(t, c.g, func(ctx context.Context, w *Wire) {
				r, err := Infer(ctx, w, Settings{Identities: true})
				if err != nil || r.Silence == nil || r.Silence.String() != c.want {
					t.Errorf("%v %v, expected %s", err, r.Silence, c.want)
				}
			})
		})
	}
}

// No interval is upside down: what makes no sense is said.
func TestNonsensePrompts(t *testing.T) {
	behind(t, &gateway{limit: 20000, discount: true}, func(ctx context.Context, w *Wire) {
		r, err := Infer(ctx, w, Settings{Identities: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.PerChar != nil || !strings.Contains(strings.Join(r.Notes, "\n"), "a longer prompt left more room") {
			t.Errorf("found %v tokens per character, notes %q", r.PerChar, r.Notes)
		}
	})
}

// A header that the limiter does not look at is no identity.
func TestOneAccountForAll(t *testing.T) {
	behind(t, &gateway{limit: 20000, per: 10 * time.Second, byClock: true}, func(ctx context.Context, w *Wire) {
		w.Identity = func(h http.Header, n int) { h.Set("X-Other", fmt.Sprint(n)) }
		r, err := Infer(ctx, w, Settings{Identities: true})
		if err == nil && r.Identities || r != nil && r.Identities {
			t.Errorf("%+v %v", r, err)
		}
	})
}

// What a limiter does that charges afterwards: any declaration passes, and the limit
// shows in what may be used.
func TestSettleAfter(t *testing.T) {
	behind(t, &gateway{limit: 5000, after: true}, func(ctx context.Context, w *Wire) {
		r, err := Infer(ctx, w, Settings{Identities: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Reserves || !r.Enforced || r.Burst == nil || !r.Burst.Contains(5000) {
			t.Errorf("%+v", r)
		}
	})
}

// A gateway without a limit is told so, and costs no more than allowed to find out.
func TestBudgetIsKept(t *testing.T) {
	for _, budget := range []struct{ tokens, requests int64 }{{50000, 0}, {0, 25}, {3, 1000}} {
		g := &gateway{}
		behind(t, g, func(ctx context.Context, w *Wire) {
			w.Tokens, w.Requests = budget.tokens, budget.requests
			r, err := Infer(ctx, w, Settings{Identities: true})
			if err != nil {
				t.Fatal(err)
			}
			used := int64(0)
			for _, e := range w.Mock.Journal().Entries() {
				used += e.Usage.Total
			}
			if cost := w.Cost(); budget.tokens > 0 && (used > budget.tokens || cost.Tokens != used) || budget.requests > 0 && cost.Requests > budget.requests {
				t.Errorf("cost %+v, used %d, allowed %+v", cost, used, budget)
			}
			if r.Enforced || len(r.Notes) == 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestExamine(t *testing.T) {
	behind(t, &gateway{}, func(ctx context.Context, w *Wire) {
		e, err := Examine(ctx, w)
		if err != nil || e.Control() != "marker" || !e.SameWhole || !e.SameStream || e.Buffers || e.Body != nil || e.Tries != 1 || len(e.Channels) != 3 {
			t.Errorf("%+v %v", e, err)
		}
	})
	behind(t, &gateway{alters: true}, func(ctx context.Context, w *Wire) {
		e, err := Examine(ctx, w)
		if err != nil || !e.Buffers || e.Tries != 3 || len(e.Removed) != 2 || len(e.Body) != 1 || e.Body[0] != "user is added" {
			t.Errorf("%+v %v", e, err)
		}
		var text strings.Builder
		e.WriteText(&text, "http://mock", "llmlimit")
		for _, line := range []string{"control: header      does not arrive", "user is added", "buffered", "is tried 3 times"} {
			if !strings.Contains(text.String(), line) {
				t.Errorf("no %q in\n%s", line, &text)
			}
		}
	})
	for _, c := range []struct {
		g    *gateway
		line string
	}{
		{&gateway{prefix: "/p/llmlimit"}, "control: path        arrives"},
		{&gateway{}, "compressed answers   stay compressed"},
		{&gateway{plain: true}, "compressed answers   are not asked for, and none came"},
		{&gateway{key: "sk-mock-llmlimit"}, "control: key         arrives"},
		{&gateway{}, "control: path        is not configured: an upstream http://mock/p/llmlimit would be"},
		{&gateway{}, "control: key         is not configured: a key sk-mock-llmlimit for the upstream would be"},
	} {
		behind(t, c.g, func(ctx context.Context, w *Wire) {
			e, err := Examine(ctx, w)
			var text strings.Builder
			e.WriteText(&text, "http://mock", "llmlimit")
			if err != nil || !strings.Contains(text.String(), c.line) || !strings.Contains(text.String(), "control: queue") {
				t.Errorf("%v: no %q in\n%s", err, c.line, &text)
			}
		})
	}
	behind(t, &gateway{}, func(ctx context.Context, w *Wire) {
		w.Body = map[string]any{"stream": false, "model": "never"}
		err := Reach(ctx, w)
		if entries := w.Mock.Journal().Entries(); err != nil || len(entries) != 1 || !strings.Contains(entries[0].Body, `"stream":false`) || entries[0].Model != "mock" {
			t.Errorf("%v %+v", err, entries)
		}
		var block strings.Builder
		(&Result{}).WriteBlock(&block, "http://gateway", "", `{"stream":false}`)
		if file, problems := suite.ReadTargetFile("t.yaml", []byte(block.String())); len(problems) > 0 || file.Target.Body["stream"] != false {
			t.Errorf("%v in\n%s", problems, &block)
		}
	})
	behind(t, &gateway{only: "/v1/messages"}, func(ctx context.Context, w *Wire) {
		p := &prober{g: w, s: Settings{Identities: true}, r: &Result{Silence: &Silence{GaveUp: time.Second}}}
		if err := p.others(ctx); err != nil || !slices.Equal(p.r.Endpoints, []string{"messages"}) {
			t.Errorf("%v, %v", p.r.Endpoints, err)
		}
		var block strings.Builder
		p.r.WriteBlock(&block, "http://gateway", "", "")
		if !strings.Contains(block.String(), "supported: [ streaming, upstream-timeout, messages ]") {
			t.Error(&block)
		}
	})
	behind(t, &gateway{}, func(ctx context.Context, w *Wire) {
		p := &prober{g: w, s: Settings{Identities: true}, r: &Result{}}
		if err := p.others(ctx); err != nil || len(p.r.Endpoints) != len(endpoints) {
			t.Errorf("%v, %v", p.r.Endpoints, err)
		}
		dialects := map[string]bool{}
		for _, e := range w.Mock.Journal().Entries() {
			dialects[e.Dialect] = dialects[e.Dialect] || e.Channel == "header" && e.Model == "mock"
		}
		for _, name := range []string{"openai-completions", "openai-responses", "anthropic", "gemini", "openai-embeddings"} {
			if !dialects[name] {
				t.Errorf("%s: not asked, in %v", name, dialects)
			}
		}
	})
	behind(t, &gateway{limit: 1}, func(ctx context.Context, w *Wire) {
		p := &prober{g: w, s: Settings{Identities: true}, r: &Result{}}
		if err := p.others(ctx); err != nil || len(p.r.Endpoints) != 0 || len(p.r.Notes) != len(endpoints) {
			t.Errorf("%v %v, %v", p.r.Endpoints, p.r.Notes, err)
		}
	})
	behind(t, &gateway{garbles: true}, func(ctx context.Context, w *Wire) {
		e, err := Examine(ctx, w)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		e.WriteText(&text, "http://mock", "llmlimit")
		for _, line := range []string{
			"whole: written again, as text/event-stream though no stream was asked for",
			`streams              none came: a request for one gets status 500, "no streams here"`,
			"usage                changed: the mock said 1 tokens, the client is told 2001", "is tried once",
		} {
			if !strings.Contains(text.String(), line) {
				t.Errorf("no %q in\n%s", line, &text)
			}
		}
	})
	behind(t, &gateway{limit: 1}, func(ctx context.Context, w *Wire) {
		w.Way = client.Way{Gateway: "http://gateway", Mock: "http://mock"}
		if _, err := Examine(ctx, w); err == nil || !strings.Contains(err.Error(), "the gateway at http://gateway rejects a client that has sent nothing yet") {
			t.Error(err)
		}
	})
}

// What an estimator adds to every request is missing from the burst as it is measured.
// The block claims what a minute gives where so little is missing, and the table says so.
func TestBurstThatLacksWhatEveryRequestCosts(t *testing.T) {
	for _, c := range []struct {
		burst float64
		claim string
		noted bool
	}{
		{10000, "amount: 10000, per: 60s, burst: 10000", false},
		{9997, "amount: 10000, per: 60s, burst: 10000", true},
		{9799, "amount: 10000, per: 60s, burst: 9799", false},
		{20000, "amount: 10000, per: 60s, burst: 20000", false},
	} {
		r := &Result{Enforced: true, Reserves: true, Burst: &Interval{c.burst, c.burst}, Rate: &Interval{166.6, 166.7}, Window: "bucket"}
		var block, table strings.Builder
		r.WriteBlock(&block, "http://gateway", "x-key", "")
		r.WriteTable(&table, Cost{})
		if !strings.Contains(block.String(), c.claim) || strings.Contains(table.String(), "each request may cost") != c.noted {
			t.Errorf("%v: no %q in\n%s%s", c.burst, c.claim, &block, &table)
		}
	}
}

// Where the end of a minute is that of an hour, too, the minute is the likelier one,
// unless the gateway says to wait for longer.
func TestWindowByRetryAfter(t *testing.T) {
	for _, c := range []struct {
		at    time.Duration // after midnight
		retry time.Duration
		per   time.Duration
		note  string
	}{
		{12*time.Hour + 3*time.Minute + 40*time.Second, 20 * time.Second, time.Minute, "with the 1m0s of the clock"},
		{12*time.Hour + 4*time.Minute + 40*time.Second, 20 * time.Second, time.Minute, "or with the 5m0s, which end with it"},
		{12*time.Hour + 59*time.Minute + 40*time.Second, 20 * time.Second, time.Minute, "or with the 5m0s or 1h0m0s, which end with it"},
		{12*time.Hour + 56*time.Minute, 4 * time.Minute, 5 * time.Minute, "the 5m0s of the clock, or with the 1h0m0s, which end with it"},
		{12*time.Hour + 20*time.Minute, 40 * time.Minute, time.Hour, "the 1h0m0s of the clock"},
		{12 * time.Hour, 12 * time.Hour, 24 * time.Hour, "the 24h0m0s of the clock"},
		{12*time.Hour + 30*time.Second, 10 * time.Second, 0, "never ends"},
		{12 * time.Hour, 0, 0, "never ends"},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC).Add(c.at)))
			r := &Result{Window: "unknown"}
			(&watch{p: &prober{r: r, s: Settings{}.withDefaults()}, retry: c.retry}).nothing()
			if r.Per != c.per || len(r.Notes) != 1 || !strings.HasSuffix(r.Notes[0], c.note) {
				t.Errorf("%v, Retry-After %v: found %v and %q, expected %v and %q", c.at, c.retry, r.Per, r.Notes, c.per, c.note)
			}
		})
	}
}
