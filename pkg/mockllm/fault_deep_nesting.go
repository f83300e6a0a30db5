package mockllm

import "strings"

// nestingDepth is deeper than the readers of most languages go.
const nestingDepth = 20_000

var faultDeepNesting = fault{
	name: "deep_nesting", doc: "the event or body with the usage begins with 20000 nested arrays",
	events: func(a *answer) {
		if e := a.usageEvent(); e != nil {
			e.splice(1, 1, `"deep":`+strings.Repeat("[", nestingDepth)+strings.Repeat("]", nestingDepth)+",")
		}
	},
}
