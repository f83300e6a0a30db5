package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/mockllm"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

// acquaintances is what the cells of a run have learned of targets by URL. The
// first cell looks, the others are told.
type acquaintances struct {
	mu     sync.Mutex
	met    map[string]*acquaintance
	stages map[string]*stage // by the address asked for

	alone sync.Mutex // held by a cell whose requests do not say whose they are
}

func newAcquaintances() *acquaintances {
	return &acquaintances{met: map[string]*acquaintance{}, stages: map[string]*stage{}}
}

// stage is where the mock listens, opened by the first who asks.
func (k *acquaintances) stage(n Net, addr string) (*stage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.stages[addr]; s != nil {
		return s, nil
	}
	s, err := newStage(n, addr)
	if err == nil {
		k.stages[addr] = s
	}
	return s, err
}

// close ends what was opened for targets by URL.
func (k *acquaintances) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for _, s := range k.stages {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// acquaintance is one target by URL, as it was found before the first cell.
type acquaintance struct {
	err      error    // why it cannot be judged
	channels []string // of the control channels, which reached the mock
	notes    []string
}

// meet makes sure, once a run, that the target can be judged: it answers, its
// upstream is our mock, a control channel survives it, and its limiter works. What
// is wrong is said with the side that is wrong and what to do.
func (w *world) meet(ctx context.Context) error {
	if w.cell.Target.URL == "" || w.o.known == nil {
		return nil
	}
	known := w.o.known
	known.mu.Lock()
	defer known.mu.Unlock()
	a := known.met[w.cell.Target.URL]
	if a == nil {
		a = &acquaintance{}
		if w.step != nil {
			w.step()
		}
		a.err = w.introduce(ctx, a)
		known.met[w.cell.Target.URL] = a
	}
	for _, note := range a.notes {
		w.note(note)
	}
	w.channels = a.channels
	return a.err
}

// patience is how long one look at a target may take.
const patience = 30 * time.Second

// introduce looks at a target that nobody has looked at.
func (w *world) introduce(ctx context.Context, a *acquaintance) error {
	within := patience
	if r := w.cell.Target.Ready; r != nil && r.Within != nil {
		within = *r.Within
	}
	until := time.Now().Add(within)
	if err := w.listens(ctx, until); err != nil {
		return err
	}
	look, err := w.newLook(ctx)
	if err != nil || look == nil {
		return err
	}
	one, err := mockllm.PlanFromValue(map[string]any{"usage": "1/0"}) // it costs its client one token
	if err != nil {
		return fmt.Errorf("looking at the target: %w", err)
	}
	for {
		entries := look.send(ctx, one, nil)
		if err = w.diagnose(look, entries); err == nil {
			a.channels = w.arrived(ctx, look, one, entries)
			break
		}
		// A gateway that is starting may not know its routes yet.
		if time.Now().After(until) || !w.starting(look) || pause(ctx, 250*time.Millisecond) != nil {
			return err
		}
	}
	if declared := w.cell.Target.Control; declared != "" && declared != "auto" && !slices.Contains(a.channels, declared) {
		return w.channelLost(declared, a.channels)
	}
	if note := w.announced(look.x); note != "" {
		if w.suite.source.Builtin && w.suite.options.Target == nil { // nobody has said that the limit is this one
			return fmt.Errorf("%s; `llmlimit probe %s > target.yaml` writes a block for this gateway, --target-file target.yaml takes it", note, w.cell.Target.URL)
		}
		a.notes = append(a.notes, note)
	}
	if r := w.cell.Target.Ready; r != nil && r.LimiterProbe {
		return w.limiterWorks(ctx, look, until)
	}
	return nil
}

// starting tells whether waiting may help: only where the block says that the
// target has to become ready.
func (w *world) starting(l *look) bool {
	return w.cell.Target.Ready != nil && (l.x.Status == 0 || l.x.Status >= 500 || l.x.Status == http.StatusNotFound)
}

// listens waits until ready.path answers.
func (w *world) listens(ctx context.Context, until time.Time) error {
	r := w.cell.Target.Ready
	if r == nil || r.Path == "" {
		return nil
	}
	for {
		request := client.Request{Method: http.MethodGet, URL: w.conn.URL() + r.Path, Header: http.Header{}}
		w.headers(request.Header)
		x := w.client.Do(ctx, request)
		if x.Status > 0 && x.Status < 500 {
			return nil
		}
		if time.Now().After(until) || pause(ctx, 100*time.Millisecond) != nil {
			if x.Status == 0 {
				return w.unreachable(x.Err)
			}
			return fmt.Errorf("the gateway at %s never became ready: GET %s still answers %d; look at its log, or correct target.ready.path", w.cell.Target.URL, r.Path, x.Status)
		}
	}
}

// look is a request beforehand, as nobody in particular.
type look struct {
	w     *world
	asked *suite.Request
	pays  payment
	count int
	x     *client.Exchange
}

// newLook takes the first request of the suite, which says the path, the model and
// the dialect. No request: there is nothing to look with.
func (w *world) newLook(ctx context.Context) (*look, error) {
	var asked *suite.Request
	eachStep(w.cell.Steps, func(step *suite.Step) {
		if asked != nil || step.Open() {
			return
		}
		switch {
		case step.Send != nil:
			asked = step.Send
		case step.Drain != nil:
			asked = step.Drain.Request
		case step.Load != nil:
			asked = step.Load.Request
		}
	})
	if asked == nil || asked.JSON == nil {
		return nil, nil //nolint:nilnil // nothing to look with is no error
	}
	l := &look{w: w, asked: asked, pays: payment{keys: map[string]string{}}}
	is := w.cell.Target.Identity
	if first := w.cell.Target.Binding(nil); len(first) > 0 {
		l.pays.headers, l.pays.path = first[0].Headers, first[0].Path
		if first[0].Identity != nil {
			is = first[0].Identity
		}
	}
	ids, err := w.newIdentities(ctx, is, 0)
	if err != nil {
		return nil, err
	}
	who, err := ids.own()
	l.pays.presents = []owner{{ids: ids, who: who}}
	return l, err
}

// next is the id of the next look.
func (l *look) next() string { return fmt.Sprintf("%s-look-%d", l.w.requestID(0), l.count+1) }

// send makes one request and gives what the mock saw of it. over changes fields of
// the body.
func (l *look) send(ctx context.Context, plan mockllm.Plan, over map[string]any) []mockllm.Entry {
	w := l.w
	id := l.next()
	l.count++
	defer w.tell(id, plan)()
	plan.ID = id
	w.mock.SetPlan(w.namespace(), plan) // so that one sees whether a gateway has it in its configuration
	request := client.Request{
		Method: first(l.asked.Method, http.MethodPost), URL: w.conn.URL() + l.pays.path + l.asked.Path, Header: http.Header{"Content-Type": {"application/json"}},
	}
	w.headers(request.Header, l.pays.headers, l.asked.Headers)
	request.Header.Set("X-Llmlimit-Mock", "id="+id)
	request.Header.Set("X-Pass-X-Llmlimit-Mock", "id="+id)
	if err := l.pays.write(request.Header, nil); err != nil {
		l.x = &client.Exchange{Err: err, Outcome: client.Failed}
		return nil
	}
	request.Body = lookBody(w.lent(l.asked.JSON.Value), l.asked.Path, id, over)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	seen := len(w.mock.entries(""))
	l.x = w.client.Do(ctx, request)
	fresh := func() []mockllm.Entry {
		entries := w.mock.entries("")
		return slices.Clone(entries[min(seen, len(entries)):])
	}
	for _, e := range fresh() { // a gateway may answer before the mock has noted its own end
		if !e.Done() {
			w.mock.wait(ctx, e.ID)
		}
	}
	return fresh()
}

// little is an output allowance that every limit has room for, and that is the least
// which some providers accept.
const little = 16

// lookBody is the body of a look: an answer whole, with a marker, and asking for
// little, because a suite may begin with a request that has to be rejected.
func lookBody(value any, path, id string, over map[string]any) []byte {
	value = marked(value, path, id)
	if object, ok := value.(map[string]any); ok {
		delete(object, "n")
		for _, allowance := range []string{"max_tokens", "max_completion_tokens", "max_output_tokens"} {
			if _, given := object[allowance]; given {
				object[allowance] = little
			}
		}
		maps.Copy(object, over) // marked has made a copy
	}
	body, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	return body
}

// arrived lists the channels that carry something to the mock. Where nothing in the
// request does, its model is tried.
func (w *world) arrived(ctx context.Context, l *look, one mockllm.Plan, entries []mockllm.Entry) []string {
	channels := useful(entries)
	if w.cell.Target.Control == byModel || !slices.Contains(channels, byHeader) && !slices.Contains(channels, byMarker) {
		if named := l.send(ctx, one, map[string]any{"model": l.next()}); len(named) > 0 && w.diagnose(l, named) == nil {
			if slices.Contains(named[len(named)-1].Channels, byModel) && !slices.Contains(channels, byModel) {
				channels = slices.Insert(channels, 0, byModel)
			}
		}
	}
	return channels
}

// channelLost says what a declared channel lacks.
func (w *world) channelLost(declared string, arrived []string) error {
	needs := map[string]string{
		byHeader: "it has to pass the header x-llmlimit-mock on", byMarker: "something rewrites the prompt", byModel: "it has to pass unknown models on",
		byPath: "its upstream has to be " + w.backend + "/p/" + w.namespace(), byKey: "its key for the upstream has to be sk-mock-" + w.namespace(),
	}
	return fmt.Errorf("the gateway at %s reaches the mock, but not by target.control: %s; %s; what arrives is %s",
		w.cell.Target.URL, declared, needs[declared], strings.Join(arrived, ", "))
}

// announced compares what the target says of its limit with what was declared.
func (w *world) announced(x *client.Exchange) string {
	for _, said := range judge.ReadSaid(x.Header, x.Headers.UnixNano()).Rates {
		if said.Dimension != judge.Tokens || said.Limit == nil {
			continue
		}
		fits := true
		for _, l := range w.cell.Target.Limits {
			if l.Dimension == "tokens" {
				if *said.Limit == l.Amount || *said.Limit == l.Burst {
					return ""
				}
				fits = false
			}
		}
		if !fits {
			return fmt.Sprintf("the gateway says that its limit is %d tokens, and target.limits declares another: "+
				"correct the block, or the gateway's configuration; verdicts are about what was declared", *said.Limit)
		}
	}
	return ""
}

// limiterWorks waits until nobody in particular is rejected, or is told of a limit:
// a listener that answers need not have its limits yet.
func (w *world) limiterWorks(ctx context.Context, l *look, until time.Time) error {
	if len(judge.ReadSaid(l.x.Header, l.x.Headers.UnixNano()).Rates) > 0 {
		return nil
	}
	limit := w.tokenLimit()
	if limit == nil || l.pays.presents[0].ids.is == nil {
		w.note("the limiter was not waited for: that needs a declared limit of tokens and an identity to spend")
		return nil
	}
	most := max(limit.Amount, limit.Burst)
	plan, err := mockllm.PlanFromValue(map[string]any{"usage": map[string]any{"in": int64(1), "out": most}})
	if err != nil {
		return fmt.Errorf("asking for a rejection: %w", err)
	}
	spent := int64(0)
	for {
		entries := l.send(ctx, plan, nil)
		if len(entries) == 0 && l.x.Status >= 400 && l.x.Status < 500 {
			return nil
		}
		if len(entries) > 0 {
			spent += most + 1
		}
		if spent > 4*most && time.Now().After(until.Add(-patience+5*time.Second)) || time.Now().After(until) {
			return fmt.Errorf("the gateway at %s lets one client use %d tokens, %d are declared as the most (%s): its limit is not enforced; "+
				"is the policy attached to this route, is the limit keyed by what target.identity sends, is the limiter's store up?",
				w.cell.Target.URL, spent, most, limit.Name)
		}
		if err := pause(ctx, max(w.settle(), 50*time.Millisecond)); err != nil {
			return err
		}
	}
}

func (w *world) tokenLimit() *suite.Limit {
	for _, l := range w.cell.Target.Binding(nil) {
		if l.Dimension == "tokens" {
			return l
		}
	}
	return nil
}
