package main

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// helpWidth is how wide help is where nobody knows the terminal, and at most.
const helpWidth = 100

// helpFunctions are for all programs in this process: cobra has one table of them.
var helpFunctions = sync.OnceFunc(func() { cobra.AddTemplateFunc("fill", fill) })

// fitHelp makes the help of all commands fit the terminal.
func (a *app) fitHelp(root *cobra.Command) {
	helpFunctions()
	fit := func(template string) string {
		return strings.ReplaceAll(template, "COLUMNS", strconv.Itoa(a.columns()))
	}
	template := root.UsageTemplate()
	template = strings.ReplaceAll(template, ".LocalFlags.FlagUsages |", "(.LocalFlags.FlagUsagesWrapped COLUMNS) |")
	template = strings.ReplaceAll(template, ".InheritedFlags.FlagUsages |", "(.InheritedFlags.FlagUsagesWrapped COLUMNS) |")
	root.SetUsageTemplate(fit(template))
	root.SetHelpTemplate(fit(`{{with (or .Long .Short)}}{{fill (trimTrailingWhitespaces .) COLUMNS}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}`))
}

// columns is how wide prose may be on this stdout.
func (a *app) columns() int {
	if f, ok := a.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 20 {
			return min(helpWidth, columns)
		}
	}
	return helpWidth
}

// fold breaks the lines of a text at a width, each by itself; what is indented stays.
func fold(text string, width int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line != "" && line[0] != ' ' {
			lines[i] = strings.Join(wrapped(strings.Fields(line), width), "\n")
		}
	}
	return strings.Join(lines, "\n")
}

// fill breaks the paragraphs of a text at a width. Lines that are indented stay as they
// are: they are commands and tables.
func fill(text string, width int) string {
	var out, paragraph []string
	flush := func() {
		out = append(out, wrapped(paragraph, width)...)
		paragraph = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == "" || line[0] == ' ' || line[0] == '\t':
			flush()
			out = append(out, line)
		default:
			paragraph = append(paragraph, strings.Fields(line)...)
		}
	}
	flush()
	return strings.Join(out, "\n")
}

// wrapped sets words in lines.
func wrapped(words []string, width int) []string {
	var lines []string
	for _, word := range words {
		last := len(lines) - 1
		if last >= 0 && len([]rune(lines[last]))+1+len([]rune(word)) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
