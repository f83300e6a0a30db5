package mockllm

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/tidwall/gjson"
)

// admin calls the admin API and checks the status.
func (b *bench) admin(method, path, body string, want int) string {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+"/__mock/"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := b.client(false).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text := readAll(b.t, res)
	if res.StatusCode != want {
		b.t.Errorf("%s %s: status %d, want %d: %s", method, path, res.StatusCode, want, text)
	}
	return text
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Plans: map[string]Plan{"given": {}}}, func(b *bench) {
		b.admin("PUT", "plans/r7", `{"usage":"10/40"}`, 200)
		b.admin("PUT", "plans/default", "usage: 1/1", 200)
		b.admin("PUT", "plans/bad", `{"usge":"10/40"}`, 400)
		if plans := b.admin("GET", "plans", "", 200); gjson.Get(plans, "r7.usage.out").Int() != 40 || gjson.Get(plans, "default.usage.in").Int() != 1 {
			t.Errorf("plans %s", plans)
		}
		_, _, _ = b.post(chatPath, chatBody, "id=r7")
		_, _, _ = b.post(chatPath, chatBody, "id=r7")
		entry := b.admin("GET", "journal?id=r7&wait=2s", "", 200)
		if gjson.Get(entry, "usage.total").Int() != 50 || gjson.Get(entry, "attempt_no").Int() != 2 || gjson.Get(entry, "end").String() != "complete" {
			t.Errorf("entry %s", entry)
		}
		for _, name := range []string{
			"seq", "id", "channel", "recv_ns", "proto", "method", "path", "headers", "body_sha256", "body", "model", "stream",
			"include_usage", "plan", "usage.in", "usage.out", "sent.status", "sent.segments", "sent.bytes", "sent.first_ns",
			"sent.usage_ns", "sent.usage_bytes_offset", "sent.last_ns", "sent.flushes", "end",
		} {
			if !gjson.Get(entry, name).Exists() {
				t.Errorf("the journal's line lacks %s: %s", name, entry)
			}
		}
		if n := gjson.Get(b.admin("GET", "journal?id=r7&all", "", 200), "entries.#").Int(); n != 2 {
			t.Errorf("%d entries of r7, want 2", n)
		}
		if n := gjson.Get(b.admin("GET", "journal?after=1", "", 200), "entries.#").Int(); n != 1 {
			t.Errorf("%d entries after the first, want 1", n)
		}
		b.admin("GET", "journal?id=never", "", 404)
		begun := time.Now()
		b.admin("GET", "journal?id=never&wait=2s", "", 404)
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("waited %v, want 2s", took)
		}
		b.admin("GET", "journal?wait=2s", "", 400)
		b.admin("GET", "journal?id=x&wait=long", "", 400)
		b.admin("GET", "journal?after=x", "", 400)
		for path, want := range map[string]string{
			"":       "GET /__mock/ is not known, expected one of GET /__mock/clock, ",
			"jurnal": `GET /__mock/jurnal is not known, did you mean \"GET /__mock/journal\"?`,
			"reset":  `GET /__mock/reset is not known, did you mean \"POST /__mock/reset\"?`,
		} {
			if got := b.admin("GET", path, "", 404); !strings.Contains(got, want) {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}
		for path, want := range map[string]string{"hold?at=header": `did you mean \"headers\"?`, "reset?what=plan": `did you mean \"plans\"?`} {
			if got := b.admin("POST", path, "", 400); !strings.Contains(got, want) {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}

		b.admin("POST", "queue/jobs", `[{"usage":"3/4"},{"http":{"status":500}}]`, 200)
		b.admin("POST", "queue/jobs", `[{"usag":"3/4"}]`, 400)
		if total, _ := b.ordered("/q/jobs"+chatPath, chatBody, nil); total != 7 {
			t.Errorf("first of the queue told %d, want 7", total)
		}
		b.admin("DELETE", "plans/r7", "", 204)
		if total, _ := b.ordered(chatPath, chatBody, map[string]string{headerControl: "id=r7"}); total != 2 {
			t.Errorf("after the plan was dropped %d, want the default's 2", total)
		}

		b.admin("POST", "reset?what=journal", "", 204)
		if n := len(b.Journal().Entries()); n != 0 {
			t.Errorf("%d entries after a reset", n)
		}
		if _, e := b.ordered("/q/jobs"+chatPath, chatBody, nil); e.Sent.Status != 500 {
			t.Errorf("status %d: resetting the journal touched the queue", e.Sent.Status)
		}
		b.admin("POST", "reset?what=plans", "", 204)
		if plans := b.admin("GET", "plans", "", 200); !gjson.Get(plans, "given").Exists() || gjson.Get(plans, "default.usage").Exists() {
			t.Errorf("plans after a reset: %s", plans)
		}
		b.admin("POST", "reset?what=queues", "", 204)
		b.admin("POST", "reset", "", 204)
		b.admin("POST", "reset?what=everything", "", 400)
		b.admin("GET", "healthz", "", 200)
		b.admin("GET", "nowhere", "", 404)
		if doc := gjson.Get(b.admin("GET", "faults", "", 200), "reset").String(); doc != faultReset.doc {
			t.Errorf("faults: %q", doc)
		}
		if now := gjson.Get(b.admin("GET", "clock", "", 200), "now_ns").Int(); now != time.Now().UnixNano() {
			t.Errorf("clock %d, want %d", now, time.Now().UnixNano())
		}
	})
}

// A reset returns to the plan file as it was read last.
func TestResetReturnsToTheLatestPlans(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Plans: map[string]Plan{"old": {}}}, func(b *bench) {
		b.SetPlans(map[string]Plan{"new": {}}, plan(t, "usage: 3/4"))
		b.SetPlan("passing", Plan{})
		b.SetDefault(Plan{})
		b.admin("POST", "reset?what=plans", "", 204)
		plans := b.admin("GET", "plans", "", 200)
		if gjson.Get(plans, "old").Exists() || gjson.Get(plans, "passing").Exists() || !gjson.Get(plans, "new").Exists() || gjson.Get(plans, "default.usage.in").Int() != 3 {
			t.Errorf("plans after a reset: %s", plans)
		}
	})
}

func TestAdminBarriers(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.admin("POST", "hold?at=body", "", 400)
		b.admin("POST", "hold?at=headers", "", 200)
		done := make(chan struct{})
		go func() { defer close(done); _, _, _ = b.post(chatPath, chatBody, "id=h") }()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := gjson.Get(b.admin("POST", "release", "", 200), "released").Int(); n != 1 {
			t.Errorf("released %d, want 1", n)
		}
		<-done
	})
}

func TestMetricsAreReadable(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		_, _, _ = b.post(chatPath, chatBody, "u=10/40")
		_, _, _ = b.post(chatPath, chatBody, "f=reset@1")
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(b.admin("GET", "metrics", "", 200)))
		if err != nil {
			t.Fatal(err)
		}
		if out := families["mockllm_tokens_total"].GetMetric()[1].GetCounter().GetValue(); out != 40 {
			t.Errorf("output tokens %v, want 40", out)
		}
		if n := len(families["mockllm_requests_total"].GetMetric()); n != 2 {
			t.Errorf("%d kinds of requests, want 2", n)
		}
		if n := families["mockllm_in_flight"].GetMetric()[0].GetGauge().GetValue(); n != 0 {
			t.Errorf("%v in flight", n)
		}
	})
}

func TestProviderLimits(t *testing.T) {
	t.Parallel()
	for kind, opts := range map[string]Options{"requests": {RPM: 1}, "tokens": {TPM: 40}} {
		inBubble(t, opts, func(b *bench) {
			b.post(chatPath, chatBody, "")
			if res, body, err := b.post(chatPath, chatBody, ""); err != nil || res.StatusCode != http.StatusTooManyRequests || gjson.GetBytes(body, "error.type").String() != kind {
				t.Errorf("of %s: %v %v %s", kind, err, res, body)
			}
		})
	}
	inBubble(t, Options{RPM: 3, TPM: 100, Plan: Plan{Usage: Usage{In: Count(10), Out: Count(30)}}}, func(b *bench) {
		key := map[string]string{"Authorization": "Bearer a"}
		send := func(path string, headers map[string]string) *http.Response {
			req, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(chatBody))
			for name, value := range headers {
				req.Header.Set(name, value)
			}
			res, err := b.client(false).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return res
		}
		for i, want := range []string{"60", "20"} {
			if res := send(chatPath, key); res.StatusCode != http.StatusOK || res.Header.Get("X-Ratelimit-Remaining-Tokens") != want {
				t.Errorf("request %d: %d, remaining %q, want %s", i, res.StatusCode, res.Header.Get("X-Ratelimit-Remaining-Tokens"), want)
			}
		}
		time.Sleep(14500 * time.Millisecond)
		res := send(chatPath, key) // 80 + 40 > 100
		if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "46" || res.Header.Get("Retry-After-Ms") != "45500" {
			t.Errorf("%d, %v", res.StatusCode, res.Header)
		}
		if res := send("/v1/messages", map[string]string{"X-Api-Key": "b"}); res.Header.Get("Anthropic-Ratelimit-Tokens-Remaining") != "60" ||
			res.Header.Get("Anthropic-Ratelimit-Requests-Limit") != "3" {
			t.Errorf("another key, Anthropic: %d %v", res.StatusCode, res.Header)
		}
		ms, _ := strconv.Atoi(res.Header.Get("Retry-After-Ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		if res := send(chatPath, key); res.StatusCode != http.StatusOK {
			t.Errorf("%d after the announced wait", res.StatusCode)
		}
		if res := send(chatPath, map[string]string{headerControl: "u=100/1"}); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "" {
			t.Errorf("too large: %d, retry-after %q, want 429 without", res.StatusCode, res.Header.Get("Retry-After"))
		}
	})
}
