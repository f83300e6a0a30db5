package mockllm

var faultStreamUnasked = fault{
	name: "stream_unasked", doc: "a stream for a request that did not ask for one",
	request: func(a *answer) { a.x.ask.stream, a.x.ask.array = true, false },
}
