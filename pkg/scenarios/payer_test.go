package scenarios_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/llmlimit/llmlimit/internal/freeport"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

const ofSeveralLimits = `version: 1
suite: several
backend: { mock: { listen: %q, plan: { usage: 10/490 } } }
target:
  url: %q
  identity: { header: x-tenant, pool: "t-${i}" }
  limits:
    - { name: tpm, dimension: tokens, amount: 1000, per: 60s, burst: 1000, window: bucket }
    - { name: slots, dimension: concurrency, amount: 3, headers: { x-plan: calls }, identity: { header: x-slots, pool: "s-${i}" } }
    - { name: route, dimension: requests, amount: 5, per: 60s, path: /limited }
  hooks: { note: [ touch, %q ], fails: [ sh, -c, "echo no luck; exit 3" ] }
defaults: { request: { path: /v1/chat/completions, json: { model: mock, max_tokens: 500 } } }
scenarios:
  - id: plain
    steps: [ { send: {} }, { send: { key: other } }, { send: { nobody: true } } ]
  - id: slots
    limits: [ tpm, slots ]
    steps: [ { send: {} }, { send: { key: other } }, { send: { limits: [ slots ] } }, { send: { limits: [ tpm ] } } ]
  - id: route
    limits: [ route ]
    steps: [ { send: {} } ]
  - id: hook
    needs: [ "hook:note" ]
    steps: [ { hook: note } ]
  - id: failing-hook
    steps: [ { hook: fails } ]
  - id: no-hook
    needs: [ "hook:reset" ]
    steps: [ { hook: reset } ]
`

// A request comes as the client of the limits that it names, and those are what the
// judge holds it to.
func TestSeveralLimits(t *testing.T) {
	t.Parallel()
	mock, mark := freeport.Addr(t), filepath.Join(t.TempDir(), "mark")
	var mu sync.Mutex
	var seen []string
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("X-Llmlimit-Mock"); !strings.Contains(id, "look") {
			mu.Lock()
			seen = append(seen, fmt.Sprintf("%s tenant=%s slots=%s plan=%s", strings.TrimSuffix(r.URL.Path, "/v1/chat/completions"), r.Header.Get("X-Tenant"), r.Header.Get("X-Slots"), r.Header.Get("X-Plan")))
			mu.Unlock()
		}
		forward(mock).ServeHTTP(w, r)
	}))
	defer gateway.Close()
	r, err := scenarios.Execute(t.Context(), plan(t, fmt.Sprintf(ofSeveralLimits, mock, gateway.URL, mark), suite.Options{}), scenarios.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		" tenant=t-1 slots= plan=", " tenant=other slots= plan=", " tenant= slots= plan=",
		" tenant=t-2 slots=s-2 plan=calls", " tenant=other slots=s-2 plan=calls", " tenant= slots=s-2 plan=calls", " tenant=t-2 slots= plan=",
		"/limited tenant=t-3 slots= plan=",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("%s\nexpected\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
	var bound []string
	for _, s := range r.Suites[0].Scenarios[:3] {
		for _, q := range s.History.Requests {
			var holds []string
			for _, h := range q.Holds {
				holds = append(holds, h.Limit+"="+h.Key)
			}
			bound = append(bound, strings.Join(holds, " "))
		}
	}
	wantBound := []string{"tpm=t-1", "tpm=other", "", "tpm=t-2 slots=s-2", "tpm=other slots=s-2", "slots=s-2", "tpm=t-2", "route=t-3"}
	if !slices.Equal(bound, wantBound) {
		t.Errorf("bound by %q, expected %q", bound, wantBound)
	}
	hook, failing, none := r.Suites[0].Scenarios[3], r.Suites[0].Scenarios[4], r.Suites[0].Scenarios[5]
	if _, err := os.Stat(mark); err != nil || hook.Outcome != scenarios.Pass {
		t.Errorf("%v %s", err, dump(hook))
	}
	if failing.Outcome != scenarios.Error || !strings.Contains(failing.Reason, "target.hooks.fails: running sh: exit status 3: no luck") {
		t.Error(dump(failing))
	}
	if none.Outcome != scenarios.Skip || !none.Aside || none.Reason != "the target cannot: hook:reset" {
		t.Error(dump(none))
	}
}
