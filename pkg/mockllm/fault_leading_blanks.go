package mockllm

var faultLeadingBlanks = fault{
	name: "leading_blanks", doc: "blank lines before the first byte, as some providers keep a whole answer alive",
	segments: func(a *answer) { a.insert(place{}, []byte("\n\n\n")) },
}
