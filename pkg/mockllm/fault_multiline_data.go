package mockllm

var faultMultilineData = fault{
	name: "multiline_data", doc: "every event's JSON is spread over two data lines",
	events: func(a *answer) {
		for i := range a.reply.events {
			if e := &a.reply.events[i]; !e.sentinel && len(e.data) > 0 {
				e.splice(1, 1, "\n") // behind the opening brace, where white space means nothing
			}
		}
	},
}
