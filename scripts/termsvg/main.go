// Command termsvg draws what a program wrote to a terminal as an SVG: text with ANSI
// colours in, a picture out. It draws the pictures of the README.
//
//	llmlimit run --color always | go run ./scripts/termsvg 'llmlimit run' > run.svg
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"os"
	"strings"
)

const (
	charWidth  = 8.4
	lineHeight = 19
	margin     = 18
	widest     = 110 // columns; what is longer ends in an ellipsis, as in a narrow terminal
)

func main() {
	if err := draw(os.Stdin, os.Stdout, strings.Join(os.Args[1:], " ")); err != nil {
		fmt.Fprintln(os.Stderr, "termsvg:", err)
		os.Exit(1)
	}
}

// draw reads lines and writes the picture, headed by the command that wrote them.
func draw(r io.Reader, w io.Writer, command string) error {
	lines := []string{"\x1b[2m$\x1b[0m " + command}
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		lines = append(lines, cut(scan.Text(), widest))
	}
	if err := scan.Err(); err != nil {
		return err
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	columns := 0
	for _, l := range lines {
		columns = max(columns, visible(l))
	}
	width := int(float64(columns)*charWidth) + 2*margin
	height := len(lines)*lineHeight + 2*margin + 8
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">
<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d6dbe4;white-space:pre}
.b{font-weight:bold;fill:#fff}.d{fill:#7f8896}.r{fill:#ff6b6b}.g{fill:#5fd38d}.y{fill:#f2c265}</style>
<rect width="100%%" height="100%%" rx="8" fill="#14181f"/>
`, width, height, width, height, html.EscapeString("output of "+command))
	for i, l := range lines {
		fmt.Fprintf(&b, `<text x="%d" y="%d" xml:space="preserve">%s</text>`+"\n", margin, margin+(i+1)*lineHeight-4, spans(l))
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// classes are the codes that llmlimit writes.
var classes = map[string]string{"1": "b", "2": "d", "31": "r", "32": "g", "33": "y"}

// spans turns one line's colour codes into elements.
func spans(line string) string {
	var b strings.Builder
	open := 0
	for line != "" {
		text, rest, found := strings.Cut(line, "\x1b[")
		b.WriteString(html.EscapeString(text))
		if !found {
			break
		}
		code, after, _ := strings.Cut(rest, "m")
		if class := classes[code]; class != "" {
			fmt.Fprintf(&b, `<tspan class="%s">`, class)
			open++
		} else if open > 0 {
			b.WriteString(strings.Repeat("</tspan>", open))
			open = 0
		}
		line = after
	}
	b.WriteString(strings.Repeat("</tspan>", open))
	return b.String()
}

// visible counts the columns of a line.
func visible(line string) int {
	n := 0
	for line != "" {
		text, rest, found := strings.Cut(line, "\x1b[")
		n += len([]rune(text))
		if !found {
			break
		}
		_, line, _ = strings.Cut(rest, "m")
	}
	return n
}

// cut ends a line after so many columns. Colour codes take none.
func cut(line string, columns int) string {
	if visible(line) <= columns {
		return line
	}
	var b strings.Builder
	for line != "" {
		text, rest, found := strings.Cut(line, "\x1b[")
		letters := []rune(text)
		if len(letters) >= columns {
			b.WriteString(string(letters[:columns-1]) + "…\x1b[0m")
			break
		}
		b.WriteString(text)
		columns -= len(letters)
		if !found {
			break
		}
		var code string
		code, line, _ = strings.Cut(rest, "m")
		b.WriteString("\x1b[" + code + "m")
	}
	return b.String()
}
