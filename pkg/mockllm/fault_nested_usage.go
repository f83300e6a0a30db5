package mockllm

var faultNestedUsage = fault{
	name: "nested_usage", doc: "the usage is not where the dialect has it but inside an object named response",
	events: func(a *answer) {
		e := a.usageEvent()
		if e == nil {
			return
		}
		from := e.keyStart()
		e.splice(e.usage.to, e.usage.to, "}")
		e.splice(from, from, `"response":{`)
	},
}
