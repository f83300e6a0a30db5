package suite

import (
	"fmt"
	"time"
)

// Target says what is judged: `serve` (the bundled proxy, in-process) or `url`
// (any gateway), and what is known of it.
type Target struct {
	Pos        Pos                 `json:"-"`
	Serve      *Serve              `json:"serve,omitempty"`
	URL        string              `json:"url,omitempty"`
	Headers    map[string]string   `json:"headers,omitempty"` // sent with every request
	Body       map[string]any      `json:"body,omitempty"`    // fields of every JSON body that says nothing of them
	TLS        *TLS                `json:"tls,omitempty"`
	Metrics    *Metrics            `json:"metrics,omitempty"`
	Ledger     *LedgerSource       `json:"ledger,omitempty"`
	Identity   *Identity           `json:"identity,omitempty"`
	Control    string              `json:"control,omitempty" jsonschema:"enum=auto,enum=header,enum=marker,enum=model,enum=path,enum=key,enum=queue"`
	Namespace  string              `json:"namespace,omitempty"` // what control: path and key have in the gateway's configuration: /p/NAME, sk-mock-NAME
	Accounting string              `json:"accounting,omitempty" jsonschema:"enum=reserve,enum=settle-after,enum=unknown"`
	Estimator  *Estimator          `json:"estimator,omitempty"`
	DebtFloor  string              `json:"debt-floor,omitempty" jsonschema:"enum=burst,enum=none,enum=unknown"`
	Disconnect *Disconnect         `json:"disconnect,omitempty"`
	Limits     []Limit             `json:"limits,omitempty"`
	Settle     *time.Duration      `json:"settle,omitempty"`    // lag of counters and config; 1ms in-process
	Tolerance  Percent             `json:"tolerance,omitempty"` // of an amount
	Lease      time.Duration       `json:"lease,omitempty"`     // after which a reservation that nobody settles ends
	Ready      *Ready              `json:"ready,omitempty"`
	Hooks      map[string][]string `json:"hooks,omitempty"` // what an operator can do, by name: commands, argv without a shell
}

// DefaultNamespace is the namespace of a target that names none.
const DefaultNamespace = "llmlimit"

// DefaultSettle is the settle time of an in-process target that says none.
const DefaultSettle = time.Millisecond

// Serve is the bundled proxy: its rules in place, or a policy bundle.
type Serve struct {
	Pos    Pos     `json:"-"`
	Rules  *Opaque `json:"rules,omitempty"`
	Policy string  `json:"policy,omitempty"` // path, relative to the suite
}

// Opaque is a piece of the file that this package does not read. Data is valid
// YAML by itself; its lines and columns are those of the file, less Pos.Line-1
// lines: line n of Data is line Pos.Line+n-1 of Pos.File.
type Opaque struct {
	Pos  Pos
	Data []byte
}

// TLS names files; each is optional.
type TLS struct {
	CA       string `json:"ca,omitempty"`
	Cert     string `json:"cert,omitempty"`
	Key      string `json:"key,omitempty"`
	Insecure bool   `json:"insecure,omitempty"`
}

// Metrics says where the target's metrics are. An empty URL switches the
// feature off.
type Metrics struct {
	URL    string `json:"url,omitempty" llmlimit:"unset-env-is-empty"`
	Prefix string `json:"prefix,omitempty"`
}

// LedgerSource says where the target's own account can be read.
type LedgerSource struct {
	URL string `json:"url,omitempty" llmlimit:"unset-env-is-empty"`
}

// Identity says how a client is told from another. Exactly one of Pool, JWT
// and Setup is set, or none.
type Identity struct {
	Header string       `json:"header,omitempty"`
	Pool   *Pool        `json:"pool,omitempty"`
	JWT    *IdentityJWT `json:"jwt,omitempty"`
	Setup  []string     `json:"setup,omitempty"` // a command whose stdout is the identity; argv, no shell
}

// Pool is a template that contains ${i}, or a list of identities.
type Pool struct {
	Template string
	List     []string
}

// IdentityJWT makes an identity a signed token.
type IdentityJWT struct {
	Claim   string         `json:"claim"`             // holds the identity
	Claims  map[string]any `json:"claims,omitempty"`  // further ones
	KeyFile string         `json:"key-file"`          // PEM or a shared secret
	Alg     string         `json:"alg,omitempty"`     // RS256
	Expires time.Duration  `json:"expires,omitempty"` // 1h
	Key     string         `json:"kid,omitempty"`     // header kid
}

// Estimator says what the target reserves for a prompt.
type Estimator struct {
	Pos        Pos
	Kind       string // known (semantics.md 1), unknown, or bounds
	PerChar    Range  // tokens per character
	PerMessage Range  // tokens per message
}

// The kinds of estimator.
const (
	EstimatorKnown   = "known"
	EstimatorUnknown = "unknown"
	EstimatorBounds  = "bounds"
)

// Disconnect says what the target does when a client leaves: it cancels the
// upstream request, or drains it for so long.
type Disconnect struct {
	Cancel bool
	Drain  time.Duration
}

// Limit declares one limit of an external target.
type Limit struct {
	Pos       Pos              `json:"-"`
	Name      string           `json:"name"`
	Dimension string           `json:"dimension" jsonschema:"enum=tokens,enum=input,enum=output,enum=requests,enum=cost,enum=concurrency"`
	Amount    int64            `json:"amount" jsonschema:"minimum=1"`
	Per       time.Duration    `json:"per,omitempty"`
	Burst     int64            `json:"burst,omitempty"`
	Window    string           `json:"window,omitempty" jsonschema:"enum=bucket,enum=calendar,enum=first-hit,enum=sliding,enum=unknown"`
	Weights   map[string]int64 `json:"weights,omitempty"` // as in the policy

	// What its clients send, where it is another thing than what the target says.
	// Such a limit binds only requests that name it under `limits`.
	Identity *Identity         `json:"identity,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Path     string            `json:"path,omitempty"` // before the path of a request: /route
}

// Apart tells whether a limit has clients of its own.
func (l *Limit) Apart() bool { return l.Identity != nil || len(l.Headers) > 0 || l.Path != "" }

// Limit is the declared limit of that name, nil if there is none.
func (t *Target) Limit(name string) *Limit {
	for i := range t.Limits {
		if t.Limits[i].Name == name {
			return &t.Limits[i]
		}
	}
	return nil
}

// Can lists the capabilities of a target by URL, in the words of a scenario's `needs`:
// its features, and what its block names.
func (t *Target) Can(f *Features) []string {
	var can []string
	if f != nil {
		can = append(can, f.Supported...)
	}
	if t.Metrics != nil && t.Metrics.URL != "" {
		can = append(can, "metrics")
	}
	if t.Ledger != nil && t.Ledger.URL != "" {
		can = append(can, "ledger")
	}
	for name := range t.Hooks {
		can = append(can, "hook:"+name)
	}
	return can
}

// Binding are the limits of a request that names these: none means those that have
// no clients of their own, or else the first. Limits without clients of their own
// bind whoever is bound by another such one.
func (t *Target) Binding(names []string) []*Limit {
	var plain, named []*Limit
	apart := false
	for i := range t.Limits {
		l := &t.Limits[i]
		if contains(names, l.Name) {
			named = append(named, l)
			apart = apart || l.Apart()
		}
		if !l.Apart() || contains(names, l.Name) {
			plain = append(plain, l)
		}
	}
	switch {
	case apart:
		return named
	case len(plain) == 0 && len(t.Limits) > 0:
		return []*Limit{&t.Limits[0]}
	}
	return plain
}

// Rate is the refill in tokens per second.
func (l Limit) Rate() float64 {
	if l.Per <= 0 {
		return 0
	}
	return float64(l.Amount) / l.Per.Seconds()
}

// Most is how much can be there at once.
func (l Limit) Most() int64 {
	if l.Burst == 0 {
		return l.Amount
	}
	return l.Burst
}

// like reports whether two limits let the same through, whatever their windows.
func (l Limit) like(other Limit) bool {
	return l.Dimension == other.Dimension && l.Most() == other.Most() && l.Rate() == other.Rate()
}

// near tells whether the other limit is smaller by what a measurement from outside may
// lack.
func (l Limit) near(other Limit) bool {
	return l.Dimension == other.Dimension && l.Per == other.Per && other.Most() < l.Most() && 100*other.Most() >= 98*l.Most()
}

// Size says how large the limit is.
func (l Limit) Size() string {
	text := fmt.Sprintf("%d %s", l.Amount, l.Dimension)
	if l.Per > 0 {
		text += fmt.Sprintf(" in %s", l.Per)
	}
	if l.Most() != l.Amount {
		text += fmt.Sprintf(" with a burst of %d", l.Burst)
	}
	return text
}

// Ready says when the target may be tested: its limiter works, not only its
// listener.
type Ready struct {
	Path         string         `json:"path,omitempty"`
	LimiterProbe bool           `json:"limiter-probe,omitempty"`
	Within       *time.Duration `json:"within,omitempty"`
}
