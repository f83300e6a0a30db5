package mockllm

var faultMalformedSSE = fault{
	name: "malformed_sse", doc: "lines that are no field of an event stream, an empty event and an unknown field",
	segments: func(a *answer) {
		p := a.find(a.x.plan.Fault.After)
		p.offset = 0 // between events
		a.insert(p, []byte("dta: {\"usage\":{\"total_tokens\":0}}\nnonsense\n\ndata\n\n"))
	},
}
