package llmapi_test

import (
	"bytes"
	"testing"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

func BenchmarkParseRequest(b *testing.B) {
	small := []byte(`{"model":"gpt-5-nano","messages":[{"role":"system","content":"You are helpful."},{"role":"user","content":"What is the capital of Norway?"}],"max_tokens":256,"stream":true,"temperature":0.7}`)
	large := []byte(`{"model":"gpt-5-nano","messages":[{"role":"user","content":"` + string(bytes.Repeat([]byte("lorem ipsum \\n "), 4096)) + `"}]}`)
	d := dialectOf(b, "", chatPath)
	for name, body := range map[string][]byte{"small": small, "60KB": large} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := d.ParseRequest(chatPath, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAskUsage(b *testing.B) {
	body := []byte(`{"model":"gpt-5-nano","messages":[{"role":"user","content":"What is the capital of Norway?"}],"stream":true}`)
	d, ok := dialectOf(b, "", chatPath).(llmapi.UsageRequester)
	if !ok {
		b.Fatal("no UsageRequester")
	}
	b.ReportAllocs()
	for b.Loop() {
		d.AskUsage(body)
	}
}

func BenchmarkMeter(b *testing.B) {
	for _, file := range []string{"openai_chat.json", "openai_chat.sse", "anthropic_messages.sse", "bedrock_converse.frames"} {
		for _, rec := range recorded {
			if rec.file != file {
				continue
			}
			body, d := recording(b, file), dialectOf(b, rec.host, rec.path)
			pieces := bytes.SplitAfter(body, []byte("\n\n"))
			b.Run(file, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					m := d.Meter(llmapi.MeterOptions{})
					for _, p := range pieces {
						_, _ = m.Write(p)
					}
					if got := m.Close(); !got.Reported {
						b.Fatalf("%+v", got)
					}
				}
			})
		}
	}
}

// BenchmarkMeterEvent is the cost of one more event of a stream.
func BenchmarkMeterEvent(b *testing.B) {
	event := sse(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1755137921,"model":"gpt-5-nano","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}],"usage":null,"obfuscation":"WuQNX"}`)
	m := dialectOf(b, "", chatPath).Meter(llmapi.MeterOptions{})
	defer m.Close()
	b.ReportAllocs()
	b.SetBytes(int64(len(event)))
	for b.Loop() {
		_, _ = m.Write(event)
	}
}

func BenchmarkDecodingMeter(b *testing.B) {
	body := recording(b, "openai_chat.json")
	d := dialectOf(b, "", chatPath)
	for _, c := range compressors {
		packed := compress(b, c.open, body, false)
		b.Run(c.encoding, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := play(d, llmapi.MeterOptions{Encoding: c.encoding}, packed); !got.Reported {
					b.Fatalf("%+v", got)
				}
			}
		})
	}
}
