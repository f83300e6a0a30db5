package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// heartbeat is how often plain progress says that the run is alive.
const heartbeat = 10 * time.Second

// progress shows how far a run is, on stderr.
type progress interface {
	observe(scenarios.Event)
	end() // must be called once
}

// newProgress picks bars on a terminal and plain lines elsewhere.
func (a *app) newProgress(kind string, cells int) progress {
	if kind == "auto" {
		kind = "plain"
		if isTerminal(a.stderr) && a.env["TERM"] != "dumb" {
			kind = "bar"
		}
	}
	switch kind {
	case "bar":
		return newBar(a.stderr, cells)
	case "plain":
		return newPlain(a.stderr, cells)
	}
	return noProgress{}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

type noProgress struct{}

func (noProgress) observe(scenarios.Event) {}
func (noProgress) end()                    {}

// bar is one bar for the run and a line about what it does now.
type bar struct {
	bars *mpb.Progress
	main *mpb.Bar
	mu   sync.Mutex
	now  string
}

func newBar(w io.Writer, cells int) *bar {
	b := &bar{bars: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithAutoRefresh())}
	b.main = b.bars.AddBar(int64(cells), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.CountersNoUnit("%d/%d ")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			b.mu.Lock()
			defer b.mu.Unlock()
			return " " + b.now
		})))
	return b
}

func (b *bar) observe(e scenarios.Event) {
	b.mu.Lock()
	switch e.Kind {
	case scenarios.CellStarted:
		b.now = e.Suite + "/" + e.Cell
	case scenarios.CellLoad:
		b.now = e.Cell + " " + loadLine(e.Load)
	case scenarios.CellFinished:
	}
	b.mu.Unlock()
	if e.Kind == scenarios.CellFinished {
		b.main.Increment()
	}
}

func (b *bar) end() {
	b.main.Abort(true)
	b.bars.Wait()
}

// plain is one line per finished scenario, and a heartbeat.
type plain struct {
	w     io.Writer
	cells int
	mu    sync.Mutex
	done  int
	last  string
	stop  chan struct{}
	ended sync.WaitGroup
}

func newPlain(w io.Writer, cells int) *plain {
	p := &plain{w: w, cells: cells, stop: make(chan struct{})}
	p.ended.Go(p.beat) // ends with end
	return p
}

func (p *plain) beat() {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.mu.Lock()
			fmt.Fprintf(p.w, "… %d of %d done, at %s\n", p.done, p.cells, p.last)
			p.mu.Unlock()
		}
	}
}

func (p *plain) observe(e scenarios.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = e.Suite + "/" + e.Cell
	if e.Kind == scenarios.CellLoad {
		p.last += " " + loadLine(e.Load)
	}
	if e.Kind == scenarios.CellFinished {
		p.done++
		fmt.Fprintf(p.w, "%-5s %s/%s\n", e.Result.Outcome, e.Suite, e.Cell)
	}
}

func (p *plain) end() {
	close(p.stop)
	p.ended.Wait()
}

func loadLine(l *scenarios.LoadProgress) string {
	return fmt.Sprintf("%s of %s  %.0f/s  429: %d  p99 %s", l.Elapsed.Round(time.Second), l.Planned.Round(time.Second), l.Rate, l.Rejected, l.P99.Round(100*time.Microsecond))
}
