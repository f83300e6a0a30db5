package report

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

// The form of a compliance report, as the others know it.
const (
	ComplianceAPI  = "llmlimit.dev/v1alpha1"
	ComplianceKind = "ComplianceReport"
)

// Compliance is what one implementation was found to keep of one profile, to be
// published. [Compliance.Verify] checks it.
type Compliance struct {
	APIVersion     string                   `yaml:"apiVersion"`
	Kind           string                   `yaml:"kind"`
	Date           string                   `yaml:"date"` // RFC 3339
	Profile        ComplianceProfile        `yaml:"profile"`
	Implementation ComplianceImplementation `yaml:"implementation"`
	Mode           *ComplianceMode          `yaml:"mode,omitempty"`
	Harness        ComplianceHarness        `yaml:"harness"`
	Level          string                   `yaml:"level"` // the highest that was reached; none
	Core           ComplianceResult         `yaml:"core"`
	Extended       ComplianceResult         `yaml:"extended"`
	Measured       ComplianceMeasured       `yaml:"measured"`
}

// ComplianceProfile names the requirements.
type ComplianceProfile struct {
	Name    string `yaml:"name"`
	Version string `yaml:"version"`
}

// ComplianceImplementation is who was judged.
type ComplianceImplementation struct {
	Organization string   `yaml:"organization"`
	Project      string   `yaml:"project"`
	Version      string   `yaml:"version"`
	URL          string   `yaml:"url,omitempty"`
	Contact      []string `yaml:"contact,omitempty"`
}

// ComplianceMode is how it says that it limits.
type ComplianceMode struct {
	Accounting string           `yaml:"accounting,omitempty"`
	Window     string           `yaml:"window,omitempty"`
	Limit      *ComplianceLimit `yaml:"limit,omitempty"`
	Limits     []string         `yaml:"limits,omitempty"` // the names of all that are declared
}

// ComplianceLimit is a declared limit.
type ComplianceLimit struct {
	Tokens int64  `yaml:"tokens"`
	Per    string `yaml:"per"`
}

// ComplianceHarness is what judged, so that it can be repeated.
type ComplianceHarness struct {
	Version     string `yaml:"version"`
	Commit      string `yaml:"commit,omitempty"`
	SuiteDigest string `yaml:"suiteDigest"`
	Seed        uint64 `yaml:"seed"`
	Took        string `yaml:"took"`
}

// Results of a part of a profile.
const (
	ResultSuccess = "success" // everything passed
	ResultPartial = "partial" // nothing failed, and something was skipped
	ResultFailure = "failure"
)

// ComplianceResult is one part of a profile.
type ComplianceResult struct {
	Result        string               `yaml:"result"`
	Statistics    ComplianceStatistics `yaml:"statistics"`
	Supported     []string             `yaml:"supportedFeatures,omitempty"`
	Unsupported   []string             `yaml:"unsupportedFeatures,omitempty"`
	SkippedTests  []string             `yaml:"skippedTests,omitempty"`
	FailedTests   []string             `yaml:"failedTests,omitempty"`
	FailedShoulds []string             `yaml:"failedShoulds,omitempty"`
}

// ComplianceStatistics counts checks.
type ComplianceStatistics struct {
	Passed  int `yaml:"passed"`
	Failed  int `yaml:"failed"`
	Skipped int `yaml:"skipped"`
}

// ComplianceMeasured is what was proven, in tokens.
type ComplianceMeasured struct {
	MaxOverAdmission   int64  `yaml:"maxOverAdmission"`
	MaxWronglyRejected int64  `yaml:"maxWronglyRejected"`
	Leak               int64  `yaml:"leak"` // still outstanding when nothing was under way
	RefundLatencyP50   string `yaml:"refundLatencyP50,omitempty"`
	RefundLatencyP99   string `yaml:"refundLatencyP99,omitempty"`
	FailOpen           int    `yaml:"failOpen"` // scenarios with such a suspicion
}

// ErrNoProfile says that no suite with a profile was run.
var ErrNoProfile = errors.New("a compliance report needs a suite with a profile: run --profile NAME")

// WriteCompliance writes the compliance report of a run as YAML.
func WriteCompliance(w io.Writer, run *scenarios.RunResult) error {
	c, err := ComplianceOf(run)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing the compliance report: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// ReadCompliance reads a compliance report strictly.
func ReadCompliance(r io.Reader) (*Compliance, error) {
	var c Compliance
	if err := yaml.NewDecoder(r, yaml.Strict()).Decode(&c); err != nil {
		return nil, fmt.Errorf("reading a compliance report: %w", err)
	}
	return &c, nil
}

// ComplianceOf sums up the suites of a run that belong to a profile.
func ComplianceOf(run *scenarios.RunResult) (*Compliance, error) {
	var of []*scenarios.SuiteResult
	for i := range run.Suites {
		if s := &run.Suites[i]; s.Profile != "" && len(s.Scenarios) > 0 {
			of = append(of, s)
		}
	}
	if len(of) == 0 {
		return nil, ErrNoProfile
	}
	for _, s := range of {
		if s.Profile != of[0].Profile || s.ProfileVersion != of[0].ProfileVersion {
			return nil, fmt.Errorf("a compliance report is about one profile, found %s %s and %s %s",
				of[0].Profile, of[0].ProfileVersion, s.Profile, s.ProfileVersion)
		}
	}
	c := &Compliance{
		APIVersion: ComplianceAPI, Kind: ComplianceKind, Date: run.Started.Add(run.Elapsed).UTC().Format(time.RFC3339),
		Profile: ComplianceProfile{of[0].Profile, of[0].ProfileVersion},
		Harness: ComplianceHarness{
			Version: first(run.Environment.Version, "development"), Commit: run.Environment.Commit,
			SuiteDigest: digestOf(of), Seed: run.Seed, Took: run.Elapsed.Round(time.Second).String(),
		},
		Level: levelOf(of), Core: resultOf(of, true), Extended: resultOf(of, false), Measured: measuredOf(of),
	}
	c.describe(of)
	return c, nil
}

// describe fills in who was judged and what it declares.
func (c *Compliance) describe(of []*scenarios.SuiteResult) {
	for _, s := range of {
		if i := s.Implementation; i != nil && c.Implementation.Project == "" {
			c.Implementation = ComplianceImplementation{i.Organization, i.Project, i.Version, i.URL, i.Contact}
		}
		if m := s.Mode; m != nil && c.Mode == nil {
			c.Mode = &ComplianceMode{Accounting: m.Accounting, Window: m.Window, Limits: m.Limits}
			if m.Tokens > 0 {
				c.Mode.Limit = &ComplianceLimit{m.Tokens, m.Per.String()}
			}
		}
		c.Extended.Supported = union(c.Extended.Supported, s.Features)
		c.Extended.Unsupported = union(c.Extended.Unsupported, s.Unsupported)
	}
}

func union(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

// digestOf is that of the only suite, or of all in their order.
func digestOf(of []*scenarios.SuiteResult) string {
	digests := make([]string, len(of))
	for i, s := range of {
		digests[i] = s.Digest
	}
	return JoinDigests(digests)
}

// Levels of a profile, each above the one before. The first two are its core.
var Levels = []string{"L0", "L1", "L2", "L3", "L4"}

const coreLevels = 2

// NoLevel is the level of who does not even observe.
const NoLevel = "none"

// levelOf is the highest level up to which every MUST has passed, none of them
// skipped: what was not shown was not reached. What is about a limit or a hook that
// the target does not declare stands aside.
func levelOf(of []*scenarios.SuiteResult) string {
	reached := NoLevel
	for _, level := range Levels {
		shown, missed := 0, 0
		for _, s := range of {
			for _, sc := range s.Scenarios {
				switch {
				case sc.Level != level || optional(sc) || sc.Aside:
				case sc.Outcome == scenarios.Pass && sc.Accepted == "":
					shown++
				default:
					missed++
				}
			}
		}
		if shown == 0 || missed > 0 {
			break
		}
		reached = level
	}
	return reached
}

func optional(sc *scenarios.ScenarioResult) bool {
	return sc.Strength == "SHOULD" || sc.Strength == "MAY"
}

// resultOf sums up the core, or what is beyond it.
func resultOf(of []*scenarios.SuiteResult, core bool) ComplianceResult {
	var r ComplianceResult
	for _, s := range of {
		for _, sc := range s.Scenarios {
			if slices.Contains(Levels[:coreLevels], sc.Level) != core {
				continue
			}
			outcome := sc.Outcome
			if sc.Accepted != "" { // in this house; the profile accepts nothing
				outcome = scenarios.Fail
			}
			switch outcome {
			case scenarios.Pass:
				r.Statistics.Passed++
				if len(sc.Warnings) > 0 && optional(sc) {
					r.FailedShoulds = append(r.FailedShoulds, sc.ID)
				}
			case scenarios.Skip:
				r.Statistics.Skipped++
				r.SkippedTests = append(r.SkippedTests, sc.ID)
			case scenarios.Fail, scenarios.Error: // what could not be shown was not shown
				r.Statistics.Failed++
				r.FailedTests = append(r.FailedTests, sc.ID)
			}
		}
	}
	r.Result = r.Statistics.result()
	return r
}

func (s ComplianceStatistics) result() string {
	switch {
	case s.Failed > 0 || s.Passed == 0 && s.Skipped == 0:
		return ResultFailure
	case s.Skipped > 0:
		return ResultPartial
	}
	return ResultSuccess
}

func measuredOf(of []*scenarios.SuiteResult) ComplianceMeasured {
	var m ComplianceMeasured
	var waits []time.Duration
	for _, s := range of {
		for _, sc := range s.Scenarios {
			if sc.Judged != nil {
				m.MaxOverAdmission = max(m.MaxOverAdmission, sc.Judged.Totals.OverAdmitted)
				m.MaxWronglyRejected = max(m.MaxWronglyRejected, sc.Judged.Totals.WronglyRejected)
			}
			m.Leak = max(m.Leak, leaked(sc))
			for _, note := range sc.Notes {
				if strings.HasPrefix(note, "fail-open suspected") {
					m.FailOpen++
					break
				}
			}
			waits = append(waits, refundWaits(sc)...)
		}
	}
	if len(waits) > 0 {
		slices.Sort(waits)
		m.RefundLatencyP50, m.RefundLatencyP99 = quantile(waits, 0.5).String(), quantile(waits, 0.99).String()
	}
	return m
}

// leaked is what the target's own account still held the last time it was read, when
// nothing was under way: a client that has left may still be read for.
func leaked(sc *scenarios.ScenarioResult) int64 {
	var sum int64
	if slices.ContainsFunc(sc.Requests, func(x *scenarios.Exchange) bool { return x.Outcome != client.Complete }) {
		return 0
	}
	last := map[string]int64{}
	for _, p := range sc.Ledgers {
		last[p.Rule+"\x00"+p.Window+"\x00"+p.Key] = p.Outstanding
	}
	for _, outstanding := range last {
		sum += outstanding
	}
	return sum
}

// refundWaits are how long `eventually` had to wait where refunds were asked for:
// an upper bound of the time that a refund takes, as seen from outside.
func refundWaits(sc *scenarios.ScenarioResult) []time.Duration {
	if !strings.Contains(sc.Feature, "refund") {
		return nil
	}
	var waits []time.Duration
	eachStep(sc.Steps, func(st *scenarios.StepResult) {
		if st.Attempts > 0 && st.Outcome == scenarios.Pass {
			waits = append(waits, st.Elapsed)
		}
	})
	return waits
}

// quantile of sorted durations: the smallest that so large a share does not exceed.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	n := int(share * float64(len(sorted)))
	if float64(n) < share*float64(len(sorted)) {
		n++
	}
	return sorted[min(max(n, 1), len(sorted))-1]
}
