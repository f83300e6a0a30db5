package suite

import "time"

// Options are what a run adds to a suite. Everything ambient is an argument:
// this package reads neither the environment nor a clock.
type Options struct {
	Vars     map[string]any               // --var and --var-file, over the suite's
	Env      func(string) (string, bool)  // ${env.X}; nil leaves those names open, for validate
	RunID    string                       // ${run.id}; empty: derived from the seed
	Seed     *uint64                      // --seed
	Profile  string                       // --profile
	Tags     string                       // --tags: `a && !b || (c)`
	IDs      []string                     // --id: globs over scenario and cell ids; any of them
	Only     []string                     // --rerun-failed: exact cell ids; other cells are not even compiled
	Target   *TargetFile                  // --target-file
	URL      string                       // --target: an external target instead of the suite's
	ReadFile func(string) ([]byte, error) // body-file and include; paths are relative to the suite
}

// TargetFile replaces a suite's own target, implementation, features and spend.
type TargetFile struct {
	Implementation *Implementation `json:"implementation,omitempty"`
	Target         *Target         `json:"target"`
	Features       *Features       `json:"features,omitempty"`
	Spend          *Spend          `json:"spend,omitempty"`

	root  *node
	lines []string
}

// Program is a suite made runnable.
type Program struct {
	Suite          *Suite
	Seed           uint64
	RunID          string
	External       bool // the target is reached by URL, in real time
	Implementation *Implementation
	Features       *Features
	Spend          *Spend
	Cells          []*Cell       // in the order of the file
	NotSelected    []NotSelected // what selection left out, with the reason
	Secrets        []string      // values that every output must mask
}

// NotSelected is a scenario or cell that will not run.
type NotSelected struct {
	ID     string `json:"id"`
	Pos    Pos    `json:"pos"`
	Reason string `json:"reason"`
}

// Cell is one scenario with one choice of its matrix: the unit that runs, with
// its own target, mock, clock and identity.
type Cell struct {
	ID       string // metric[delivery=chunked]
	Pos      Pos
	Scenario *Scenario // as written; Steps below are the ones to run
	Labels   []Label   // the choice, in the order of the axes
	Matrix   map[string]any
	Vars     map[string]any
	Target   *Target // resolved for this cell
	Mock     *Mock   // resolved for this cell
	Steps    []Step  // defaults merged, `use` replaced
	Virtual  bool    // runs in virtual time
	Start    time.Time
	Timeout  time.Duration // 0: none of its own
	Serial   bool          // has to run alone
	Seed     uint64        // from the program's seed and the id
	Skip     string        // not empty: skip with this reason (unsupported feature)
	Aside    bool          // skipped because it is about a limit that the target does not declare

	builder *builder
}

// Label is one coordinate of a cell.
type Label struct {
	Axis  string `json:"axis"`
	Value string `json:"value"`
}

// Missing names the first capability that the scenario needs and the target
// does not have, empty if it has all.
func (c *Cell) Missing(capabilities []string) string {
	for _, need := range c.Scenario.Needs {
		if !contains(capabilities, need) {
			return need
		}
	}
	return ""
}

// DefaultStart is the instant at which a virtual scenario begins: a Wednesday
// noon, far from every edge of a window.
var DefaultStart = time.Date(2030, time.January, 2, 12, 0, 0, 0, time.UTC)

// Runtime holds the names that are known only while a cell runs.
type Runtime struct {
	Save map[string]any
	I    int // ${i}: counts the requests of the cell
}
