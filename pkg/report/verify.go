package report

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Reference is what a compliance report is checked against: a profile as this
// program has it.
type Reference struct {
	Profile, Version string
	Digest           string
	// Tests maps the id of every check, its cell included, to what it needs.
	Tests map[string]Test
}

// Test is what a check needs of a target.
type Test struct {
	Feature string   // "" for none
	Limits  []string // by name
	Hook    bool     // something that only an operator can do
}

// aside tells whether a check may be skipped although its feature is claimed: it is
// about a limit that is not declared, or needs an operator.
func (t Test) aside(mode *ComplianceMode) bool {
	return t.Hook || slices.ContainsFunc(t.Limits, func(name string) bool { return mode == nil || !slices.Contains(mode.Limits, name) })
}

// JoinDigests is the digest of several suites in their order; that of one is its own.
func JoinDigests(digests []string) string {
	if len(digests) == 1 {
		return digests[0]
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(strings.Join(digests, "\n"))))
}

var versionLike = regexp.MustCompile(`[0-9]`)

// branches are words that name what changes under them.
var branches = []string{"main", "master", "head", "latest", "dev", "develop", "nightly", "edge", "trunk", "snapshot", "unknown"}

// Verify lists what is wrong with a report; none is a report that can be believed as
// far as one can see without running it again. reference is nil where this program
// does not have the profile.
func (c *Compliance) Verify(reference *Reference) []string {
	v := verifier{c: c}
	v.form()
	v.counts("core", &c.Core)
	v.counts("extended", &c.Extended)
	v.level()
	v.claims()
	if reference != nil {
		v.against(reference)
	}
	return v.problems
}

type verifier struct {
	c        *Compliance
	problems []string
}

func (v *verifier) wrong(format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

func (v *verifier) form() {
	c := v.c
	if c.APIVersion != ComplianceAPI || c.Kind != ComplianceKind {
		v.wrong("it is a %q %q, expected %q %q", c.APIVersion, c.Kind, ComplianceAPI, ComplianceKind)
	}
	if _, err := time.Parse(time.RFC3339, c.Date); err != nil {
		v.wrong("date: found %q, expected an RFC 3339 instant", c.Date)
	}
	for _, field := range []struct{ name, value string }{
		{"profile.name", c.Profile.Name},
		{"profile.version", c.Profile.Version},
		{"implementation.organization", c.Implementation.Organization},
		{"implementation.project", c.Implementation.Project},
		{"implementation.version", c.Implementation.Version},
		{"harness.version", c.Harness.Version},
		{"harness.suiteDigest", c.Harness.SuiteDigest},
	} {
		if field.value == "" {
			v.wrong("%s is missing", field.name)
		}
	}
	if version := c.Implementation.Version; version != "" && (slices.Contains(branches, strings.ToLower(version)) || !versionLike.MatchString(version)) {
		v.wrong("implementation.version: found %q, expected a release or a commit, not a branch: it has to name the same thing tomorrow", version)
	}
	if level := c.Level; level != NoLevel && !slices.Contains(Levels, level) {
		v.wrong("level: found %q, expected one of %s or %s", level, strings.Join(Levels, ", "), NoLevel)
	}
}

func (v *verifier) counts(part string, r *ComplianceResult) {
	if want := r.Statistics.result(); r.Result != want {
		v.wrong("%s.result: found %q, and the statistics say %q", part, r.Result, want)
	}
	if len(r.SkippedTests) != r.Statistics.Skipped {
		v.wrong("%s: %d skipped, and skippedTests names %d", part, r.Statistics.Skipped, len(r.SkippedTests))
	}
	if len(r.FailedTests) != r.Statistics.Failed {
		v.wrong("%s: %d failed, and failedTests names %d", part, r.Statistics.Failed, len(r.FailedTests))
	}
}

// level checks that the level does not say more than the core.
func (v *verifier) level() {
	beyond := slices.Index(Levels, v.c.Level) >= coreLevels
	if beyond && v.c.Core.Statistics.Failed > 0 {
		v.wrong("level %s, although %d checks of the core failed", v.c.Level, v.c.Core.Statistics.Failed)
	}
	if v.c.Level != NoLevel && v.c.Core.Statistics.Passed == 0 {
		v.wrong("level %s, although no check of the core passed", v.c.Level)
	}
}

// claims checks that nothing is claimed and disclaimed at once.
func (v *verifier) claims() {
	for _, feature := range v.c.Extended.Supported {
		if slices.Contains(v.c.Extended.Unsupported, feature) {
			v.wrong("feature %s is both supported and unsupported", feature)
		}
	}
}

// against compares with the profile itself.
func (v *verifier) against(r *Reference) {
	c := v.c
	if c.Profile.Name != r.Profile || c.Profile.Version != r.Version {
		v.wrong("profile: found %s %s, this program has %s %s", c.Profile.Name, c.Profile.Version, r.Profile, r.Version)
		return
	}
	if c.Harness.SuiteDigest != r.Digest {
		v.wrong("harness.suiteDigest: found %s, the profile of this program is %s: other suites were run", c.Harness.SuiteDigest, r.Digest)
	}
	for _, id := range slices.Concat(c.Core.SkippedTests, c.Extended.SkippedTests) {
		test, known := r.Tests[id]
		switch {
		case !known:
			v.wrong("skippedTests: the profile has no %s", id)
		case test.aside(c.Mode):
		case len(test.Limits) > 0 && test.Feature == "":
			v.wrong("%s was skipped, although its limit %s is declared", id, strings.Join(test.Limits, " and "))
		case test.Feature != "" && slices.Contains(c.Extended.Supported, test.Feature):
			v.wrong("%s was skipped, although its feature %s is claimed", id, test.Feature)
		}
	}
	s, e := c.Core.Statistics, c.Extended.Statistics
	if counted := s.Passed + s.Failed + s.Skipped + e.Passed + e.Failed + e.Skipped; counted < len(r.Tests) {
		v.wrong("%d checks were counted, the profile has %d: some were left out", counted, len(r.Tests))
	}
}
