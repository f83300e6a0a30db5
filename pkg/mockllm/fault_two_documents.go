package mockllm

var faultTwoDocuments = fault{
	name: "two_documents", doc: "two JSON documents in one body or event, the second one an empty object",
	events: func(a *answer) {
		e := a.usageEvent()
		if e == nil && len(a.reply.events) > 0 {
			e = &a.reply.events[0]
		}
		if e != nil {
			e.splice(len(e.data), len(e.data), "{}")
		}
	},
}
