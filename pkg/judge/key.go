package judge

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/tidwall/gjson"
)

// maxKey is the longest key value that is kept as it is.
const maxKey = 256

// secrets are headers whose values are credentials: accounts are told apart by
// their hash.
var secrets = map[string]bool{"authorization": true, "x-api-key": true, "api-key": true, "cookie": true}

// key is the account of a rule: the tuple of its descriptors, each with its
// length before it, so that no two tuples look alike.
func (b *binder) key(d *ruleDoc) (string, bool) {
	var k strings.Builder
	for _, name := range d.LimitKeys {
		v, ok := b.descriptor(name)
		if !ok {
			return "", false
		}
		_, header, _ := strings.Cut(name, ":")
		if len(v) > maxKey || secrets[strings.ToLower(header)] {
			sum := sha256.Sum256([]byte(v))
			v = "sha256:" + hex.EncodeToString(sum[:])
		}
		fmt.Fprintf(&k, "%d:%s", len(v), v)
	}
	return k.String(), true
}

// matches reports whether all of a rule's match is equal as text.
func (b *binder) matches(d *ruleDoc) bool {
	for name, want := range d.Match {
		if v, ok := b.descriptor(name); !ok || v != string(want) {
			return false
		}
	}
	return true
}

// descriptor is the value of a descriptor key; values of blanks only are absent.
func (b *binder) descriptor(name string) (string, bool) {
	source, field, _ := strings.Cut(name, ":")
	v := ""
	switch source {
	case "header":
		v = strings.Join(b.view.Header.Values(field), ", ")
		if strings.EqualFold(field, "host") { // it has a place of its own
			v = b.view.Host
		}
	case "query":
		q, err := url.ParseQuery(b.view.Query)
		if err != nil && len(q) == 0 {
			return "", false
		}
		v = q.Get(field)
	case "jwt":
		v = claim(b.view.Header.Get("Authorization"), field)
	case "ip":
		if field == "address" {
			v = b.view.Peer
		}
	case "body":
		v = b.inBody(field)
	}
	v = strings.Trim(v, " \t")
	return v, v != ""
}

// inBody is a text field of the body. The model of some providers stands in the
// path instead: there it names the same thing, and the path decides.
func (b *binder) inBody(field string) string {
	var body map[string]json.RawMessage // of a name that is given twice the last value
	_ = json.Unmarshal(b.body, &body)   // what is no object has no fields
	v := asText(gjson.ParseBytes(body[field]))
	if field == "user" && v == "" && strings.HasSuffix(b.view.Path, "/v1/messages") { // Anthropic's name for it
		v = asText(gjson.GetBytes(body["metadata"], "user_id"))
	}
	if field != "model" {
		return v
	}
	if _, after, ok := strings.Cut(b.view.Path, "/models/"); ok { // Gemini: /models/NAME:method
		if name, _, ok := strings.Cut(after, ":"); ok {
			return name
		}
	}
	if _, after, ok := strings.Cut(b.view.Path, "/model/"); ok { // Bedrock: /model/NAME/method
		return after[:max(0, strings.LastIndexByte(after, '/'))]
	}
	if _, after, ok := strings.Cut(b.view.Path, "/deployments/"); ok && v == "" { // Azure
		v, _, _ = strings.Cut(after, "/")
	}
	return v
}

// asText is the string that a value is, or nothing.
func asText(v gjson.Result) string {
	if v.Type != gjson.String {
		return ""
	}
	return v.String()
}

// claim reads a claim of a bearer token without verifying it.
func claim(authorization, name string) string {
	scheme, token, _ := strings.Cut(authorization, " ")
	parts := strings.Split(strings.TrimSpace(token), ".")
	if !strings.EqualFold(scheme, "bearer") || len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || !json.Valid(payload) {
		return ""
	}
	v := gjson.GetBytes(payload, gjson.Escape(name))
	if v.IsObject() || v.IsArray() || v.Type == gjson.Null {
		return ""
	}
	return v.String()
}

// maxDecoded caps what a request body may decode to.
const maxDecoded = 64 << 20

// decode undoes a Content-Encoding, the last one of a list first; unreadable is true if
// nobody reads it.
func decode(encoding string, body []byte) (decoded []byte, unreadable bool) {
	for _, one := range slices.Backward(strings.Split(encoding, ",")) {
		if body, unreadable = decodeOne(one, body); unreadable {
			return nil, true
		}
	}
	return body, false
}

func decodeOne(encoding string, body []byte) (decoded []byte, unreadable bool) {
	var r io.Reader = bytes.NewReader(body)
	var err error
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, false
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(r)
	case "deflate":
		if z, zerr := zlib.NewReader(r); zerr == nil {
			r = z
		} else {
			r = flate.NewReader(bytes.NewReader(body)) // bare, as many send it
		}
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1)); err == nil {
			defer z.Close()
			r = z
		}
	default:
		return nil, true
	}
	if err != nil {
		return nil, false // empty: an invalid body
	}
	if decoded, err = io.ReadAll(io.LimitReader(r, maxDecoded)); err != nil {
		return nil, false
	}
	return decoded, false
}
