package mockllm

import "fmt"

var faultEscapedKey = fault{
	name: "escaped_key", doc: `the first letter of the usage's key is a \u escape`,
	events: func(a *answer) {
		if e := a.usageEvent(); e != nil {
			at := e.keyStart() + 1
			if at < e.usage.from {
				e.splice(at, at+1, fmt.Sprintf(`\u%04x`, e.data[at]))
			}
		}
	},
}
