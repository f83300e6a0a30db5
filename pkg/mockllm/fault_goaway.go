package mockllm

var faultGoAway = fault{
	name: "goaway", doc: "GOAWAY on HTTP/2, Connection: close on HTTP/1, with an answer that is whole",
	segments: func(a *answer) { a.header.Set("Connection", "close") },
}
