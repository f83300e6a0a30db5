package mockllm

import "net/http"

// A server that is older than stream_options refuses them. Who asked on a client's behalf must ask again without.
var faultRefuseStreamOptions = fault{
	name: "refuse_stream_options", doc: "400 if the request has stream_options, else an answer as it should be",
	request: func(a *answer) {
		if a.x.ask.usageOptions {
			a.status = http.StatusBadRequest
		} else {
			a.kind = ""
		}
	},
	events: func(a *answer) {
		if a.x.ask.usageOptions {
			a.fail("Unrecognized request argument supplied: stream_options")
		}
	},
}
