package mockllm

var faultBOM = fault{
	name: "bom", doc: "a byte order mark before the first byte",
	segments: func(a *answer) { a.insert(place{}, []byte("\ufeff")) },
}
