package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llmlimit/llmlimit/internal/memnet"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/probe"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// Ten policies of the bundled proxy, and a faulty one, and what a probe has to find out
// about each from outside: the burst exactly, the refill within its interval and that
// within 1 %, the kind of window.
func TestProbeOfTenPolicies(t *testing.T) {
	for _, c := range []struct {
		config string
		fault  string
		burst  float64
		minute float64 // tokens; 0: nothing refills
		window string
		check  func(r *probe.Result) string
	}{
		{config: "tokens_per_minute: 10000", burst: 10000, minute: 10000, window: "bucket"},
		{config: "tokens_per_minute: 2000", burst: 2000, minute: 2000, window: "bucket"},
		{config: "tokens_per_minute: 60000, burst_tokens: 5000", burst: 5000, minute: 60000, window: "bucket"},
		{config: "tokens_per_minute: 1000000", burst: 1000000, minute: 1000000, window: "bucket"},
		{config: "tokens_per_minute: 12345, burst_tokens: 54321", burst: 54321, minute: 12345, window: "bucket"},
		{config: "tokens_per_minute: 100000, burst_tokens: 3001", burst: 3001, minute: 100000, window: "bucket"},
		{config: "tokens_per_minute: 90000, tokens_per_day: 7000", burst: 7000, window: "calendar"},
		{config: "tokens_per_minute: 10000, settle: { on_5xx: keep, on_disconnect: keep }", burst: 10000, minute: 10000, window: "bucket", check: func(r *probe.Result) string {
			return comesBack(r, map[probe.Ending]bool{probe.Whole: true, probe.Streamed: true, probe.ServerError: false, probe.LeftStream: false})
		}},
		{config: "tokens_per_minute: 30000, default_max_completion: 200, burst_tokens: 20000", burst: 20000, minute: 30000, window: "bucket"},
		{config: "tokens_per_minute: 10000", fault: "no-refund", burst: 10000, minute: 10000, window: "bucket", check: func(r *probe.Result) string {
			return comesBack(r, map[probe.Ending]bool{probe.Whole: false, probe.Streamed: false})
		}},
		{config: "tokens_per_minute: 10000, refund: retroactive", burst: 10000, minute: 10000, window: "bucket", check: func(r *probe.Result) string {
			return comesBack(r, map[probe.Ending]bool{probe.Whole: true, probe.ServerError: true, probe.NoUsage: false})
		}},
	} {
		t.Run(strings.TrimSpace(c.fault+" "+c.config), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2030, 1, 2, 12, 0, 7, 300e6, time.UTC)))
				r, cost := probed(t, c.config, c.fault)
				if r.Burst == nil || r.Burst.Lo != c.burst || r.Burst.Hi != c.burst {
					t.Errorf("burst %+v, expected %v", r.Burst, c.burst)
				}
				if r.Window != c.window {
					t.Errorf("window %q, expected %q (%v)", r.Window, c.window, r.Notes)
				}
				wide := c.fault != "" // what does not come back can be looked at once only
				switch {
				case c.minute == 0 && r.Rate != nil:
					t.Errorf("a rate of %+v where nothing refills", r.Rate)
				case c.minute > 0 && (r.Rate == nil || !r.Rate.Contains(c.minute/60) || !wide && math.Abs(r.Rate.Mid()*60/c.minute-1) > 0.01):
					t.Errorf("rate %+v, expected around %v", r.Rate, c.minute/60)
				case c.minute > 0 && !wide && r.Rate.Width() > 0.01:
					t.Errorf("rate %+v is known within %.2f %%", r.Rate, 100*r.Rate.Width())
				}
				for _, s := range r.Shapes {
					if want := map[string]float64{"an image": 1000}[s.Name]; s.Per == "" && !s.Costs.Contains(want) || s.Per != "" && !s.Costs.Contains(0.25) {
						t.Errorf("%+v", s)
					}
				}
				if s := r.Silence; len(r.Shapes) != 4 || s == nil || s.GaveUp != 0 || s.Back != nil {
					t.Errorf("%+v %+v", r.Shapes, s)
				}
				if r.PerChar == nil || !r.PerChar.Contains(0.25) || r.PerMessage == nil || !r.PerMessage.Contains(4) || !r.PerWide.Contains(0.25) {
					t.Errorf("estimator %+v %+v %+v", r.PerChar, r.PerWide, r.PerMessage)
				}
				if r.NoKey != http.StatusUnauthorized || !r.Identities || !r.RetryAfter || len(r.Headers) == 0 {
					t.Errorf("%+v", r)
				}
				if c.check != nil {
					if wrong := c.check(r); wrong != "" {
						t.Error(wrong)
					}
				}
				if cost.Tokens > 1500000 || cost.Requests > 3000 {
					t.Errorf("cost %+v", cost)
				}
				var block bytes.Buffer
				r.WriteBlock(&block, "http://127.0.0.1:1", "x-tenant", "")
				if _, problems := suite.ReadTargetFile("t.yaml", block.Bytes()); len(problems) > 0 {
					t.Errorf("%v\n%s", problems, &block)
				}
			})
		})
	}
}

func comesBack(r *probe.Result, expected map[probe.Ending]bool) string {
	var wrong strings.Builder
	for _, refund := range r.Refunds {
		if back, asked := expected[refund.Ending]; asked && back != refund.Back {
			fmt.Fprintf(&wrong, "%q: came back %v, expected %v\n", refund.Ending, refund.Back, back)
		}
	}
	return wrong.String()
}

// probed runs a proxy with one rule and probes it.
func probed(t *testing.T, config, fault string) (*probe.Result, probe.Cost) {
	t.Helper()
	network := &memnet.Network{}
	mock := mockllm.New(mockllm.Options{})
	l, err := network.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- mock.Serve(ctx, l) }()
	var faults []string
	if fault != "" {
		faults = []string{fault}
	}
	conn, err := bundled{}.Start(ctx, scenarios.TargetSpec{
		Rules: []byte("- name: tpm\n  limit_keys: [ \"header:x-tenant\" ]\n  algorithm: token_bucket_llm\n  algorithm_config: { " + config + " }\n"), RulesFile: "test", RulesLine: 1,
		Backend: "http://" + l.Addr().String(), Faults: faults, Net: network, Seed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &probe.Wire{
		Client: client.New(network.DialContext, nil, nil), Mock: mock, URL: conn.URL(), Run: "t", Tokens: 1500000, Requests: 3000,
		Identity: func(h http.Header, n int) { h.Set("X-Tenant", fmt.Sprint("p", n)) },
	}
	r, err := probe.Infer(ctx, w, probe.Settings{Identities: true, Precision: 0.01})
	if err != nil {
		t.Fatal(err)
	}
	w.Client.Close()
	if err := conn.Close(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	return r, w.Cost()
}
