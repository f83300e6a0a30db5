package mockllm

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure a [Mock]. The zero Options give a faithful provider that reports 10 tokens in and 20 out.
type Options struct {
	// Plan is the default: every other plan is merged over it.
	Plan Plan
	// Plans can be named by a control channel.
	Plans map[string]Plan
	// Seed of every draw, response id and timer offset.
	Seed uint64
	// JournalSize is how many entries are kept; default 10000.
	JournalSize int
	// KeepSent is how many bytes of each response body the journal keeps; default 64 KiB, negative keeps none.
	KeepSent int
	// OmitHeaders leaves the headers of requests out of the journal, which are a third of it.
	OmitHeaders bool
	// Created is the Unix time in `created` fields; default 2026-01-01T00:00:00Z, so that bodies are reproducible.
	Created int64
	// Now gives the instants of the journal; default time.Now.
	Now func() time.Time
	// RPM and TPM, if above 0, play the provider's own limits: requests and tokens per minute and API key.
	RPM, TPM int64
	// Admin serves [Mock.Admin] under /__mock/ of [Mock.Handler] too.
	Admin bool
}

// The defaults of Options.
const (
	defaultJournalSize = 10_000
	defaultKeepSent    = 64 << 10
	defaultCreated     = 1_767_225_600 // 2026-01-01T00:00:00Z
	keepBody           = 64 << 10
	maxBody            = 256 << 20
)

// Mock is the backend: plans, queues, barriers and a journal behind an http.Handler. It is safe for concurrent use and owns
// no goroutine.
type Mock struct {
	opts    Options
	journal *Journal
	gate    gate
	limits  providerLimits
	metrics metrics
	answers answerCache
	last    atomic.Pointer[request]

	mu      sync.Mutex
	plan    Plan
	plans   map[string]Plan
	version uint64 // grows when plan or plans change
	queues  map[string]*queue
}

// queue is a list of plans of which the first `served` are used up.
type queue struct {
	plans  []Plan
	served int
}

// New returns a mock that is ready to serve. Plans are validated by who reads them: New takes them as they are.
func New(opts Options) *Mock {
	if opts.JournalSize <= 0 {
		opts.JournalSize = defaultJournalSize
	}
	if opts.KeepSent == 0 {
		opts.KeepSent = defaultKeepSent
	}
	if opts.Created == 0 {
		opts.Created = defaultCreated
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	m := &Mock{opts: opts, journal: newJournal(opts.JournalSize), limits: newProviderLimits(opts.RPM, opts.TPM)}
	m.reset()
	return m
}

// reset returns plans and queues to what Options say.
func (m *Mock) reset() {
	m.resetPlans()
	m.resetQueues()
}

func (m *Mock) resetPlans() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	m.plan = m.opts.Plan
	m.plans = make(map[string]Plan, len(m.opts.Plans))
	maps.Copy(m.plans, m.opts.Plans)
}

func (m *Mock) resetQueues() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queues = map[string]*queue{}
}

// Handler answers as a provider. With [Options.Admin] it also serves [Mock.Admin] under /__mock/.
func (m *Mock) Handler() http.Handler { return http.HandlerFunc(m.serve) }

// Journal is what was received and sent.
func (m *Mock) Journal() *Journal { return m.journal }

// SetPlan stores p under id, for requests that name it. It replaces a plan of that name.
func (m *Mock) SetPlan(id string, p Plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	m.plans[id] = p
}

// DropPlan forgets the plan that is stored under id.
func (m *Mock) DropPlan(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	delete(m.plans, id)
}

// SetPlans replaces all named plans and the default, as when a plan file has changed. A reset returns to these from now on.
func (m *Mock) SetPlans(plans map[string]Plan, standard Plan) {
	m.mu.Lock()
	m.opts.Plans, m.opts.Plan = maps.Clone(plans), standard
	m.mu.Unlock()
	m.resetPlans()
}

// SetDefault replaces the default plan.
func (m *Mock) SetDefault(p Plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	m.plan = p
}

// Enqueue appends plans to a queue, which are used up first in, first out by requests that no other channel decides: those
// with the path prefix /q/NAME, those with the key sk-mock-NAME, and for the name "" all the others.
func (m *Mock) Enqueue(name string, plans ...Plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queues[name]
	if q == nil {
		q = &queue{}
		m.queues[name] = q
	}
	q.plans = append(q.plans, plans...)
}

// DropQueue forgets the plans of a queue that nobody has used.
func (m *Mock) DropQueue(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.queues, name)
}

// Hold makes every answer wait at "headers" or "usage" from now on, until [Mock.Release]. It panics at any other word.
func (m *Mock) Hold(at string) { m.gate.hold(at) }

// Release lets every answer go that waits at a barrier, those whose own plan says hold too, and ends Hold.
func (m *Mock) Release() { m.gate.release() }

// Held returns how many answers wait at a barrier now.
func (m *Mock) Held() int { return m.gate.waiting() }

// drawSeed mixes the seed with the plan's name and the correlation id, so that draws do not depend on the order of arrival.
func drawSeed(seed uint64, parts ...string) uint64 {
	const prime = 1099511628211 // FNV-1a, 64 bits
	h := uint64(14695981039346656037) ^ seed*0x9e3779b97f4a7c15
	for _, p := range parts {
		for i := range len(p) {
			h = (h ^ uint64(p[i])) * prime
		}
		h = (h ^ 0xff) * prime // no byte of UTF-8, so parts cannot run into each other
	}
	return h
}
