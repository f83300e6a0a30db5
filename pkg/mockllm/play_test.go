package mockllm

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// jitter is the most that the seeded offsets of an answer's timers add up to in these tests.
const jitter = 20 * time.Microsecond

func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want || got > want+jitter {
		t.Errorf("%s at %v, want %v", what, got, want)
	}
}

func TestTimingIsExactInVirtualTime(t *testing.T) {
	t.Parallel()
	p := Plan{Timing: Timing{TTFT: Every(time.Second), ITL: Every(100 * time.Millisecond)}, Content: Content{Chunks: Count(8)}}
	inBubble(t, Options{Plan: p}, func(b *bench) {
		begun := time.Now()
		if _, _, err := b.post(chatPath, streamBody, "id=s"); err != nil {
			t.Fatal(err)
		}
		e := b.last("s")
		near(t, "first byte", e.Sent.First.Sub(begun), time.Second)
		near(t, "usage", e.Sent.Usage.Sub(begun), 1800*time.Millisecond)
		near(t, "end", e.EndAt.Sub(begun), 1800*time.Millisecond)
		if e.Sent.UsageNS != e.Sent.Usage.UnixNano() || e.RecvNS != begun.UnixNano() || e.EndNS < e.Sent.LastNS {
			t.Errorf("nanoseconds do not agree with the instants: %+v", e.Sent)
		}

		begun = time.Now() // a whole answer takes as long
		if _, _, err := b.post(chatPath, chatBody, "id=w"); err != nil {
			t.Fatal(err)
		}
		near(t, "whole", b.last("w").Sent.First.Sub(begun), 1800*time.Millisecond)
		near(t, "its headers", b.last("w").Sent.Head.Sub(begun), 1800*time.Millisecond)
	})
}

// Headers may be out while nothing behind them is: the journal has both instants.
func TestHeadersAlone(t *testing.T) {
	t.Parallel()
	p := Plan{
		Timing: Timing{TTFT: Every(time.Second)}, HTTP: HTTP{Status: http.StatusFound, Encoding: "br", Framing: "close"},
		Fault: Fault{Kind: "truncate", After: After{MS: new(int64(45))}},
	}
	inBubble(t, Options{Plan: p}, func(b *bench) {
		begun := time.Now()
		_, _, _ = b.post(chatPath, chatBody, "id=s") // it is cut
		e := b.last("s")
		near(t, "headers", e.Sent.Head.Sub(begun), time.Second)
		near(t, "first byte behind them", e.Sent.First.Sub(begun), 1045*time.Millisecond)
		if e.Sent.HeadNS != e.Sent.Head.UnixNano() {
			t.Errorf("head_ns %d is not %v", e.Sent.HeadNS, e.Sent.Head)
		}
	})
}

// Timers that are due at the same instant end at distinct nanoseconds, and the same seed is the same run.
func TestTimersHaveSeededOffsets(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (offsets [2]int64) {
		inBubble(t, Options{Seed: seed, Plan: Plan{Timing: Timing{TTFT: Every(time.Second)}}}, func(b *bench) {
			begun := time.Now()
			done := make(chan struct{}, 2)
			for _, id := range []string{"a", "b"} {
				go func() {
					defer func() { done <- struct{}{} }()
					_, _, _ = b.post(chatPath, chatBody, "id="+id)
				}()
			}
			<-done
			<-done
			for i, id := range []string{"a", "b"} {
				offsets[i] = b.last(id).Sent.First.Sub(begun).Nanoseconds() - 1e9
			}
		})
		return offsets
	}
	one, again, other := run(1), run(1), run(2)
	if one != again {
		t.Errorf("seed 1 gave %v, then %v", one, again)
	}
	if one[0] == one[1] || one == other {
		t.Errorf("offsets %v and %v of seed 2, want distinct ones", one, other)
	}
}

// The bytes depend on the seed, the plan and the id, not on the order of arrival.
func TestAnswersAreReproducible(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{}
	for _, order := range [][]string{{"a", "b", "c"}, {"c", "b", "a"}} {
		inBubble(t, Options{Seed: 7, Plan: Plan{Usage: Usage{Out: &Tokens{Kind: "uniform", Mean: 500, Max: 1000}}}}, func(b *bench) {
			for _, id := range order {
				_, body, err := b.post(chatPath, chatBody, "id="+id)
				if err != nil {
					t.Fatal(err)
				}
				if was, seen := bodies[id]; seen && was != string(body) {
					t.Errorf("%s: %s, then %s", id, was, body)
				}
				bodies[id] = string(body)
			}
		})
	}
	if bodies["a"] == bodies["b"] {
		t.Error("two ids have the same answer")
	}
}

func TestHoldAtHeaders(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.Hold("headers")
		got := make(chan time.Time, 1)
		go func() {
			_, _, err := b.post(chatPath, chatBody, "id=h")
			if err != nil {
				t.Error(err)
			}
			got <- time.Now()
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := b.Held(); n != 1 {
			t.Fatalf("%d answers held, want 1", n)
		}
		if e := b.Journal().Entries(); len(e) != 1 || e[0].Done() || e[0].Sent.Status != 0 {
			t.Errorf("the journal of a held request: %+v", e)
		}
		released := time.Now()
		b.Release()
		if at := <-got; !at.Equal(released) {
			t.Errorf("answered %v after the release", at.Sub(released))
		}
		if _, _, err := b.post(chatPath, chatBody, ""); err != nil {
			t.Errorf("after the release: %v", err)
		}
	})
}

// A plan's own hold lets everything out but the usage.
func TestHoldAtUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, before string }{
		{streamBody, `"finish_reason":"stop"}],"usage":null`},
		{chatBody, `"usage":`},
	} {
		inBubble(t, Options{Plan: Plan{Hold: "usage"}}, func(b *bench) {
			conn, err := b.net.DialContext(b.t.Context(), "tcp", "mock:80")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			send(b.t, conn, chatPath, c.body, "id=u")
			synctest.Wait()
			seen := make([]byte, 1<<16)
			n, err := conn.Read(seen)
			if err != nil {
				t.Fatal(err)
			}
			for ; !bytes.Contains(seen[:n], []byte(c.before)); synctest.Wait() {
				more, err := conn.Read(seen[n:])
				if err != nil {
					t.Fatal(err)
				}
				n += more
			}
			if bytes.Contains(seen[:n], []byte("total_tokens")) || b.Held() != 1 {
				t.Fatalf("%d held, seen %s", b.Held(), seen[:n])
			}
			time.Sleep(time.Minute)
			released := time.Now()
			b.Release()
			rest, err := io.ReadAll(conn)
			if err != nil || !bytes.Contains(rest, []byte("total_tokens")) {
				t.Errorf("%v: %s", err, rest)
			}
			if at := b.last("u").Sent.Usage; !at.Equal(released) {
				t.Errorf("usage written %v after the release", at.Sub(released))
			}
		})
	}
}

// The journal is complete also when the client leaves: while the answer sleeps, is held, hangs, or is written raw.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, plan string
		chunks     int
	}{
		{"before headers", "timing: {ttft: 1h}", 0},
		{"between chunks", "{timing: {itl: 10ms}, content: {chunks: 100}}", 5},
		{"held", "hold: headers", 0},
		{"held at the usage", "{hold: usage, content: {chunks: 4}}", 4},
		{"hanging", "fault: hang_before_headers", 0},
		{"stalled", "fault: stall@2", 2},
		{"raw", "{http: {proto: '1.0'}, timing: {itl: 10ms}, content: {chunks: 100}}", 5},
	} {
		for _, h2 := range []bool{false, true} {
			if h2 && c.name == "raw" {
				continue // HTTP/1 only
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				inBubble(t, Options{Plan: plan(t, c.plan)}, func(b *bench) {
					ctx, leave := context.WithCancel(b.t.Context())
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+chatPath, strings.NewReader(streamBody))
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set(headerControl, "id=gone")
					client := b.client(h2)
					defer client.CloseIdleConnections()
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						if res, err := client.Do(req); err == nil {
							_, _ = io.Copy(io.Discard, res.Body)
							res.Body.Close()
						}
					}()
					time.Sleep(45 * time.Millisecond)
					leave()
					<-ended
					e := b.last("gone")
					if e.End != "client_gone" || e.ClientGoneAt == nil {
						t.Fatalf("end %q", e.End)
					}
					if got := *e.ClientGoneAt; got.Chunk != c.chunks || got.MS != 45 || got.Bytes != e.Sent.Bytes {
						t.Errorf("gone at %+v, want %d chunks and 45 ms", got, c.chunks)
					}
					if !e.Sent.Usage.IsZero() {
						t.Error("the usage was not written")
					}
				})
			})
		}
	}
}

// A client that never reads must not keep a stopped server waiting.
func TestServerStopsWhileWriting(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"content: {bytes: 400000}", "{content: {bytes: 400000}, http: {proto: '1.0'}}", "hold: headers"} {
		synctestServe(t, plan(t, text))
	}
}

func synctestServe(t *testing.T, p Plan) {
	t.Helper()
	var journal *Journal
	inBubble(t, Options{Plan: p}, func(b *bench) {
		conn, err := b.net.DialContext(b.t.Context(), "tcp", "mock:80")
		if err != nil {
			t.Fatal(err)
		}
		b.t.Cleanup(func() { conn.Close() })
		send(b.t, conn, chatPath, streamBody, "id=stuck")
		synctest.Wait()
		journal = b.Journal()
	})
	if e := journal.ByID("stuck"); len(e) != 1 || e[0].End != "shutdown" {
		t.Errorf("%s: %+v", show(p), e)
	}
}

// What a proxy must take out again, if it was the proxy that asked for usage.
func TestUsageEventRange(t *testing.T) {
	t.Parallel()
	for _, sse := range []SSE{{Split: "n:7"}, {Comments: "every:2"}, {Comments: "between", Split: "random"}, {Comments: "inside"}} {
		usageEventRange(t, sse)
	}
}

func usageEventRange(t *testing.T, sse SSE) {
	t.Helper()
	inBubble(t, Options{Plan: Plan{SSE: sse}}, func(b *bench) {
		_, with, _ := b.post(chatPath, streamBody, "id=with")
		r := b.last("with").Sent.UsageEvent
		if r == nil {
			t.Fatal("no range")
		}
		event := string(with[r.From:r.To])
		if !strings.HasPrefix(event, "data: {") || !strings.Contains(event, `"choices":[],"usage":{`) || !strings.HasSuffix(event, "\n\n") {
			t.Errorf("the range holds %q", event)
		}
		if off := b.last("with").Sent.UsageBytesOffset; !strings.HasSuffix(string(with[:off]), "}}") || with[off] == '}' && with[off-3] != '0' {
			t.Errorf("the usage ends at %q", with[off-5:off+1])
		}
		if _, _, _ = b.post(chatPath, `{"stream":true}`, "id=without"); b.last("without").Sent.UsageEvent != nil {
			t.Error("a range although nobody asked")
		}
	})
}

// A chunk that nobody can tell from one that would be there anyway is not to be taken out.
func TestUsageEventThatNobodyCanTell(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"usage_at: null_value", "usage_raw: '50'", "usage_raw: '{'", "fault: nested_usage", "fault: two_documents", "fault: unterminated",
		"fault: {kind: malformed_json, after: {before_usage: true}}", "http: {encoding: gzip}",
	} {
		inBubble(t, Options{Plan: plan(t, text)}, func(b *bench) {
			_, _, _ = b.post(chatPath, streamBody, "id=x")
			if r := b.last("x").Sent.UsageEvent; r != nil {
				t.Errorf("%s: the journal has a range: %+v", text, *r)
			}
		})
	}
}

func TestKeepAliveAfterAnAnswer(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		conn, err := b.net.DialContext(b.t.Context(), "tcp", "mock:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for range 3 {
			req, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://mock"+chatPath, strings.NewReader(streamBody))
			if err := req.Write(conn); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(r, req)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(string(body), doneEvent) {
				t.Fatalf("%v: %s", err, body)
			}
		}
	})
}

// Cutting an event into writes does not change when it comes: only its first piece waits.
func TestSplitKeepsTheTiming(t *testing.T) {
	t.Parallel()
	for _, split := range []string{"event", "1byte", "n:7", "random", "at:usage"} {
		p := Plan{SSE: SSE{Split: split}, Timing: Timing{ITL: Every(100 * time.Millisecond)}, Content: Content{Chunks: Count(8)}}
		inBubble(t, Options{Plan: p}, func(b *bench) {
			begun := time.Now()
			if _, _, err := b.post(chatPath, streamBody, "id=s"); err != nil {
				t.Fatal(err)
			}
			near(t, split+": usage", b.last("s").Sent.Usage.Sub(begun), 800*time.Millisecond)
		})
	}
}
