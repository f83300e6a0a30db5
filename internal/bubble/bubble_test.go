package bubble_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/internal/bubble"
)

// TestMain lets the test binary be its own child, as the real program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "bubble" {
		bubble.Main(handle)
	}
	os.Exit(m.Run()) //nolint:forbidigo // the program of this test
}

type job struct {
	Do    string        `json:"do"`
	Sleep time.Duration `json:"sleep"`
}

func handle(ctx context.Context, raw json.RawMessage, emit func(any)) (any, error) {
	var j job
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, err
	}
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	switch j.Do {
	case "sleep":
		emit("before")
		time.Sleep(j.Sleep)
		emit("after")
		return time.Since(start), nil
	case "start":
		return start.Add(time.Since(start)), nil
	case "pid":
		return os.Getpid(), nil
	case "fail":
		return nil, errors.New("no luck")
	case "print":
		fmt.Println("this must not reach the parent")
		return "quiet", nil
	case "leak":
		go func() { <-make(chan int) }()
		return "leaked", nil
	case "panic":
		panic("told to")
	case "spin":
		for ctx.Err() == nil { // burns real time: nobody cancels ctx before the end
		}
	case "context":
		go func() { <-ctx.Done() }() // ends with the job
		return "ok", nil
	}
	return nil, fmt.Errorf("unknown job %q", j.Do)
}

type log struct {
	mu     sync.Mutex
	events map[int][]string
}

func (l *log) Started(int) {}
func (l *log) Event(job int, event json.RawMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.events == nil {
		l.events = map[int][]string{}
	}
	l.events[job] = append(l.events[job], string(event))
}
func (l *log) Finished(int, bubble.Result) {}

func pool(workers int) *bubble.Pool {
	return &bubble.Pool{Argv: []string{os.Args[0], "bubble"}, Workers: workers}
}

func jobs(t *testing.T, js ...job) []json.RawMessage {
	t.Helper()
	var raw []json.RawMessage
	for _, j := range js {
		b, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, b)
	}
	return raw
}

func TestJobs(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			var heard log
			results := pool(workers).Run(t.Context(), jobs(t,
				job{Do: "sleep", Sleep: 24 * time.Hour},
				job{Do: "leak"},
				job{Do: "start"},
				job{Do: "panic"},
				job{Do: "fail"},
				job{Do: "print"},
				job{Do: "context"},
			), &heard)
			for i, want := range []string{
				0: fmt.Sprint(int64(24 * time.Hour)),
				2: `"2000-01-01T00:00:00Z"`,
				5: `"quiet"`,
				6: `"ok"`,
			} {
				if want != "" && (string(results[i].Value) != want || results[i].Err != nil) {
					t.Errorf("job %d: %s, %v; want %s", i, results[i].Value, results[i].Err, want)
				}
			}
			if err := results[4].Err; err == nil || err.Error() != "no luck" {
				t.Errorf("failing job: %v, want its own error", err)
			}
			for i, want := range map[int]string{1: "blocked goroutines remain", 3: "panic: told to"} {
				var crash *bubble.CrashError
				if !errors.As(results[i].Err, &crash) || !strings.Contains(crash.Error(), want) {
					t.Errorf("job %d: %v; want a crash that says %q", i, results[i].Err, want)
				} else if !strings.Contains(crash.Stderr, "bubble_test.handle") {
					t.Errorf("job %d: stderr does not show where: %s", i, crash.Stderr)
				}
			}
			if got := fmt.Sprint(heard.events[0]); got != `["before" "after"]` {
				t.Errorf("events of job 0: %s", got)
			}
		})
	}
}

// unbound takes the bound away after the first job, since a busy machine may take its
// time to start a process for the next one.
type unbound struct{ p *bubble.Pool }

func (unbound) Started(int)                   {}
func (unbound) Event(int, json.RawMessage)    {}
func (u unbound) Finished(int, bubble.Result) { u.p.JobTimeout = 0 }

func TestJobTimeout(t *testing.T) {
	p := pool(1)
	p.JobTimeout = 300 * time.Millisecond
	results := p.Run(t.Context(), jobs(t, job{Do: "spin"}, job{Do: "start"}), unbound{p})
	if !errors.Is(results[0].Err, bubble.ErrTimeout) {
		t.Errorf("a job that never ends: %v, want a timeout", results[0].Err)
	}
	if results[1].Err != nil {
		t.Errorf("the job after it: %v", results[1].Err)
	}
}

// started cancels a context as soon as the first job runs.
type started struct {
	log
	cancel context.CancelFunc
}

func (s *started) Started(int) { s.cancel() }

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	results := pool(1).Run(ctx, jobs(t, job{Do: "spin"}, job{Do: "start"}), &started{cancel: cancel})
	for i, r := range results {
		if !errors.Is(r.Err, context.Canceled) {
			t.Errorf("job %d: %v, want cancelled", i, r.Err)
		}
	}
}

func TestNoSuchProgram(t *testing.T) {
	p := &bubble.Pool{Argv: []string{"/does/not/exist"}}
	if r := p.Run(t.Context(), jobs(t, job{Do: "start"}), &log{}); r[0].Err == nil {
		t.Error("a child that cannot be started gave no error")
	}
}

// dawdler hears of an event of the second job for so long that the time of that job is
// over, while its result waits to be read. The first job only starts the child.
type dawdler struct{ p *bubble.Pool }

const shortTime = 300 * time.Millisecond

func (dawdler) Started(int) {}
func (d dawdler) Event(int, json.RawMessage) {
	if d.p.JobTimeout > 0 {
		time.Sleep(2 * shortTime) // real: so is the bound of a job
	}
}

func (d dawdler) Finished(job int, _ bubble.Result) {
	d.p.JobTimeout = 0
	if job == 0 {
		d.p.JobTimeout = shortTime
	}
}

// TestKilledTooLate: a child that is killed when it has just given its result is not
// given the next job.
func TestKilledTooLate(t *testing.T) {
	p := pool(1)
	results := p.Run(t.Context(), jobs(t, job{Do: "start"}, job{Do: "sleep"}, job{Do: "start"}), dawdler{p})
	if err := results[2].Err; err != nil {
		t.Errorf("the job after it: %v", err)
	}
}

// TestKeep: the next run has the children of the one before it, but for those that died.
func TestKeep(t *testing.T) {
	p := pool(1)
	p.Keep = true
	defer p.Close()
	who := func(js ...job) string {
		results := p.Run(t.Context(), jobs(t, js...), &log{})
		return string(results[0].Value)
	}
	first := who(job{Do: "pid"})
	if second := who(job{Do: "pid"}, job{Do: "leak"}); second != first {
		t.Errorf("process %s, want %s again", second, first)
	}
	if third := who(job{Do: "pid"}); third == first || third == "" {
		t.Errorf("process %s, want one that lives", third)
	}
	p.Close()
	if fourth := who(job{Do: "pid"}); fourth == first || fourth == "" {
		t.Errorf("process %s after Close, want a new one", fourth)
	}
}
