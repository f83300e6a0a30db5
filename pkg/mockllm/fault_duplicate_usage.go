package mockllm

import (
	"bytes"
	"strings"
)

var faultDuplicateUsage = fault{
	name: "duplicate_usage", doc: "the usage's key is given twice, first with half of the output",
	events: func(a *answer) {
		e := a.usageEvent()
		if e == nil {
			return
		}
		from := e.keyStart()
		key := string(e.data[from:e.usage.from])
		half := strings.ReplaceAll(string(e.data[e.usage.from:e.usage.to]), count(a.x.told.Total), count(a.x.told.part(1, 2).Total))
		half = strings.ReplaceAll(half, count(a.x.told.Out), count(a.x.told.part(1, 2).Out))
		e.splice(from, from, key+half+",")
	},
}

// keyStart is the offset of the quote that opens the usage's key.
func (e *event) keyStart() int {
	if end := bytes.LastIndexByte(e.data[:e.usage.from], '"'); end > 0 {
		if start := bytes.LastIndexByte(e.data[:end], '"'); start >= 0 {
			return start
		}
	}
	return e.usage.from
}

// count is a number as the value of a member.
func count(n int64) string {
	var b builder
	return string(b.add(":").num(n).buf)
}
