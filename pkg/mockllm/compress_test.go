package mockllm

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/tidwall/gjson"
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

// With "accepted" the request decides, also where nothing else of it differs from the one before.
func TestAcceptedEncoding(t *testing.T) {
	t.Parallel()
	p := Plan{HTTP: HTTP{Encoding: "accepted"}}
	inBubble(t, Options{Plan: p, OmitHeaders: true}, func(b *bench) {
		c := b.client(false)
		defer c.CloseIdleConnections()
		for _, row := range []struct{ accepts, want string }{
			{"gzip", "gzip"},
			{"", ""},
			{"identity", ""},
			{"br;q=0, Zstd ; q=0.5, gzip", "zstd"},
			{"gzip; q=0.000, *", ""},
			{"compress, deflate;q=1", "deflate"},
		} {
			req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+chatPath, strings.NewReader(chatBody))
			if err != nil {
				t.Fatal(err)
			}
			if row.accepts != "" {
				req.Header.Set("Accept-Encoding", row.accepts)
			}
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if got := res.Header.Get("Content-Encoding"); got != row.want || (got == "") != gjson.ValidBytes(body) {
				t.Errorf("Accept-Encoding %q: encoded as %q, want %q", row.accepts, got, row.want)
			}
			entries := b.Journal().Entries()
			if played := entries[len(entries)-1].Plan.HTTP.Encoding; played != cmp.Or(row.want, "none") {
				t.Errorf("Accept-Encoding %q: the journal has %q", row.accepts, played)
			}
		}
	})
}
