package report

import (
	"crypto/rand"
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// assets are the page's template, style and script, and uPlot 1.6.32 with its
// licence (MIT, https://github.com/leeoniya/uPlot), which draws.
//
//go:embed assets
var assets embed.FS

// HTML writes one self-contained page. It loads nothing: its policy forbids it. What
// the script draws is there for readers without JavaScript too, as far as a picture
// drawn here can show it.
func HTML(w io.Writer, run *scenarios.RunResult) error { return HTMLCompared(w, run, nil) }

// Against is the kind with what changed since a baseline, where it has a place for it.
func (k Kind) Against(changes *Comparison) Kind {
	if k.Name == "html" && changes != nil {
		k.Write = func(w io.Writer, run *scenarios.RunResult) error { return HTMLCompared(w, run, changes) }
	}
	return k
}

// HTMLCompared is [HTML] with what changed since a baseline, if there is one.
func HTMLCompared(w io.Writer, run *scenarios.RunResult, changes *Comparison) error {
	page, err := template.ParseFS(assets, "assets/page.gohtml", "assets/cell.gohtml")
	if err != nil {
		return fmt.Errorf("reading the page's template: %w", err)
	}
	data := newPage(run, changes)
	// Only scripts that carry it run. The page is written once, so that nothing in it
	// can know the nonce.
	data.Nonce = rand.Text()
	if data.Style, err = style("assets/uplot/uPlot.min.css", "assets/page.css"); err != nil {
		return err
	}
	if data.Script, err = script("assets/uplot/uPlot.iife.min.js", "assets/page.js"); err != nil {
		return err
	}
	if err := page.ExecuteTemplate(w, "page.gohtml", data); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

func style(names ...string) (template.CSS, error) {
	text, err := joined(names)
	return template.CSS(text), err //nolint:gosec // our own files, embedded
}

func script(names ...string) (template.JS, error) {
	text, err := joined(names)
	return template.JS(text), err //nolint:gosec // our own files, embedded
}

func joined(names []string) (string, error) {
	var text strings.Builder
	for _, name := range names {
		part, err := assets.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", name, err)
		}
		fmt.Fprintf(&text, "%s\n", part)
	}
	return text.String(), nil
}
