package llmapi

import (
	"errors"
	"net/http"
)

// Dialect is one API's way to ask, to answer and to refuse. Dialects are immutable and safe for concurrent use.
type Dialect interface {
	// Name is the stable name of the dialect, as it appears in records and metrics: "openai.chat".
	Name() string
	// Match tells whether a request with this method and (decoded) URL path belongs to the dialect.
	Match(method, path string) bool
	// ParseRequest reads the cost facts of a whole, decoded request body. The error wraps [ErrInvalidBody].
	// The path is needed where it carries the model or the wish to stream.
	ParseRequest(path string, body []byte) (Facts, error)
	// Meter returns a new meter for one response.
	Meter(o MeterOptions) Meter
	// Reject writes a refusal in the form of this API.
	Reject(r Rejection) Reply
	// RateHeaders sets the headers that tell a client of this API what is left.
	RateHeaders(h http.Header, s RateState)
}

// ErrInvalidBody is wrapped by every error of [Dialect.ParseRequest]: the body is no UTF-8, no JSON or no JSON object.
// The proxy answers 400 invalid_request_body and sends nothing.
var ErrInvalidBody = errors.New("invalid request body")

// Facts are what a request says about its own cost. Amounts are tokens.
type Facts struct {
	// Prompt is P, the prompt estimate.
	Prompt int64
	// Output is C, the output allowance; meaningful only if Declared. It is at most 2^31.
	Output int64
	// Declared tells that the request fixes its output allowance: the client named one, or the endpoint produces no
	// output (embeddings, where Output is 0). If false, the rule's default allowance takes its place.
	Declared bool
	// N is the number of outputs that may be produced, at least 1.
	N int64
	// Stream tells that the client asked for a streamed response.
	Stream bool
	// UsageAsked tells that the client itself asked for the usage of a stream (stream_options.include_usage).
	UsageAsked bool
	// Model and User are the names that the client gave, in the body or in the path; empty if none.
	Model, User string
}

// MeterOptions describe the response that a [Meter] will be fed.
type MeterOptions struct {
	// ContentType is the response's Content-Type. It is a hint: providers mislabel, so the bytes decide.
	ContentType string
	// Encoding is the response's Content-Encoding, possibly a list; empty and "identity" mean none. The bytes are
	// decoded on a copy inside the meter. For an encoding that is not known the meter reads nothing.
	Encoding string
	// MaxBody caps the buffer of a response that is one document, in decoded bytes; 0 means [DefaultMaxBody].
	MaxBody int
	// MaxEvent caps one event of a stream, in bytes; 0 means [DefaultMaxEvent].
	MaxEvent int
	// MaxDecoded caps what is decompressed of one response, in bytes; 0 means [DefaultMaxDecoded].
	MaxDecoded int64
	// JSONPaths replace the dialect's own reader of usage (token_source.json_paths): gjson paths, "$." allowed in
	// front. The first one that yields something counts: a number is the total, an object is a usage object.
	JSONPaths []string
}

// The caps of a meter that is told none.
const (
	DefaultMaxBody    = 1 << 20
	DefaultMaxEvent   = 8 << 20
	DefaultMaxDecoded = 64 << 20
)

// Meter reads a response while it passes. It is an io.Writer that never fails, never blocks and never holds more than
// one event of a stream or one capped body; where the bytes are cut makes no difference. It is owned by one goroutine
// at a time and must be closed, always.
type Meter interface {
	// Write feeds the next bytes of the response as they came over the wire. It returns len(p), nil.
	Write(p []byte) (int, error)
	// Content is the number of content bytes seen so far in a stream: decoded text, reasoning and tool arguments.
	Content() int64
	// Close ends the response and says what it cost. Later calls return the same reading.
	Close() Reading
}

// Reading is what a response said about its cost.
//
// If Reported, the charge is Usage. If not, the charge is the largest of the reservation, what was observed
// (P + ceil(ContentBytes/4)) and Usage, which then holds the last usage seen before the response broke, or zero.
type Reading struct {
	// Usage is the last valid usage seen; zero if none.
	Usage Usage
	// Reported tells that Usage is the response's final word: it is valid, the response is complete, and nothing that
	// could not be read came after it.
	Reported bool
	// Why tells why Reported is false; empty if it is true.
	Why Missing
	// ContentBytes counts the decoded text, reasoning and tool-argument bytes seen; 0 where nothing could be read.
	ContentBytes int64
	// Complete tells that the response ended as its dialect says it must: the terminal event was seen, or the document
	// is whole.
	Complete bool
	// Failed tells that the response carried an error event, an exception frame or an error object.
	Failed bool
	// Streamed tells that the response was a stream of events, whatever its Content-Type said.
	Streamed bool
	// ByBody tells that it is complete by the end of its body alone.
	ByBody bool
}

// Torn is the reading if the body broke off. Where the end of the body is what ends the response, that was no end.
func (g Reading) Torn() Reading {
	if g.ByBody {
		g.Complete, g.ByBody = false, false
		if g.Reported {
			g.Reported, g.Why = false, MissingTruncated
		}
	}
	return g
}

// Missing is the reason why a response gave no usage to charge: the label "why" of usage_missing_total.
type Missing string

// The reasons, from the most to the least harmless.
const (
	// MissingAbsent: the response is whole and has no usage; null and {} are no usage.
	MissingAbsent Missing = "absent"
	// MissingInvalid: the usage is negative, fractional, text, above 2^53 or sums to nothing.
	MissingInvalid Missing = "invalid"
	// MissingTooLarge: a body, an event or the decoded bytes exceed their cap.
	MissingTooLarge Missing = "too_large"
	// MissingEncoding: the content encoding is not known, or the bytes are not what it says.
	MissingEncoding Missing = "encoding"
	// MissingUnreadable: what should be JSON, or a frame, is not: cut or damaged.
	MissingUnreadable Missing = "unreadable"
	// MissingTruncated: a stream ended without its terminal event, or nothing came at all.
	MissingTruncated Missing = "truncated"
)

// Usage is what a response cost, in tokens. Each token is in exactly one class and Total is their sum.
type Usage struct {
	// Input is the prompt without what was read from or written to a cache.
	Input int64
	// CachedInput is the part of the prompt that was read from a cache.
	CachedInput int64
	// CacheWrite is the part of the prompt that was written to a cache.
	CacheWrite int64
	// Output is what was produced without reasoning, and what an explicit total has beyond input and output.
	Output int64
	// Reasoning is what was produced as reasoning.
	Reasoning int64
	// Total is the sum of the classes.
	Total int64
}

// UsageRequester is a dialect whose streams report usage only when asked.
type UsageRequester interface {
	// AskUsage returns body with the wish for usage added and every other byte as it was, and whether it changed.
	// Body must be one that [Dialect.ParseRequest] accepted; it is not modified.
	AskUsage(body []byte) ([]byte, bool)
}

// OutputCapper is a dialect whose requests can be given a smaller output allowance.
type OutputCapper interface {
	// CapOutput returns body with an output allowance of at most limit tokens, in every allowance field that the client
	// used, else in the dialect's own field; every other byte stays as it was. It also tells whether body changed.
	// Body must be one that [Dialect.ParseRequest] accepted; it is not modified.
	CapOutput(body []byte, limit int64) ([]byte, bool)
}

// EventDropper is a dialect that can recognise the event that [UsageRequester] caused.
type EventDropper interface {
	// UsageOnly tells whether the data of a server-sent event is usage and nothing else.
	UsageOnly(data []byte) bool
}

// StreamEnder is a [Meter] that can end the stream that it is reading in the stream's own form.
type StreamEnder interface {
	// EndStream returns the bytes that end the stream for the client, or nil if this stream cannot be ended politely.
	// The client must stand between two events.
	EndStream(e StreamEnd) []byte
}

// StreamEnd says how a stream is to be ended before its time.
type StreamEnd struct {
	// ID and Model name the response in the last events, where the dialect has a place for them.
	ID, Model string
	// Created is the Unix time of the response, in seconds, where the dialect has a place for it.
	Created int64
	// Error, if not nil, ends the stream with an error event instead of a finish reason.
	Error *Rejection
	// Usage, if not nil, is reported as partial usage.
	Usage *Usage
}
