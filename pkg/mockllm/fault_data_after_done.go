package mockllm

var faultDataAfterDone = fault{
	name: "data_after_done", doc: "a repeated piece of text behind the end of the stream, and [DONE] once more",
	events: func(a *answer) {
		if a.reply.framing == frameBody {
			return
		}
		events := a.reply.events
		for i := range events {
			if !events[i].content {
				continue
			}
			late := events[i]
			late.content, late.full, late.usage = false, false, span{}
			if end := events[len(events)-1]; end.sentinel {
				a.reply.events = append(events, late, end)
			} else {
				a.reply.events = append(events, late)
			}
			return
		}
	},
}
