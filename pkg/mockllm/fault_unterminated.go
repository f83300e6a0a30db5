package mockllm

import "bytes"

var faultUnterminated = fault{
	name: "unterminated", doc: "the blank line behind the last event is missing, and so is the [DONE]",
	segments: func(a *answer) {
		if a.reply.framing != frameSSE || len(a.segments) == 0 {
			return
		}
		for last := len(a.segments) - 1; last >= 0 && a.segments[last].index >= 0 && a.reply.events[a.segments[last].index].sentinel; last-- {
			a.segments = a.segments[:last]
		}
		if len(a.segments) > 0 {
			s := &a.segments[len(a.segments)-1]
			s.data, s.asked = bytes.TrimRight(s.data, "\r\n"), span{} // without its blank line it is no event
		}
	},
}
