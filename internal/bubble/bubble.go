// Package bubble runs functions in virtual time outside `go test`.
//
// The only exported door into a [testing/synctest] bubble is synctest.Test, and
// the only way to a *testing.T outside `go test` is [testing.Main], which owns
// the process that calls it: it parses os.Args, prints on stdout and exits. So
// virtual time is spent in a child process of the same binary. The parent, a
// [Pool], owns the terminal, the signals and the real clock; the child, [Main],
// takes one job after the other and gives each a bubble of its own.
//
// They speak JSON lines. The parent writes a job on the child's stdin; the child
// answers on its stdout with any number of events and one result. A job that
// leaves a goroutine behind, deadlocks or panics takes its child with it: that
// job has a [CrashError] with the end of what the child wrote on stderr, and the
// remaining jobs go to a new child.
package bubble

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"testing"
	"testing/synctest"
)

// Handler runs one job inside a bubble: time is virtual from its first line to
// its last, and begins at midnight UTC 2000-01-01. Every goroutine that it starts
// must have ended, or be about to end, when it returns. ctx belongs to the bubble
// and is cancelled when the handler has returned. emit sends an event to the
// parent at once; it is safe for concurrent use. An error is the job's own
// result, not a crash.
type Handler func(ctx context.Context, job json.RawMessage, emit func(event any)) (result any, err error)

// message is one line from the child: exactly one field is set.
type message struct {
	Event  json.RawMessage `json:"event,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *string         `json:"error,omitempty"`
}

// Main is the child. It never returns: it ends the process when stdin ends. The
// caller must not have written to os.Stdout before. Anything that the process
// prints on os.Stdout from now on goes to stderr.
func Main(handle Handler) {
	// An interrupt reaches the whole process group; the parent decides what
	// becomes of it, and kills its children when it wants them dead.
	signal.Ignore(os.Interrupt)
	lines := &lineWriter{to: os.Stdout}
	os.Stdout = os.Stderr
	os.Args = os.Args[:1] // testing.Main parses them
	match := func(_, _ string) (bool, error) { return true, nil }
	all := func(t *testing.T) {
		t.Helper()
		if err := serve(t, os.Stdin, lines, handle); err != nil {
			t.Error(err)
		}
	}
	testing.Main(match, []testing.InternalTest{{Name: "bubble", F: all}}, nil, nil)
}

// serve reads jobs until stdin ends. It reads outside any bubble: a goroutine that
// waits for stdin would hold the clock of a bubble for ever.
func serve(t *testing.T, stdin io.Reader, lines *lineWriter, handle Handler) error {
	t.Helper()
	jobs := bufio.NewReader(stdin)
	for {
		job, err := jobs.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a job: %w", err)
		}
		var answer message
		synctest.Test(t, func(t *testing.T) {
			answer = run(t.Context(), job, lines, handle)
		})
		if err := lines.write(answer); err != nil {
			return err
		}
	}
}

// run requires to be inside a bubble.
func run(ctx context.Context, job json.RawMessage, lines *lineWriter, handle Handler) message {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	emit := func(event any) {
		raw, err := json.Marshal(event)
		if err == nil {
			err = lines.write(message{Event: raw})
		}
		if err != nil { // a programming error, or the parent has gone
			panic(fmt.Sprintf("bubble: sending an event: %v", err))
		}
	}
	value, err := handle(ctx, job, emit)
	if err == nil {
		var raw json.RawMessage
		if raw, err = json.Marshal(value); err == nil {
			return message{Result: raw}
		}
	}
	text := err.Error()
	return message{Error: &text}
}

// lineWriter writes one JSON line per message.
type lineWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (l *lineWriter) write(m message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.to.Write(append(line, '\n'))
	return err
}
