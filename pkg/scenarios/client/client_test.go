package client_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/llmlimit/llmlimit/internal/memnet"
	"github.com/llmlimit/llmlimit/pkg/scenarios/client"
)

// serve runs a test against a handler, in virtual time.
func serve(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, c *client.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		l, err := n.Listen("api.test:80")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: handler}
		served := make(chan error)
		go func() { served <- server.Serve(l) }()
		c := client.New(n.DialContext, nil, nil)
		test(t, c)
		c.Close()
		server.Close()
		<-served
	})
}

func post(body string) client.Request {
	return client.Request{Method: http.MethodPost, URL: "http://api.test/", Body: []byte(body)}
}

// A slow upload reaches the server piece by piece, at exact instants, in both framings.
func TestUpload(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprint("chunked ", chunked), func(t *testing.T) {
			var got []string
			var begun time.Time
			serve(t, func(_ http.ResponseWriter, r *http.Request) {
				got = append(got, fmt.Sprintf("%d%v", r.ContentLength, r.TransferEncoding))
				part := make([]byte, 100)
				for {
					n, err := r.Body.Read(part)
					if n > 0 {
						got = append(got, fmt.Sprintf("%s@%v", part[:n], time.Since(begun)))
					}
					if err != nil {
						return
					}
				}
			}, func(t *testing.T, c *client.Client) {
				t.Helper()
				r := post("abcdefghij")
				r.Chunked, r.ChunkSizes, r.Pace = chunked, []int{1, 4}, time.Second
				begun = time.Now()
				if x := c.Do(t.Context(), r); x.Outcome != client.Complete || x.Status != http.StatusOK {
					t.Errorf("outcome %s, status %d, %v", x.Outcome, x.Status, x.Err)
				}
			})
			want := "[10[] a@0s bcde@1s fghi@2s j@3s]"
			if chunked {
				want = "[-1[chunked] a@0s bcde@1s fghi@2s j@3s]"
			}
			if fmt.Sprint(got) != want {
				t.Errorf("the server saw %v, want %s", got, want)
			}
		})
	}
}

// ticker sends an event a second, until the client leaves.
func ticker(gone chan<- time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 10 {
			fmt.Fprintf(w, "data: {\"n\":%d}\n\n", i)
			http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				gone <- time.Since(begun)
				return
			}
		}
		gone <- -1
	}
}

func TestLeave(t *testing.T) {
	for _, tc := range []struct {
		name   string
		leave  client.Leave
		gone   time.Duration // when the server notices
		events int
	}{
		{"stays", client.Leave{}, -1, 10},
		{"after headers", client.Leave{AfterHeaders: true}, 0, 0},
		{"after 3 events", client.Leave{AfterEvents: 3}, 2 * time.Second, 3},
		{"after 20 bytes", client.Leave{AfterBytes: 20}, time.Second, 1},
		{"after a while", client.Leave{After: 3500 * time.Millisecond}, 3500 * time.Millisecond, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			gone := make(chan time.Duration, 1)
			serve(t, ticker(gone), func(t *testing.T, c *client.Client) {
				t.Helper()
				r := post("{}")
				r.Leave = tc.leave
				x := c.Do(t.Context(), r)
				want := client.Cancelled
				if tc.gone < 0 {
					want = client.Complete
				}
				if x.Outcome != want || len(x.Events) != tc.events || x.Err != nil {
					t.Errorf("%s with %d events, %v; want %s with %d", x.Outcome, len(x.Events), x.Err, want, tc.events)
				}
				if tc.leave.AfterBytes > 0 && int64(len(x.Raw)) != tc.leave.AfterBytes {
					t.Errorf("kept %d bytes", len(x.Raw))
				}
				if tc.gone >= 0 && x.Ended.Sub(x.Sent) != tc.gone {
					t.Errorf("left after %v, want %v", x.Ended.Sub(x.Sent), tc.gone)
				}
				for i, e := range x.Events {
					if at := e.At.Sub(x.Sent); at != time.Duration(i)*time.Second {
						t.Errorf("event %d at %v", i, at)
					}
				}
				synctest.Wait()
				if at := <-gone; at != tc.gone {
					t.Errorf("the server saw the client leave after %v, want %v", at, tc.gone)
				}
			})
		})
	}
}

func TestOutcomes(t *testing.T) {
	abort := func(linger bool, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(conn, text)
			if linger {
				conn.(interface{ SetLinger(sec int) error }).SetLinger(0)
			}
			conn.Close()
		}
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
	calls := 0
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		url     string
		want    string
		raw     string
		err     error
	}{
		{"reset in the body", abort(true, head), "", client.Reset, "half", syscall.ECONNRESET},
		{"cut in the body", abort(false, head), "", client.Truncated, "half", io.ErrUnexpectedEOF},
		{"cut before the head", abort(false, ""), "", client.Truncated, "", io.EOF},
		{"no HTTP", abort(false, "hello\r\n\r\n"), "", client.Failed, "", nil},
		{"nobody there", nil, "http://127.0.0.1:1/", client.Failed, "", syscall.ECONNREFUSED},
		{"too slow", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Hour) }, "", client.Timeout, "", nil},
		{"a redirect is an answer", func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls > 1 {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, "", client.Complete, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			handler := tc.handler
			var requests atomic.Int32
			serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				handler(w, r)
			}, func(t *testing.T, c *client.Client) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				r := post("{}")
				if tc.url != "" {
					r.URL = tc.url
				}
				x := c.Do(ctx, r)
				if x.Outcome != tc.want || string(x.Raw) != tc.raw || tc.err != nil && !errors.Is(x.Err, tc.err) {
					t.Errorf("%s (%v) with %q, want %s (%v) with %q", x.Outcome, x.Err, x.Raw, tc.want, tc.err, tc.raw)
				}
				if n := requests.Load(); n > 1 {
					t.Errorf("%d requests were sent", n)
				}
				time.Sleep(2 * time.Hour) // lets the slow handler end
			})
		})
	}
}

func TestEncodings(t *testing.T) {
	const stream = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n"
	encoders := map[string]func(io.Writer) io.WriteCloser{
		"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
		"zstd":    func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)); return z },
		"Deflate": func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 5); return f }, // bare, as some servers do
	}
	for name, encoder := range encoders {
		t.Run(name, func(t *testing.T) {
			var packed bytes.Buffer
			w := encoder(&packed)
			io.WriteString(w, stream)
			w.Close()
			serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("Content-Encoding", name)
				w.Write(packed.Bytes())
			}, func(t *testing.T, c *client.Client) {
				t.Helper()
				x := c.Do(t.Context(), post("{}"))
				if !bytes.Equal(x.Raw, packed.Bytes()) {
					t.Error("the bytes on the wire were not kept")
				}
				if string(x.Body) != stream || x.DecodeErr != nil || len(x.Events) != 2 || x.Content.IsZero() {
					t.Errorf("decoded %q, %v, %d events", x.Body, x.DecodeErr, len(x.Events))
				}
			})
		})
	}
}

func TestUnknownEncodingIsKept(t *testing.T) {
	serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "rot13")
		fmt.Fprint(w, "uryyb")
	}, func(t *testing.T, c *client.Client) {
		t.Helper()
		x := c.Do(t.Context(), post("{}"))
		if x.Outcome != client.Complete || string(x.Raw) != "uryyb" || x.DecodeErr == nil {
			t.Errorf("%s with %q, %v", x.Outcome, x.Raw, x.DecodeErr)
		}
	})
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"chat", `{"usage":{"prompt_tokens":10,"completion_tokens":40,"total_tokens":50}}`, "10/40/50"},
		{"total says more", `{"usage":{"prompt_tokens":10,"completion_tokens":40,"total_tokens":60}}`, "10/40/60"},
		{"responses", `{"object":"response","usage":{"input_tokens":10,"output_tokens":40,"total_tokens":50}}`, "10/40/50"},
		{"anthropic adds its cache", `{"type":"message","usage":{"input_tokens":4,"cache_read_input_tokens":5,"cache_creation_input_tokens":1,"output_tokens":40}}`, "10/40/50"},
		{"gemini adds its thoughts", `{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":30,"thoughtsTokenCount":10,"totalTokenCount":50}}`, "10/40/50"},
		{"gemini array", `[{"usageMetadata":{"promptTokenCount":10,"totalTokenCount":10}},{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":40,"totalTokenCount":50}}]`, "10/40/50"},
		{"bedrock", `{"usage":{"inputTokens":10,"outputTokens":40,"totalTokens":50}}`, "10/40/50"},
		{"a bare total", `{"usage":{"total_tokens":50}}`, "0/0/50"},
		{"null is absent", `{"usage":null}`, "none"},
		{"empty is absent", `{"usage":{}}`, "none"},
		{"text is no number", `{"usage":{"prompt_tokens":"10"}}`, "none"},
		{"cut in a number", `{"usage":{"prompt_tokens":10,"completion_tokens":4`, "none"},
		{"chat stream, the last counts", sse(`{"usage":{"prompt_tokens":1,"completion_tokens":1}}`, `{"usage":null}`, `{"usage":{"prompt_tokens":10,"completion_tokens":40}}`, `[DONE]`), "10/40/50"},
		{"anthropic stream, halves", sse(
			`{"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}}`,
			`{"type":"message_delta","usage":{"output_tokens":40}}`), "10/40/50"},
		{"responses stream", sse(`{"type":"response.completed","response":{"usage":{"input_tokens":10,"output_tokens":40,"total_tokens":50}}}`), "10/40/50"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if strings.HasPrefix(tc.body, "data:") {
					w.Header().Set("Content-Type", "text/event-stream")
				}
				fmt.Fprint(w, tc.body)
			}, func(t *testing.T, c *client.Client) {
				t.Helper()
				got := "none"
				if u := c.Do(t.Context(), post("{}")).Usage(); u != nil {
					got = fmt.Sprintf("%d/%d/%d", u.In, u.Out, u.Total)
				}
				if got != tc.want {
					t.Errorf("usage %s, want %s", got, tc.want)
				}
			})
		})
	}
}

func sse(events ...string) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "data: %s\n\n", e)
	}
	return b.String()
}

func TestContentBytes(t *testing.T) {
	const events = "text/event-stream; charset=utf-8"
	for _, tc := range []struct {
		name, kind, body string
		want             int64
	}{
		{"chat", "application/json", `{"id":"abc","choices":[{"message":{"role":"assistant","content":"12345","tool_calls":[{"id":"x","function":{"name":"f","arguments":"{}"}}]}}]}`, 7},
		{"decoded, in UTF-8", "application/json", `{"choices":[{"message":{"content":"é€"}}]}`, 5},
		{"chat stream", events, sse(`{"choices":[{"delta":{"role":"assistant","content":"12"}}]}`, `{"choices":[{"delta":{"reasoning_content":"345"}}]}`, "[DONE]"), 5},
		{"anthropic stream", events, sse(`{"type":"content_block_delta","delta":{"type":"text_delta","text":"123"}}`, `{"type":"content_block_delta","delta":{"partial_json":"{}"}}`), 5},
		{"responses stream says all twice", events, sse(`{"type":"response.output_text.delta","delta":"123"}`, `{"type":"response.output_text.done","text":"123"}`, `{"type":"response.completed","response":{"output":[{"content":[{"text":"123"}]}]}}`), 3},
		{"gemini", "application/json", `{"candidates":[{"content":{"parts":[{"text":"123"}]}}]}`, 3},
		{"cut JSON has none", "application/json", `{"choices":[{"message":{"content":"12345`, 0},
	} {
		if got := client.ContentBytes([]byte(tc.body), tc.kind); got != tc.want {
			t.Errorf("%s: %d bytes, want %d", tc.name, got, tc.want)
		}
	}
}

// Frames that nobody here looks into hold at most what they are, once they are decoded.
func TestContentWithinFrames(t *testing.T) {
	const frames, kind = 4000, "application/vnd.amazon.eventstream"
	plain := bytes.Repeat([]byte("frame"), frames/5)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(plain); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if got := client.ContentWithin(plain, kind, ""); got != frames {
		t.Errorf("as they are: %d bytes, want %d", got, frames)
	}
	if got := client.ContentWithin(packed.Bytes(), kind, "gzip"); got != frames {
		t.Errorf("packed into %d bytes: %d, want %d", packed.Len(), got, frames)
	}
}

// A piece that was torn is missing among the deltas of Responses, and still in the whole
// response that follows them: a target may have read either.
func TestContentWithinATornStream(t *testing.T) {
	const events = "text/event-stream"
	delta := func(text string) string { return `{"type":"response.output_text.delta","delta":"` + text + `"}` }
	whole := `{"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"12345"}]}]}}`
	for _, tc := range []struct {
		name, body  string
		least, most int64
	}{
		{"whole", sse(delta("12"), delta("345"), whole), 5, 5},
		{"a delta torn", sse(`{"type":"response.output_te`, delta("345"), whole), 3, 5},
		{"the whole torn", sse(delta("12"), delta("345"), whole[:len(whole)-1]), 5, 5},
		{"nothing but deltas", sse(delta("12")), 2, 2},
		{"the whole twice", sse(whole, whole), 0, 5},
	} {
		if got := client.ContentBytes([]byte(tc.body), events); got != tc.least {
			t.Errorf("%s: %d bytes, want %d", tc.name, got, tc.least)
		}
		if got := client.ContentWithin([]byte(tc.body), events, "none"); got != tc.most {
			t.Errorf("%s: at most %d bytes, want %d", tc.name, got, tc.most)
		}
	}
}
