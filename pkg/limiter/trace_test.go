package limiter_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

var update = flag.Bool("update", false, "rewrite the traces in testdata; only commit changes whose cause you understand")

// TestTraces replays the stories in testdata. A story has a section of limits and a trace: commands, and indented below
// each what the store answered.
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 8 {
		t.Fatalf("found %d stories, expected at least 8 (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Files) != 2 || a.Files[0].Name != "limits" || a.Files[1].Name != "trace" || len(a.Comment) == 0 {
				t.Fatal("expected a comment that says why, then the sections limits and trace")
			}
			s := newStory(t, string(a.Files[0].Data))
			told := s.replay(string(a.Files[1].Data))
			if told == string(a.Files[1].Data) {
				return
			}
			if !*update {
				t.Fatalf("the story goes differently now:\n%s", told)
			}
			a.Files[1].Data = []byte(told)
			if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// story is a store under a clock that commands move.
type story struct {
	t      *testing.T
	store  *limiter.Memory
	now    time.Time
	limits map[string]*limiter.Limit
	out    strings.Builder
}

func newStory(t *testing.T, limits string) *story {
	t.Helper()
	s := &story{t: t, store: limiter.New(limiter.Options{KeepIdle: time.Hour}), limits: map[string]*limiter.Limit{}}
	for line := range strings.Lines(limits) {
		f := strings.Fields(line)
		l := &limiter.Limit{Name: f[0], Reason: f[0] + "_exceeded"}
		s.configure(l, f[1:])
		s.limits[l.Name] = l
	}
	return s
}

func (s *story) configure(l *limiter.Limit, fields []string) {
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "burst":
			l.Kind, l.Burst = limiter.TokenBucket, s.number(value)
		case "per-minute":
			l.TokensPerMinute = s.number(value)
		case "refund":
			l.Refund = map[string]limiter.RefundMode{"capped": limiter.Capped, "retroactive": limiter.Retroactive}[value]
		case "per-day":
			l.Kind, l.Period, l.Amount = limiter.Window, limiter.Day, s.number(value)
		case "per-week":
			l.Kind, l.Period, l.Amount = limiter.Window, limiter.Week, s.number(value)
		case "warn":
			l.Stages = []limiter.Stage{{Percent: s.number(value), Action: limiter.Warn}, {Percent: 100, Action: limiter.Reject}}
		case "slots":
			l.Kind, l.MaxConcurrent = limiter.Concurrency, s.number(value)
		default:
			s.t.Fatalf("unknown field %q of a limit", f)
		}
	}
	if err := l.Validate(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *story) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// replay runs every command of a trace and returns the trace with the answers of now.
func (s *story) replay(trace string) string {
	for line := range strings.Lines(trace) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue // an answer, told anew
		}
		fmt.Fprintln(&s.out, line)
		if line != "" && !strings.HasPrefix(line, "#") {
			s.command(strings.Fields(line))
		}
	}
	return s.out.String()
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(&s.out, "    "+format+"\n", args...) }

func (s *story) command(f []string) {
	switch f[0] {
	case "at":
		at, err := time.Parse("2006-01-02T15:04:05.999999999", f[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = at
	case "wait":
		s.now = s.now.Add(s.duration(f[1]))
	case "reserve":
		s.reserve(f[1], f[2:])
	case "settle":
		s.settle(f[1], f[2:])
	case "extend":
		s.sayError(s.store.Extend(s.now, storyID(f[1]), s.duration(f[2])))
	case "release":
		s.sayError(s.store.Release(s.now, storyID(f[1])))
	case "sweep":
		swept, err := s.store.Sweep(s.now)
		if err != nil {
			s.t.Fatal(err)
		}
		s.say("%d expired, %d dropped, %d left", swept.Expired, swept.Dropped, swept.Accounts)
	case "reload":
		old := s.limits[f[1]]
		l := *old
		s.configure(&l, f[2:])
		s.limits[f[1]] = &l
		s.sayError(s.store.Reload(s.now, []limiter.Change{{Old: old, New: &l}}))
	case "show":
		s.show()
	default:
		s.t.Fatalf("unknown command %q", f[0])
	}
}

func (s *story) sayError(err error) {
	if err != nil {
		s.say("%v", kindOf(err))
	}
}

// kindOf leaves out the id, which says nothing to a reader.
func kindOf(err error) error {
	for _, kind := range []error{limiter.ErrInvalid, limiter.ErrReused, limiter.ErrUnknown, limiter.ErrTooManyAccounts} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return err
}

func storyID(name string) (id limiter.ID) {
	copy(id[:], name)
	return id
}

func (s *story) reserve(name string, fields []string) {
	req := &limiter.Request{ID: storyID(name), Lease: 15 * time.Minute}
	for _, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		if key == "lease" {
			req.Lease = s.duration(value)
			continue
		}
		limit, _, _ := strings.Cut(key, "/")
		req.Holds = append(req.Holds, limiter.Hold{Account: limiter.Account{Key: key, Limit: s.limits[limit]}, Cost: s.number(value)})
	}
	d, err := s.store.Reserve(s.now, req)
	switch {
	case err != nil:
		s.say("%v", kindOf(err))
		return
	case d.Permanent:
		s.say("rejected for good: %s", d.Reason)
	case !d.Admitted:
		s.say("rejected: %s, retry after %v", d.Reason, d.RetryAfter)
	default:
		s.say("admitted")
	}
	for i, h := range d.Holds {
		note := ""
		if h.Rejected {
			note = ", rejects"
		}
		if h.Action != limiter.None {
			note += ", " + h.Action.String()
		}
		s.say("%s: %d of %d left, reset in %v%s", req.Holds[i].Account.Key, h.Remaining, h.Limit, h.Reset, note)
	}
}

func (s *story) settle(name string, fields []string) {
	actual := make([]int64, len(fields))
	for i, f := range fields {
		actual[i] = s.number(f)
	}
	result, err := s.store.Settle(s.now, storyID(name), actual)
	if err != nil {
		s.say("%v", kindOf(err))
		return
	}
	note := ""
	if result.Duplicate {
		note += "duplicate: "
	}
	if result.Expired {
		note += "expired: "
	}
	parts := []string{}
	for _, h := range result.Holds() {
		part := "exact"
		if h.Refunded > 0 {
			part = fmt.Sprintf("%d refunded", h.Refunded)
		}
		if h.Debited > 0 {
			part = fmt.Sprintf("%d debited", h.Debited)
		}
		if h.WrittenOff != (limiter.WrittenOff{}) {
			part += fmt.Sprintf(" (%d.%06d written off)", h.WrittenOff.Tokens, h.WrittenOff.Micro)
		}
		parts = append(parts, part)
	}
	s.say("%s%s", note, strings.Join(parts, ", "))
}

func (s *story) show() {
	states := s.store.Inspect(s.now, func(limiter.Account) bool { return true })
	slices.SortFunc(states, func(a, b limiter.AccountState) int { return cmp.Compare(a.Account.Key, b.Account.Key) })
	if len(states) == 0 {
		s.say("no accounts")
	}
	for _, a := range states {
		if a.Account.Limit.Kind != limiter.Window {
			level := fmt.Sprint(a.Level)
			if a.Account.Limit.Kind == limiter.TokenBucket {
				level = strconv.FormatFloat(float64(a.Level)/limiter.Micro, 'f', -1, 64)
			}
			s.say("%s: level %s, %d open, %s", a.Account.Key, level, a.Open, books(a.Ledger))
			continue
		}
		for _, w := range a.Windows {
			s.say("%s from %s: used %d, %d open, %s", a.Account.Key, w.Start.Format("Mon 2006-01-02"), w.Used, w.Open, books(w.Ledger))
		}
	}
}

func books(l limiter.Ledger) string {
	text := fmt.Sprintf("reserved %d = actual %d + refunded %d - debited %d + outstanding %d",
		l.Reserved, l.Actual, l.Refunded, l.Debited, l.Outstanding)
	if l.WrittenOff != (limiter.WrittenOff{}) {
		text += fmt.Sprintf(", written off %d.%06d", l.WrittenOff.Tokens, l.WrittenOff.Micro)
	}
	return text
}
