package mockllm

// The event is torn in its middle, while the framing goes on; which one, Fault.After says. By default it is the first piece of
// text, so that the usage is still whole. A body loses its last brace.
var faultMalformedJSON = fault{
	name: "malformed_json", doc: "one event is torn JSON (default: the first piece of text); a body lacks its last brace",
	events: func(a *answer) {
		if a.reply.framing == frameBody {
			for i := range a.reply.events {
				e := &a.reply.events[i]
				e.data = e.data[:max(0, len(e.data)-1)]
			}
			return
		}
		if e := a.tornEvent(); e != nil {
			e.data = e.data[:len(e.data)/2]
			e.usage, e.full = span{}, false
		}
	},
}

// tornEvent is the event that Fault.After names: the n-th piece of text, or the one with the usage.
func (a *answer) tornEvent() *event {
	after := a.x.plan.Fault.After
	if after.BeforeUsage || after.AfterUsage {
		return a.usageEvent()
	}
	n := int64(0)
	if after.Chunks != nil {
		n = *after.Chunks
	}
	for i := range a.reply.events {
		if !a.reply.events[i].content {
			continue
		}
		if n == 0 {
			return &a.reply.events[i]
		}
		n--
	}
	return nil
}
