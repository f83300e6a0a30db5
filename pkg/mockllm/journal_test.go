package mockllm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func readAll(t *testing.T, res *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestJournalRing(t *testing.T) {
	t.Parallel()
	j := newJournal(3)
	for range 5 {
		e := &Entry{ID: "x"}
		j.open(e)
		j.complete(e.Seq, &result{end: "complete"})
	}
	got := j.Entries()
	if len(got) != 3 || got[0].Seq != 3 || got[2].Seq != 5 || got[2].AttemptNo != 5 || j.Dropped() != 2 {
		t.Errorf("%d entries, dropped %d: %+v", len(got), j.Dropped(), got)
	}
	late := &Entry{ID: "late"}
	j.open(late)
	j.Reset()
	j.complete(late.Seq, &result{end: "complete"})
	if n := len(j.Entries()); n != 0 || j.Dropped() != 0 {
		t.Errorf("%d entries after a reset", n)
	}
	next := Entry{ID: "x"}
	if j.open(&next); next.Seq != 7 || next.AttemptNo != 1 {
		t.Errorf("seq %d attempt %d after a reset, want 7 and 1", next.Seq, next.AttemptNo)
	}
}

// Attempts are forgotten with their entries, so that the journal's memory is bounded by its ring.
func TestJournalForgetsIDs(t *testing.T) {
	t.Parallel()
	j := newJournal(2)
	for _, id := range []string{"a", "b", "c", "c"} {
		j.open(&Entry{ID: id})
	}
	if len(j.ids) != 1 || j.ids["c"].total != 2 {
		t.Errorf("ids %v", j.ids)
	}
}

func TestJournalWait(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Plan: Plan{Timing: Timing{TTFT: Every(time.Second)}}}, func(b *bench) {
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
		defer cancel()
		if _, err := b.Journal().Wait(ctx, "never"); !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), `request "never" (0 received, 0 unfinished)`) {
			t.Errorf("got %v", err)
		}
		go func() { _, _, _ = b.post(chatPath, chatBody, "id=w") }()
		begun := time.Now()
		e, err := b.Journal().Wait(b.t.Context(), "w")
		if err != nil || e.End != "complete" {
			t.Fatalf("%v, %q", err, e.End)
		}
		near(t, "complete", time.Since(begun), time.Second)
	})
}

func TestJournalOmitsHeaders(t *testing.T) {
	t.Parallel()
	for omit, want := range map[bool]string{false: "id=x", true: ""} {
		inBubble(t, Options{OmitHeaders: omit}, func(b *bench) {
			_, _, _ = b.post(chatPath, chatBody, "id=x")
			if e := b.last("x"); e.Header.Get("X-Llmlimit-Mock") != want {
				t.Errorf("omitted: %v, and the entry has %v", omit, e.Header)
			}
		})
	}
}

func TestJournalSince(t *testing.T) {
	t.Parallel()
	j := newJournal(3)
	for range 5 {
		j.open(&Entry{ID: "x"})
	}
	for after, want := range map[uint64]int{0: 3, 2: 3, 3: 2, 5: 0, 9: 0, math.MaxUint64: 0} {
		if got := j.since(after); len(got) != want || want > 0 && got[want-1].Seq != 5 {
			t.Errorf("after %d: %d entries, expected %d", after, len(got), want)
		}
	}
	if all := j.ByID("x"); len(all) != 3 || all[0].Seq != 3 || all[2].Seq != 5 || len(j.ByID("y")) != 0 {
		t.Errorf("by id: %+v", all)
	}
}

func TestJournalKeepsBytesUpToACap(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{KeepSent: 100}, func(b *bench) {
		_, body, _ := b.post(chatPath, streamBody, "id=x")
		e := b.last("x")
		sum := sha256.Sum256(body)
		if string(e.Sent.Body) != string(body[:100]) || e.Sent.Bytes != int64(len(body)) || e.Sent.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("kept %d of %d bytes", len(e.Sent.Body), e.Sent.Bytes)
		}
		big := `{"x":"` + strings.Repeat("y", 2*keepBody) + `"}`
		_, _, _ = b.post(chatPath, big, "id=big")
		e = b.last("big")
		sum = sha256.Sum256([]byte(big))
		if len(e.Body) != keepBody || e.BodyBytes != int64(len(big)) || e.BodySHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("kept %d of %d bytes", len(e.Body), e.BodyBytes)
		}
	})
}

// Answers that are made once differ where their plans, their requests or their ids do, and a plan that changes changes them.
func TestAnswersMadeOnceAreTheRightOnes(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Plans: map[string]Plan{"p": {Usage: Usage{In: Count(1), Out: Count(2)}}}}, func(b *bench) {
		seen := map[string]string{}
		for _, ask := range []struct{ body, order string }{
			{chatBody, ""}, {streamBody, ""}, {`{"model":"other"}`, ""}, {chatBody, "plan=p"}, {chatBody, "usage=3/4"}, {chatBody, "id=a"}, {chatBody, "id=b"},
		} {
			var twice [2]string
			for i := range twice {
				_, body, err := b.post(chatPath, ask.body, ask.order)
				if err != nil {
					t.Fatal(err)
				}
				twice[i] = string(body)
			}
			if twice[0] != twice[1] {
				t.Errorf("%+v: the same request got %q and %q", ask, twice[0], twice[1])
			}
			if other, dup := seen[twice[0]]; dup {
				t.Errorf("%+v got the answer to %s", ask, other)
			}
			seen[twice[0]] = ask.body + ask.order
		}
		b.SetDefault(Plan{Usage: Usage{In: Count(5), Out: Count(6)}})
		if _, body, _ := b.post(chatPath, chatBody, ""); !strings.Contains(string(body), `"total_tokens":11`) {
			t.Errorf("after the plan has changed: %s", body)
		}
		estimated := true
		b.SetDefault(Plan{Usage: Usage{Estimate: &estimated}})
		for _, pad := range []int{0, 400} {
			b.post(chatPath, chatBody+strings.Repeat(" ", pad), "")
			entries := b.Journal().Entries()
			if e := entries[len(entries)-1]; e.Usage.In != int64(len(chatBody)+pad+3)/4 {
				t.Errorf("estimated %d for %d bytes", e.Usage.In, len(chatBody)+pad)
			}
		}
	})
}

// A request that is the same as the last one is not read anew. What differs anywhere is journaled as it came.
func TestJournalTellsRequestsApart(t *testing.T) {
	t.Parallel()
	m := New(Options{})
	send := func(method, target, body, tenant string) {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("X-Tenant", tenant)
		m.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	rows := [][4]string{
		{"POST", chatPath, `{"model":"a","max_tokens":1}`, "t1"},
		{"POST", chatPath, `{"model":"a","max_tokens":1}`, "t1"},
		{"POST", chatPath, `{"model":"a","max_tokens":1}`, "t2"},
		{"POST", chatPath, `{"model":"b","max_tokens":2}`, "t2"},
		{"POST", chatPath + "?x=1", `{"model":"b","max_tokens":2}`, "t2"},
		{"PUT", chatPath + "?x=1", `{"model":"b","max_tokens":2}`, "t2"},
		{"POST", "/p/none" + chatPath, `{"model":"b","max_tokens":2}`, "t2"},
		{"POST", chatPath, "", "t2"},
	}
	for _, row := range rows {
		send(row[0], row[1], row[2], row[3])
	}
	for i, e := range m.Journal().Entries() {
		got := [4]string{e.Method, e.Path, e.Body, e.Header.Get("X-Tenant")}
		model, most := "", int64(0)
		if _, rest, ok := strings.Cut(rows[i][2], `"model":"`); ok {
			model = rest[:1]
			if e.Method == http.MethodPost { // else no dialect reads it
				most = int64(rest[len(rest)-2] - '0')
			}
		}
		if got != rows[i] || e.Model != model || e.MaxTokens != most || e.BodySHA256 != sumOf([]byte(rows[i][2])) {
			t.Errorf("request %d: got %q, model %q, max_tokens %d, sum %s, expected %q", i, got, e.Model, e.MaxTokens, e.BodySHA256, rows[i])
		}
	}
}

// The ring is made of blocks: it goes round over all of them, and begins anew after a reset.
func TestJournalBlocks(t *testing.T) {
	t.Parallel()
	const size = 3*perBlock + 5
	j := newJournal(size)
	for _, first := range []uint64{0, 2*size + 10} {
		for i := range uint64(2*size + 10) {
			e := Entry{}
			j.open(&e)
			j.complete(e.Seq, &result{end: "complete"})
			kept := j.Entries()
			if want := min(i+1, size); uint64(len(kept)) != want || kept[0].Seq != first+i+2-want || kept[want-1].Seq != first+i+1 || !kept[want-1].Done() {
				t.Fatalf("%d entries from %d to %d, expected %d to %d", len(kept), kept[0].Seq, kept[want-1].Seq, want, first+i+1)
			}
		}
		j.Reset()
	}
}
