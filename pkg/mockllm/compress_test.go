package mockllm

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// decoded undoes an encoding.
func decoded(word string, data []byte) ([]byte, error) {
	in := bytes.NewReader(data)
	var r io.Reader = in
	var err error
	switch encodingName(word) {
	case "gzip":
		r, err = gzip.NewReader(in)
	case "deflate":
		r, err = zlib.NewReader(in)
	case "br":
		r = brotli.NewReader(in)
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1)); err == nil {
			defer d.Close()
			r = d
		}
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// Plain gzip holds the stream back; the flushing ones give every event at once.
func TestOnlyPlainGzipHoldsBack(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]bool{"gzip": false, "gzip-flush": true, "deflate": true, "br": true, "zstd": true} {
		a := compiled(t, "chat stream", Plan{HTTP: HTTP{Encoding: word}})
		first, err := decoded(word, a.segments[0].data)
		if got := bytes.HasSuffix(first, []byte("\n\n")); got != want {
			t.Errorf("%s: first segment decodes to %q (%v), whole event: %v, want %v", word, first, err, got, want)
		}
	}
}
