package scenarios_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// gateway is a plain reverse proxy that counts tokens, written for these tests: it
// reserves 6 + max_tokens in a bucket, and settles when the answer has ended. It
// holds every answer back until it is whole, except that of a stream.
type gateway struct{}

func (gateway) Start(_ context.Context, spec scenarios.TargetSpec) (scenarios.Conn, error) {
	c := &gatewayConn{
		spec: spec, accounts: map[string]*account{}, faults: slices.Clone(spec.Faults), done: make(chan struct{}, 2),
		upstream: &http.Transport{DialContext: spec.Net.DialContext, DisableCompression: true},
	}
	if err := c.configure(spec.Rules); err != nil {
		return nil, err
	}
	for _, side := range []struct {
		server **http.Server
		url    *string
		handle http.HandlerFunc
	}{{&c.public, &c.url, c.serve}, {&c.admin, &c.adminURL, c.serveAdmin}} {
		l, err := spec.Net.Listen("127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		server := &http.Server{Handler: side.handle}
		*side.server, *side.url = server, "http://"+l.Addr().String()
		go func() { _ = server.Serve(l); c.done <- struct{}{} }()
	}
	return c, nil
}

type account struct {
	level                                            float64
	last                                             time.Time
	reserved, actual, refunded, debited, outstanding int64
}

type gatewayConn struct {
	spec          scenarios.TargetSpec
	upstream      *http.Transport
	public, admin *http.Server
	url, adminURL string
	done          chan struct{}

	mu       sync.Mutex
	perMin   float64
	accounts map[string]*account
	faults   []string
}

func (c *gatewayConn) URL() string            { return c.url }
func (c *gatewayConn) AdminURL() string       { return c.adminURL }
func (c *gatewayConn) Capabilities() []string { return []string{"metrics", "ledger"} }

func (c *gatewayConn) Reload(_ context.Context, spec scenarios.TargetSpec) error {
	return c.configure(spec.Rules)
}

var perMinute = regexp.MustCompile(`tokens_per_minute: ([0-9]+)`)

func (c *gatewayConn) configure(rules []byte) error {
	found := perMinute.FindSubmatch(rules)
	if found == nil {
		return fmt.Errorf("no tokens_per_minute in %q", rules)
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.perMin = n
	return err
}

func (c *gatewayConn) SetFault(name string, on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = slices.DeleteFunc(c.faults, func(f string) bool { return f == name })
	if on {
		c.faults = append(c.faults, name)
	}
	return nil
}

func (c *gatewayConn) has(fault string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.faults, fault)
}

func (c *gatewayConn) Close(ctx context.Context) error {
	_ = c.public.Shutdown(ctx)
	_ = c.admin.Shutdown(ctx)
	<-c.done
	<-c.done
	c.upstream.CloseIdleConnections()
	return nil
}

// reserve takes the cost, or says how long to wait for it.
func (c *gatewayConn) reserve(key string, cost int64) (remaining int64, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	a := c.accounts[key]
	if a == nil {
		a = &account{level: c.perMin, last: now}
		c.accounts[key] = a
	}
	a.level = min(c.perMin, a.level+now.Sub(a.last).Minutes()*c.perMin)
	a.last = now
	if a.level < float64(cost) {
		return int64(a.level), time.Duration((float64(cost) - a.level) / c.perMin * float64(time.Minute))
	}
	a.level -= float64(cost)
	a.reserved += cost
	a.outstanding += cost
	return int64(a.level), 0
}

func (c *gatewayConn) settle(key string, cost, actual int64) {
	if c.has("no-refund") {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.accounts[key]
	a.outstanding -= cost
	a.actual += actual
	a.refunded += max(0, cost-actual)
	a.debited += max(0, actual-cost)
	a.level = min(c.perMin, a.level+float64(cost-actual))
}

func (c *gatewayConn) serve(w http.ResponseWriter, r *http.Request) {
	if c.has("panics") {
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	key, cost := r.Header.Get("X-Tenant"), 6+gjson.GetBytes(body, "max_tokens").Int()
	remaining, wait := c.reserve(key, cost)
	w.Header().Set("X-Ratelimit-Limit-Tokens", fmt.Sprint(int64(c.perMin)))
	w.Header().Set("X-Ratelimit-Remaining-Tokens", fmt.Sprint(remaining))
	if wait > 0 {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", fmt.Sprint(int64(wait.Seconds()+1)))
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"tpm_exceeded"}}`)
		return
	}
	actual := cost
	defer func() { c.settle(key, cost, actual) }()
	req, _ := http.NewRequestWithContext(r.Context(), r.Method, c.spec.Backend+r.URL.Path, bytes.NewReader(body))
	req.Header = r.Header.Clone()
	resp, err := c.upstream.RoundTrip(req)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	var all bytes.Buffer
	part := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(part)
		all.Write(part[:n])
		if c.has("alters") {
			copy(part[:n], bytes.Replace(part[:n], []byte("assistant"), []byte("ASSISTANT"), 1))
		}
		_, _ = w.Write(part[:n])
		_ = http.NewResponseController(w).Flush()
		if err != nil {
			break
		}
	}
	for _, at := range regexp.MustCompile(`"total_tokens":\s*([0-9]+)`).FindAllSubmatch(all.Bytes(), -1) {
		actual, _ = strconv.ParseInt(string(at[1]), 10, 64)
	}
}

func (c *gatewayConn) serveAdmin(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/metrics":
		var unused int64
		for _, a := range c.accounts {
			unused += a.refunded
		}
		fmt.Fprintf(w, "# TYPE gateway_unused_total counter\ngateway_unused_total{kind=\"tokens\"} %d\n", unused+100)
	case "/debug/ledger":
		var accounts []string
		for key, a := range c.accounts {
			accounts = append(accounts, fmt.Sprintf(`{"rule": "tpm", "window": "tpm", "key": %q, "unit": "tokens", "reserved": %d,
				"actual": %d, "refunded": %d, "debited": %d, "written_off": 0, "outstanding": %d}`,
				key, a.reserved, a.actual, a.refunded, a.debited, a.outstanding))
		}
		fmt.Fprintf(w, `{"accounts": [%s]}`, strings.Join(accounts, ","))
	}
}
