package mockllm

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// answer is a plan compiled for one request: all bytes, waits and the way to end, ready to be played or to be broken first. Once it
// is sealed it never changes.
type answer struct {
	x        *exchange
	reply    reply
	segments []segment
	whole    []byte // what the segments hold, one after the other: they are parts of it
	sum      string // SHA-256 of whole, in hex

	status   int
	header   http.Header
	declared int64 // Content-Length to send; -1: that of the body
	wait     time.Duration
	ending   ending
	lost     int64  // bytes that a fault cut off and that a declared length still counts
	kind     string // fault that was applied, ""
	told     Totals // what the plan says, whatever becomes of it
}

// ending is what follows the last segment.
type ending int

const (
	endWhole ending = iota // the framing is completed
	endClose               // the connection is closed as it is: FIN, or RST_STREAM on HTTP/2
	endReset               // RST
	endStall               // nothing more, until the client leaves or Fault.For has passed; then as endClose
	endHang                // as endStall, but before the headers
)

// compile makes the answer to one request.
func compile(x *exchange) *answer {
	a := &answer{x: x, declared: -1, status: x.plan.HTTP.Status, header: http.Header{}, told: x.told}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	f := faults[x.plan.Fault.Kind]
	if f.name != "" {
		a.kind = f.name
	}
	if f.request != nil {
		f.request(a)
	}
	a.encode()
	if f.events != nil {
		f.events(a)
	}
	a.markFinal()
	a.segments = frame(&a.reply, &x.plan)
	a.pace()
	if f.segments != nil {
		f.segments(a)
	}
	a.segments = compress(x.plan.HTTP.Encoding, a.segments, a.lost > 0)
	a.segments = split(x.plan.SSE.Split, a.segments, x.rng)
	a.headers()
	a.seal()
	return a
}

// seal lays the bytes of all segments side by side, so that whatever was written is a beginning of whole, and declares how many they
// are. The bare connection declares a wrong length in place of that.
func (a *answer) seal() {
	if a.framing() == "length" {
		a.header.Set("Content-Length", strconv.FormatInt(a.length(true), 10))
	}
	if len(a.segments) == 1 {
		a.whole = a.segments[0].data
	} else {
		n := 0
		for i := range a.segments {
			n += len(a.segments[i].data)
		}
		a.whole = make([]byte, 0, n)
		for i := range a.segments {
			from := len(a.whole)
			a.whole = append(a.whole, a.segments[i].data...)
			a.segments[i].data = a.whole[from:]
		}
	}
	a.sum = sumOf(a.whole)
}

// sumOf is the SHA-256 of data in hex.
func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// encode fills the reply: the dialect's answer, its error, raw bytes, or nothing.
func (a *answer) encode() {
	x := a.x
	switch {
	case x.plan.BodyRaw != "":
		raw, err := base64.StdEncoding.DecodeString(x.plan.BodyRaw)
		if err != nil {
			raw = []byte(x.plan.BodyRaw) // Validate refuses it; a plan made by hand gets its own bytes back
		}
		a.reply = reply{contentType: jsonType, events: []event{{data: raw}}}
		if x.ask.stream {
			a.reply.contentType = sseType
		}
	case a.status >= http.StatusBadRequest:
		a.fail("The mock was told to answer with status " + strconv.Itoa(a.status) + ".")
	case a.status >= http.StatusMultipleChoices || a.status == http.StatusNoContent:
		x.told = Totals{}
		a.reply = reply{}
	default:
		a.reply = x.ask.dialect.encode(x)
	}
}

// fail makes the answer an error of the dialect. A provider that fails has generated nothing.
func (a *answer) fail(message string) {
	f := a.x.ask.dialect.fail(a.status, message)
	a.reply = reply{contentType: jsonType, header: f.header, events: []event{{data: f.body}}}
	a.x.told = Totals{}
}

// markFinal finds the usage that counts: the last full one.
func (a *answer) markFinal() {
	for i := len(a.reply.events) - 1; i >= 0; i-- {
		if e := &a.reply.events[i]; e.full && !e.usage.empty() {
			e.final = true
			return
		}
	}
}

// pace spreads the plan's timing: a stream waits before its chunks, a whole answer for as long before its headers.
func (a *answer) pace() {
	itl := time.Duration(a.x.plan.Timing.ITL.value(0))
	a.wait = time.Duration(a.x.plan.Timing.TTFT.value(0))
	if a.reply.framing == frameBody {
		if a.status < http.StatusMultipleChoices {
			a.wait += itl * time.Duration(len(a.x.chunks))
		}
		return
	}
	first := true
	for i, e := range a.reply.events {
		if !e.pace {
			continue
		}
		if !first {
			a.segments[i].wait = itl
		}
		first = false
	}
}

// headers are the dialect's, then the encoding's, then the plan's own.
func (a *answer) headers() {
	if a.reply.contentType != "" {
		a.header.Set("Content-Type", a.reply.contentType)
	}
	if a.reply.framing == frameSSE {
		a.header.Set("Cache-Control", "no-cache")
	}
	for name, value := range a.reply.header {
		a.header.Set(name, value)
	}
	if name := encodingName(a.x.plan.HTTP.Encoding); name != "" {
		a.header.Set("Content-Encoding", name)
	}
	for name, value := range a.x.plan.HTTP.Headers {
		if value == "" {
			a.header[canonical(name)] = nil // also keeps net/http from adding one
		} else {
			a.header.Set(name, value)
		}
	}
}

// framing is how the body is delimited: the plan's word, or what the provider does.
func (a *answer) framing() string {
	switch {
	case a.x.plan.HTTP.Framing != "":
		return a.x.plan.HTTP.Framing
	case a.x.plan.HTTP.Proto == "1.0":
		return "close"
	case a.reply.framing != frameBody || len(a.x.plan.HTTP.Trailers) > 0:
		return "chunked"
	default:
		return "length"
	}
}

// length is the Content-Length to declare. HTTP/2 lets nobody send more than was declared, so there it is never too small.
func (a *answer) length(h2 bool) int64 {
	n := int64(0)
	for i := range a.segments {
		n += int64(len(a.segments[i].data))
	}
	if a.ending != endWhole {
		n += a.lost
	}
	if a.declared >= 0 && (a.declared > n || !h2) {
		return a.declared
	}
	return n
}

// newExchange draws what the plan leaves open.
func newExchange(a ask, plan Plan, seed uint64, name string, created int64, bodyBytes int) *exchange {
	rng := rand.New(rand.NewPCG(drawSeed(seed, name, plan.ID), drawSeed(seed, "content", name, plan.ID))) //nolint:gosec // reproducible on purpose
	x := &exchange{ask: a, created: created, rng: rng}
	x.plan = plan.Draw(rng)
	if x.plan.HTTP.Encoding == "accepted" {
		x.plan.HTTP.Encoding = cmp.Or(a.coding, "none")
	}
	x.id = letters(rng, 24)
	x.text, x.chunks = compose(x.plan.Content, rng)
	x.told = x.plan.totals(bodyBytes, len(x.text))
	return x
}
