package mockllm

var faultLongLength = fault{
	name: "long_length", doc: "Content-Length is too large: the connection is closed before it is reached (HTTP/1)",
	segments: func(a *answer) { a.declare(+1) },
}
