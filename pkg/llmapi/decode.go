package llmapi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Errors of [DecodeBody]. A body that is not what its encoding says wraps [ErrInvalidBody].
var (
	ErrUnsupportedEncoding = errors.New("unsupported content encoding")
	ErrTooLarge            = errors.New("decoded body is too large")
)

const (
	maxEncodings = 3       // layers of compression that anyone could mean
	maxWindow    = 8 << 20 // what RFC 9659 lets a zstd stream on the web ask for
	decodeBuffer = 8 << 10
)

// decoders is every content coding that can be read. Each takes a source and gives the decoded bytes.
var decoders = map[string]func(*bufio.Reader) (io.Reader, error){
	"gzip":    func(r *bufio.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	"x-gzip":  func(r *bufio.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	"deflate": newInflater,
	"br":      func(r *bufio.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
	"zstd":    newZstd,
}

// newInflater reads deflate both as the standard says (zlib) and as some servers send it (raw).
func newInflater(r *bufio.Reader) (io.Reader, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(r)
	}
	return flate.NewReader(r), nil
}

// newZstd decodes in the caller's goroutine: with a concurrency of one there is no other.
func newZstd(r *bufio.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// encodings splits a Content-Encoding into what was applied, in order, without identity.
func encodings(header string) ([]string, error) {
	var list []string
	for name := range strings.SplitSeq(header, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" || name == "identity" {
			continue
		}
		if decoders[name] == nil {
			return nil, fmt.Errorf("%w: found %q, expected gzip, deflate, br or zstd", ErrUnsupportedEncoding, name)
		}
		if list = append(list, name); len(list) > maxEncodings {
			return nil, fmt.Errorf("%w: more than %d encodings", ErrUnsupportedEncoding, maxEncodings)
		}
	}
	return list, nil
}

// DecodeBody returns the decoded copy of a request body with this Content-Encoding. Without an encoding it is body
// itself. The error wraps [ErrUnsupportedEncoding], [ErrTooLarge] (more than limit bytes) or [ErrInvalidBody].
func DecodeBody(encoding string, body []byte, limit int64) ([]byte, error) {
	list, err := encodings(encoding)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(list) {
		if body, err = decodeAll(name, body, limit); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", name, err)
		}
	}
	return body, nil
}

func decodeAll(encoding string, body []byte, limit int64) ([]byte, error) {
	r, err := decoders[encoding](bufio.NewReader(bytes.NewReader(body)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidBody, err)
	}
	defer release(r)
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalidBody, err)
	case n > limit:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return out.Bytes(), nil
}

// release gives back what a decoder holds. It has said all that it has to say, so its error is of no interest.
func release(r io.Reader) {
	if c, ok := r.(io.Closer); ok {
		_ = c.Close()
	}
}

// sink is a meter that decoded bytes can be written to.
type sink interface {
	Meter
	// full tells that more bytes cannot change the reading, so that decoding can end.
	full() bool
}

// full implements sink: a document beyond its cap will not be read.
func (m *meter) full() bool { return m.over }

// decoded puts a decoder for each encoding in front of a meter.
func decoded(encoding string, m sink, limit int64) Meter {
	list, err := encodings(encoding)
	if err != nil {
		return blindMeter{}
	}
	for _, name := range list {
		m = newDecodingMeter(name, m, limit)
	}
	return m
}

// blindMeter sees bytes of which it knows only that it cannot read them.
type blindMeter struct{}

func (blindMeter) Write(p []byte) (int, error) { return len(p), nil }
func (blindMeter) Content() int64              { return 0 }
func (blindMeter) Close() Reading              { return Reading{Why: MissingEncoding} }

// decodingMeter decodes what is written to it into another meter. The decoders want to pull their input, and it arrives
// by being pushed: so the decoder is a coroutine, which is switched to with each Write and switches back when it has
// used up what was written. There is no second thread of control and nothing to wait for; Close ends the coroutine.
type decodingMeter struct {
	inner  sink
	input  []byte // written and not yet used
	eof    bool
	resume func() (struct{}, bool)
	stop   func()
	begun  bool
	done   bool  // the decoder has ended: at the end of its input, by an error or because nobody needs more
	err    error // why it ended early

	closed  bool
	reading Reading
}

func newDecodingMeter(encoding string, inner sink, limit int64) *decodingMeter {
	d := &decodingMeter{inner: inner}
	d.resume, d.stop = iter.Pull(func(yield func(struct{}) bool) {
		d.err = d.decode(encoding, &pushedReader{meter: d, yield: yield}, limit)
	})
	return d
}

// decode runs in the coroutine.
func (d *decodingMeter) decode(encoding string, source io.Reader, limit int64) error {
	r, err := decoders[encoding](bufio.NewReaderSize(source, decodeBuffer))
	if err != nil {
		return err
	}
	defer release(r)
	buf := make([]byte, decodeBuffer)
	for !d.inner.full() {
		n, err := r.Read(buf)
		if limit -= int64(n); limit < 0 {
			return ErrTooLarge
		}
		if n > 0 {
			_, _ = d.inner.Write(buf[:n]) // a meter never fails
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pushedReader is the coroutine's end of a decodingMeter.
type pushedReader struct {
	meter *decodingMeter
	yield func(struct{}) bool
}

func (r *pushedReader) Read(b []byte) (int, error) {
	d := r.meter
	for len(d.input) == 0 {
		if d.eof || !r.yield(struct{}{}) {
			return 0, io.EOF
		}
	}
	n := copy(b, d.input)
	d.input = d.input[n:]
	return n, nil
}

func (d *decodingMeter) Write(p []byte) (int, error) {
	if len(p) > 0 && !d.done && !d.closed {
		d.begun, d.input = true, p
		_, more := d.resume()
		d.done, d.input = !more, nil
	}
	return len(p), nil
}

func (d *decodingMeter) Content() int64 { return d.inner.Content() }
func (d *decodingMeter) full() bool     { return d.done }

func (d *decodingMeter) Close() Reading {
	if d.closed {
		return d.reading
	}
	d.closed = true
	if d.eof = true; d.begun && !d.done {
		d.resume()
	}
	d.stop()
	d.reading = d.inner.Close()
	if d.err != nil {
		// Whatever was read is not all, or not what was sent.
		d.reading.Reported, d.reading.Complete = false, false
		d.reading.Why = whyUndecoded(d.err)
	}
	return d.reading
}

func whyUndecoded(err error) Missing {
	switch {
	case errors.Is(err, ErrTooLarge):
		return MissingTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return MissingTruncated
	default:
		return MissingEncoding
	}
}
