package judge

import "net/http"

// View is what decides which limits bind a request: the request as the client
// sent it.
type View struct {
	Method string
	Host   string
	// Path is the path without the query; Query is the raw query.
	Path, Query string
	Header      http.Header
	// Peer is the client's address without the port.
	Peer string
	// Body as sent, encoded or not.
	Body []byte
}

// Binding says what binds a request, and what it reserves.
type Binding struct {
	Estimate Estimate
	Holds    []Hold
	Guarded  bool
	// Refused is why the request is turned away before any limit is asked:
	// missing_limit_key, invalid_request_body, unsupported_encoding. Empty: it is not.
	Refused string
}

// RulesOptions say what the rules themselves do not.
type RulesOptions struct {
	// Estimator of a foreign gateway; the zero value is the one of semantics.md 1.
	Estimator Estimator
	// Reload counts the reloads before these rules; At is the instant of the last.
	Reload int
	At     int64
}

// Estimator bounds the prompt estimate of a target.
type Estimator struct {
	// Known: P is computed as semantics.md 1 says, and the rest is ignored.
	Known bool
	// PerChar (thousandths of a token per byte of prompt) and PerMessage bound P of
	// a target that estimates differently. Both zero: nothing is known.
	PerCharMilli Span
	PerMessage   Span
}

// Rules are the limits of a target, read for the judge alone.
type Rules struct {
	limits []Limit
}

// ReadRules reads the rules of a suite's target.serve, a whole policy bundle, or a
// target.limits block, in YAML or JSON. It believes that the document is well
// formed, since the target reads it strictly, and reports only what it cannot
// make sense of.
func ReadRules(doc []byte, o RulesOptions) (*Rules, error) { return &Rules{}, nil }

// Limits are the limits for the header of a history.
func (r *Rules) Limits() []Limit { return r.limits }

// Bind says which limits bind a request and what each holds.
func (r *Rules) Bind(v View) Binding { return Binding{} }

// Fill puts a binding into a request.
func (b Binding) Fill(r *Request) {
	r.Estimate, r.Holds, r.Guarded = b.Estimate, b.Holds, b.Guarded
}
