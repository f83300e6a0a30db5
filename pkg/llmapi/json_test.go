package llmapi

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// sum reads a document the way the dialects do, and adds up everything in it.
type sum struct {
	texts   int64
	keys    int64
	numbers int64
}

func (s *sum) read(r *jsonReader) {
	switch r.peek() {
	case '{':
		for ok := r.object(); ok && r.more(); {
			s.keys += int64(len(r.key))
			s.read(r)
		}
	case '[':
		for ok := r.array(); ok && r.more(); {
			s.read(r)
		}
	case '"':
		n, _ := r.text()
		s.texts += n
	default:
		if n, ok := r.whole(); ok {
			s.numbers += n % 1000
		}
	}
}

// model does the same by encoding/json.
func (s *sum) model(d *json.Decoder) {
	token, err := d.Token()
	if err != nil {
		return
	}
	switch v := token.(type) {
	case json.Delim:
		for d.More() {
			if v == '{' {
				key, _ := d.Token()
				s.keys += int64(len(key.(string)))
			}
			s.model(d)
		}
		_, _ = d.Token()
	case string:
		s.texts += int64(len(v))
	case json.Number:
		if n, ok := wholeModel(string(v)); ok {
			s.numbers += n % 1000
		}
	}
}

// wholeModel is wholeNumber by exact rational arithmetic.
func wholeModel(text string) (int64, bool) {
	if _, exponent, found := strings.Cut(strings.ToLower(text), "e"); found && len(exponent) > 5 {
		return wholeNumber([]byte(text)) // too large for the model
	}
	v, ok := new(big.Rat).SetString(text)
	if !ok || !v.IsInt() || v.Sign() < 0 {
		return 0, false
	}
	if v.Num().Cmp(big.NewInt(1e18)) >= 0 {
		return saturated, true
	}
	return v.Num().Int64(), true
}

func compareWithModel(t *testing.T, data []byte) {
	t.Helper()
	r := jsonReader{data: data}
	var got, want sum
	got.read(&r)
	if valid := r.end() == nil; valid != json.Valid(data) {
		t.Fatalf("%q: valid %t, encoding/json says %t (%v)", data, valid, !valid, r.err)
	} else if !valid {
		return
	}
	skip := jsonReader{data: data}
	compact := skip.compact()
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil || skip.end() != nil || compact != int64(b.Len()) {
		t.Fatalf("%q: compact %d, encoding/json says %d", data, compact, b.Len())
	}
	if !utf8.Valid(data) {
		return // encoding/json repairs what a request may not have
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	want.model(d)
	if got != want {
		t.Fatalf("%q: got %+v, encoding/json says %+v", data, got, want)
	}
}

var jsonSeeds = []string{
	`{}`, `[]`, `null`, `"a"`, ` {"a" : [1, 2.0, 3e2, -1, 0.5, -0, 1e-1]} `, `{"a":"\u00e9\ud83d\ude00\ud800\n"}`,
	`{"a\u0062":1}`, `[1,]`, `[,1]`, `{"a":1,}`, `{"a"}`, `{"a":}`, `01`, `1.`, `.5`, `1e`, `+1`, `-`, `"\x"`, `"\u12"`, `"a`,
	"\"\x01\"", "\"\x7f\xff\"", `tru`, `nul`, `falsey`, `{} {}`, `[[[[[[[[]]]]]]]]`, `{"a":{"b":[{"c":"]}"}]}}`, ``, ` `, "\ufeff{}",
	`12345678901234567890`, `1000000000000000000`, `1e18`, `0e999999999999999999999`, `1E+2`, `100e-2`,
	strings.Repeat("[", 130) + strings.Repeat("]", 130), strings.Repeat(`{"a":[`, 70) + strings.Repeat("]}", 70),
}

func TestJSONReader(t *testing.T) {
	for _, seed := range jsonSeeds {
		for n := range len(seed) + 1 {
			compareWithModel(t, []byte(seed[:n]))
		}
	}
}

func FuzzJSONReader(f *testing.F) {
	for _, seed := range jsonSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(compareWithModel)
}

func TestWholeNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
		got, ok := wholeNumber([]byte(text))
		want, wantOK := wholeModel(text)
		if got != want || ok != wantOK {
			t.Fatalf("%s: got %d, %t, want %d, %t", text, got, ok, want, wantOK)
		}
	})
}

// TestPlain compares eight bytes at a time with one at a time.
func TestPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte("ab \x00\x1f\x20\x21\"#\\]\x7f\x80\xff")), 0, 40).Draw(t, "bytes")
		want := len(b)
		for i, c := range b {
			if c == '"' || c == '\\' || c < 0x20 {
				want = i
				break
			}
		}
		if got := plain(b); got != want {
			t.Fatalf("%q: got %d, want %d", b, got, want)
		}
	})
}
