package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

// Wire asks a real gateway whose upstream is the mock. It is a [Gateway]; its budget
// is checked before anything is sent.
type Wire struct {
	Client *client.Client
	Mock   *mockllm.Mock
	URL    string         // base URL of the gateway, without a slash at its end
	Path   string         // default /v1/chat/completions; of that dialect
	Model  string         // default mock
	Header http.Header    // of every request
	Body   map[string]any // fields of every body that says nothing of them
	// Identity puts a client into a request. Nil: clients cannot be told apart.
	Identity func(h http.Header, client int)
	// Namespace is what the gateway may have in its configuration: /p/NAME in the path,
	// or sk-mock-NAME as the key of its upstream.
	Namespace string
	// Run tells the requests of this probe from those of others.
	Run string
	// Tokens and Requests are the most that may be used; 0 is no bound.
	Tokens, Requests int64
	// Way explains what does not arrive.
	Way client.Way

	mu       sync.Mutex
	cost     Cost // guarded by mu
	answered bool // by the gateway, at least once; guarded by mu
}

// patience is how long an answer is waited for.
const patience = 30 * time.Second

// do makes one exchange. An error says why there was no answer.
func (w *Wire) do(ctx context.Context, r client.Request) (*client.Exchange, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	x := w.Client.Do(ctx, r)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case x.Status != 0:
		w.answered = true
	case x.Outcome == client.Cancelled:
	case w.answered:
		return x, w.Way.Gone(x.Err)
	default:
		return x, w.Way.Silent(x.Err)
	}
	return x, nil
}

// Cost is what has been used so far.
func (w *Wire) Cost() Cost {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cost
}

// spend takes one request and its tokens from the budget, and gives the request's id.
// They are taken before it is sent, so that the budget holds whatever is under way.
func (w *Wire) spend(tokens int64) (id string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Requests > 0 && w.cost.Requests+1 > w.Requests || w.Tokens > 0 && w.cost.Tokens+tokens > w.Tokens {
		return "", ErrBudget
	}
	w.cost.Requests++
	w.cost.Tokens += tokens
	return w.nextID(), nil
}

// save gives back the tokens of a request that was not admitted.
func (w *Wire) save(tokens int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cost.Tokens -= tokens
}

// Ask implements [Gateway].
func (w *Wire) Ask(ctx context.Context, q Question) (Answer, error) {
	used := max(q.Used, 1)
	id, err := w.spend(used)
	if err != nil {
		return Answer{}, err
	}
	w.Mock.SetPlan(id, planOf(q, used))
	defer w.Mock.DropPlan(id)
	request, err := w.request(q, id)
	if err != nil {
		return Answer{}, err
	}
	x, err := w.do(ctx, request)
	if err != nil && q.Ending != Cut {
		return Answer{}, err
	}
	a := Answer{Sent: x.Sent, Decided: x.Headers, Ended: x.Ended, Status: x.Status, Said: judge.ReadSaid(x.Header, x.Headers.UnixNano())}
	if entries := w.Mock.Journal().ByID(id); len(entries) > 0 {
		last := entries[len(entries)-1]
		a.Admitted, a.Decided = true, last.Recv
		if last.EndAt.After(a.Ended) {
			a.Ended = last.EndAt
		}
		return a, nil
	}
	w.save(used)
	return a, nil
}

func (w *Wire) namespace() string { return orDefault(w.Namespace, "llmlimit") }

func (w *Wire) nextID() string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(w.Run))
	return "p" + strconv.FormatUint(h.Sum64(), 36) + "-" + strconv.FormatInt(w.cost.Requests, 10)
}

// planOf is the mock's answer to a question.
func planOf(q Question, used int64) mockllm.Plan {
	tree := map[string]any{"usage": map[string]any{"in": int64(0), "out": used}}
	switch q.Ending {
	case Whole, Streamed:
	case LeftStream:
		tree["timing"] = map[string]any{"itl": "50ms"}
	case LeftEarly:
		tree["timing"] = map[string]any{"ttft": "1s"}
	case ServerError:
		tree["http"], tree["usage_at"] = map[string]any{"status": int64(500)}, "none"
	case NoUsage:
		tree["usage_at"] = "none"
	case Cut:
		tree["fault"] = map[string]any{"kind": "fin", "after": map[string]any{"chunks": int64(3)}}
	case Silent:
		tree["fault"] = map[string]any{"kind": "hang_before_headers"}
	}
	plan, err := mockllm.PlanFromValue(tree)
	if err != nil {
		panic("probe: a plan of its own is not valid: " + err.Error()) // the table above is wrong
	}
	return plan
}

// request is a chat completion. The text of its last message is a marker behind the
// question's text; the plain one is filled up to the length that all of them have.
func (w *Wire) request(q Question, id string) (client.Request, error) {
	messages := make([]any, 0, q.Messages+1)
	for range q.Messages {
		messages = append(messages, map[string]any{"role": "user", "content": ""})
	}
	messages = append(messages, map[string]any{"role": "user", "content": contentOf(q, id)})
	body := map[string]any{}
	maps.Copy(body, w.Body)
	maps.Copy(body, map[string]any{"model": orDefault(w.Model, "mock"), "messages": messages, "max_tokens": max(q.Output, 1)})
	path := orDefault(w.Path, "/v1/chat/completions")
	if q.Endpoint != "" {
		e, model := at(q.Endpoint), orDefault(w.Model, "mock")
		path, body = e.pathFor(model), e.body(promptOf("", id), max(q.Output, 1))
		body["model"] = model
	}
	if q.Shape == AsTool {
		body["tools"] = []any{map[string]any{"type": "function", "function": map[string]any{"name": "f", "description": q.Text}}}
	}
	switch q.Ending {
	case Streamed, LeftStream, Cut:
		body["stream"] = true
	case Whole, LeftEarly, ServerError, NoUsage, Silent:
	}
	text, err := json.Marshal(body)
	if err != nil {
		return client.Request{}, fmt.Errorf("writing a question: %w", err)
	}
	r := client.Request{
		Method: http.MethodPost, URL: strings.TrimRight(w.URL, "/") + path,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: text,
	}
	for name, values := range w.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	r.Header.Set("X-Llmlimit-Mock", "id="+id)
	r.Header.Set("X-Pass-X-Llmlimit-Mock", "id="+id)
	if w.Identity != nil && q.Client != 0 {
		w.Identity(r.Header, q.Client)
	}
	switch q.Ending {
	case LeftStream:
		r.Leave = client.Leave{AfterEvents: 2}
	case LeftEarly:
		r.Leave = client.Leave{After: 100 * time.Millisecond}
	case Silent:
		r.Leave = client.Leave{After: q.For}
	case Whole, Streamed, ServerError, NoUsage, Cut:
	}
	return r, nil
}

// contentOf is the content of the last message.
func contentOf(q Question, id string) any {
	text := func(s string) any { return map[string]any{"type": "text", "text": s} }
	switch q.Shape {
	case AsParts:
		return []any{text(q.Text), text(promptOf("", id))}
	case AsImage:
		return []any{text(promptOf("", id)), map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64,AAAA"}}}
	case AsTool:
		return promptOf("", id)
	case AsText:
	}
	return promptOf(q.Text, id)
}

// promptOf is a text with a marker, one byte and the plain prompt longer than the
// text.
func promptOf(text, id string) string {
	marker := "[[llmlimit " + id + "]]"
	fill := plainBytes - len(marker)
	if text != "" {
		text += " "
	}
	return text + strings.Repeat(".", max(fill, 0)) + marker
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
