package mockllm

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
)

// Plan is one answer before it is played. The zero Plan is a faithful answer of the dialect with the default usage. A field
// that is not set leaves the choice to the plan beneath it (see [Plan.Merge]) and at last to the default.
type Plan struct {
	// ID is the correlation id: it names the answer in the journal and seeds its draws.
	ID string `json:"id,omitempty" yaml:"id,omitempty"`
	// Usage is what the provider counts, in the neutral form; the encoder maps it to the dialect's rules.
	Usage Usage `json:"usage,omitzero" yaml:"usage,omitempty"`
	// UsageAt is where the usage is told: auto (as the real provider does), none, final, every, early, finish_chunk, x_groq,
	// after_done, twice, null_value, empty_object.
	UsageAt string `json:"usage_at,omitempty" yaml:"usage_at,omitempty"`
	// UsageRaw replaces the mapped usage object, byte for byte. It need not be valid.
	UsageRaw Raw `json:"usage_raw,omitempty" yaml:"usage_raw,omitempty"`
	// Content is the text of the answer. It has nothing to do with the usage, on purpose.
	Content Content `json:"content,omitzero" yaml:"content,omitempty"`
	// Timing says when.
	Timing Timing `json:"timing,omitzero" yaml:"timing,omitempty"`
	// SSE shapes event streams.
	SSE SSE `json:"sse,omitzero" yaml:"sse,omitempty"`
	// HTTP shapes the response around the body.
	HTTP HTTP `json:"http,omitzero" yaml:"http,omitempty"`
	// Fault is what goes wrong.
	Fault Fault `json:"fault,omitzero" yaml:"fault,omitempty"`
	// Hold is a barrier: none, headers or usage. The answer waits there until it is released.
	Hold string `json:"hold,omitempty" yaml:"hold,omitempty"`
	// BodyRaw is the whole body in base64, in place of the encoder's.
	BodyRaw string `json:"body_raw,omitempty" yaml:"body_raw,omitempty"`
}

// Usage is a token count that belongs to no dialect: In includes Cached and CacheWrite, Out includes Reasoning.
// "1200/300" is short for {in: 1200, out: 300}; "estimate" is a quarter of the bytes, rounded up, for demonstrations.
type Usage struct {
	In         *Tokens `json:"in,omitempty" yaml:"in,omitempty"`
	Out        *Tokens `json:"out,omitempty" yaml:"out,omitempty"`
	Cached     *Tokens `json:"cached,omitempty" yaml:"cached,omitempty"`
	CacheWrite *Tokens `json:"cache_write,omitempty" yaml:"cache_write,omitempty"`
	Reasoning  *Tokens `json:"reasoning,omitempty" yaml:"reasoning,omitempty"`
	// Estimate takes In and Out from the bytes of the request and of the answer's text.
	Estimate *bool `json:"estimate,omitempty" yaml:"estimate,omitempty"`
}

// Content is deterministic filler.
type Content struct {
	// Chunks is how many pieces a stream cuts the text into, at least 1; default 8.
	Chunks *Tokens `json:"chunks,omitempty" yaml:"chunks,omitempty"`
	// Text is the text, or "lorem" for words drawn from the seed.
	Text string `json:"text,omitempty" yaml:"text,omitempty"`
	// Bytes pads each chunk with spaces to this many bytes, for large bodies and long lines.
	Bytes int `json:"bytes,omitempty" yaml:"bytes,omitempty"`
}

// Timing is the answer's pace. A whole (non-streaming) answer takes as long as the stream would: TTFT + chunks × ITL.
type Timing struct {
	TTFT *Delay `json:"ttft,omitempty" yaml:"ttft,omitempty"` // from the request to the headers and the first chunk
	ITL  *Delay `json:"itl,omitempty" yaml:"itl,omitempty"`   // between chunks, and before what follows the last one
}

// SSE shapes event streams; other framings ignore it, except Split.
type SSE struct {
	EOL   string `json:"eol,omitempty" yaml:"eol,omitempty"`     // lf, crlf, cr; default: as the provider does
	Space *bool  `json:"space,omitempty" yaml:"space,omitempty"` // one space after the colon; default true
	// Comments adds ": keep-alive" lines: first, last, inside, between, or "every:3".
	Comments string `json:"comments,omitempty" yaml:"comments,omitempty"`
	// EventLines: auto (as the provider does), always, never, id, retry, all.
	EventLines string `json:"event_lines,omitempty" yaml:"event_lines,omitempty"`
	Done       *bool  `json:"done,omitempty" yaml:"done,omitempty"` // the closing [DONE], where the dialect has one; default true
	// Split cuts the bytes into writes: event, 1byte, random, "n:7", or at:usage, at:crlf, at:escape, at:rune. Each write is
	// flushed before the next one, though nothing waits between them; the journal counts both.
	Split string `json:"split,omitempty" yaml:"split,omitempty"`
}

// HTTP shapes the response around the body.
type HTTP struct {
	Status  int               `json:"status,omitempty" yaml:"status,omitempty"`   // default 200; from 400 on with the dialect's error body
	Headers map[string]string `json:"headers,omitempty" yaml:"headers,omitempty"` // override the dialect's; "" removes one
	// Trailers are sent after a chunked or HTTP/2 body.
	Trailers map[string]string `json:"trailers,omitempty" yaml:"trailers,omitempty"`
	// Informational are 1xx responses that go before: 100, 103.
	Informational []int `json:"informational,omitempty" yaml:"informational,omitempty"`
	// Encoding is applied whether or not it was asked for: none, gzip, gzip-flush, deflate, br, zstd. With "accepted" it is
	// the first of those that the request's Accept-Encoding names, and none where it names none: as a provider does.
	Encoding string `json:"encoding,omitempty" yaml:"encoding,omitempty"`
	// Framing: chunked, length, close; default: streams chunked, the rest by length. HTTP/2 knows length or not.
	Framing string `json:"framing,omitempty" yaml:"framing,omitempty"`
	// Proto is the version in the status line: any, or 1.0 (HTTP/1 connections only).
	Proto string `json:"proto,omitempty" yaml:"proto,omitempty"`
}

// Fault is what goes wrong and where. "reset@3" is short for {kind: reset, after: {chunks: 3}}. [Faults] lists the kinds.
type Fault struct {
	Kind  string `json:"kind,omitempty" yaml:"kind,omitempty"`
	After After  `json:"after,omitzero" yaml:"after,omitempty"`
	// For is how long a stall or a hang lasts before the connection is closed; not set, until the client leaves.
	For *Delay `json:"for,omitempty" yaml:"for,omitempty"`
}

// After is a place in the answer. One field is set; none means just before the usage.
type After struct {
	Chunks      *int64 `json:"chunks,omitempty" yaml:"chunks,omitempty"`             // content chunks; of a whole body, that share of its bytes
	Bytes       *int64 `json:"bytes,omitempty" yaml:"bytes,omitempty"`               // bytes of the body, before compression
	BeforeUsage bool   `json:"before_usage,omitempty" yaml:"before_usage,omitempty"` // before the event that carries it, or its first byte
	AfterUsage  bool   `json:"after_usage,omitempty" yaml:"after_usage,omitempty"`   // right after its last byte
	MS          *int64 `json:"ms,omitempty" yaml:"ms,omitempty"`                     // milliseconds after the headers
}

// Tokens is a count that may be drawn.
type Tokens = Dist[int64]

// Delay is a duration that may be drawn.
type Delay = Dist[Duration]

// Raw is JSON text that is written as it is. In YAML and JSON a string holds the text; anything else is encoded.
type Raw string

// UnmarshalYAML reads a plan strictly: unknown names are errors that give the nearest known one.
func (p *Plan) UnmarshalYAML(text []byte) error {
	parsed, err := ParsePlan(text)
	if err == nil {
		*p = parsed
	}
	return err
}

// UnmarshalJSON is [Plan.UnmarshalYAML]; JSON is YAML.
func (p *Plan) UnmarshalJSON(text []byte) error { return p.UnmarshalYAML(text) }

// Merge returns p with the fields that over sets in place of p's own, field by field; headers merge by name.
// An over that names one place for a fault replaces p's place.
func (p Plan) Merge(over Plan) Plan {
	out := p
	set(&out.ID, over.ID)
	set(&out.Usage.In, over.Usage.In)
	set(&out.Usage.Out, over.Usage.Out)
	set(&out.Usage.Cached, over.Usage.Cached)
	set(&out.Usage.CacheWrite, over.Usage.CacheWrite)
	set(&out.Usage.Reasoning, over.Usage.Reasoning)
	set(&out.Usage.Estimate, over.Usage.Estimate)
	if over.Usage.Estimate == nil && (over.Usage.In != nil || over.Usage.Out != nil) {
		out.Usage.Estimate = nil // a count that is given is not estimated
	}
	set(&out.UsageAt, over.UsageAt)
	set(&out.UsageRaw, over.UsageRaw)
	set(&out.Content.Chunks, over.Content.Chunks)
	set(&out.Content.Text, over.Content.Text)
	set(&out.Content.Bytes, over.Content.Bytes)
	set(&out.Timing.TTFT, over.Timing.TTFT)
	set(&out.Timing.ITL, over.Timing.ITL)
	set(&out.SSE.EOL, over.SSE.EOL)
	set(&out.SSE.Space, over.SSE.Space)
	set(&out.SSE.Comments, over.SSE.Comments)
	set(&out.SSE.EventLines, over.SSE.EventLines)
	set(&out.SSE.Done, over.SSE.Done)
	set(&out.SSE.Split, over.SSE.Split)
	set(&out.HTTP.Status, over.HTTP.Status)
	out.HTTP.Headers = mergeMaps(p.HTTP.Headers, over.HTTP.Headers)
	out.HTTP.Trailers = mergeMaps(p.HTTP.Trailers, over.HTTP.Trailers)
	if over.HTTP.Informational != nil {
		out.HTTP.Informational = slices.Clone(over.HTTP.Informational)
	}
	set(&out.HTTP.Encoding, over.HTTP.Encoding)
	set(&out.HTTP.Framing, over.HTTP.Framing)
	set(&out.HTTP.Proto, over.HTTP.Proto)
	set(&out.Fault.Kind, over.Fault.Kind)
	set(&out.Fault.After, over.Fault.After)
	set(&out.Fault.For, over.Fault.For)
	set(&out.Hold, over.Hold)
	set(&out.BodyRaw, over.BodyRaw)
	return out
}

// set stores v unless it is the zero value.
func set[T comparable](at *T, v T) {
	var zero T
	if v != zero {
		*at = v
	}
}

// mergeMaps returns a new map, or below itself if there is nothing to add.
func mergeMaps(below, over map[string]string) map[string]string {
	if len(over) == 0 {
		return below
	}
	out := make(map[string]string, len(below)+len(over))
	for k, v := range below {
		out[canonical(k)] = v
	}
	for k, v := range over {
		out[canonical(k)] = v
	}
	return out
}

// Draw returns p with every distribution replaced by a value drawn from r, in a fixed order. The runner draws with its own
// seed, so that the mock is told exact values; a mock that runs alone draws for itself.
func (p Plan) Draw(r *rand.Rand) Plan {
	for _, d := range []**Tokens{
		&p.Usage.In, &p.Usage.Out, &p.Usage.Cached, &p.Usage.CacheWrite, &p.Usage.Reasoning, &p.Content.Chunks,
	} {
		*d = (*d).drawn(r)
	}
	for _, d := range []**Delay{&p.Timing.TTFT, &p.Timing.ITL, &p.Fault.For} {
		*d = (*d).drawn(r)
	}
	return p
}

// MarshalJSON writes the text as a JSON string, which [ParsePlan] reads back as it was.
func (r Raw) MarshalJSON() ([]byte, error) { return json.Marshal(string(r)) }
