package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/llmlimit/llmlimit/pkg/llmapi"
)

var (
	errEncoding     = errors.New("unsupported content encoding")
	errBodyTooLarge = errors.New("request body is too large")
)

// decodeBody undoes the content encodings of a request body, the last one first. The result holds at most limit bytes, however
// little was sent.
func decodeBody(fields []string, body []byte, limit int64) ([]byte, error) {
	if len(fields) == 0 {
		return body, nil
	}
	codings := strings.Split(strings.Join(fields, ","), ",")
	for _, coding := range slices.Backward(codings) {
		coding = strings.ToLower(strings.TrimSpace(coding))
		if coding == "" || coding == "identity" {
			continue
		}
		var err error
		if body, err = decodeOne(coding, body, limit); err != nil {
			return nil, err
		}
	}
	return body, nil
}

func decodeOne(coding string, body []byte, limit int64) ([]byte, error) {
	r, err := decoder(coding, body)
	if errors.Is(err, errEncoding) {
		return nil, err
	}
	var plain []byte
	if err == nil {
		defer func() { _ = r.Close() }()
		plain, err = io.ReadAll(io.LimitReader(r, limit+1))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it is not %s: %w", llmapi.ErrInvalidBody, coding, err)
	}
	if int64(len(plain)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes when decoded", errBodyTooLarge, limit)
	}
	return plain, nil
}

// decoder reads one coding. "deflate" is zlib by the standard, and bare deflate from some clients.
func decoder(coding string, body []byte) (io.ReadCloser, error) {
	in := bytes.NewReader(body)
	switch coding {
	case "gzip", "x-gzip":
		return gzip.NewReader(in)
	case "deflate":
		if len(body) >= 2 && body[0]&0x0f == 8 && binary.BigEndian.Uint16(body)%31 == 0 {
			return zlib.NewReader(in)
		}
		return flate.NewReader(in), nil
	case "br":
		return io.NopCloser(brotli.NewReader(in)), nil
	case "zstd":
		// One goroutine and a small window: the input comes from anybody.
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("%w: found %q, expected gzip, deflate, br, zstd or identity", errEncoding, coding)
}
