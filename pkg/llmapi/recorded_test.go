package llmapi_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

// recorded are the responses in testdata and what a meter must read in each, whatever happens to it on the way.
var recorded = []struct {
	file    string
	path    string
	host    string
	usage   llmapi.Usage
	content int64
}{
	{"openai_chat.json", "/v1/chat/completions", "", llmapi.Usage{Input: 5, CachedInput: 3, Output: 57, Reasoning: 320, Total: 385}, 5},
	{"openai_chat.sse", "/v1/chat/completions", "", llmapi.Usage{Input: 8, CachedInput: 4, Output: 40, Reasoning: 60, Total: 112}, 29},
	{"vllm_continuous.sse", "/v1/chat/completions", "", llmapi.Usage{Input: 9, Output: 3, Total: 12}, 2},
	{"groq_chat.sse", "/openai/v1/chat/completions", "", llmapi.Usage{Input: 21, Output: 5, Total: 26}, 4},
	{"deepseek_chat.json", "/chat/completions", "api.deepseek.com", llmapi.Usage{Input: 20, CachedInput: 10, Output: 5, Reasoning: 7, Total: 42}, 7},
	{"openrouter_chat.sse", "/api/v1/chat/completions", "", llmapi.Usage{Input: 14, Output: 4, Total: 18}, 3},
	{"mistral_chat.sse", "/v1/chat/completions", "api.mistral.ai", llmapi.Usage{Input: 11, Output: 9, Total: 20}, 9},
	// What the total has beyond input and output is output.
	{"xai_chat.json", "/v1/chat/completions", "", llmapi.Usage{Input: 10, Output: 22, Reasoning: 3, Total: 35}, 5},
	{"openai_completions.json", "/v1/completions", "", llmapi.Usage{Input: 5, Output: 7, Total: 12}, 5},
	{"openai_completions.sse", "/v1/completions", "", llmapi.Usage{Input: 5, Output: 9, Total: 14}, 4},
	{"openai_responses.json", "/v1/responses", "", llmapi.Usage{Input: 28, CachedInput: 6, CacheWrite: 2, Output: 67, Reasoning: 20, Total: 123}, 10},
	{"openai_responses.sse", "/v1/responses", "", llmapi.Usage{Input: 28, CachedInput: 6, CacheWrite: 2, Output: 67, Reasoning: 20, Total: 123}, 10},
	{"openai_embeddings.json", "/v1/embeddings", "", llmapi.Usage{Input: 8, Total: 8}, 0},
	{"anthropic_messages.json", "/v1/messages", "", llmapi.Usage{Input: 15, CachedInput: 10, CacheWrite: 4, Output: 12, Total: 41}, 11},
	{"anthropic_messages.sse", "/v1/messages", "", llmapi.Usage{Input: 15, CachedInput: 10, Output: 12, Total: 37}, 12},
	{"gemini.json", "/v1beta/models/m:generateContent", "", llmapi.Usage{Input: 8, CachedInput: 4, Output: 5, Reasoning: 10, Total: 27}, 14},
	{"gemini.sse", "/v1beta/models/m:streamGenerateContent", "", llmapi.Usage{Input: 5, Output: 3, Reasoning: 10, Total: 18}, 10},
	{"gemini_array.json", "/v1beta/models/m:streamGenerateContent", "", llmapi.Usage{Input: 5, Output: 3, Reasoning: 10, Total: 18}, 10},
	{"bedrock_converse.json", "/model/m/converse", "", llmapi.Usage{Input: 10, CachedInput: 4, CacheWrite: 3, Output: 20, Total: 37}, 9},
	{"bedrock_converse.frames", "/model/m/converse-stream", "", llmapi.Usage{Input: 10, Output: 20, Total: 30}, 12},
	{"bedrock_invoke.json", "/model/m/invoke", "", llmapi.Usage{Input: 15, CachedInput: 5, Output: 12, Total: 32}, 5},
	{"bedrock_invoke.frames", "/model/m/invoke-with-response-stream", "", llmapi.Usage{Input: 15, CachedInput: 5, Output: 12, Total: 32}, 5},
	{"cohere_chat.json", "/v2/chat", "", llmapi.Usage{Input: 71, Output: 4, Total: 75}, 6},
	{"cohere_chat.sse", "/v2/chat", "", llmapi.Usage{Input: 71, Output: 4, Total: 75}, 4},
}

// recording returns the bytes of a recorded response. Frames are written down as lines of a type and a payload, where
// "chunk!" wraps the payload as InvokeModelWithResponseStream does, and are encoded by AWS's own package.
func recording(tb testing.TB, file string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		tb.Fatal(err)
	}
	if !strings.HasSuffix(file, ".frames") {
		return text
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(text)) {
		kind, payload, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind == "chunk!" {
			kind, payload = "chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(payload))+`","p":"abcd"}`
		}
		out.Write(frame(tb, "event", kind, payload))
	}
	return out.Bytes()
}

// frame encodes one frame; kind is the event type, or the exception type of an exception.
func frame(tb testing.TB, message, kind, payload string) []byte {
	tb.Helper()
	m := eventstream.Message{Payload: []byte(payload)}
	m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
	m.Headers.Set(":"+message+"-type", eventstream.StringValue(kind))
	m.Headers.Set(":message-type", eventstream.StringValue(message))
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, m); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func dialectOf(tb testing.TB, host, path string) llmapi.Dialect {
	tb.Helper()
	d := llmapi.ForBackend(host, "POST", path)
	if d == nil {
		tb.Fatalf("no dialect for %s", path)
	}
	return d
}

// play feeds body in pieces of the given sizes, the last one repeated, to a new meter.
func play(d llmapi.Dialect, o llmapi.MeterOptions, body []byte, sizes ...int) llmapi.Reading {
	m := d.Meter(o)
	for i := 0; len(body) > 0; i++ {
		n := len(body)
		if len(sizes) > 0 {
			n = min(n, max(1, sizes[min(i, len(sizes)-1)]))
		}
		piece := bytes.Clone(body[:n])
		if written, err := m.Write(piece); written != n || err != nil {
			panic(fmt.Sprintf("Write of %d bytes = %d, %v", n, written, err))
		}
		clear(piece) // a meter may not keep what it was given
		body = body[n:]
	}
	return m.Close()
}

// compressors write body with a content encoding; flush makes them flush after each event.
var compressors = []struct {
	encoding string
	open     func(io.Writer) writeFlusher
}{
	{"gzip", func(w io.Writer) writeFlusher { return gzip.NewWriter(w) }},
	{"deflate", func(w io.Writer) writeFlusher { return zlib.NewWriter(w) }},
	{"Deflate", func(w io.Writer) writeFlusher { z, _ := flate.NewWriter(w, 6); return z }}, // without zlib's frame
	{"br", func(w io.Writer) writeFlusher { return brotli.NewWriter(w) }},
	{"zstd", func(w io.Writer) writeFlusher { z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)); return z }},
}

type writeFlusher interface {
	io.WriteCloser
	Flush() error
}

func compress(tb testing.TB, open func(io.Writer) writeFlusher, body []byte, flush bool) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := open(&b)
	pieces := [][]byte{body}
	if flush {
		pieces = bytes.SplitAfter(body, []byte("\n\n"))
	}
	for _, p := range pieces {
		if _, err := z.Write(p); err != nil {
			tb.Fatal(err)
		}
		if flush {
			if err := z.Flush(); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// variants are the forms in which the same events may arrive.
func variants(file string, body []byte) map[string][]byte {
	if !strings.HasSuffix(file, ".sse") {
		return map[string][]byte{"as recorded": body}
	}
	forms := map[string][]byte{}
	for name, eol := range map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r"} {
		s := strings.ReplaceAll(string(body), "\n", eol)
		forms[name] = []byte(s)
		tight := strings.ReplaceAll(s, "data: ", "data:")
		forms[name+", no space"] = []byte(strings.ReplaceAll(tight, "event: ", "event:"))
		forms[name+", comments"] = []byte("\ufeff" + strings.ReplaceAll(s, "data: ", ": keep-alive"+eol+"retry: 10"+eol+"data: "))
		// JSON may be broken into lines between tokens.
		forms[name+", several data lines"] = []byte(strings.ReplaceAll(s, `,"`, ","+eol+`data: "`))
	}
	return forms
}

func soak() bool { return os.Getenv("LLMLIMIT_SOAK") == "1" }

// TestRecordedAnyCut is the promise of Meter: where the bytes are cut, which line ends a server likes and how it
// compresses make no difference.
func TestRecordedAnyCut(t *testing.T) {
	t.Parallel()
	for _, rec := range recorded {
		t.Run(rec.file, func(t *testing.T) {
			t.Parallel()
			d, body := dialectOf(t, rec.host, rec.path), recording(t, rec.file)
			want := llmapi.Reading{
				Usage: rec.usage, Reported: true, ContentBytes: rec.content, Complete: true,
				Streamed: strings.HasSuffix(rec.file, ".sse") || strings.HasSuffix(rec.file, ".frames") || strings.Contains(rec.file, "array"),
			}
			want.ByBody = want.Streamed && strings.HasPrefix(rec.file, "gemini")
			if torn := want.Torn(); torn.Reported == want.ByBody || torn.Complete == want.ByBody || torn.Usage != want.Usage {
				t.Errorf("torn behind its last byte: %+v", torn)
			}
			check := func(what string, got llmapi.Reading) {
				t.Helper()
				if got != want {
					t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
				}
			}
			for name, form := range variants(rec.file, body) {
				check(name+", whole", play(d, llmapi.MeterOptions{}, form))
				for size := 1; size < 8; size++ {
					check(fmt.Sprintf("%s, %d bytes at a time", name, size), play(d, llmapi.MeterOptions{}, form, size))
				}
				for cut := 1; cut < len(form); cut++ {
					check(fmt.Sprintf("%s, cut at %d", name, cut), play(d, llmapi.MeterOptions{}, form, cut, len(form)))
				}
			}
			for _, c := range compressors {
				for _, flush := range []bool{false, true} {
					packed := compress(t, c.open, body, flush)
					o := llmapi.MeterOptions{Encoding: c.encoding}
					check(c.encoding+", whole", play(d, o, packed))
					check(c.encoding+", one byte at a time", play(d, o, packed, 1))
					step := max(1, len(packed)/20)
					if soak() {
						step = 1
					}
					for cut := 1; cut < len(packed); cut += step {
						check(fmt.Sprintf("%s, cut at %d", c.encoding, cut), play(d, o, packed, cut, len(packed)))
					}
				}
			}
		})
	}
}

// TestRecordedTruncated: a body that stops early is unknown, never another number.
func TestRecordedTruncated(t *testing.T) {
	t.Parallel()
	for _, rec := range recorded {
		t.Run(rec.file, func(t *testing.T) {
			t.Parallel()
			d, body := dialectOf(t, rec.host, rec.path), recording(t, rec.file)
			whole := len(bytes.TrimRight(body, "\r\n "))
			document := strings.HasSuffix(rec.file, ".json")
			unknown := 0
			for n := range len(body) {
				got := play(d, llmapi.MeterOptions{}, body[:n])
				switch {
				case !got.Reported && got.Why == "":
					t.Fatalf("cut to %d bytes: no usage and no reason: %+v", n, got)
				case !got.Reported:
					unknown++
				case got.Usage != rec.usage || !got.Complete:
					t.Fatalf("cut to %d bytes: got %+v, want the usage of the whole or none", n, got)
				case document && n < whole:
					t.Fatalf("cut to %d of %d bytes: reported %+v", n, whole, got)
				}
			}
			if unknown*2 < len(body) {
				t.Errorf("only %d of %d cuts are unknown", unknown, len(body))
			}
			packed := compress(t, compressors[0].open, body, true)
			step := 4
			if soak() {
				step = 1
			}
			for n := 0; n < len(packed); n += step {
				if got := play(d, llmapi.MeterOptions{Encoding: "gzip"}, packed[:n]); got.Reported {
					t.Fatalf("gzip cut to %d of %d bytes: reported %+v", n, len(packed), got)
				}
			}
		})
	}
}
