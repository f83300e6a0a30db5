package suite

import (
	"time"

	"github.com/llmlimit/llmlimit/pkg/mockllm"
)

// Request is one HTTP request, merged over the defaults: a field that is not
// set is the default's.
type Request struct {
	Pos        Pos               `json:"-"`
	Method     string            `json:"method,omitempty"` // POST
	Path       string            `json:"path,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"` // merged by name; null removes a default's
	Query      map[string]string `json:"query,omitempty"`   // merged by name
	JSON       *JSON             `json:"json,omitempty"`    // merged over the defaults by RFC 7396
	Body       *string           `json:"body,omitempty"`    // verbatim, instead of json
	BodyFile   string            `json:"body-file,omitempty"`
	Framing    string            `json:"framing,omitempty" jsonschema:"enum=content-length,enum=chunked"` // of the request body
	ChunkSizes []int             `json:"chunk-sizes,omitempty"`                                           // bytes per chunk; the last one repeats
	Pace       *time.Duration    `json:"pace,omitempty"`                                                  // between two chunks: a slow upload
	Plan       *Plan             `json:"plan,omitempty"`                                                  // the mock's answer
	Key        string            `json:"key,omitempty"`                                                   // identity: value of the target's identity header
	Limits     []string          `json:"limits,omitempty"`                                                // names of target.limits whose client this is; default: the scenario's
	Nobody     bool              `json:"nobody,omitempty"`                                                // it comes without an identity
	Stream     *bool             `json:"stream,omitempty"`                                                // short for json: { stream: … }

	binding *requestBinding
}

// JSON is a free value of the suite, ready for encoding/json: nil, bool, int64,
// json.Number (fractions, as written), string, []any, map[string]any.
type JSON struct {
	Pos   Pos
	Value any
}

// Plan is the mock's answer. In a planned cell it is merged over the mock's
// default plan, short forms are written out and its name is resolved.
// Distributions are still inside, for the runner to draw with
// [mockllm.Plan.Draw].
type Plan struct {
	Pos  Pos
	Name string // as written, of a plan under backend.mock.plans; empty for an object
	mockllm.Plan
}

// Expect is shorthand on the response of this step's own request.
type Expect struct {
	Pos        Pos                 `json:"-"`
	Status     *Matcher            `json:"status,omitempty"`
	Reason     *Matcher            `json:"reason,omitempty"`  // x-llmlimit-reason, or the error's code
	Outcome    *Matcher            `json:"outcome,omitempty"` // complete, cancelled, reset, truncated, timeout
	Headers    map[string]*Matcher `json:"headers,omitempty"`
	Trailers   map[string]*Matcher `json:"trailers,omitempty"`
	Usage      *UsageExpect        `json:"usage,omitempty"` // what the client was told
	Bytes      string              `json:"bytes,omitempty" jsonschema:"enum=mock"`
	JSON       map[string]*Matcher `json:"json,omitempty"` // by gjson path
	Body       *Matcher            `json:"body,omitempty"` // the decoded body as text
	Schema     *SchemaRef          `json:"schema,omitempty"`
	Stream     *StreamExpect       `json:"stream,omitempty"`
	Limit      *Matcher            `json:"limit,omitempty"`
	Remaining  *Matcher            `json:"remaining,omitempty"`
	Reset      *Matcher            `json:"reset,omitempty"`
	RetryAfter *Matcher            `json:"retry-after,omitempty"`
	Reserved   *Matcher            `json:"reserved,omitempty"`
	TTFT       *Matcher            `json:"ttft,omitempty"`
	Duration   *Matcher            `json:"duration,omitempty"`
	Upstream   *Matcher            `json:"upstream,omitempty"` // how often the mock saw this request
}

// UsageExpect matches the usage that the client was told.
type UsageExpect struct {
	Pos    Pos
	Absent bool // usage: absent
	Exists bool // usage: exists
	In     *Matcher
	Out    *Matcher
	Total  *Matcher
}

// StreamExpect looks at the events of a streamed response.
type StreamExpect struct {
	Events    *Matcher            `json:"events,omitempty"`     // how many
	Order     []*Matcher          `json:"order,omitempty"`      // event names or data, in this order, others between them allowed
	First     *Matcher            `json:"first,omitempty"`      // first byte after the send
	MaxGap    *Matcher            `json:"max-gap,omitempty"`    // longest pause between two events
	LastGap   *Matcher            `json:"last-gap,omitempty"`   // pause before the last event
	Done      *Matcher            `json:"done,omitempty"`       // whether the terminal event came
	Dropped   *Matcher            `json:"dropped,omitempty"`    // events that the mock wrote and the client never saw
	BeforeEnd *Matcher            `json:"before-end,omitempty"` // events that arrived before the mock wrote its last byte: not buffered
	JSON      map[string]*Matcher `json:"json,omitempty"`       // by gjson path, on any event
}
