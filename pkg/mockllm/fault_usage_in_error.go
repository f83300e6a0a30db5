package mockllm

import "net/http"

var faultUsageInError = fault{
	name: "usage_in_error", doc: "status 500, or the plan's, with an answer and its usage in the body",
	request: func(a *answer) {
		a.x.ask.stream = false
		if a.status < http.StatusBadRequest {
			a.status = http.StatusInternalServerError
		}
	},
	events: func(a *answer) {
		if a.x.plan.BodyRaw == "" {
			a.x.told = a.told
			a.reply = a.x.ask.dialect.encode(a.x)
		}
	},
}
