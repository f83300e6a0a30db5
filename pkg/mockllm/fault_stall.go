package mockllm

var faultStall = fault{
	name: "stall", doc: "nothing more comes, for the time in `for` or until the client leaves; then the connection is closed",
	segments: func(a *answer) { a.cut(a.find(a.x.plan.Fault.After)); a.ending = endStall },
}
