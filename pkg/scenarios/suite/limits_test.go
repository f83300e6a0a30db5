package suite

import (
	"strings"
	"testing"
)

const severalLimits = `version: 1
suite: several
target:
  url: http://127.0.0.1:1
  identity: { header: x-tenant, pool: "t-${i}" }
  limits:
    - { name: tpm, dimension: tokens, amount: 100, per: 60s }
    - { name: tpd, dimension: tokens, amount: 1000, per: 24h }
    - { name: slots, dimension: concurrency, amount: 3, headers: { x-plan: calls } }
  hooks:
    reload: [ touch, "${env.FILE}" ]
    reset: [ touch, file ]
scenarios:
  - id: declared
    limits: [ slots ]
    steps: [ { send: { path: /x }, repeat: "${target.limits.slots.amount}" } ]
  - id: undeclared
    limits: [ slots, team ]
    steps:
      - send: { path: /x }
        repeat: "${target.limits.team.burst}"
        check: [ target.limits.team.amount > 0 ]
`

// A scenario about a limit that the target does not declare is skipped, and its names
// mean something all the same; a slip of the pen in another name is an error still.
func TestUndeclaredLimit(t *testing.T) {
	p := program(t, severalLimits, Options{Env: func(string) (string, bool) { return "", false }})
	declared, undeclared := p.Cells[0], p.Cells[1]
	if declared.Skip != "" || declared.Aside || declared.Steps[0].Repeat != 3 {
		t.Errorf("%+v", declared)
	}
	if undeclared.Skip != `target.limits declares no limit "team"` || !undeclared.Aside {
		t.Errorf("%q %v", undeclared.Skip, undeclared.Aside)
	}
	misspelt := strings.Replace(severalLimits, "target.limits.team.amount > 0", "target.limits.taem.amount > 0", 1)
	if got := problemsOf(t, misspelt, Options{}); !strings.Contains(got, `limits has no "taem"`) || !strings.Contains(got, "team") {
		t.Error(got)
	}
}

// A hook with a variable that is not set is off; the others are on.
func TestHooks(t *testing.T) {
	set := func(name string) (string, bool) { return "/tmp/policy.yaml", name == "FILE" }
	for _, env := range []func(string) (string, bool){set, func(string) (string, bool) { return "", false }} {
		_, known := env("FILE")
		hooks := program(t, severalLimits, Options{Env: env}).Cells[0].Target.Hooks
		if reload := hooks["reload"]; known != (len(reload) == 2 && reload[1] == "/tmp/policy.yaml") || len(hooks["reset"]) != 2 {
			t.Errorf("set %v: %v", known, hooks)
		}
	}
}

// Which limits bind a request that names some.
func TestBinding(t *testing.T) {
	target := &Target{Limits: []Limit{
		{Name: "tpm"}, {Name: "tpd"}, {Name: "slots", Headers: map[string]string{"x-plan": "calls"}}, {Name: "team", Identity: &Identity{Header: "x-team"}},
	}}
	for _, c := range []struct{ names, want string }{
		{"", "tpm tpd"},
		{"tpm", "tpm tpd"},
		{"slots", "slots"},
		{"tpm team", "tpm team"},
		{"team slots", "slots team"},
	} {
		var got []string
		for _, l := range target.Binding(strings.Fields(c.names)) {
			got = append(got, l.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: %v, expected %s", c.names, got, c.want)
		}
	}
	apart := &Target{Limits: target.Limits[2:]}
	if got := apart.Binding(nil); len(got) != 1 || got[0].Name != "slots" {
		t.Errorf("where all have clients of their own: %+v", got)
	}
}

// What a profile is written for is no claim of a gateway that is only a URL.
func TestProfileClaimsNothing(t *testing.T) {
	text := strings.Replace(severalLimits, "suite: several", "suite: several\nprofile: { name: p, version: v1 }", 1)
	if cell := program(t, text, Options{Profile: "p", URL: "http://127.0.0.1:2"}).Cells[0]; cell.Skip == "" {
		t.Errorf("the target has only a URL, and slots: %+v", cell.Target.Limits)
	}
	file, problems := ReadTargetFile("t.yaml", []byte(`target:
  url: http://127.0.0.1:2
  limits:
    - { name: tpm, dimension: tokens, amount: 100, per: 60s }
    - { name: slots, dimension: concurrency, amount: 3, path: /limited }
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if cell := program(t, text, Options{Profile: "p", Target: file}).Cells[0]; cell.Skip != "" {
		t.Errorf("the target declares slots: %q", cell.Skip)
	}
}

// Within a moment two windows may be spent, one before its end and one behind it, but
// a bucket only once.
func TestAtOnce(t *testing.T) {
	for window, want := range map[string]LimitView{
		"bucket":    {Window: "bucket", AtOnce: 100},
		"sliding":   {Window: "sliding", AtOnce: 100},
		"calendar":  {Window: "calendar", AtOnce: 200},
		"first-hit": {Window: "first-hit", AtOnce: 200},
		"":          {Window: "unknown", AtOnce: 200},
	} {
		got := (&Target{Limits: []Limit{{Name: "tpm", Amount: 100, Window: window}}}).view().Limits["tpm"]
		if got.Window != want.Window || got.AtOnce != want.AtOnce {
			t.Errorf("%q: found %+v", window, got)
		}
	}
}
