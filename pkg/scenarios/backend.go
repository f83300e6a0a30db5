package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
)

// backend is the mock as a cell uses it: one of its own in this process, or one that
// runs elsewhere. Its methods are safe for concurrent use.
type backend interface {
	SetPlan(id string, p mockllm.Plan)
	DropPlan(id string)
	SetDefault(p mockllm.Plan)
	Enqueue(name string, plans ...mockllm.Plan)
	DropQueue(name string)
	Hold(at string)
	Release()
	// entries are the lines of the journal about one request, oldest first; an
	// empty id means all.
	entries(id string) []mockllm.Entry
	// journal is entries for who asks for many requests, one after the other.
	journal() func(id string) []mockllm.Entry
	// wait returns when the request is over in the journal, or ctx is.
	wait(ctx context.Context, id string)
	// broken is why the answers of the others cannot be trusted; nil if they can.
	broken() error
}

// ownMock is a mock in this process.
type ownMock struct{ *mockllm.Mock }

func (m ownMock) entries(id string) []mockllm.Entry {
	if id == "" {
		return m.Journal().Entries()
	}
	return m.Journal().ByID(id)
}

func (m ownMock) journal() func(id string) []mockllm.Entry { return m.entries }

func (m ownMock) wait(ctx context.Context, id string) {
	_, _ = m.Journal().Wait(ctx, id) // without it the checks say what is missing
}

func (ownMock) broken() error { return nil }

// remoteMock is a mock in another process, driven through its admin API. Its clock
// is not ours: the instants of its journal are shifted by what was measured.
type remoteMock struct {
	http   http.RoundTripper
	url    string
	after  uint64        // entries up to here were there before
	offset time.Duration // its clock less ours
	within time.Duration // how far that may be wrong

	// bounded is the context of one call. It lives as long as the cell: the steps
	// know of no other process, and have no context for it.
	bounded func() (context.Context, context.CancelFunc)

	mu       sync.Mutex // guards what follows
	standard mockllm.Plan
	err      error
}

// clockSamples is how often a clock is asked: the fastest answer bounds it best.
const clockSamples = 20

// newRemoteMock finds the mock at a base URL and compares clocks. standard is merged
// below every plan that it is told.
func newRemoteMock(ctx context.Context, transport http.RoundTripper, base string, standard mockllm.Plan) (*remoteMock, error) {
	lasting := context.WithoutCancel(ctx)
	m := &remoteMock{
		http: transport, url: strings.TrimRight(base, "/"), standard: standard,
		bounded: func() (context.Context, context.CancelFunc) { return context.WithTimeout(lasting, adminTimeout) },
	}
	if err := m.compareClocks(); err != nil {
		return nil, fmt.Errorf("the mock at %s is not there, or is none of ours: start it with `llmlimit mock-backend --listen ADDR`, "+
			"or correct --mock: %w", m.url, err)
	}
	for _, e := range m.entries("") {
		m.after = max(m.after, e.Seq)
	}
	return m, m.broken()
}

// compareClocks asks for the time a few times. The true offset lies within half the
// round trip of each sample; the shortest round trip says most.
func (m *remoteMock) compareClocks() error {
	m.within = time.Hour
	for range clockSamples {
		var clock struct {
			Now int64 `json:"now_ns"`
		}
		asked := time.Now()
		if err := m.call(http.MethodGet, "/__mock/clock", nil, &clock); err != nil {
			return err
		}
		trip := time.Since(asked)
		if clock.Now == 0 {
			return errors.New("its clock says nothing")
		}
		if trip/2 < m.within {
			m.within = trip / 2
			m.offset = time.Unix(0, clock.Now).Sub(asked.Add(trip / 2))
		}
	}
	return nil
}

// call makes one request of the admin API. A nil answer is not read.
//
//nolint:contextcheck,nolintlint // it has one of its own, see bounded; the linter reads this here and counts it nowhere
func (m *remoteMock) call(method, path string, body, answer any) error {
	ctx, cancel := m.bounded()
	defer cancel()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("telling the mock: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, m.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := m.http.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("reading what the mock says: %w", err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: status %d: %s", method, path, resp.StatusCode, shorten(strings.TrimSpace(string(got)), 200))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(got, answer)
}

// tell is a call that has no answer; the first that goes wrong is kept.
func (m *remoteMock) tell(method, path string, body any) { m.keep(m.call(method, path, body, nil)) }

func (m *remoteMock) keep(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil && m.err == nil {
		m.err = fmt.Errorf("the mock at %s: %w", m.url, err)
	}
}

func (m *remoteMock) broken() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *remoteMock) SetPlan(id string, p mockllm.Plan) {
	m.mu.Lock()
	plan := m.standard.Merge(p)
	m.mu.Unlock()
	m.tell(http.MethodPut, "/__mock/plans/"+url.PathEscape(id), plan)
}

func (m *remoteMock) DropPlan(id string) {
	m.tell(http.MethodDelete, "/__mock/plans/"+url.PathEscape(id), nil)
}

func (m *remoteMock) Enqueue(name string, plans ...mockllm.Plan) {
	m.mu.Lock()
	standard := m.standard
	m.mu.Unlock()
	for _, p := range plans {
		m.tell(http.MethodPost, queueOf(name), standard.Merge(p))
	}
}

func (m *remoteMock) DropQueue(name string) { m.tell(http.MethodDelete, queueOf(name), nil) }

func queueOf(name string) string {
	if name == "" {
		return "/__mock/queue"
	}
	return "/__mock/queue/" + url.PathEscape(name)
}

// SetDefault changes what later plans are merged over, and leaves the mock's own
// default alone: others may use it.
func (m *remoteMock) SetDefault(p mockllm.Plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.standard = p
}

func (m *remoteMock) Hold(at string) {
	m.tell(http.MethodPost, "/__mock/hold?at="+url.QueryEscape(at), nil)
}
func (m *remoteMock) Release() { m.tell(http.MethodPost, "/__mock/release", nil) }

func (m *remoteMock) entries(id string) []mockllm.Entry {
	query := url.Values{"after": {strconv.FormatUint(m.after, 10)}}
	if id != "" {
		query.Set("id", id)
		query.Set("all", "")
	}
	var page struct {
		Entries []mockllm.Entry `json:"entries"`
		Dropped uint64          `json:"dropped"`
	}
	if err := m.call(http.MethodGet, "/__mock/journal?"+query.Encode(), nil, &page); err != nil {
		m.keep(err)
		return nil
	}
	for i := range page.Entries {
		m.onOurClock(&page.Entries[i])
	}
	return page.Entries
}

// journal reads all of it at once: to ask for each request would read it as often as
// there are requests.
func (m *remoteMock) journal() func(id string) []mockllm.Entry {
	all := map[string][]mockllm.Entry{}
	for _, e := range m.entries("") {
		all[e.ID] = append(all[e.ID], e)
	}
	return func(id string) []mockllm.Entry { return all[id] }
}

// onOurClock shifts the instants of an entry.
func (m *remoteMock) onOurClock(e *mockllm.Entry) {
	for _, at := range []struct {
		ns   *int64
		time *time.Time
	}{
		{&e.RecvNS, &e.Recv},
		{&e.EndNS, &e.EndAt},
		{&e.Sent.HeadNS, &e.Sent.Head},
		{&e.Sent.FirstNS, &e.Sent.First},
		{&e.Sent.UsageNS, &e.Sent.Usage},
		{&e.Sent.LastNS, &e.Sent.Last},
	} {
		if *at.ns != 0 {
			*at.ns -= int64(m.offset)
			*at.time = time.Unix(0, *at.ns)
		}
	}
}

func (m *remoteMock) wait(ctx context.Context, id string) {
	for ctx.Err() == nil {
		over := true
		for _, e := range m.entries(id) {
			over = over && e.Done()
		}
		if over || pause(ctx, 5*time.Millisecond) != nil {
			return
		}
	}
}
