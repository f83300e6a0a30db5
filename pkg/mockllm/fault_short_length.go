package mockllm

// lengthError is by how many bytes a declared length is wrong, unless Fault.After.Bytes says.
const lengthError = 16

var faultShortLength = fault{
	name: "short_length", doc: "Content-Length is too small, the body goes on behind it (on HTTP/2 it is right)",
	segments: func(a *answer) { a.declare(-1) },
}

// declare makes the length wrong by Fault.After.Bytes.
func (a *answer) declare(sign int64) {
	by := int64(lengthError)
	if b := a.x.plan.Fault.After.Bytes; b != nil {
		by = *b
	}
	a.x.plan.HTTP.Framing = "length"
	a.declared = max(0, a.length(false)+sign*by)
}
