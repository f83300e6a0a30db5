package mockllm

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// ordered sends one request with everything given and returns the total that was told and the journal's entry.
func (b *bench) ordered(path, body string, headers map[string]string) (int64, Entry) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	c := b.client(false)
	res, err := c.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text := readAll(b.t, res)
	entries := b.Journal().Entries()
	return gjson.Get(text, "usage.total_tokens").Int(), entries[len(entries)-1]
}

func withText(model, text string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, text)
}

func TestChannels(t *testing.T) {
	t.Parallel()
	usage := func(n int64) Plan { return Plan{Usage: Usage{In: Count(n), Out: Count(0)}} }
	opts := Options{Plan: usage(1), Plans: map[string]Plan{
		"r7": usage(7), "slow": usage(8), "gpt-broken": usage(9), "ns1": usage(10),
	}}
	key := func(ns string) map[string]string { return map[string]string{"Authorization": "Bearer sk-mock-" + ns} }
	for _, c := range []struct {
		name, path, body string
		headers          map[string]string
		total            int64
		channel, id      string
	}{
		{name: "default", total: 1, channel: "default"},
		{name: "header id", headers: map[string]string{headerControl: "id=r7"}, total: 7, channel: "header", id: "r7"},
		{name: "header inline", headers: map[string]string{headerControl: "usage=1200/300;id=x"}, total: 1500, channel: "header", id: "x"},
		{name: "header plan", headers: map[string]string{headerControl: "id=x;plan=slow"}, total: 8, channel: "header", id: "x"},
		{name: "plan and inline", headers: map[string]string{headerControl: "id=x;plan=slow;usage.out=2"}, total: 10, channel: "header", id: "x"},
		{name: "pass header", headers: map[string]string{headerPass: "id=r7"}, total: 7, channel: "header", id: "r7"},
		{name: "marker", body: withText("m", "padding [[llmlimit r7]]"), total: 7, channel: "marker", id: "r7"},
		{name: "marker inline", body: withText("m", "[[llmlimit u=20/30 f=none]]"), total: 50, channel: "marker"},
		{name: "last marker", body: withText("m", "[[llmlimit u=20/30]] [[llmlimit r7]] [[llmlimit \\\" x]]"), total: 7, channel: "marker", id: "r7"},
		{name: "no marker", body: withText("m", "[[llmlimit <b>]] [[llmlimit ]] [[llmlimit"), total: 1, channel: "default"},
		{name: "exact model", body: withText("gpt-broken", ""), total: 9, channel: "model"},
		{name: "mock model", body: withText("mock/slow", ""), total: 8, channel: "model"},
		{name: "model suffix", body: withText("gpt-4o--u1200x300", ""), total: 1500, channel: "model"},
		{name: "two hyphens", body: withText("some--model", ""), total: 1, channel: "default"},
		{name: "path", path: "/p/slow" + chatPath, total: 8, channel: "path"},
		{name: "key", headers: key("ns1"), total: 10, channel: "key"},
		{name: "queue by path", path: "/q/jobs" + chatPath, total: 20, channel: "queue"},
		{name: "queue by key", headers: key("jobs"), total: 21, channel: "queue"},
		{
			name: "header before all", path: "/p/slow" + chatPath, body: withText("gpt-broken", "[[llmlimit u=1/1]]"),
			headers: map[string]string{headerControl: "id=r7", "Authorization": "Bearer sk-mock-ns1"}, total: 7, channel: "header", id: "r7",
		},
		{name: "marker before model", body: withText("gpt-broken", "[[llmlimit u=1/1]]"), total: 2, channel: "marker"},
		{name: "model before path", path: "/p/slow" + chatPath, body: withText("gpt-broken", ""), total: 9, channel: "model"},
		{name: "path before key", path: "/p/slow" + chatPath, headers: key("ns1"), total: 8, channel: "path"},
		{name: "only an id", body: withText("gpt-broken", ""), headers: map[string]string{headerControl: "id=unheard"}, total: 9, channel: "model", id: "unheard"},
	} {
		inBubble(t, opts, func(b *bench) {
			b.Enqueue("jobs", usage(20), usage(21))
			if c.name == "queue by key" {
				b.ordered("/q/jobs"+chatPath, chatBody, nil)
			}
			total, e := b.ordered(firstOf(c.path, chatPath), firstOf(c.body, chatBody), c.headers)
			if total != c.total || e.Channel != c.channel || e.ID != c.id {
				t.Errorf("%s: total %d by %s, id %q; want %d by %s, %q", c.name, total, e.Channel, e.ID, c.total, c.channel, c.id)
			}
			if c.channel == "queue" && (e.Queue != "jobs" || e.QueueIndex != int(c.total)-19) {
				t.Errorf("%s: queue %q index %d", c.name, e.Queue, e.QueueIndex)
			}
		})
	}
}

// A doctor sees every channel that arrived, not only the one that decided.
func TestAllChannelsAreNoted(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Plans: map[string]Plan{"d": {}}}, func(b *bench) {
		_, e := b.ordered("/p/d"+chatPath+"?key=secret&a=1&api_key=secret&monkey=x", withText("mock/d", "[[llmlimit d]]"), map[string]string{
			headerControl: "id=d", "Authorization": "Bearer sk-mock-d",
		})
		if want := []string{"header", "marker", "model", "path", "key"}; !slices.Equal(e.Channels, want) {
			t.Errorf("channels %v, want %v", e.Channels, want)
		}
		if e.Header.Get("Authorization") != "[redacted]" {
			t.Errorf("authorization in the journal: %q", e.Header.Get("Authorization"))
		}
		if want := "/p/d" + chatPath + "?key=[redacted]&a=1&api_key=[redacted]&monkey=x"; e.Path != want {
			t.Errorf("path in the journal: %q, want %q", e.Path, want)
		}
	})
}

// A mistake in a control channel is told, not answered with the default.
func TestControlMistakes(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Plans: map[string]Plan{"slow": {}}}, func(b *bench) {
		for order, want := range map[string]string{
			"plan=slwo":    `no plan is named \"slwo\", did you mean \"slow\"?`,
			"usge=1/2":     `usge: unknown field, did you mean \"usage\"?`,
			"fault=rest@3": `did you mean \"reset\"?`,
		} {
			res, body, err := b.post(chatPath, chatBody, order)
			if err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), want) {
				t.Errorf("%s: %v %v %s", order, err, res, body)
			}
		}
		res, body, err := b.post("/nowhere", chatBody, "")
		if err != nil || res.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "no provider answers at /nowhere, expected a path that ends in one of /chat/completions, ") {
			t.Errorf("unknown path: %v %v %s", err, res, body)
		}
		res, body, err = b.post("/v1/models", chatBody, "")
		if err != nil || res.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "found POST /v1/models, expected GET") {
			t.Errorf("wrong method: %v %v %s", err, res, body)
		}
		res, body, err = b.post("/nowhere", chatBody, "body_raw=e30=")
		if err != nil || res.StatusCode != http.StatusOK || string(body) != "{}" {
			t.Errorf("a body of the plan's own: %v %v %s", err, res, body)
		}
	})
}

func TestReadsTheRequest(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		body := `{"model":"m","max_tokens":5,"max_completion_tokens":7,"stream":true,"stream_options":{"include_usage":true}}`
		_, e := b.ordered(chatPath+"?a=b", body, map[string]string{"X-Api-Key": "secret"})
		if e.Model != "m" || !e.Stream || !e.IncludeUsage || e.MaxTokens != 7 || e.Body != body || e.BodyBytes != int64(len(body)) ||
			e.Path != chatPath+"?a=b" || e.Method != http.MethodPost || e.Proto != "HTTP/1.1" || e.Dialect != "openai-chat" {
			t.Errorf("got %+v", e)
		}
		if strings.Contains(show(e), "secret") {
			t.Errorf("a credential is in the journal: %s", show(e))
		}
		// A torn body asks for the defaults: gjson alone would still read the model.
		if _, e := b.ordered(chatPath, `{"model":"m","stream":true`, nil); e.Stream || e.Model != "" {
			t.Errorf("read %q, stream %v from a torn body", e.Model, e.Stream)
		}
	})
}
