package suite

import (
	"os"
	"strings"
	"testing"
	"time"
)

// compiled is an expression typed against a small cell.
func compiled(t *testing.T, source string, condition bool) *Expression {
	t.Helper()
	vars := map[string]any{"cost": int64(1006), "share": 0.5, "name": "x", "deep": map[string]any{"n": int64(1)}}
	types := newCellTypes(vars, map[string]any{"body": map[string]any{"stream": true}}, []string{"tpm"}, []string{"five"}, map[string]bool{})
	e := &Expression{Source: source, vars: cellValues{vars: vars, matrix: map[string]any{"body": map[string]any{"stream": true}}, target: &TargetView{
		Settle: 5 * time.Second, Tolerance: 0.02, Limits: map[string]LimitView{"tpm": {Amount: 10000, Per: time.Minute, Burst: 10000, Rate: 10000.0 / 60}},
	}}}
	if err := e.compile(types, condition); err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return e
}

func environment() Environment {
	remaining := int64(744)
	wait := 5 * time.Second
	response := &Response{
		Status: 200, Remaining: &remaining, RetryAfter: &wait, Usage: &Usage{In: 10, Out: 40, Total: 50}, TTFT: 3 * time.Millisecond,
		Mock: &MockEntry{IncludeUsage: true, Usage: Usage{In: 10, Out: 40, Total: 50}}, Headers: map[string]any{"retry-after": "5"},
	}
	return Environment{
		Res:    response,
		Steps:  map[string]*StepResult{"five": {Results: []*Response{response, response, response, response, response}}},
		Load:   &LoadTotals{Count: 100, Rejected: 20, Admitted: 80, Statuses: map[string]int64{"5xx": 1}, Duration: 2 * time.Second, AdmittedTokens: 10000},
		Ledger: &Ledger{Reserved: 6036, Actual: 300, Refunded: 5736},
		Judge:  &JudgeTotals{Reserved: 1006},
		Header: func(name string) string { return map[string]string{"retry-after": "5"}[name] },
		Delta:  func(string) (float64, error) { return 956, nil },
	}
}

// Every expression of the language's reference, and some more, has its value.
func TestExpressions(t *testing.T) {
	for _, c := range []struct {
		source string
		want   bool
	}{
		{"res.mock.include_usage", true},
		{"res.mock.usage.total == 50", true},
		{"res.usage.in == 10", true},
		{"ledger.reserved == 6 * vars.cost", true},
		{"ledger.reserved == ledger.actual + ledger.refunded - ledger.debited", true},
		{`delta("llmlimit_token_reservation_unused_total") == judge.reserved - res.mock.usage.total`, true},
		{"sum(steps.five.results, .mock.usage.total) == 250", true},
		{"steps.five.results[4].remaining == 744", true},
		{`steps["five"].results[0].status == 200`, true},
		{"all(steps.five.results, .status == 200)", true},
		{`load.statuses["5xx"] > 0.05 * load.count`, false},
		{"load.rejected > 0.01 * load.count", true},
		{"load.overhead.p99 < 5ms", true},
		{"res.ttft < 5ms and res.ttft > 2.5ms", true},
		{"res.retry_after <= target.limits.tpm.per", true},
		{"load.admitted_tokens <= target.limits.tpm.amount * (1 + target.tolerance) + target.limits.tpm.rate * load.duration.Seconds()", true},
		{"2 * 6000 > target.limits.tpm.amount + target.limits.tpm.rate * target.settle.Seconds()", true},
		{`header("retry-after") == "5"`, true},
		{`header("absent") == ""`, true},
		{"matrix.body.stream", true},
		{"vars.deep.n == 1 and vars.share == 0.5", true},
		{"res.reset == nil", true},
		{"res.reset != nil", false},
	} {
		ok, tree, err := compiled(t, c.source, true).Check(environment())
		if err != nil || ok != c.want {
			t.Errorf("%s: %v, %v; want %v", c.source, ok, err, c.want)
		}
		if (tree == nil) != ok {
			t.Errorf("%s: a tree only for what fails, got %v", c.source, tree)
		}
	}
}

// What cannot be computed does not hold, and says why.
func TestExpressionsThatCannotBeComputed(t *testing.T) {
	env := environment()
	env.Res = &Response{Status: 429}
	env.Delta = nil
	for source, why := range map[string]string{
		"res.mock.usage.total == 50":               "",
		"res.remaining > 5":                        "",
		"steps.five.results[7].status == 200":      "",
		`delta("x") == 1`:                          "no metrics",
		`ledger_of("tpm", "day").outstanding == 0`: "no ledger",
	} {
		ok, tree, err := compiled(t, source, true).Check(env)
		if ok || err == nil || tree == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v, %v", source, ok, err, tree)
		}
	}
}

// A failed check shows the value of each side, in the author's words.
func TestValueTree(t *testing.T) {
	ok, tree, err := compiled(t, "sum(steps.five.results, .mock.usage.total) == 5 * vars.cost and res.ttft < 2ms", true).Check(environment())
	if ok || err != nil {
		t.Fatal(ok, err)
	}
	want := `sum(steps.five.results, .mock.usage.total) == 5 * vars.cost and res.ttft < 2ms = false
  sum(steps.five.results, .mock.usage.total) == 5 * vars.cost = false
    sum(steps.five.results, .mock.usage.total) = 250
      map(steps.five.results, .mock.usage.total) = [50,50,50,50,50]
    5 * vars.cost = 5030
      vars.cost = 1006
  res.ttft < 2ms = false
    res.ttft = 3ms
`
	if tree.String() != want {
		t.Errorf("got\n%swant\n%s", tree, want)
	}
	_, tree, _ = compiled(t, "res.mock == nil or len(steps.five.results) == 4", true).Check(environment())
	if got := tree.String(); !strings.Contains(got, `res.mock = {"include_usage":true,"usage":{"in":10,"out":40,"total":50}}`) || !strings.Contains(got, "= \"5 items\"") {
		t.Errorf("got\n%s", got)
	}
	_, tree, _ = compiled(t, "res.usage.total in [1, 2] or not (res.status == 200)", true).Check(environment())
	if got := tree.String(); !strings.Contains(got, "res.usage.total = 50\n") || !strings.Contains(got, "res.status = 200\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestUses(t *testing.T) {
	e := compiled(t, "ledger.actual == 1 and steps.five.results[0].status == 200", true)
	for name, want := range map[string]bool{"ledger": true, "steps": true, "judge": false, "actual": false} {
		if e.Uses(name) != want {
			t.Errorf("Uses(%q) = %v", name, !want)
		}
	}
}

// Durations become calls, and every place in the new text leads back to the
// old one.
func TestRewriteDurations(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"a < 5ms", `a < duration("5ms")`},
		{"1h30m > 1.5s", `duration("1h30m") > duration("1.5s")`},
		{`x == "5ms" and y == '1s'`, `x == "5ms" and y == '1s'`},
		{"`5ms` == a", "`5ms` == a"},
		{"/* 5ms */ a", "/* 5ms */ a"},
		{"p5ms + x5s", "p5ms + x5s"},
		{"load.p99 < 5", "load.p99 < 5"},
		{"1..5", "1..5"},
		{`"a\"5ms" + 2d`, `"a\"5ms" + duration("2d")`},
		{"é5ms + 5ms", `é5ms + duration("5ms")`},
		{`"open 5ms`, `"open 5ms`},
	} {
		got := rewriteDurations(c.source)
		if got.text != c.want {
			t.Errorf("%s: got %s", c.source, got.text)
		}
		if back := restoreDurations(got.text); back != c.source {
			t.Errorf("%s: restored as %s", c.source, back)
		}
		if len(got.back) != len([]rune(got.text))+1 {
			t.Errorf("%s: %d places for %d runes", c.source, len(got.back), len([]rune(got.text)))
		}
	}
	// The caret below what follows a literal.
	r := rewriteDurations("a < 5ms and bb")
	if at := strings.Index(r.text, "ms"); r.origin(at) != 5 {
		t.Errorf("ms is at %d, want 5", r.origin(at))
	}
	if at := strings.Index(r.text, "bb"); r.origin(at) != 12 {
		t.Errorf("bb is at %d, want 12", r.origin(at))
	}
}

// The page that problems link to names every member that an expression may use.
func TestMembersAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../" + DocsPage)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Expressions\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, one := range environmentStructs {
		for _, name := range exprNames(one) {
			if !strings.Contains(section, "`"+name+"`") {
				t.Errorf("docs/write-a-scenario.md, Expressions: nothing says %s of %s", name, one.Name())
			}
		}
	}
	for name := range newCellTypes(nil, nil, nil, nil, map[string]bool{}).environment() {
		if !strings.Contains(section, "`"+name) {
			t.Errorf("docs/write-a-scenario.md, Expressions: nothing says %s", name)
		}
	}
}
