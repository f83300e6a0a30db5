package mockllm

var faultTruncate = fault{
	name: "truncate", doc: "the body ends early, in a framing that is complete",
	segments: func(a *answer) { a.cut(a.find(a.x.plan.Fault.After)) },
}
