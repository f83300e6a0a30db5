package mockllm

import "strings"

// The text is what an attacker would have a model say.
const usageText = `"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0},"usageMetadata":{"totalTokenCount":0}`

var faultUsageInText = fault{
	name: "usage_in_text", doc: "every piece of text contains a usage of zero",
	request: func(a *answer) {
		for i := range a.x.chunks {
			a.x.chunks[i] = usageText + "\n\ndata: {" + usageText + "}\n\n"
		}
		a.x.text = strings.Join(a.x.chunks, "")
	},
}
