package mockllm

import "net/http"

var faultErrorEvent = fault{
	name: "error_event", doc: "an error in the dialect's form in the middle of a 200 stream, which ends there; a whole answer is a 500",
	request: func(a *answer) {
		if !a.x.ask.stream && a.status < http.StatusBadRequest {
			a.status = http.StatusInternalServerError
		}
	},
	segments: func(a *answer) {
		if a.reply.framing == frameBody {
			return
		}
		a.cut(a.find(a.x.plan.Fault.After))
		one := a.reply
		one.events = []event{streamError(a.x.ask.dialect)}
		if a.reply.framing == frameAWS {
			a.segments = append(a.segments, awsFrame(&one.events[0], "exception"))
			return
		}
		if a.reply.framing == frameArray {
			one.events = append([]event{{}}, one.events...) // not the first element, but the last
			a.segments = append(a.segments, frame(&one, &a.x.plan)[1])
			return
		}
		a.segments = append(a.segments, frame(&one, &a.x.plan)...)
	},
}

// streamError is what the provider says in the middle of a stream.
func streamError(d *dialect) event {
	const message = "The server had an error while processing your request."
	switch d.name {
	case "anthropic", "bedrock-invoke":
		return event{name: "error", data: failAnthropic(529, message).body}
	case "bedrock-converse":
		return event{name: "modelStreamErrorException", data: failBedrock(424, message).body}
	case "openai-responses":
		var b builder
		b.add(`{"type":"error","code":"server_error","message":`).str(message).add(`,"param":null,"sequence_number":0}`)
		return b.event("error")
	default:
		return event{data: d.fail(http.StatusInternalServerError, message).body}
	}
}
