package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// GitHub writes workflow commands, which GitHub shows as annotations on the YAML
// line of what failed:
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions
func GitHub(w io.Writer, run *scenarios.RunResult) error {
	var b strings.Builder
	for _, l := range leaves(run) {
		var level string
		switch {
		case l.outcome == scenarios.Fail || l.outcome == scenarios.Error:
			level = "error"
		case l.warning:
			level = "warning"
		case l.outcome == scenarios.Skip:
			level = "notice"
		default:
			continue
		}
		fmt.Fprintf(&b, "::%s file=%s,line=%d,title=%s::%s\n", level, property(l.scenario.File), max(l.line, 1),
			property(l.suite.Name+"/"+l.scenario.ID), message(strings.TrimSpace(l.message+"\n"+l.detail)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func message(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func property(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}
