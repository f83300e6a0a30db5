package llmapi_test

import (
	"fmt"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

// A request is read for what it may cost, and its response, as it passes, for what it did cost.
func Example() {
	d := llmapi.For("POST", "/v1/chat/completions")
	facts, err := d.ParseRequest("/v1/chat/completions",
		[]byte(`{"messages":[{"role":"user","content":"hello"}],"max_tokens":100,"n":2}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: reserve %d + %d × %d\n", d.Name(), facts.Prompt, facts.N, facts.Output)

	m := d.Meter(llmapi.MeterOptions{})
	for _, piece := range []string{`{"choices":[],"usage":{"prompt_`, `tokens":6,"completion_tokens":14}}`} {
		_, _ = m.Write([]byte(piece))
	}
	reading := m.Close()
	fmt.Printf("reported %t: charge %d\n", reading.Reported, reading.Usage.Total)
	// Output:
	// openai.chat: reserve 6 + 2 × 100
	// reported true: charge 20
}
