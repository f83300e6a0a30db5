package mockllm

var faultEmptyEncoded = fault{
	name: "empty_encoded", doc: "Content-Encoding: gzip over a body of no bytes",
	segments: func(a *answer) {
		a.segments = nil
		a.x.plan.HTTP.Encoding = "none"
		if a.reply.header == nil {
			a.reply.header = map[string]string{}
		}
		a.reply.header["Content-Encoding"] = "gzip"
	},
}
