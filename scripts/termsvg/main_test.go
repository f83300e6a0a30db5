package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// A picture is well-formed whatever was written, colours close, and nothing is wider
// than a terminal.
func TestDraw(t *testing.T) {
	t.Parallel()
	long := "\x1b[31m" + strings.Repeat("é", widest) + "tail\x1b[0m"
	var out strings.Builder
	if err := draw(strings.NewReader("a \x1b[1mbold\x1b[0m <b>&\n"+long+"\n\n"), &out, "llmlimit run"); err != nil {
		t.Fatal(err)
	}
	text := ""
	for d := xml.NewDecoder(strings.NewReader(out.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, out.String())
		}
		if letters, ok := token.(xml.CharData); ok {
			text += string(letters)
		}
	}
	for _, want := range []string{"$ llmlimit run", "a bold <b>&", strings.Repeat("é", widest-1) + "…"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	if strings.Contains(text, "tail") || strings.Contains(text, "\x1b") {
		t.Errorf("too much in %q", text)
	}
	if !strings.Contains(out.String(), `<tspan class="r">`) {
		t.Error("no colour")
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{"abc", "abc"},
		{"abcde", "abcde"},
		{"abcdef", "abcd…\x1b[0m"},
		{"\x1b[1mab\x1b[0mcdef", "\x1b[1mab\x1b[0mcd…\x1b[0m"},
	} {
		if got := cut(c.line, 5); got != c.want {
			t.Errorf("cut(%q, 5) = %q, expected %q", c.line, got, c.want)
		}
	}
}
