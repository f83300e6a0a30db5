package client

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/tmaxmax/go-sse"
)

// decode undoes a Content-Encoding. The decoder reads no further than it has to,
// so that an event is seen when its bytes have arrived.
func decode(from io.Reader, encoding string) (io.Reader, func(), error) {
	nothing := func() {}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return from, nothing, nil
	case "gzip", "x-gzip":
		r, err := gzip.NewReader(from)
		return r, nothing, err
	case "deflate":
		// RFC 9110 means zlib; some servers send bare deflate.
		buffered := bufio.NewReader(from)
		head, err := buffered.Peek(2)
		if err == nil && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
			r, err := zlib.NewReader(buffered)
			return r, nothing, err
		}
		return flate.NewReader(buffered), nothing, nil
	case "br":
		return brotli.NewReader(from), nothing, nil
	case "zstd":
		// One at a time: no goroutine that would outlive the exchange.
		r, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	}
	return nil, nil, fmt.Errorf("content-encoding %q is unknown", encoding)
}

// maxEvent bounds one event of a stream.
const maxEvent = 64 << 20

// readEvents reads server-sent events until the stream ends or cannot be read on.
func (x *Exchange) readEvents(from io.Reader, leave func()) {
	limit := x.Request.Leave.AfterEvents
	for event, err := range sse.Read(from, &sse.ReadConfig{MaxEventSize: maxEvent}) {
		if err != nil {
			return // the recorder has the reason, if it is of the transport
		}
		at := x.Pieces[len(x.Pieces)-1].At
		x.Events = append(x.Events, Event{Name: event.Type, Data: event.Data, At: at})
		if x.Content.IsZero() && carriesContent(event.Data) {
			x.Content = at
		}
		if limit > 0 && len(x.Events) >= limit {
			leave()
			return
		}
	}
}

// CountEvents counts the server-sent events in a whole stream.
func CountEvents(stream []byte) int {
	n := 0
	for _, err := range sse.Read(bytes.NewReader(stream), &sse.ReadConfig{MaxEventSize: maxEvent}) {
		if err != nil {
			break
		}
		n++
	}
	return n
}
