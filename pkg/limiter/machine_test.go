package limiter_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llmlimit/llmlimit/pkg/limiter"
)

// soak says whether the long versions of the tests are wanted.
func soak() bool { return os.Getenv("LLMLIMIT_SOAK") == "1" }

// checks makes rapid try n histories in this test.
func checks(t *testing.T, n int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	old := f.Value.String()
	if err := f.Value.Set(fmt.Sprint(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Value.Set(old) })
}

// TestMemoryAgainstModel lets a store and the slow model live the same random lives and demands that they agree on every
// decision, wait, level and count.
func TestMemoryAgainstModel(t *testing.T) {
	steps, lives := 0, 600
	if soak() {
		lives = 20_000
	}
	checks(t, lives)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(40, 160).Draw(t, "steps") {
			steps++
			w.step(t)
			if rapid.IntRange(0, 3).Draw(t, "compare") == 0 { // looking touches, so not always
				w.compare(t)
			}
		}
		w.rest(t)
	})
	if steps < 10_000 {
		t.Errorf("%d steps, expected at least 10 000", steps)
	}
}

// world is a store, its model, and what they are driven with.
type world struct {
	store  *limiter.Memory
	model  *model
	now    time.Time
	limits []*limiter.Limit
	keeps  bool // accounts are never dropped, so that their ledgers can be compared
	req    limiter.Request
	ids    uint64
	spent  []limiter.ID
}

func newWorld(t *rapid.T) *world {
	burst := rapid.Int64Range(1, 300).Draw(t, "burst")
	mode := rapid.SampledFrom([]limiter.RefundMode{limiter.Capped, limiter.Retroactive}).Draw(t, "refund")
	amount := rapid.Int64Range(1, 1000).Draw(t, "amount")
	w := &world{model: newModel(), now: t0, keeps: rapid.Bool().Draw(t, "keeps")}
	w.limits = []*limiter.Limit{
		{
			Name: "tpm", Kind: limiter.TokenBucket, Reason: "tpm_exceeded", Burst: burst, Refund: mode,
			TokensPerMinute: rapid.Int64Range(1, 10_000).Draw(t, "tpm"),
		},
		{Name: "tpd", Kind: limiter.Window, Reason: "tpd_exceeded", Period: limiter.Day, Amount: amount},
		{
			Name: "rps", Kind: limiter.RequestBucket, Reason: "rate_limit_exceeded", Burst: 3*limiter.Micro + burst,
			MicroPerSecond: rapid.Int64Range(1, 3*limiter.Micro).Draw(t, "rps"),
		},
		{Name: "slots", Kind: limiter.Concurrency, Reason: "concurrency_exceeded", MaxConcurrent: 1 + burst%4},
		{
			Name: "budget", Kind: limiter.Window, Reason: "budget_exceeded", Amount: amount,
			Period: rapid.SampledFrom([]limiter.Period{limiter.FiveMinutes, limiter.Hour, limiter.Day, limiter.Week}).Draw(t, "period"),
			Stages: []limiter.Stage{
				{Percent: 50, Action: limiter.Warn},
				{Percent: 80, Action: limiter.Throttle, Delay: time.Second},
				{Percent: 100, Action: limiter.Reject},
			},
		},
	}
	for _, l := range w.limits {
		if err := l.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	w.store = limiter.New(limiter.Options{KeepIdle: time.Nanosecond})
	if w.keeps {
		w.store = limiter.New(limiter.Options{KeepIdle: 1000 * 24 * time.Hour})
	}
	return w
}

func (w *world) step(t *rapid.T) {
	w.tick(t)
	w.advance(t)
	switch rapid.IntRange(0, 11).Draw(t, "action") {
	default:
		w.reserve(t)
	case 0, 1, 2, 3:
		w.settle(t)
	case 4:
		w.settleAgain(t)
	case 5:
		w.extendOrRelease(t)
	case 6:
		if _, err := w.store.Sweep(w.now); err != nil {
			t.Fatal(err)
		}
	case 7:
		if rapid.IntRange(0, 3).Draw(t, "reload") == 0 {
			w.reload(t)
		}
	}
}

// tick moves the clock: not at all, a little, to the end of a window, over a week, or back.
func (w *world) tick(t *rapid.T) {
	switch rapid.IntRange(0, 9).Draw(t, "tick") {
	case 0, 1, 2:
	case 3, 4:
		w.now = w.now.Add(time.Duration(rapid.Int64Range(0, 1000).Draw(t, "ns")))
	case 5, 6, 7:
		w.now = w.now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "ns")))
	case 8:
		w.now = w.now.Truncate(5 * time.Minute).Add(5*time.Minute - time.Duration(rapid.Int64Range(0, 1).Draw(t, "before")))
	case 9:
		switch rapid.IntRange(0, 9).Draw(t, "leap") {
		case 0:
			w.now = w.now.Truncate(24 * time.Hour).Add(24 * time.Hour)
		case 1:
			w.now = w.now.Add(-time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "back")))
		case 2:
			w.now = w.now.Add(7 * 24 * time.Hour)
		default:
		}
	}
}

// advance shows both the new instant; the store's accounts are not touched by it.
func (w *world) advance(t *rapid.T) {
	w.model.advance(w.now)
	if err := w.store.Extend(w.now, limiter.ID{}, time.Second); !errors.Is(err, limiter.ErrUnknown) {
		t.Fatalf("Extend of an unknown reservation: %v", err)
	}
}

func (w *world) id() (id limiter.ID) {
	w.ids++
	binary.BigEndian.PutUint64(id[8:], w.ids)
	return id
}

func (w *world) reserve(t *rapid.T) {
	req := &w.req // one for a whole life: what it remembers of other keys and dropped accounts must not matter
	req.ID, req.Lease, req.Holds = w.id(), time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "lease")), req.Holds[:0]
	for _, l := range w.limits {
		if rapid.IntRange(0, 2).Draw(t, "binds") == 0 {
			continue
		}
		cost := int64(1)
		switch l.Kind {
		case limiter.TokenBucket, limiter.Window:
			cost = rapid.Int64Range(0, min(w.limits[0].Burst, w.limits[1].Amount)*11/10).Draw(t, "cost")
		case limiter.RequestBucket:
			cost = rapid.Int64Range(1, 2*limiter.Micro).Draw(t, "requests")
		case limiter.Concurrency:
		}
		key := l.Name + rapid.SampledFrom([]string{"/a", "/b"}).Draw(t, "key")
		req.Holds = append(req.Holds, limiter.Hold{Account: limiter.Account{Key: key, Limit: l}, Cost: cost})
	}
	d, err := w.store.Reserve(w.now, req)
	if err != nil {
		t.Fatalf("Reserve: %v", err)
	}
	admitted := w.model.reserve(w.now, req)
	if d.Admitted != admitted {
		t.Fatalf("Reserve of %v at %v: admitted %v, the model says %v", req.Holds, w.now, d.Admitted, admitted)
	}
	w.checkHolds(t, req, d)
	if !d.Admitted {
		w.checkWait(t, req, d)
	}
}

// checkHolds compares what the decision says of every account.
func (w *world) checkHolds(t *rapid.T, req *limiter.Request, d limiter.Decision) {
	for i, h := range req.Holds {
		a, s := w.model.account(h.Account), d.Holds[i]
		if s.Rejected && a.admits(w.model.clock, h.Cost) {
			t.Fatalf("hold %d is rejected, the model admits it", i)
		}
		if got, want := s.Remaining, a.remaining(w.model.clock); got != want {
			t.Fatalf("%s: remaining %d, the model says %d", h.Account.Key, got, want)
		}
		if stage := a.stage(w.model.clock); d.Admitted && s.Action != stage {
			t.Fatalf("%s: stage %v, the model says %v", h.Account.Key, s.Action, stage)
		}
	}
}

// checkWait is I8: after exactly RetryAfter the model, left alone, admits, and one nanosecond earlier it does not.
func (w *world) checkWait(t *rapid.T, req *limiter.Request, d limiter.Decision) {
	if d.Permanent {
		if d.RetryAfter != 0 || d.Reason != limiter.ReasonTooLarge {
			t.Fatalf("permanent with wait %v and reason %q", d.RetryAfter, d.Reason)
		}
		if w.model.admits(w.now.AddDate(10, 0, 0), req.Holds) {
			t.Fatalf("permanent, but the model admits it in ten years")
		}
		return
	}
	for i, s := range d.Holds {
		if s.Rejected && req.Holds[i].Account.Limit.Kind == limiter.Concurrency {
			return
		}
	}
	at := w.now.Add(d.RetryAfter)
	if !w.model.admits(at, req.Holds) {
		t.Fatalf("after RetryAfter %v the model still rejects", d.RetryAfter)
	}
	if w.model.admits(at.Add(-1), req.Holds) {
		t.Fatalf("1 ns before RetryAfter %v the model admits", d.RetryAfter)
	}
}

func (w *world) settle(t *rapid.T) {
	if len(w.model.open) == 0 {
		return
	}
	r := rapid.SampledFrom(w.model.open).Draw(t, "settles")
	actual := make([]int64, len(r.holds))
	for i, h := range r.holds {
		actual[i] = rapid.Int64Range(0, 3*h.cost+10).Draw(t, "actual")
	}
	s, err := w.store.Settle(w.now, r.id, actual)
	if err != nil || s.Duplicate || s.Expired {
		t.Fatalf("Settle: %+v, %v", s, err)
	}
	w.model.finish(r, actual)
	for i, h := range r.holds {
		got := s.Holds()[i]
		if got.Refunded != max(h.cost-h.actual, 0) || got.Debited != max(h.actual-h.cost, 0) {
			t.Fatalf("settled %d as %d: %+v", h.cost, h.actual, got)
		}
	}
	w.spent = append(w.spent, r.id)
}

// settleAgain is I4.
func (w *world) settleAgain(t *rapid.T) {
	if len(w.spent) > 0 {
		id := rapid.SampledFrom(w.spent).Draw(t, "again")
		if s, err := w.store.Settle(w.now, id, nil); err != nil || !s.Duplicate {
			t.Fatalf("second Settle: %+v, %v", s, err)
		}
	}
	if _, err := w.store.Settle(w.now, w.id(), nil); !errors.Is(err, limiter.ErrUnknown) {
		t.Fatalf("Settle of an unknown reservation: %v", err)
	}
}

func (w *world) extendOrRelease(t *rapid.T) {
	if len(w.model.open) == 0 {
		return
	}
	r := rapid.SampledFrom(w.model.open).Draw(t, "holder")
	if rapid.Bool().Draw(t, "release") {
		if err := w.store.Release(w.now, r.id); err != nil {
			t.Fatal(err)
		}
		w.model.release(r)
		return
	}
	lease := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "lease"))
	if err := w.store.Extend(w.now, r.id, lease); err != nil {
		t.Fatal(err)
	}
	if end := w.model.clock.Add(lease); end.After(r.deadline) {
		r.deadline = end
	}
}

// reload replaces the token bucket's limit. The store hears of it at once, its accounts when they are next touched.
func (w *world) reload(t *rapid.T) {
	old, l := w.limits[0], *w.limits[0]
	l.Burst = rapid.Int64Range(1, 300).Draw(t, "new burst")
	l.TokensPerMinute = rapid.Int64Range(1, 10_000).Draw(t, "new tpm")
	w.limits[0] = &l
	known := map[string]bool{}
	for _, s := range w.store.Inspect(w.now, func(limiter.Account) bool { return true }) {
		known[s.Account.Key] = true
	}
	if err := w.store.Reload(w.now, []limiter.Change{{Old: old, New: &l}}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"tpm/a", "tpm/b"} {
		w.model.account(limiter.Account{Key: key, Limit: old}).reload(w.model.clock, &l, known[key])
	}
}

// compare looks at every account of the store.
func (w *world) compare(t *rapid.T) {
	states := w.store.Inspect(w.now, func(limiter.Account) bool { return true })
	for _, s := range states {
		a := w.model.account(s.Account)
		if got, want := s.Level, a.shown(w.model.clock); got != want {
			t.Fatalf("%s: level %d, the model says %d", s.Account.Key, got, want)
		}
		if l := s.Account.Limit; l.Kind == limiter.TokenBucket && (s.Level < -l.Burst*limiter.Micro || s.Level > l.Burst*limiter.Micro) {
			t.Fatalf("level %d is beyond a burst of %d", s.Level, l.Burst)
		}
		if w.keeps {
			w.compareLedger(t, s, a)
		}
	}
	if got := w.store.Stats(); got.Open != len(w.model.open) || got.Accounts != len(states) {
		t.Fatalf("%+v, but %d reservations and %d accounts", got, len(w.model.open), len(states))
	}
}

func (w *world) compareLedger(t *rapid.T, s limiter.AccountState, a *modelAccount) {
	got, want := s.Ledger, a.ledger
	if s.Account.Limit.Kind == limiter.Window {
		want = a.windowLedger(w.model.clock)
	}
	if s.Account.Limit.Kind == limiter.TokenBucket {
		_, off := a.level(w.model.clock)
		mine := new(big.Int).Add(times(got.WrittenOff.Tokens, limiter.Micro), big.NewInt(got.WrittenOff.Micro))
		if mine.Cmp(off) != 0 {
			t.Fatalf("%s: %v micro-tokens written off, the model says %v", s.Account.Key, mine, off)
		}
		got.WrittenOff = limiter.WrittenOff{}
	}
	if got != want {
		t.Fatalf("%s: ledger %+v, the model says %+v", s.Account.Key, got, want)
	}
}

// rest settles everything and balances the books: I3.
func (w *world) rest(t *rapid.T) {
	for len(w.model.open) > 0 {
		r := w.model.open[0]
		actual := make([]int64, len(r.holds))
		if _, err := w.store.Settle(w.now, r.id, actual); err != nil {
			t.Fatal(err)
		}
		w.model.finish(r, actual)
	}
	w.compare(t)
	for _, s := range w.store.Inspect(w.now, func(limiter.Account) bool { return true }) {
		ledgers := []limiter.Ledger{s.Ledger}
		for _, p := range s.Windows {
			ledgers = append(ledgers, p.Ledger)
		}
		for _, l := range ledgers {
			if l.Outstanding != 0 || l.Reserved != l.Actual+l.Refunded-l.Debited || s.Open != 0 {
				t.Fatalf("%s at rest: %+v", s.Account.Key, s)
			}
		}
	}
}

// shown is the level as the store shows it: whole micro-units of a bucket, what is used of the others.
func (a *modelAccount) shown(now time.Time) int64 {
	switch a.limit.Kind {
	case limiter.TokenBucket, limiter.RequestBucket:
		level, _ := a.level(now)
		return level.Div(level, big.NewInt(a.unit()/a.scale())).Int64() // Div rounds down, as the store does
	case limiter.Window:
		return a.used(now)
	case limiter.Concurrency:
		return a.slots()
	}
	return 0
}

func (a *modelAccount) remaining(now time.Time) int64 {
	shown := a.shown(now)
	switch a.limit.Kind {
	case limiter.TokenBucket, limiter.RequestBucket:
		return max(shown, 0) / limiter.Micro
	case limiter.Window:
		return max(a.limit.Amount-shown, 0)
	case limiter.Concurrency:
		return max(a.limit.MaxConcurrent-shown, 0)
	}
	return 0
}

func (a *modelAccount) stage(now time.Time) limiter.Action {
	action := limiter.None
	if a.limit.Kind != limiter.Window {
		return action
	}
	used := a.used(now)
	for _, s := range a.limit.Stages {
		if s.Action != limiter.Reject && used*100 >= a.limit.Amount*s.Percent {
			action = s.Action
		}
	}
	return action
}

func (a *modelAccount) windowLedger(now time.Time) (l limiter.Ledger) {
	start := windowStart(a.limit.Period, now)
	for _, e := range a.events {
		h := e.take
		if h == nil || !windowStart(a.limit.Period, h.taken).Equal(start) {
			continue
		}
		l.Reserved += h.cost
		if !h.settled {
			l.Outstanding += h.cost
			continue
		}
		l.Actual += h.actual
		l.Refunded += max(h.cost-h.actual, 0)
		l.Debited += max(h.actual-h.cost, 0)
	}
	return l
}
