package report

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/llmlimit/llmlimit/pkg/judge"
	"github.com/llmlimit/llmlimit/pkg/scenarios"
)

// tab is a page in a real browser, and everything about it that is wrong.
type tab struct {
	ctx context.Context

	mu    sync.Mutex
	wrong []string
}

// patience is how long a test waits for what a page has to show.
const patience = 60 * time.Second

// browser starts Chromium once for a test. Where there is none the test fails: the
// page is not shown to work by a test that did not run.
func browser(tb testing.TB) context.Context {
	tb.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		tb.Fatal("there is no Chromium; install it (Debian: apt-get install chromium) and run again")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(tb.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true),
		chromedp.WSURLReadTimeout(90*time.Second),
	)
	allocator, stop := chromedp.NewExecAllocator(tb.Context(), options...)
	tb.Cleanup(stop)
	ctx, quit := chromedp.NewContext(allocator)
	tb.Cleanup(quit)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		tb.Fatalf("starting %s: %v", path, err)
	}
	return ctx
}

// show writes the page to a file and opens it in a tab of its own.
func show(browser context.Context, tb testing.TB, run *scenarios.RunResult, before ...chromedp.Action[chromedp.Void]) *tab {
	tb.Helper()
	return open(browser, tb, render(tb, HTML, run), before...)
}

// open is show for a page that is written already.
func open(browser context.Context, tb testing.TB, page string, before ...chromedp.Action[chromedp.Void]) *tab {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		tb.Fatal(err)
	}
	ctx, closeTab := chromedp.NewContext(browser)
	tb.Cleanup(closeTab)
	// The first command opens the tab, which lives as long as its context; all that
	// follow give up after a while.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		tb.Fatal(err)
	}
	ctx, giveUp := context.WithTimeout(ctx, patience)
	tb.Cleanup(giveUp)
	p := &tab{ctx: ctx}
	if err := chromedp.Do(ctx, command(network.Enable, network.EnableParams{}), command(log.Enable, cdp.Empty{})); err != nil {
		tb.Fatal(err)
	}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		tb.Fatal(err)
	}
	if err := chromedp.Do(ctx, append(before, chromedp.Navigate("file://"+file))...); err != nil {
		tb.Fatal(err)
	}
	return p
}

// command is a command of the protocol as a step.
func command[P any](c cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	})
}

// listen notes what a good page never does.
func (p *tab) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if url := e.Request.URL; !strings.HasPrefix(url, "file:") && !strings.HasPrefix(url, "data:") {
			p.wrong = append(p.wrong, "request to "+url)
		}
	case *runtime.EventExceptionThrown:
		p.wrong = append(p.wrong, "exception: "+e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		p.wrong = append(p.wrong, fmt.Sprintf("console.%s", e.Type))
	case *log.EventEntryAdded:
		p.wrong = append(p.wrong, fmt.Sprintf("log: %s %s", e.Entry.Level, e.Entry.Text))
	}
}

func (p *tab) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrong
}

// eval evaluates JavaScript in the page.
func eval[T any](tb testing.TB, p *tab, js string) T {
	tb.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js))
	if err != nil {
		tb.Fatalf("%s: %v", js, err)
	}
	return value
}

// colours counts the distinct colours on each canvas of the open cells: an empty
// canvas has one.
const colours = `[...document.querySelectorAll("details.cell[open] canvas")].map((c) => {
	const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, seen = new Set();
	for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
	return seen.size;
})`

// hasColour tells whether the first canvas, which is the ledger, shows a colour of
// the page's, give or take what lies over it.
const hasColour = `((name) => {
	const c = document.querySelector("details.cell[open] canvas"), probe = document.createElement("i");
	probe.style.color = getComputedStyle(document.documentElement).getPropertyValue(name);
	document.body.append(probe);
	const want = getComputedStyle(probe).color.match(/\d+/g).map(Number), data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
	let n = 0;
	for (let i = 0; i < data.length; i += 4)
		if (data[i + 3] > 150 && want.every((v, k) => Math.abs(v - data[i + k]) < 12)) n++;
	return n;
})`

// The page in a real browser: it draws, it loads nothing, it complains about nothing.
func TestPageInBrowser(t *testing.T) {
	b := browser(t)
	p := show(b, t, small(t), chromedp.EmulateViewport(1100, 1600))
	if err := chromedp.Do(p.ctx, chromedp.Click(`a.tile[href="#cell-0"]`), chromedp.WaitVisible("#cell-0 canvas")); err != nil {
		t.Errorf("a tile does not open its cell: %v", err)
	}
	if wrong := p.complaints(); len(wrong) > 0 {
		t.Errorf("the browser complains: %q", wrong)
	}
	drawn := eval[[]int](t, p, colours)
	if len(drawn) < 8 {
		t.Errorf("found %d plots in the two open cells, expected ledger, arrivals, residual and accuracy of each", len(drawn))
	}
	for i, n := range drawn {
		if n < 3 {
			t.Errorf("plot %d has %d colours: it is empty", i, n)
		}
	}
	for _, colour := range []string{"--settled", "--outstanding"} {
		if n := eval[int](t, p, hasColour+`("`+colour+`")`); n < 100 {
			t.Errorf("the ledger has %d pixels of %s", n, colour)
		}
	}
	text := eval[string](t, p, `document.querySelector("details.cell[open]").innerText`)
	for _, want := range []string{
		"refunds/refund[delivery=length]", "status: found 429, expected 200", "ledger.actual == 50 = false", "ledger.actual = 1006",
		"rejected, although at least 1950 tokens were left", "repeat: 5", "curl -sS -i", "Run again",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the failure does not say %q", want)
		}
	}

	t.Run("dark", func(t *testing.T) {
		dark := command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
		})
		light := eval[string](t, p, `getComputedStyle(document.body).backgroundColor`)
		p := show(b, t, small(t), dark)
		if found := eval[string](t, p, `getComputedStyle(document.body).backgroundColor`); found == light {
			t.Errorf("the background is %s in the dark too", found)
		}
		if n := eval[int](t, p, hasColour+`("--settled")`); n < 100 {
			t.Errorf("the ledger has %d pixels of its colour for the dark", n)
		}
	})
	t.Run("narrow", func(t *testing.T) {
		p := show(b, t, small(t), chromedp.EmulateViewport(360, 800, chromedp.EmulateMobile))
		if width := eval[int](t, p, `document.documentElement.scrollWidth`); width > 360 {
			t.Errorf("a page of 360 pixels scrolls to %d", width)
		}
	})
	t.Run("without JavaScript", func(t *testing.T) {
		p := show(b, t, small(t), command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
		svg, err := chromedp.Run(p.ctx, chromedp.Screenshot("details.cell[open] .ledger svg", chromedp.NodeVisible))
		if err != nil || len(svg) < 1000 {
			t.Errorf("the server-drawn ledger is not there: %v", err)
		}
	})
	t.Run("hostile", func(t *testing.T) {
		run := small(t)
		poison(run, `</script><script>hacked=1</script><img src=x onerror=hacked=1><svg onload=hacked=1>`)
		p := show(b, t, run)
		if eval[bool](t, p, `typeof hacked !== "undefined"`) {
			t.Error("the page ran what a target sent")
		}
		if wrong := p.complaints(); len(wrong) > 0 {
			t.Errorf("the browser complains: %q", wrong)
		}
	})
	t.Run("loads nothing", func(t *testing.T) {
		var reached atomic.Bool
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
		defer server.Close()
		p := show(b, t, small(t))
		_ = eval[bool](t, p, `fetch("`+server.URL+`").catch(() => 0), new Image().src = "`+server.URL+`", true`)
		if wrong := strings.Join(p.complaints(), "\n"); !strings.Contains(wrong, "Content Security Policy") {
			t.Errorf("nothing forbids the page to load: %q", wrong)
		}
		if reached.Load() {
			t.Error("the page reached a server")
		}
	})
}

// A run of many requests is drawn from aggregates: a million fit into 5 MB, in one
// scenario or in many.
func TestPageStaysSmall(t *testing.T) {
	const most = 5 << 20
	n := 100_000
	if os.Getenv("LLMLIMIT_SOAK") != "" {
		n = 1_000_000
	}
	for _, cells := range []int{1, 20, 200} {
		if size := len(render(t, HTML, long(t, n, cells))); size > most {
			t.Errorf("%d requests in %d scenarios make %d bytes, expected at most %d", n, cells, size, most)
		}
	}
}

// long is a run of that many requests of a thousand keys, shared by that many
// scenarios, with all that a load and the judge say of them.
func long(tb testing.TB, requests, cells int) *scenarios.RunResult {
	tb.Helper()
	run := small(tb)
	run.Suites = run.Suites[:1]
	first := *run.Suites[0].Scenarios[0]
	run.Suites[0].Scenarios = nil
	for cell := range cells {
		sc := first
		sc.ID, sc.Requests = fmt.Sprintf("%s[part=%d]", first.Scenario, cell), nil
		report := judge.Report{Totals: judge.Totals{Requests: requests / cells}}
		for key := range 1000 {
			a := judge.AccountReport{Limit: "tpm", Key: fmt.Sprintf("4:t%03d", key), Dimension: judge.Tokens, Requests: requests / cells / 1000}
			for i := range judge.MaxSamples {
				if key > maxAccounts { // no more of them are drawn
					break
				}
				a.Level = append(a.Level, judge.Sample{At: sc.Start.UnixNano() + int64(i)*int64(time.Second), Min: int64(i * 7919 % 1000), Max: int64(1000 + i*104729%1000)})
			}
			report.Accounts = append(report.Accounts, a)
		}
		sc.Judged = &report
		for i := range requests / cells {
			at := time.Duration(i) * time.Millisecond
			x := &scenarios.Exchange{
				ID: fmt.Sprint("r", i), Key: fmt.Sprintf("4:t%03d", i%1000), Due: at, Sent: at + time.Duration(i%7)*time.Microsecond, Reserved: int64(1000 + i%977),
				Usage: int64(i % 991), Actual: int64(i % 991), AtMost: int64(i % 991), First: at + time.Millisecond, Ended: at + time.Duration(i%97)*time.Millisecond,
				Received: at, Finished: at + time.Duration(i%89)*time.Millisecond, Stream: i%2 == 0, Framing: "chunked",
				Status: 200, Decision: scenarios.Admitted, Outcome: "complete",
			}
			if i%3 == 0 {
				x.Decision, x.Status = scenarios.Rejected, 429
			}
			sc.Requests = append(sc.Requests, x)
		}
		run.Suites[0].Scenarios = append(run.Suites[0].Scenarios, &sc)
	}
	return run
}

// What a page of a million requests costs: to write it, its size, and to open it in a
// browser until it is drawn.
func BenchmarkPageOfAMillion(b *testing.B) {
	for _, cells := range []int{1, 20, 200} {
		run := long(b, 1_000_000, cells)
		b.Run(fmt.Sprintf("write/scenarios=%d", cells), func(b *testing.B) {
			size := 0
			for b.Loop() {
				size = len(render(b, HTML, run))
			}
			b.ReportMetric(float64(size)/1e6, "MB")
		})
		b.Run(fmt.Sprintf("open/scenarios=%d", cells), func(b *testing.B) {
			page, chromium := render(b, HTML, run), browser(b)
			for b.Loop() {
				p := open(chromium, b, page)
				b.ReportMetric(eval[float64](b, p, drawnAfter), "ms-until-drawn")
				if n := eval[int](b, p, `document.querySelectorAll("details.cell[open] canvas").length`); n < 5 {
					b.Fatalf("found %d plots", n)
				}
			}
		})
	}
}

// drawnAfter is when the page had been loaded, its script had run, and something was
// painted, since it was asked for.
const drawnAfter = `Math.max(performance.getEntriesByType("navigation")[0].loadEventEnd, ...performance.getEntriesByType("paint").map((p) => p.startTime))`
