package estimate

import (
	"errors"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	const chatPath = "/v1/chat/completions"
	long := strings.Repeat("x", 1001)
	for _, c := range []struct {
		name, path, body, hint string
		want                   Facts
	}{
		{"five bytes and a message", chatPath, `{"max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}`, "", Facts{Prompt: 6, Output: 1000, Declared: true, N: 1}},
		{"white space counts nothing", chatPath, "{ \"messages\" : [ { \"content\" : \"hello\" } ] }", "", Facts{Prompt: 6, N: 1}},
		{"parts", chatPath, `{"messages":[{"content":[{"type":"text","text":"hello"},{"type":"refusal","refusal":"no"}]}]}`, "", Facts{Prompt: 6, N: 1}},
		{"a bracket inside a string", chatPath, `{"messages":[{"content":"a]b"},{"content":"hello"}]}`, "", Facts{Prompt: 10, N: 1}},
		{"escapes count decoded", chatPath, `{"messages":[{"content":"\"\u00e9\ud800"}]}`, "", Facts{Prompt: 2 + 4, N: 1}},
		{"an image is flat", chatPath, `{"messages":[{"content":[{"type":"image_url","image_url":{"url":"` + long + `"}}]}]}`, "", Facts{Prompt: 1004, N: 1}},
		{"tool calls", chatPath, `{"messages":[{"content":null,"tool_calls":[{"id":"x","function":{"name":"abcd","arguments":"{\"a\":1}"}}]}]}`, "", Facts{Prompt: 3 + 4, N: 1}},
		{"tools are compact", chatPath, `{"messages":[],"tools":[ {"a" : "b c"} ]}`, "", Facts{Prompt: 4, N: 1}},
		{"null tools are absent", chatPath, `{"messages":[],"tools":null}`, "", Facts{Prompt: 0, N: 1}},
		{"the largest allowance counts", chatPath, `{"max_tokens":1,"max_completion_tokens":10000,"messages":[]}`, "", Facts{Output: 10000, Declared: true, N: 1}},
		{"a key given twice", chatPath, `{"max_tokens":900,"max_tokens":1,"messages":[]}`, "", Facts{Output: 900, Declared: true, N: 1, Twice: true}},
		{"a key given twice in an object", "/v1beta/models/m:generateContent", `{"generationConfig":{"maxOutputTokens":1,"maxOutputTokens":9},"contents":[]}`, "", Facts{Output: 9, Declared: true, N: 1, Twice: true}},
		{"a key given twice that asks for nothing", chatPath, `{"max_tokens":9,"user":"a","user":"b","messages":[]}`, "", Facts{Output: 9, Declared: true, N: 1}},
		{"whole numbers", chatPath, `{"max_tokens":1e3,"n":2.0,"messages":[]}`, "", Facts{Output: 1000, Declared: true, N: 2}},
		{"huge numbers", chatPath, `{"max_tokens":1e30,"messages":[]}`, "", Facts{Output: 1 << 31, Declared: true, N: 1}},
		{"an exponent beyond reason", chatPath, `{"max_tokens":1e999999999999,"n":1e-999999999999,"messages":[]}`, "", Facts{Output: 1 << 31, Declared: true, N: 1}},
		{"numbers that are absent", chatPath, `{"max_tokens":1.5,"max_completion_tokens":"10","max_output_tokens":-1,"n":0,"messages":[]}`, "", Facts{N: 1}},
		{"the hint raises", chatPath, `{"messages":[]}`, "77", Facts{Prompt: 77, N: 1}},
		{"the hint never lowers", chatPath, `{"messages":[{"content":"hello"}]}`, "1", Facts{Prompt: 6, N: 1}},
		{"a bad hint is ignored", chatPath, `{"messages":[]}`, "-500000", Facts{N: 1}},
		{"responses", "/v1/responses", `{"instructions":"abcd","input":[{"content":[{"text":"abcd"}]},{"arguments":"abcd"},{"output":"abcd"}],"max_output_tokens":5}`, "", Facts{Prompt: 4 + 16, Output: 5, Declared: true, N: 1}},
		{"prompts multiply n", "/v1/completions", `{"prompt":["ab","cd"],"n":3,"best_of":4,"max_tokens":2}`, "", Facts{Prompt: 1, Output: 2, Declared: true, N: 8}},
		{"integer tokens", "/v1/completions", `{"prompt":[1,2,3]}`, "", Facts{Prompt: 3, N: 1}},
		{"embeddings have no output", "/v1/embeddings", `{"input":["abcd","e"],"max_tokens":10}`, "", Facts{Prompt: 2, Declared: true, N: 1}},
		{"anthropic", "/v1/messages", `{"system":[{"type":"text","text":"abcd"}],"max_tokens":9,"messages":[{"content":[{"type":"tool_use","input":{"a": 1}},{"type":"tool_result","content":[{"type":"text","text":"z"},{"type":"image"}]},{"type":"thinking","thinking":"ab"}]}]}`, "", Facts{Prompt: (4+7+1+2+3)/4 + 1000 + 8, Output: 9, Declared: true, N: 1}},
		{"gemini", "/v1beta/models/g:generateContent", `{"systemInstruction":{"parts":[{"text":"abcd"}]},"contents":[{"parts":[{"text":"abcd"},{"functionCall":{"a": 1}},{"inlineData":{}}]}],"generationConfig":{"maxOutputTokens":7,"candidateCount":2}}`, "", Facts{Prompt: 4 + 1000 + 8, Output: 7, Declared: true, N: 2}},
		{"bedrock", "/model/m/converse", `{"messages":[{"content":[{"text":"abcd"}]}],"inferenceConfig":{"maxTokens":3}}`, "", Facts{Prompt: 5, Output: 3, Declared: true, N: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, known, err := Of(c.path, []byte(c.body), c.hint)
			if err != nil || !known {
				t.Fatalf("Of: known %v, error %v", known, err)
			}
			got.TextBytes, got.Messages, got.Others = 0, 0, 0
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestOfRefuses(t *testing.T) {
	for _, body := range []string{"", "[]", "\"x\"", "{", "{} {}", "{\"a\":\"\xff\"}", `{"max_tokens":12`} {
		if _, _, err := Of("/v1/messages", []byte(body), ""); !errors.Is(err, ErrInvalidBody) {
			t.Errorf("%q: got %v, want ErrInvalidBody", body, err)
		}
	}
}

func TestUnknownPath(t *testing.T) {
	f, known, err := Of("/v1/audio", []byte("no json"), "")
	if known || err != nil || f.TextBytes != 7 {
		t.Errorf("got %+v, known %v, error %v", f, known, err)
	}
}

func TestSaturates(t *testing.T) {
	if got := Times(1<<31, 1<<31); got != 1<<53 {
		t.Errorf("got %d, want 2^53", got)
	}
}
