package main

import "testing"

func TestFill(t *testing.T) {
	const text = "One word after\nanother, and more.\n\n  an example that is far longer than the width\n\tanother\nThe end."
	const want = "One word after\nanother, and\nmore.\n\n  an example that is far longer than the width\n\tanother\nThe end."
	if found := fill(text, 14); found != want {
		t.Errorf("found\n%s\nexpected\n%s", found, want)
	}
	if found := fill("a\nb", 100); found != "a b" {
		t.Errorf("found %q, expected one line", found)
	}
}

func TestFold(t *testing.T) {
	if found, want := fold("One two three.\n  indented and long\nfour", 8), "One two\nthree.\n  indented and long\nfour"; found != want {
		t.Errorf("found\n%s\nexpected\n%s", found, want)
	}
}
