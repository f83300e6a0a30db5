package mockllm

var faultReset = fault{
	name: "reset", doc: "the connection is reset (RST; RST_STREAM on HTTP/2)",
	segments: func(a *answer) { a.cut(a.find(a.x.plan.Fault.After)); a.ending = endReset },
}
