package suite

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// needsTarget refuses a cell that will run against a gateway that nobody has named:
// its url is an environment variable that is not set.
func (c *compiler) needsTarget(cell *Cell) {
	url := c.suite.root.get("target").get("url")
	if c.options.Env == nil || c.options.Target != nil || url == nil || cell.Target.URL != "" || cell.Target.Serve != nil {
		return
	}
	c.report(Problem{
		Pos: url.pos, Message: fmt.Sprintf("no gateway is named: %s is not set", strings.Trim(url.text, "${}")),
		Expected: "that variable, or --target URL, or --target-file FILE", Anchor: "target",
	})
}

// target resolves the target for one cell: the suite's, or that of the options.
func (c *compiler) target(scope *scope) *Target {
	n := c.suite.root.get("target")
	file, lines := c.suite.Pos.File, c.sources[c.suite.Pos.File]
	if c.options.Target != nil {
		n, file, lines = c.options.Target.root.get("target"), c.options.Target.root.pos.File, c.options.Target.lines
	}
	if n != nil && c.options.URL != "" { // it replaces the suite's, which may name what is not set
		n = n.without("url")
	}
	out := &Target{}
	if n != nil {
		opaque := n.get("serve").get("rules")
		quiet := n
		if opaque != nil { // its names are resolved in its text, to keep lines and columns
			quiet = n.with("serve", n.get("serve").without("rules"))
		}
		resolved := scope.resolve(quiet, func(err *nameError) {
			if !err.unset || !mayBeUnset(n, err.at) {
				c.report(err.problem())
			}
		})
		newDecoder(file, lines, c.report).decode(emptied(resolved, mayBeUnset), reflect.ValueOf(out).Elem(), "")
		if opaque != nil && out.Serve != nil {
			out.Serve.Rules = &Opaque{Pos: opaque.pos, Data: scope.resolveText(cut(lines, opaque), opaque, c.report)}
		}
	}
	if c.options.URL != "" {
		out.URL, out.Serve = c.options.URL, nil
	}
	maps.DeleteFunc(out.Hooks, func(_ string, argv []string) bool {
		return slices.ContainsFunc(argv, func(word string) bool { return strings.Contains(word, "${env.") })
	})
	return out
}

// ProfileAnchor is where the documentation says what a profile asks of a target.
const ProfileAnchor = "profiles"

// reference holds the limits of a target file against those that a profile is written
// for: its requests are of sizes that prove something at that limit and no other. False
// without the first of them, which most checks are about: nothing else can be said then.
func (c *compiler) reference(runID string) bool {
	if c.suite.Profile == nil || c.options.Target == nil || len(c.suite.Scenarios) == 0 {
		return true
	}
	scope := &scope{vars: c.vars, env: c.options.Env, run: map[string]any{"id": runID}, used: c.used}
	own := *c
	own.options.Target, own.reporter = nil, &reporter{} // what is wrong with the suite's block is said elsewhere
	written := own.target(scope).Limits
	limits := c.target(scope).Limits
	if len(written) > 0 && !slices.ContainsFunc(limits, func(l Limit) bool { return l.Name == written[0].Name }) {
		at := c.options.Target.root.get("target")
		if block := at.get("limits"); block != nil {
			at = block
		}
		c.report(Problem{
			Pos: at.pos, Message: fmt.Sprintf("no limit %s is declared, which the profile %s is about", written[0].Name, c.suite.Profile.Name),
			Expected: fmt.Sprintf("limits: [ { name: %s, … } ] with what one client is configured with, enforced or not: %s", written[0].Name, written[0].Size()), Anchor: ProfileAnchor,
		})
		return false
	}
	for _, declared := range limits {
		i := slices.IndexFunc(written, func(l Limit) bool { return l.Name == declared.Name })
		if i < 0 || written[i].like(declared) {
			continue
		}
		expected := "one client of the gateway with that limit, for the time of the test"
		if written[i].near(declared) {
			expected += "; if that is how it is configured, write that: what every request costs besides its prompt looks like a smaller limit"
		}
		c.report(Problem{
			Pos: declared.Pos, Message: fmt.Sprintf("the limit %s is %s; the profile %s is written for %s", declared.Name, declared.Size(), c.suite.Profile.Name, written[i].Size()),
			Expected: expected, Anchor: ProfileAnchor,
		})
	}
	return true
}

// mayBeUnset tells whether a node is one where an unset environment variable
// just switches a feature or a hook off, or leaves the gateway to be named by --target.
func mayBeUnset(target, at *node) bool {
	if at == nil {
		return false
	}
	for _, hook := range target.get("hooks").entries() {
		if slices.Contains(hook.value.children(), at) {
			return true
		}
	}
	return target.get("url") == at || target.get("metrics").get("url") == at || target.get("ledger").get("url") == at
}

// emptied replaces what is still an environment name in such places.
func emptied(target *node, optional func(target, at *node) bool) *node {
	if url := target.get("url"); url != nil && optional(target, url) && strings.HasPrefix(url.text, "${env.") {
		target = target.without("url")
	}
	for _, part := range []string{"metrics", "ledger"} {
		url := target.get(part).get("url")
		if url != nil && optional(target, url) && strings.HasPrefix(url.text, "${env.") {
			target = target.with(part, target.get(part).with("url", &node{pos: url.pos, quoted: true}))
		}
	}
	return target
}

// view is what expressions see of a target that declares its limits.
func (t *Target) view() *TargetView {
	out := &TargetView{Settle: DefaultSettle, Tolerance: float64(t.Tolerance), Limits: map[string]LimitView{}}
	if t.Settle != nil {
		out.Settle = *t.Settle
	}
	for _, limit := range t.Limits {
		view := LimitView{Amount: limit.Amount, Per: limit.Per, Burst: limit.Most(), AtOnce: limit.Most(), Rate: limit.Rate(), Window: cmp.Or(limit.Window, "unknown")}
		if view.Window != "bucket" && view.Window != "sliding" {
			view.AtOnce *= 2
		}
		out.Limits[limit.Name] = view
	}
	return out
}

// lend puts limits into a view that a scenario is about and the target does not
// declare, so that its names mean something, and gives the first such one.
func (t *TargetView) lend(target *Target, names []string) (undeclared string) {
	for _, name := range names {
		if _, known := t.Limits[name]; known || target.Serve != nil {
			continue
		}
		if undeclared == "" {
			undeclared = name
		}
		t.Limits[name] = LimitView{Amount: 1, Per: time.Second, Burst: 1, Rate: 1, Window: "unknown", AtOnce: 2}
	}
	return undeclared
}

// interpolated is `target` for ${target.…}.
func (t *TargetView) interpolated(target *Target) map[string]any {
	limits := map[string]any{}
	for name, l := range t.Limits {
		limits[name] = map[string]any{"amount": l.Amount, "per": l.Per, "burst": l.Burst, "rate": l.Rate, "window": l.Window, "at_once": l.AtOnce}
	}
	return map[string]any{"settle": t.Settle, "tolerance": t.Tolerance, "limits": limits, "lease": target.Lease, "url": target.URL}
}

// limitNames are the declared ones; nil means that any name may be asked for,
// because the limits are in rules that only target and judge read.
func (t *Target) limitNames() []string {
	if t.Serve != nil {
		return nil
	}
	names := []string{}
	for _, limit := range t.Limits {
		names = append(names, limit.Name)
	}
	return names
}

// resolveText interpolates in a piece of the file that nobody here reads. A
// quoted lone name becomes the bare value, so that its type is kept.
func (s *scope) resolveText(data []byte, at *node, report func(Problem)) []byte {
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		if !strings.Contains(line, "${") || strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		lines[i] = quotedInterpolation.ReplaceAllStringFunc(line, func(found string) string {
			bare := strings.Trim(found, `"'`)
			name := interpolation.FindStringSubmatch(bare)[1]
			value, isOpen, err := s.lookup(name)
			if err != nil {
				column := utf8.RuneCountInString(line[:strings.Index(line, found)]) + 1
				report(Problem{Pos: Pos{File: at.pos.File, Line: at.pos.Line + i, Column: column}, Width: utf8.RuneCountInString(found), Message: err.message, Anchor: "interpolation"}.among(err.word, err.known))
				return found
			}
			if isOpen {
				return found
			}
			if found == bare { // inside of a longer text
				return asText(plain(value))
			}
			return display(plain(value))
		})
	}
	return []byte(strings.Join(lines, "\n"))
}
