package bubble

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// Pool runs jobs in child processes. The zero value is not usable: Argv is needed.
type Pool struct {
	// Argv is the command line of a child, the program first; the process must
	// call [Main] at once.
	Argv []string
	// Env is added to the environment of the children. GOMAXPROCS=1 is always
	// part of it: a bubble is one stream of events, and with one processor the
	// order of what happens at one instant is the same in every run. GOGC=50 is,
	// where the environment has none: most of what a child allocates it keeps.
	Env []string
	// Workers is the number of children that run side by side; 0 means 1.
	Workers int
	// JobTimeout is how long one job may take in real time; 0 means no bound.
	// A bubble that waits for something outside it stands still for ever.
	JobTimeout time.Duration
	// Keep leaves the children of one Run to the next, which need not start its own;
	// [Pool.Close] ends them.
	Keep bool

	mu   sync.Mutex
	idle []*child
}

// Result is what became of one job: a value, or an error, which is a
// [*CrashError] where the child died, [ErrTimeout] where it was killed for
// taking too long, or the cause of the
// context where the run was cancelled.
type Result struct {
	Value json.RawMessage
	Err   error
}

// ErrTimeout is the error of a job that took longer than [Pool.JobTimeout].
var ErrTimeout = errors.New("no result within the real-time bound of one job")

// CrashError says that a child ended without a result.
type CrashError struct {
	State  string // how it ended, as in "exit status 2"
	Stderr string // the end of what it wrote
}

func (e *CrashError) Error() string {
	reason := "no message on stderr"
	for line := range strings.Lines(e.Stderr) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") {
			reason = line
			break
		}
	}
	return fmt.Sprintf("the process of this job ended (%s): %s", e.State, reason)
}

// Observer hears of jobs by their index. Calls come from several goroutines, at
// most one per worker at a time, and hold up the worker that makes them.
type Observer interface {
	Started(job int)
	Event(job int, event json.RawMessage)
	Finished(job int, r Result)
}

// Run runs every job and returns when all children have ended or are kept: one
// result per job, in order. When ctx is cancelled, the children are killed and what has not
// finished has the context's cause as its error.
func (p *Pool) Run(ctx context.Context, jobs []json.RawMessage, observe Observer) []Result {
	results := make([]Result, len(jobs))
	next := make(chan int)
	var workers sync.WaitGroup
	for range max(1, min(p.Workers, len(jobs))) {
		workers.Go(func() {
			w := worker{pool: p, child: p.take()}
			defer w.stop()
			for i := range next {
				observe.Started(i)
				results[i] = w.do(ctx, jobs[i], func(event json.RawMessage) { observe.Event(i, event) })
				observe.Finished(i, results[i])
			}
		})
	}
	for i := range jobs {
		if ctx.Err() != nil {
			results[i] = Result{Err: context.Cause(ctx)}
			continue
		}
		select {
		case next <- i:
		case <-ctx.Done():
			results[i] = Result{Err: context.Cause(ctx)}
		}
	}
	close(next)
	workers.Wait()
	return results
}

// worker owns at most one child at a time and is used by one goroutine.
type worker struct {
	pool  *Pool
	child *child
}

type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Reader
	stderr *tail
}

func (w *worker) do(ctx context.Context, job json.RawMessage, event func(json.RawMessage)) Result {
	if ctx.Err() != nil {
		return Result{Err: context.Cause(ctx)}
	}
	if w.child == nil {
		c, err := w.pool.start()
		if err != nil {
			return Result{Err: fmt.Errorf("starting a child for virtual time: %w", err)}
		}
		w.child = c
	}
	// Who kills the child says why; the read below then fails.
	limit := ctx
	if w.pool.JobTimeout > 0 {
		var cancel context.CancelFunc
		limit, cancel = context.WithTimeoutCause(ctx, w.pool.JobTimeout, ErrTimeout)
		defer cancel()
	}
	c := w.child
	spare := context.AfterFunc(limit, func() { _ = c.cmd.Process.Kill() })
	result, err := c.exchange(job, event)
	spared := spare()
	if err == nil && spared {
		return result
	}
	state := c.end()
	stderr := c.stderr.String()
	w.child = nil
	if err == nil { // killed when it had given its result
		return result
	}
	if limit.Err() != nil {
		return Result{Err: context.Cause(limit)}
	}
	if _, bad := errors.AsType[*json.SyntaxError](err); bad {
		return Result{Err: fmt.Errorf("reading what the child of this job said: %w", err)}
	}
	return Result{Err: &CrashError{State: state, Stderr: stderr}}
}

func (w *worker) stop() {
	switch {
	case w.child == nil:
	case w.pool.Keep:
		w.pool.keep(w.child)
	default:
		w.child.end()
	}
}

// Close ends the children that are kept, and returns when they have ended.
func (p *Pool) Close() {
	for c := p.take(); c != nil; c = p.take() {
		c.end()
	}
}

// take is a child that is kept, nil if there is none.
func (p *Pool) take() *child {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle = p.idle[:last]
	return c
}

func (p *Pool) keep(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
}

func (p *Pool) start() (*child, error) {
	cmd := exec.Command(p.Argv[0], p.Argv[1:]...) //nolint:gosec,noctx // our own binary; killed by the worker, which then says why
	cmd.Env = slices.Concat([]string{"GOGC=50"}, os.Environ(), []string{"GOMAXPROCS=1"}, p.Env)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, stdin: stdin, lines: bufio.NewReader(stdout), stderr: &tail{}}
	cmd.Stderr = c.stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return c, nil
}

// exchange writes one job and reads until its result.
func (c *child) exchange(job json.RawMessage, event func(json.RawMessage)) (Result, error) {
	if _, err := c.stdin.Write(append(slices.Clip(job), '\n')); err != nil {
		return Result{}, err
	}
	for {
		line, err := c.lines.ReadBytes('\n')
		if err != nil {
			return Result{}, err
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			return Result{}, err
		}
		switch {
		case m.Event != nil:
			event(m.Event)
		case m.Error != nil:
			return Result{Err: errors.New(*m.Error)}, nil
		default:
			return Result{Value: m.Result}, nil
		}
	}
}

// end waits for a child that has been killed, has crashed or has had its stdin
// closed, and says how it ended. What is left of its stdout is thrown away, so
// that it cannot block while it ends.
func (c *child) end() string {
	_ = c.stdin.Close()
	_, _ = io.Copy(io.Discard, c.lines)
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.String()
}

// tail keeps the last bytes written to it. os/exec writes from one goroutine,
// which Wait awaits.
type tail struct{ buf []byte }

const tailSize = 32 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.buf[max(0, len(t.buf)-tailSize):]) }
