package suite

import "time"

// Load is many requests: by arrival rate (open) or by concurrency (closed).
type Load struct {
	Pos         Pos            `json:"-"`
	Model       string         `json:"model,omitempty" jsonschema:"enum=open,enum=closed"` // open
	Arrivals    *Arrivals      `json:"arrivals,omitempty"`                                 // poisson
	Stages      []Stage        `json:"stages,omitempty"`
	Concurrency int            `json:"concurrency,omitempty" jsonschema:"minimum=1"` // closed
	Requests    int            `json:"requests,omitempty" jsonschema:"minimum=1"`    // closed: stop after so many
	For         time.Duration  `json:"for,omitempty"`                                // closed: or after so long
	MaxInFlight int            `json:"max-in-flight,omitempty" jsonschema:"minimum=1"`
	Drain       *time.Duration `json:"drain,omitempty"` // patience for what is in flight at the end
	Cancel      *LoadCancel    `json:"cancel,omitempty"`
	Mix         []Share        `json:"mix,omitempty"`
	Request     *Request       `json:"request,omitempty"`
	Paired      bool           `json:"paired,omitempty"` // each request also goes to the backend directly: overhead per pair
}

// The load models.
const (
	ModelOpen   = "open"
	ModelClosed = "closed"
)

// Arrivals is the arrival process of an open load.
type Arrivals struct {
	Pos   Pos
	Kind  string  // constant, poisson, gamma, trace
	Shape float64 // gamma(shape)
	File  string  // trace(file)
}

// Stage is a stretch of an open load.
type Stage struct {
	Pos    Pos           `json:"-"`
	For    time.Duration `json:"for"`
	Rate   Ramp          `json:"rate"`
	Warmup bool          `json:"warmup,omitempty"` // kept out of the statistics, never out of the judgement
}

// LoadCancel makes a share of the clients leave.
type LoadCancel struct {
	Share        Percent       `json:"share"`
	AfterHeaders bool          `json:"after-headers,omitempty"`
	AfterBytes   int           `json:"after-bytes,omitempty" jsonschema:"minimum=1"`
	AfterEvents  int           `json:"after-events,omitempty" jsonschema:"minimum=1"`
	After        time.Duration `json:"after,omitempty"`
}

// Share gives a part of a load's requests another plan or request.
type Share struct {
	Pos     Pos      `json:"-"`
	Share   Percent  `json:"share"`
	Plan    *Plan    `json:"plan,omitempty"`
	Request *Request `json:"request,omitempty"`
}
