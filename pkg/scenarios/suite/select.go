package suite

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// selection decides which cells run.
type selection struct {
	tags    tagExpression
	tagged  bool
	ids     []string
	only    []string
	profile string
}

func newSelection(o Options) (selection, error) {
	out := selection{ids: o.IDs, only: o.Only, profile: o.Profile}
	if strings.TrimSpace(o.Tags) != "" {
		tags, err := parseTags(o.Tags)
		if err != nil {
			return out, err
		}
		out.tags, out.tagged = tags, true
	}
	return out, nil
}

// refuse says why a cell does not run, empty if it does.
func (s selection) refuse(suite *Suite, cell *Cell) string {
	switch {
	case suite.Profile != nil && !suite.Profile.is(s.profile):
		return "runs only by --profile " + suite.Profile.Name
	case suite.Profile == nil && s.profile != "":
		return "is not of the profile " + s.profile
	case len(s.only) > 0 && !slices.Contains(s.only, cell.ID):
		return "not asked for"
	case len(s.ids) > 0 && !slices.ContainsFunc(s.ids, cell.matches):
		return "not asked for by --id"
	case s.tagged && !s.tags(cell.Scenario.Tags):
		return "not asked for by --tags"
	}
	if s.tagged || len(s.ids) > 0 || len(s.only) > 0 { // asked for by name
		return ""
	}
	switch {
	case contains(cell.Scenario.Tags, "nightly"):
		return "tagged nightly; --tags nightly runs it"
	case cell.Scenario.Clock == "real":
		return "needs the real clock; --tags or --id runs it"
	}
	return ""
}

// is tells whether a profile goes by a name, with or without its version.
func (p *Profile) is(name string) bool {
	return name != "" && (name == p.Name || name == p.Name+"/"+p.Version || name == p.Name+"@"+p.Version)
}

// matches tells whether a glob means this cell. A glob without brackets speaks
// of the scenario, and means all of its cells; * also crosses slashes.
func (c *Cell) matches(glob string) bool {
	return globMatch(glob, c.ID) || globMatch(glob, c.Scenario.ID)
}

// globMatch matches * and ?; brackets are literal, because ids have them.
func globMatch(glob, text string) bool {
	if ok, err := path.Match(strings.NewReplacer("[", `\[`, "]", `\]`, `/`, "\x00").Replace(glob), strings.ReplaceAll(text, "/", "\x00")); err == nil {
		return ok
	}
	return glob == text
}

// tagExpression tells whether a set of tags is asked for.
type tagExpression func(tags []string) bool

var tagToken = regexp.MustCompile(`^\s*(&&|\|\||!|\(|\)|[A-Za-z0-9][A-Za-z0-9._/-]*)`)

// tagParser reads `a && !b || (c)`; && binds closer than ||.
type tagParser struct {
	tokens []string
	whole  string
}

func parseTags(text string) (tagExpression, error) {
	p := &tagParser{whole: text}
	for rest := text; strings.TrimSpace(rest) != ""; {
		found := tagToken.FindStringSubmatch(rest)
		if found == nil {
			return nil, fmt.Errorf("cannot read the tags %q at %q; expected words, &&, ||, ! and parentheses", text, strings.TrimSpace(rest))
		}
		p.tokens = append(p.tokens, found[1])
		rest = rest[len(found[0]):]
	}
	tags, err := p.either(0)
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("cannot read the tags %q at %q; expected && or ||", text, p.tokens[0])
	}
	return tags, err
}

func (p *tagParser) next(token string) bool {
	if len(p.tokens) == 0 || p.tokens[0] != token {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

func (p *tagParser) either(depth int) (tagExpression, error) {
	left, err := p.both(depth)
	for err == nil && p.next("||") {
		var right tagExpression
		first := left
		right, err = p.both(depth)
		left = func(tags []string) bool { return first(tags) || right(tags) }
	}
	return left, err
}

func (p *tagParser) both(depth int) (tagExpression, error) {
	left, err := p.one(depth)
	for err == nil && p.next("&&") {
		var right tagExpression
		first := left
		right, err = p.one(depth)
		left = func(tags []string) bool { return first(tags) && right(tags) }
	}
	return left, err
}

func (p *tagParser) one(depth int) (tagExpression, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("the tags %q are nested too deep", p.whole)
	}
	if p.next("!") {
		inner, err := p.one(depth + 1)
		return func(tags []string) bool { return !inner(tags) }, err
	}
	if p.next("(") {
		inner, err := p.either(depth + 1)
		if err == nil && !p.next(")") {
			err = fmt.Errorf("the tags %q lack a )", p.whole)
		}
		return inner, err
	}
	if len(p.tokens) == 0 || strings.ContainsAny(p.tokens[0], "&|)") {
		return nil, fmt.Errorf("the tags %q lack a word", p.whole)
	}
	word := p.tokens[0]
	p.tokens = p.tokens[1:]
	return func(tags []string) bool { return slices.Contains(tags, word) }, nil
}
