package mockllm

import "strings"

var faultLongLine = fault{
	name: "long_line", doc: "the event or body with the usage is longer than 1 MiB, the usage at its end",
	events: func(a *answer) {
		if e := a.usageEvent(); e != nil {
			e.splice(1, 1, `"padding":"`+strings.Repeat("x", 1<<20)+`",`)
		}
	},
}
