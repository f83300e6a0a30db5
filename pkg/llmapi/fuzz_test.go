package llmapi_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

// everyDialect has one dialect for each way to read.
func everyDialect(tb testing.TB) []llmapi.Dialect {
	tb.Helper()
	return append(llmapi.All(), llmapi.Generic())
}

// FuzzMeter: whatever the bytes are, the reading does not depend on how they are cut, and what is reported is possible.
func FuzzMeter(f *testing.F) {
	for i, rec := range recorded {
		body := recording(f, rec.file)
		f.Add(body, uint8(i), uint64(i), false)
		f.Add([]byte(strings.ReplaceAll(string(body), "\n", "\r\n")), uint8(i), uint64(i), true)
	}
	dialects := everyDialect(f)
	f.Fuzz(func(t *testing.T, body []byte, which uint8, seed uint64, small bool) {
		d := dialects[int(which)%len(dialects)]
		o := llmapi.MeterOptions{}
		if small {
			o.MaxEvent, o.MaxBody = 100, 1000
		}
		whole := play(d, o, body)
		sizes := make([]int, 100)
		for i := range sizes {
			sizes[i] = 1 + rand.New(rand.NewPCG(seed, uint64(i))).IntN(40)
		}
		for _, cut := range [][]int{{1}, {7}, sizes} {
			if got := play(d, o, body, cut...); got != whole {
				t.Fatalf("%s, cut %v:\n got %+v\nwant %+v", d.Name(), cut, got, whole)
			}
		}
		u := whole.Usage
		if u.Input < 0 || u.CachedInput < 0 || u.CacheWrite < 0 || u.Output < 0 || u.Reasoning < 0 ||
			u.Input+u.CachedInput+u.CacheWrite+u.Output+u.Reasoning != u.Total {
			t.Fatalf("%s: impossible classes %+v", d.Name(), u)
		}
		if whole.Reported != (whole.Why == "") || whole.Reported && (!whole.Complete || u.Total <= 0) {
			t.Fatalf("%s: contradiction %+v", d.Name(), whole)
		}
		if whole.ContentBytes > int64(len(body)) {
			t.Fatalf("%s: %d content bytes in a body of %d", d.Name(), whole.ContentBytes, len(body))
		}
	})
}

// FuzzRequest: no body makes a request free of what it says, and edits keep every other byte.
func FuzzRequest(f *testing.F) {
	for i, body := range []string{
		`{"messages":[{"role":"user","content":"hello"}],"max_tokens":5,"n":2}`,
		`{"stream_options":{"include_usage":false},"generationConfig":{"maxOutputTokens":1e3},"inferenceConfig":null}`,
		`{"prompt":[[1,2],"a"],"input":[{"content":[{"type":"text","text":"x"}]}],"system":"s"}`,
	} {
		f.Add([]byte(body), uint8(i))
	}
	dialects := everyDialect(f)
	f.Fuzz(func(t *testing.T, body []byte, which uint8) {
		d := dialects[int(which)%len(dialects)]
		path := "/model/m/x:y/deployments/d"
		facts, err := d.ParseRequest(path, body)
		if err != nil {
			if facts != (llmapi.Facts{}) {
				t.Fatalf("facts with an error: %+v, %v", facts, err)
			}
			return
		}
		if facts.Prompt < 0 || facts.N < 1 || facts.Output < 0 || facts.Output > 1<<31 {
			t.Fatalf("impossible facts %+v", facts)
		}
		if c, ok := d.(llmapi.OutputCapper); ok {
			edited, _ := c.CapOutput(body, 3)
			again, err := d.ParseRequest(path, edited)
			if err != nil || again.Output > 3 || facts.Declared && !again.Declared {
				t.Fatalf("capped %s: %+v, %v", edited, again, err)
			}
			if twice, changed := c.CapOutput(edited, 3); changed {
				t.Fatalf("capped twice: %s, then %s", edited, twice)
			}
		}
		if r, ok := d.(llmapi.UsageRequester); ok {
			edited, changed := r.AskUsage(body)
			if _, err := d.ParseRequest(path, edited); err != nil {
				t.Fatalf("asked %s: %v", edited, err)
			}
			if changed == bytes.Equal(edited, body) {
				t.Fatalf("asked %s: changed %t", edited, changed)
			}
		}
	})
}

// TestAnyFlush draws where a compressor flushes and how the bytes are cut, for every recorded response.
func TestAnyFlush(t *testing.T) {
	bodies := make([][]byte, len(recorded))
	for i, rec := range recorded {
		bodies[i] = recording(t, rec.file)
	}
	rapid.Check(t, func(rt *rapid.T) {
		i := rapid.IntRange(0, len(recorded)-1).Draw(rt, "response")
		c := rapid.SampledFrom(compressors).Draw(rt, "compressor")
		var packed bytes.Buffer
		z := c.open(&packed)
		for rest := bodies[i]; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "flush after")
			if _, err := z.Write(rest[:n]); err != nil {
				rt.Fatal(err)
			}
			if err := z.Flush(); err != nil {
				rt.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := z.Close(); err != nil {
			rt.Fatal(err)
		}
		sizes := rapid.SliceOfN(rapid.IntRange(1, 200), 1, 20).Draw(rt, "cuts")
		got := play(dialectOf(t, recorded[i].host, recorded[i].path), llmapi.MeterOptions{Encoding: c.encoding}, packed.Bytes(), sizes...)
		if !got.Reported || got.Usage != recorded[i].usage || got.ContentBytes != recorded[i].content {
			rt.Fatalf("%s by %s: got %+v", recorded[i].file, c.encoding, got)
		}
	})
}
