package mockllm

var faultHang = fault{
	name: "hang_before_headers", doc: "no answer comes, nothing but the 1xx of the plan, for the time in `for` or until the client leaves",
	segments: func(a *answer) { a.segments, a.ending = nil, endHang },
}
