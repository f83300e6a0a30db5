package mockllm

var faultErrorBody = fault{
	name: "error_body", doc: "status 200 with the dialect's error body",
	events: func(a *answer) {
		status := a.status
		a.status = 500
		a.fail("The server had an error while processing your request.")
		a.status = status
	},
}
