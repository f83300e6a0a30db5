package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// TAP writes the Test Anything Protocol, version 14, one line per check:
// https://testanything.org/tap-version-14-specification.html
func TAP(w io.Writer, run *scenarios.RunResult) error {
	all := leaves(run)
	var b strings.Builder
	fmt.Fprintf(&b, "TAP version 14\n1..%d\n", len(all))
	for i, l := range all {
		ok, directive := "ok", ""
		switch l.outcome {
		case scenarios.Fail, scenarios.Error:
			ok = "not ok"
		case scenarios.Skip:
			directive = " # SKIP " + tapText(l.message)
		case scenarios.Pass:
		}
		fmt.Fprintf(&b, "%s %d - %s%s\n", ok, i+1, tapText(l.suite.Name+"/"+l.scenario.ID+": "+l.name), directive)
		if l.detail != "" && ok == "not ok" {
			fmt.Fprintf(&b, "  ---\n  outcome: %s\n  message: %q\n  file: %q\n  line: %d\n  detail: |\n", l.outcome, l.message, l.scenario.File, l.line)
			for line := range strings.Lines(l.detail) {
				fmt.Fprintf(&b, "    %s\n", strings.TrimRight(line, "\n"))
			}
			b.WriteString("  ...\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tapText escapes what would begin a directive or another line.
func tapText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "#", `\#`, "\n", " ").Replace(s)
}
