package mockllm

var faultBodyForStream = fault{
	name: "body_for_stream", doc: "a whole JSON body for a request that asked for a stream",
	request: func(a *answer) { a.x.ask.stream = false },
}
