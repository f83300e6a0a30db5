package mockllm

// garbage is neither JSON nor UTF-8 nor an event stream, and tries to look like a usage.
const garbage = "\x00\xff\xfe}{]\"usage\":{\"total_tokens\":0}"

var faultGarbage = fault{
	name: "garbage", doc: "bytes that mean nothing, at the place in `after`; by default behind the whole answer",
	segments: func(a *answer) {
		p := place{segment: len(a.segments)}
		if a.x.plan.Fault.After != (After{}) {
			p = a.find(a.x.plan.Fault.After)
		}
		a.insert(p, []byte(garbage))
	},
}
