package llmapi_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

func TestAskUsage(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"absent", `{ "stream":true}`, `{"stream_options":{"include_usage":true}, "stream":true}`},
		{"an empty body", `{}`, `{"stream_options":{"include_usage":true}}`},
		{"null", `{"stream_options": null ,"n":1}`, `{"stream_options": {"include_usage":true} ,"n":1}`},
		{"empty", `{"stream_options":{ }}`, `{"stream_options":{"include_usage":true }}`},
		{"other options", `{"stream_options":{"x":1}}`, `{"stream_options":{"include_usage":true,"x":1}}`},
		{"false", `{"stream_options":{"include_usage" : false,"x":1}}`, `{"stream_options":{"include_usage" : true,"x":1}}`},
		{"true already", `{"stream_options":{"include_usage":true}}`, ``},
		{"given twice", `{"stream_options":{"include_usage":false},"stream_options":null}`, `{"stream_options":{"include_usage":true},"stream_options":{"include_usage":true}}`},
		{"an escaped key", `{"stream\u005foptions":{"include_usage":false}}`, `{"stream\u005foptions":{"include_usage":true}}`},
		{"not an object", `{"stream_options":"yes"}`, ``},
		{"of another object", `{"a":{"stream_options":{"include_usage":true}}}`, `{"stream_options":{"include_usage":true},"a":{"stream_options":{"include_usage":true}}}`},
	}
	d, ok := dialectOf(t, "", chatPath).(llmapi.UsageRequester)
	if !ok {
		t.Fatal("chat completions cannot be asked for usage")
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := []byte(tt.body)
			got, changed := d.AskUsage(body)
			want := tt.want
			if want == "" {
				want = tt.body
			}
			if string(got) != want || changed != (tt.want != "") {
				t.Errorf("got %s, %t\nwant %s", got, changed, want)
			}
			if string(body) != tt.body {
				t.Errorf("the body was modified: %s", body)
			}
			facts, err := dialectOf(t, "", chatPath).ParseRequest(chatPath, got)
			if err != nil || changed && !facts.UsageAsked {
				t.Errorf("reading it again: %+v, %v", facts, err)
			}
		})
	}
}

func TestCapOutput(t *testing.T) {
	tests := []struct{ name, path, body, want string }{
		{"above", chatPath, `{"max_tokens": 8000 ,"n":1}`, `{"max_tokens": 10 ,"n":1}`},
		{"at the limit", chatPath, `{"max_tokens":10}`, ``},
		{"both fields", chatPath, `{"max_tokens":8000,"max_completion_tokens":9000}`, `{"max_tokens":10,"max_completion_tokens":10}`},
		{"only one is above", chatPath, `{"max_tokens":5,"max_completion_tokens":9000}`, `{"max_tokens":5,"max_completion_tokens":10}`},
		{"given twice", chatPath, `{"max_tokens":5,"max_tokens":9000}`, `{"max_tokens":5,"max_tokens":10}`},
		{"an escaped key", chatPath, `{"max\u005ftokens":8e3}`, `{"max\u005ftokens":10}`},
		{"without bound, as some servers read it", chatPath, `{"max_tokens":-1}`, `{"max_tokens":10}`},
		{"text, as some servers read it", chatPath, `{"max_tokens":"8000"}`, `{"max_tokens":10}`},
		{"null", chatPath, `{"max_tokens":null}`, `{"max_tokens":10}`},
		{"absent", chatPath, `{"n":1}`, `{"max_completion_tokens":10,"n":1}`},
		{"absent from an empty body", chatPath, `{}`, `{"max_completion_tokens":10}`},
		{"absent, completions", "/v1/completions", `{"n":1}`, `{"max_tokens":10,"n":1}`},
		{"absent, responses", responsesPath, `{"n":1}`, `{"max_output_tokens":10,"n":1}`},
		{"anthropic", messagesPath, `{"max_tokens":8000}`, `{"max_tokens":10}`},
		{"gemini", geminiPath, `{"generationConfig":{"maxOutputTokens":8000}}`, `{"generationConfig":{"maxOutputTokens":10}}`},
		{"absent, gemini", geminiPath, `{"contents":[]}`, `{"generationConfig":{"maxOutputTokens":10},"contents":[]}`},
		{"absent from its object", geminiPath, `{"generationConfig":{"topK":1}}`, `{"generationConfig":{"maxOutputTokens":10,"topK":1}}`},
		{"its object is null", geminiPath, `{"generationConfig":null}`, `{"generationConfig":{"maxOutputTokens":10}}`},
		{"converse", conversePath, `{"inferenceConfig":{"maxTokens":8000}}`, `{"inferenceConfig":{"maxTokens":10}}`},
		{"of another object", chatPath, `{"max_tokens":1,"a":{"max_tokens":8000}}`, ``},
		{"a model of unknown form", "/model/m/invoke", `{"inputText":"x"}`, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := dialectOf(t, "", tt.path)
			c, ok := d.(llmapi.OutputCapper)
			if !ok {
				t.Fatalf("%s cannot cap its output", d.Name())
			}
			got, changed := c.CapOutput([]byte(tt.body), 10)
			want := tt.want
			if want == "" {
				want = tt.body
			}
			if string(got) != want || changed != (tt.want != "") {
				t.Errorf("got %s, %t\nwant %s", got, changed, want)
			}
			facts, err := d.ParseRequest(tt.path, got)
			if err != nil || facts.Output > 10 {
				t.Errorf("reading it again: %+v, %v", facts, err)
			}
		})
	}
}

func TestEventFilter(t *testing.T) {
	const (
		first = "data: " + chunk + "\n\n"
		ours  = "data: " + usage7 + "\n\n"
		both  = `data: {"choices":[{"index":0}],"usage":{"total_tokens":7}}` + "\n\n"
		none  = `data: {"choices":[],"usage":null}` + "\n\n"
		bad   = `data: {"choices":[],"usage":{"total_tokens":7},"error":{}}` + "\n\n"
		done  = "data: [DONE]\n\n"
	)
	tests := []struct{ name, in, want string }{
		{"in its place", first + ours + done, first + done},
		{"twice", first + ours + ours + done, first + done},
		{"usage with choices stays", first + both + done, first + both + done},
		{"null stays", first + none + ours, first + none},
		{"an error stays", bad, bad},
		{"comments stay", ": a\n\n: b\n" + first + ": c\n" + ours + ": d\n\n" + done, ": a\n\n: b\n" + first + ": c\n" + ": d\n\n" + done},
		{"other fields go with it", "event: x\nid: 1\n" + ours + done, done},
		{"several data lines", "data: {\"choices\":[],\ndata: \"usage\":{\"total_tokens\":1}}\n\n" + done, done},
		{"what has no blank line stays", first + ours[:len(ours)-1], first + ours[:len(ours)-1]},
		{"what is not JSON stays", "data: {{\n\nfoo\n\n" + done, "data: {{\n\nfoo\n\n" + done},
		{"blank lines stay", "\n\n\n" + first + "\n" + ours + "\n" + done, "\n\n\n" + first + "\n" + "\n" + done},
		{"a large event is not held", "data: " + string(bytes.Repeat([]byte("x"), 80<<10)) + "\n\n" + ours + done, "data: " + string(bytes.Repeat([]byte("x"), 80<<10)) + "\n\n" + done},
	}
	d, ok := dialectOf(t, "", chatPath).(llmapi.EventDropper)
	if !ok {
		t.Fatal("chat completions cannot recognise usage")
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, eol := range []string{"\n", "\r\n", "\r"} {
				in := bytes.ReplaceAll([]byte(tt.in), []byte("\n"), []byte(eol))
				want := bytes.ReplaceAll([]byte(tt.want), []byte("\n"), []byte(eol))
				step := 1 + len(in)/2000
				for size := 1; size <= len(in); size += step {
					f := llmapi.NewEventFilter(d.UsageOnly)
					var out []byte
					for rest := in; len(rest) > 0; rest = rest[min(size, len(rest)):] {
						out = f.Filter(out, rest[:min(size, len(rest))])
					}
					if out = append(out, f.Rest()...); !bytes.Equal(out, want) {
						t.Fatalf("eol %q, %d bytes at a time:\n got %.300q\nwant %.300q", eol, size, out, want)
					}
					if len(in) > 1<<16 && size > 3*step {
						break
					}
				}
			}
		})
	}
	t.Run("nothing is held but an event", func(t *testing.T) {
		f := llmapi.NewEventFilter(d.UsageOnly)
		if got := f.Filter(nil, []byte(": keep")); string(got) != ": keep" {
			t.Errorf("a comment is held: got %q", got)
		}
		if got := f.Filter(nil, []byte("-alive\n\n"+first)); string(got) != "-alive\n\n"+first {
			t.Errorf("a whole event is held: got %q", got)
		}
	})
}

// TestEndStream: what the proxy ends a stream with is an end to a reader of the dialect, and to our own meter.
func TestEndStream(t *testing.T) {
	usage := &llmapi.Usage{Input: 3, Output: 4, Total: 7}
	tests := []struct {
		path  string
		begun []byte
	}{
		{chatPath, sse(chunk, `{"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":null}]}`)},
		{"/v1/completions", sse(`{"choices":[{"index":0,"text":"x","finish_reason":null}]}`)},
		{responsesPath, sse(`{"type":"response.output_text.delta","delta":"abcd"}`)},
		{messagesPath, sse(`{"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}`, `{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}`)},
		{geminiPath, sse(`{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}`)},
	}
	for _, tt := range tests {
		for _, fails := range []bool{false, true} {
			d := dialectOf(t, "", tt.path)
			m := d.Meter(llmapi.MeterOptions{})
			if _, err := m.Write(tt.begun); err != nil {
				t.Fatal(err)
			}
			end := llmapi.StreamEnd{ID: "x", Model: "m", Created: 1, Usage: usage}
			if fails {
				end.Error = &llmapi.Rejection{Reason: "max_tokens_per_request_exceeded", Message: "too long"}
			}
			ender, ok := m.(llmapi.StreamEnder)
			if !ok {
				t.Fatalf("%s: the meter cannot end its stream", d.Name())
			}
			tail := ender.EndStream(end)
			m.Close()
			got := play(d, llmapi.MeterOptions{}, append(bytes.Clone(tt.begun), tail...))
			if !got.Complete || got.Failed != fails || !fails && (!got.Reported || got.Usage.Total != 7) {
				t.Errorf("%s, error %t: got %+v of\n%s", d.Name(), fails, got, tail)
			}
			if tt.path == messagesPath && !fails && !bytes.Contains(tail, []byte(`"index":2`)) {
				t.Errorf("the open block is not closed:\n%s", tail)
			}
			if tt.path == chatPath && !fails && (!bytes.Contains(tail, []byte(`"index":1`)) || !bytes.HasSuffix(tail, []byte("data: [DONE]\n\n"))) {
				t.Errorf("a choice or the end is missing:\n%s", tail)
			}
		}
	}
	m := dialectOf(t, "", conversePath).Meter(llmapi.MeterOptions{})
	defer m.Close()
	if ender, ok := m.(llmapi.StreamEnder); ok && ender.EndStream(llmapi.StreamEnd{}) != nil {
		t.Error("a binary stream cannot be ended with text")
	}
}

func TestReadableAgain(t *testing.T) {
	for _, d := range llmapi.All() {
		reply := d.Reject(llmapi.Rejection{Reason: "tpm_exceeded"})
		if !json.Valid(reply.Body) || reply.Status != 429 || reply.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got %d %v %s", d.Name(), reply.Status, reply.Header, reply.Body)
		}
	}
}
