package mockllm

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Entry is one line of the journal: what was received, what was really written, when, and how it ended. Instants are given
// twice: as time.Time with the monotonic reading, for a judge in the same process, and as Unix nanoseconds in JSON.
type Entry struct {
	Seq       uint64 `json:"seq"`        // 1 for the first request
	ID        string `json:"id"`         // correlation id, "" if no channel gave one
	Channel   string `json:"channel"`    // the channel that named the plan
	AttemptNo int    `json:"attempt_no"` // 1 for the first request with this id
	// Channels lists every channel that carried something, for a doctor.
	Channels   []string `json:"channels,omitempty"`
	Queue      string   `json:"queue,omitempty"`       // the queue that served it
	QueueIndex int      `json:"queue_index,omitempty"` // 1 for that queue's first plan

	Recv   time.Time   `json:"-"`
	RecvNS int64       `json:"recv_ns"`
	Proto  string      `json:"proto"`
	Method string      `json:"method"`
	Path   string      `json:"path"` // with the query, as received, but for a key in it
	Header http.Header `json:"headers"`

	BodyBytes    int64  `json:"body_bytes"`
	BodySHA256   string `json:"body_sha256"`
	Body         string `json:"body"` // the first 64 KiB
	Dialect      string `json:"dialect"`
	Model        string `json:"model,omitempty"`
	Stream       bool   `json:"stream"`
	IncludeUsage bool   `json:"include_usage"`
	MaxTokens    int64  `json:"max_tokens,omitempty"`

	Plan  Plan   `json:"plan"` // as played: merged and drawn
	Usage Totals `json:"usage"`
	Sent  Sent   `json:"sent"`

	// End is "" while the answer is being played, then complete, client_gone or fault:<kind>.
	End          string    `json:"end"`
	EndAt        time.Time `json:"-"`
	EndNS        int64     `json:"end_ns"`
	ClientGoneAt *Place    `json:"client_gone_at,omitempty"`
}

// Totals is the true usage of one request: what its plan says, whatever was told.
type Totals struct {
	In         int64 `json:"in"`
	Out        int64 `json:"out"`
	Total      int64 `json:"total"`
	Cached     int64 `json:"cached,omitempty"`
	CacheWrite int64 `json:"cache_write,omitempty"`
	Reasoning  int64 `json:"reasoning,omitempty"`
}

// Sent is what was really written. Bytes are bytes of the body as on the wire: after compression, without chunk headers.
type Sent struct {
	Status   int   `json:"status"` // 0 if no headers were written
	Segments int   `json:"segments"`
	Chunks   int   `json:"chunks"` // content chunks among them
	Bytes    int64 `json:"bytes"`
	Flushes  int   `json:"flushes"`

	Head    time.Time `json:"-"` // after the headers were written: with the first bytes of the body, or before them
	HeadNS  int64     `json:"head_ns,omitempty"`
	First   time.Time `json:"-"` // after the first byte of the body was written
	FirstNS int64     `json:"first_ns,omitempty"`
	// Usage is the instant after the last byte of the final usage was written; zero if it never was.
	Usage   time.Time `json:"-"`
	UsageNS int64     `json:"usage_ns,omitempty"`
	// UsageBytesOffset is the offset in the body just behind that byte.
	UsageBytesOffset int64     `json:"usage_bytes_offset,omitempty"`
	Last             time.Time `json:"-"`
	LastNS           int64     `json:"last_ns,omitempty"`

	SHA256 string `json:"sha256"`
	Body   []byte `json:"body,omitempty"` // up to Options.KeepSent bytes, base64 in JSON
	// UsageEvent is the range of the event that is there only because the request asked for usage: what a proxy that
	// asked on its own must take out again. Nil if there is none, or if the body is compressed.
	UsageEvent *Range `json:"usage_event,omitempty"`
}

// Range is a half-open range of byte offsets.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Place is how far an answer had come.
type Place struct {
	Chunk int   `json:"chunk"` // content chunks written
	Bytes int64 `json:"bytes"`
	MS    int64 `json:"ms"` // since the request was received
}

// Done reports whether the answer has ended.
func (e *Entry) Done() bool { return e.End != "" }

// Journal is a ring of entries. A request is entered when it was received, so that one that hangs is seen, and its entry is
// completed when it has ended. It is safe for concurrent use.
type Journal struct {
	mu      sync.Mutex
	size    uint64
	ring    []*block // places for size entries, made as they are needed: when all are taken, new entries cost no memory
	seq     uint64   // of the last request
	reset   uint64   // seq at the last reset: entry reset+1 has the first place
	kept    uint64   // how many of the last ones are kept
	dropped uint64   // pushed out by newer ones
	ids     map[string]*attempts
	changed chan struct{} // closed at the next completion; made only while somebody waits
}

// block is a part of the ring: small, since most journals are, as of a scenario.
type block [perBlock]Entry

const perBlock = 8

// attempts are the requests of one id, for as long as one of them is kept.
type attempts struct {
	total int
	kept  []uint64 // their numbers, in order
}

func newJournal(size int) *Journal {
	return &Journal{size: uint64(size), ids: map[string]*attempts{}}
}

// open enters e, and sets its number and its attempt. What is entered changes by complete alone.
func (j *Journal) open(e *Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	a := j.ids[e.ID]
	if a == nil {
		a = &attempts{}
		j.ids[e.ID] = a
	}
	a.total++
	a.kept = append(a.kept, j.seq)
	e.Seq, e.AttemptNo = j.seq, a.total
	at := j.at(j.seq)
	if j.kept == j.size {
		j.forgetFirst(at.ID)
		j.dropped++
	} else {
		j.kept++
	}
	*at = *e
}

// at is the place of an entry. It requires j.mu.
func (j *Journal) at(seq uint64) *Entry {
	i := (seq - j.reset - 1) % j.size
	if i/perBlock == uint64(len(j.ring)) {
		j.ring = append(j.ring, &block{})
	}
	return &j.ring[i/perBlock][i%perBlock]
}

// oldest is the number of the oldest entry that is kept. It requires j.mu.
func (j *Journal) oldest() uint64 { return j.seq + 1 - j.kept }

// forgetFirst forgets the oldest entry of id. It requires j.mu.
func (j *Journal) forgetFirst(id string) {
	if a := j.ids[id]; a != nil {
		if a.kept = a.kept[1:]; len(a.kept) == 0 {
			delete(j.ids, id)
		}
	}
}

// result is what an entry learns when its answer has ended.
type result struct {
	end  string
	at   time.Time
	sent Sent
	gone *Place
}

// complete writes down how the entry of that number has ended, unless it is kept no longer, and wakes who waits.
func (j *Journal) complete(seq uint64, r *result) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if seq >= j.oldest() {
		e := j.at(seq)
		e.End, e.EndAt, e.EndNS, e.Sent, e.ClientGoneAt = r.end, r.at, r.at.UnixNano(), r.sent, r.gone
	}
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// Entries returns what is kept, oldest first. Entries of requests still being answered have no End.
func (j *Journal) Entries() []Entry { return j.since(0) }

// since are the entries behind that number.
func (j *Journal) since(after uint64) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	from := max(min(after, j.seq)+1, j.oldest())
	found := make([]Entry, 0, j.seq+1-from)
	for seq := from; seq <= j.seq; seq++ {
		found = append(found, *j.at(seq))
	}
	return found
}

// ByID returns the entries with this correlation id, oldest first: more than one means that somebody retried.
func (j *Journal) ByID(id string) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	found := []Entry{}
	if a := j.ids[id]; a != nil {
		for _, seq := range a.kept {
			found = append(found, *j.at(seq))
		}
	}
	return found
}

// Dropped returns how many entries were pushed out by newer ones since the last reset.
func (j *Journal) Dropped() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

// Reset forgets every entry. Requests in flight are not entered again when they end. Numbers go on.
func (j *Journal) Reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ring, j.reset, j.kept, j.dropped = nil, j.seq, 0, 0
	clear(j.ids)
}

// Wait returns the latest complete entry with this id as soon as there is one and none with this id is still being
// answered. If ctx ends first, the error wraps its cause.
func (j *Journal) Wait(ctx context.Context, id string) (Entry, error) {
	entries, err := j.wait(ctx, id)
	if err != nil {
		return Entry{}, err
	}
	return entries[len(entries)-1], nil
}

// wait returns all entries of id once there are some and all are complete.
func (j *Journal) wait(ctx context.Context, id string) ([]Entry, error) {
	for {
		changed := j.watch() // before looking, so that nothing falls between
		entries := j.ByID(id)
		pending := 0
		for i := range entries {
			if !entries[i].Done() {
				pending++
			}
		}
		if len(entries) > 0 && pending == 0 {
			return entries, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("journal: waiting for request %q (%d received, %d unfinished): %w",
				id, len(entries), pending, context.Cause(ctx))
		}
	}
}

// watch returns a channel that is closed at the next completion.
func (j *Journal) watch() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}
