package mockllm

var faultFIN = fault{
	name: "fin", doc: "the connection is closed without completing the framing",
	segments: func(a *answer) { a.cut(a.find(a.x.plan.Fault.After)); a.ending = endClose },
}
