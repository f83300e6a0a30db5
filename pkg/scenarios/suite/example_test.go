package suite_test

import (
	"fmt"

	"github.com/llmlimit/llmlimit/pkg/scenarios/suite"
)

func Example() {
	src := `
version: 1
suite: refunds
target: { serve: { policy: policy.yaml } }
scenarios:
  - id: refund
    matrix: { delivery: [ length, chunked ] }
    steps:
      - send: { plan: { usage: 10/40, http: { framing: "${matrix.delivery}" } } }
        check: [ res.usage.total == 50 ]
`
	s, problems := suite.Read("refunds.yaml", []byte(src), nil)
	if problems.Err() != nil {
		fmt.Print(problems)
		return
	}
	program, problems := suite.Compile(s, suite.Options{})
	if problems.Err() != nil {
		fmt.Print(problems)
		return
	}
	for _, cell := range program.Cells {
		check := cell.Steps[0].Check[0]
		_, tree, _ := check.Check(suite.Environment{Res: &suite.Response{Usage: &suite.Usage{Total: 1000}}})
		fmt.Println(cell.ID, cell.Steps[0].Send.Plan.HTTP.Framing, check.Pos)
		fmt.Print(tree)
	}
	// Output:
	// refund[delivery=length] length refunds.yaml:10:18
	// res.usage.total == 50 = false
	//   res.usage.total = 1000
	// refund[delivery=chunked] chunked refunds.yaml:10:18
	// res.usage.total == 50 = false
	//   res.usage.total = 1000
}

// A misspelt word is shown where it stands, with the nearest known one.
func ExampleRead() {
	_, problems := suite.Read("s.yaml", []byte("version: 1\nsuite: s\nscenarios:\n  - id: a\n    steps:\n      - sned: {}\n"), nil)
	fmt.Print(problems)
	// Output:
	// s.yaml:6:9: unknown key "sned" in a step; expected one of id, send, load, drain, eventually, wait, align, scrape, …; did you mean "send"?
	//     6 |       - sned: {}
	//       |         ^^^^
	//       see docs/write-a-scenario.md#steps
}
