package mockllm

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// flushWriter is what every compressor is.
type flushWriter interface {
	io.WriteCloser
	Flush() error
}

// encodingName is the Content-Encoding token of a plan's word, "" for none.
func encodingName(word string) string {
	switch word {
	case "gzip", "gzip-flush":
		return "gzip"
	case "none":
		return ""
	default:
		return word
	}
}

// acceptedCoding is the first coding of Accept-Encoding that the mock can write, "" for none. No header is none: whoever does not
// ask gets plain answers from every provider.
func acceptedCoding(h http.Header) string {
	for _, value := range h.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(value, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			if strings.Trim(strings.ReplaceAll(parameters, " ", ""), "0.") == "q=" {
				continue
			}
			switch name = strings.ToLower(strings.TrimSpace(name)); name {
			case "gzip", "deflate", "br", "zstd":
				return name
			}
		}
	}
	return ""
}

// compress replaces the bytes of segments. Only gzip holds back what the compressor has not finished, as a provider does that
// does not care about streams; the others flush at every segment. What was cut is never closed.
func compress(word string, segments []segment, isCut bool) []segment {
	var out bytes.Buffer
	var w flushWriter
	switch encodingName(word) {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "br":
		w = brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: brotli.DefaultCompression, LGWin: windowBits})
	case "zstd":
		w = newZstd(&out)
	default:
		return segments
	}
	held := false // a final usage waits in the compressor
	for i := range segments {
		s := &segments[i]
		last := i == len(segments)-1
		must(w.Write(s.data))
		switch {
		case last && !isCut:
			must(0, w.Close())
		case last || word != "gzip":
			must(0, w.Flush())
		}
		held = held || !s.usage.empty()
		s.usage = span{}
		s.asked = span{} // has no range of its own any more
		s.data = bytes.Clone(out.Bytes())
		out.Reset()
		if held && (last || word != "gzip") && len(s.data) > 0 {
			s.usage = span{0, len(s.data)}
			held = false
		}
	}
	return segments
}

// windowBits keeps the compressors' windows small. Answers are short, and a window of megabytes would be cleared for each of
// them, and once more by whoever decodes it.
const windowBits = 16

// newZstd returns a zstd writer that starts no goroutine.
func newZstd(out io.Writer) flushWriter {
	w, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<windowBits), zstd.WithLowerEncoderMem(true))
	must(0, err)
	return w
}

// must panics: compressing into memory fails only if the code is wrong.
func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}
