package load

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// takes is a source whose shots take so long, or as long as their context.
func takes(d time.Duration, result Result) Source {
	return func(Shot) (Fire, error) {
		return func(ctx context.Context) Result {
			r := result
			r.Sent = time.Now()
			if pause(ctx, d) != nil {
				r.Outcome, r.Good = Failed, false
			}
			r.Ended = time.Now()
			return r
		}, nil
	}
}

var good = Result{Outcome: Admitted, Status: 200, Good: true}

func open(t *testing.T, c OpenConfig) *Summary {
	t.Helper()
	c.Virtual = true
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if (got - want).Abs() > want/500+2*time.Microsecond { // three digits
		t.Errorf("%s: found %v, expected %v", what, got, want)
	}
}

func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s := open(t, OpenConfig{
			Config: Config{Source: takes(35*time.Millisecond, good)},
			Pacer:  stages(t, Constant(), 1, Stage{For: 2 * time.Second, From: 0, To: 100, Warmup: true}, Stage{For: 10 * time.Second, From: 100, To: 100}),
		})
		if s.Sent != 1000 || s.Ended != 1000 || s.Goodput != 1000 || s.Dropped != 0 {
			t.Errorf("sent %d, ended %d, goodput %d, dropped %d; expected 1000 of each and no drop: the warm-up does not count", s.Sent, s.Ended, s.Goodput, s.Dropped)
		}
		if s.PlannedRate != 100 || s.AchievedRate != 100 {
			t.Errorf("planned %g/s, achieved %g/s, expected 100", s.PlannedRate, s.AchievedRate)
		}
		if s.MaxInFlight != 4 {
			t.Errorf("at most %d in flight, expected 4: 100/s × 35 ms", s.MaxInFlight)
		}
		near(t, "median response", s.All.Response.P50, 35*time.Millisecond)
		near(t, "longest service", s.All.Service.Max, 35*time.Millisecond)
		near(t, "sender lag", s.SenderLag.Max, 0)
		if !reflect.DeepEqual(s.Statuses, map[string]int64{"200": 1000, "2xx": 1000}) {
			t.Errorf("statuses %v", s.Statuses)
		}
		if reasons := s.Invalid(time.Millisecond); reasons != nil {
			t.Errorf("invalid: %v", reasons)
		}
		// Up to the end of the last stage, and for the last answer.
		near(t, "duration", time.Since(begun), 12030*time.Millisecond)
		var sum Bin
		for _, bin := range s.Series {
			sum.add(bin)
		}
		if want := (Bin{Offered: 1100, Sent: 1100, Admitted: 1100, Goodput: 1100}); sum != want {
			t.Errorf("the series counts %+v, expected %+v with the warm-up", sum, want)
		}
		if s.BinWidth != 120*time.Millisecond || len(s.Series) != 101 {
			t.Errorf("%d bins of %v, expected 101 of 120ms", len(s.Series), s.BinWidth)
		}
	})
}

// A target that stands still for a second makes its clients wait. Who counts from
// the send of a closed loop sees one slow request; from due everyone is seen.
func TestWhoWaitsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s := open(t, OpenConfig{
			Pacer: stages(t, Constant(), 1, Stage{For: 2 * time.Second, From: 100, To: 100}),
			Config: Config{Source: func(Shot) (Fire, error) {
				return func(ctx context.Context) Result {
					r := good
					r.Sent = time.Now()
					_ = pause(ctx, begun.Add(time.Second).Sub(r.Sent)) // stands still until then
					r.Ended = time.Now()
					return r
				}, nil
			}},
		})
		if s.MaxInFlight != 100 {
			t.Errorf("%d in flight, expected the 100 of the first second: none waited for another", s.MaxInFlight)
		}
		near(t, "longest response", s.All.Response.Max, 995*time.Millisecond)
		near(t, "90th percentile", s.All.Response.P90, 795*time.Millisecond)
	})
}

func TestDropsBeyondTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goroutines := 0
		s := open(t, OpenConfig{
			Config: Config{
				Source: takes(time.Second, good),
				Look:   func(Progress) error { goroutines = max(goroutines, runtime.NumGoroutine()); return nil },
			},
			Pacer:       stages(t, Constant(), 1, Stage{For: 10 * time.Second, From: 100, To: 100}),
			MaxInFlight: 10,
		})
		// Ten a second get through; each second ten places become free within 100 ms.
		if s.Sent != 100 || s.Dropped != 900 || s.MaxInFlight != 10 {
			t.Errorf("sent %d, dropped %d, %d in flight; expected 100, 900 and 10", s.Sent, s.Dropped, s.MaxInFlight)
		}
		if s.PlannedRate != 100 || s.AchievedRate != 10 {
			t.Errorf("planned %g/s, achieved %g/s; expected 100 and 10", s.PlannedRate, s.AchievedRate)
		}
		want := []string{"10.0 requests/s were sent of 100.0/s planned (at least 0.98 of them are needed); 900 were dropped at the bound of 10 in flight"}
		if got := s.Invalid(0); !slices.Equal(got, want) {
			t.Errorf("invalid: %q, expected %q", got, want)
		}
		if goroutines > 10+20 {
			t.Errorf("%d goroutines for 10 in flight", goroutines)
		}
	})
}

// The shots are made ready in order, whatever their answers do, and the same seed
// is the same run to the nanosecond.
func TestSameSeedSameRun(t *testing.T) {
	run := func(seed uint64) (shots []string) {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			open(t, OpenConfig{
				Pacer: stages(t, Gamma(0.5), seed, Stage{For: 5 * time.Second, From: 10, To: 40}),
				Config: Config{Seed: seed, Source: func(s Shot) (Fire, error) {
					shots = append(shots, fmt.Sprint(s.Number, s.Due.Sub(begun), time.Since(begun)))
					return takes(time.Duration(s.Number%7)*time.Millisecond, good)(s)
				}},
			})
		})
		return shots
	}
	one, again, other := run(1), run(1), run(2)
	if !slices.Equal(one, again) {
		t.Error("the same seed gave another run")
	}
	if slices.Equal(one, other) {
		t.Error("another seed gave the same run")
	}
}

func TestClosed(t *testing.T) {
	for _, row := range []struct {
		why      string
		c        ClosedConfig
		sent     int64
		duration time.Duration
	}{
		{"so many, whoever fires them", ClosedConfig{Concurrency: 8, Requests: 20}, 20, 300 * time.Millisecond},
		{"for so long, and the last answers are awaited", ClosedConfig{Concurrency: 3, For: 450 * time.Millisecond}, 15, 500 * time.Millisecond},
		{"whatever comes first: the number", ClosedConfig{Concurrency: 2, Requests: 4, For: time.Hour}, 4, 200 * time.Millisecond},
		{"whatever comes first: the time", ClosedConfig{Concurrency: 2, Requests: 1e6, For: time.Second}, 20, time.Second},
		{"one client is the least", ClosedConfig{Requests: 3}, 3, 300 * time.Millisecond},
	} {
		t.Run(row.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				row.c.Source, row.c.Virtual = takes(100*time.Millisecond, good), true
				begun := time.Now()
				s, err := Closed(t.Context(), row.c)
				if err != nil {
					t.Fatal(err)
				}
				if s.Sent != row.sent || s.Ended != row.sent {
					t.Errorf("sent %d, ended %d, expected %d", s.Sent, s.Ended, row.sent)
				}
				near(t, "duration", time.Since(begun), row.duration)
				if want := int64(max(1, row.c.Concurrency)); s.MaxInFlight != want {
					t.Errorf("%d in flight, expected %d", s.MaxInFlight, want)
				}
				if reasons := s.Invalid(0); reasons != nil {
					t.Errorf("invalid: %v", reasons)
				}
			})
		})
	}
}

// Whoever does not answer is left when patience ends, in both models; the shot is
// counted, and no goroutine outlives the load (the bubble would not drain).
func TestPatience(t *testing.T) {
	hang := takes(time.Hour, good)
	for model, run := range map[string]func(context.Context) (*Summary, error){
		"open": func(ctx context.Context) (*Summary, error) {
			return Open(ctx, OpenConfig{
				Config: Config{Source: hang, Virtual: true, Patience: 5 * time.Second},
				Pacer:  &Trace{[]Arrival{{}, {}, {Due: time.Second}}},
			})
		},
		"closed": func(ctx context.Context) (*Summary, error) {
			return Closed(ctx, ClosedConfig{Config: Config{Source: hang, Virtual: true, Patience: 5 * time.Second}, Requests: 3, Concurrency: 3})
		},
		"closed for a time": func(ctx context.Context) (*Summary, error) {
			return Closed(ctx, ClosedConfig{Config: Config{Source: hang, Virtual: true, Patience: 4 * time.Second}, For: time.Second, Concurrency: 3})
		},
	} {
		t.Run(model, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				s, err := run(t.Context())
				if err != nil {
					t.Fatalf("found %v: to lose patience is no error of the load", err)
				}
				if s.Ended != 3 || s.Goodput != 0 || s.Outcomes["failed"].Response.Count != 3 {
					t.Errorf("ended %d, goodput %d, expected 3 that failed", s.Ended, s.Goodput)
				}
				if took := time.Since(begun).Round(time.Millisecond); took != 5*time.Second && took != 6*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

var errBroken = errors.New("broken")

// Whatever stops a load early stops it at once, and what was measured is there.
func TestStops(t *testing.T) {
	pacer := stages(t, Constant(), 1, Stage{For: time.Minute, From: 10, To: 10})
	broken := func(s Shot) (Fire, error) {
		if s.Number == 10 {
			return nil, errBroken
		}
		return takes(time.Millisecond, good)(s)
	}
	impatientLook := func(p Progress) error {
		if s := p.Summary(); s.Statuses["2xx"] >= 10 {
			return errBroken
		}
		return nil
	}
	for why, row := range map[string]struct {
		c    Config
		stop bool // cancel the context after a second
		sent int64
	}{
		"the source":  {Config{Source: broken}, false, 10},
		"a look":      {Config{Source: takes(time.Millisecond, good), Look: impatientLook}, false, 10},
		"the context": {Config{Source: takes(time.Hour, good)}, true, 10},
	} {
		for _, model := range []string{"open", "closed"} {
			t.Run(why+", "+model, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					if row.stop {
						time.AfterFunc(time.Second, func() { cancel(errBroken) })
					}
					c := row.c
					c.Virtual = true
					var s *Summary
					var err error
					if model == "open" {
						s, err = Open(ctx, OpenConfig{Config: c, Pacer: pacer})
					} else {
						source := c.Source
						c.Source = func(shot Shot) (Fire, error) {
							fire, err := source(shot)
							return func(ctx context.Context) Result {
								r := fire(ctx)
								_ = pause(ctx, 100*time.Millisecond-time.Nanosecond)
								return r
							}, err
						}
						s, err = Closed(ctx, ClosedConfig{Config: c, For: time.Minute})
					}
					if !errors.Is(err, errBroken) {
						t.Fatalf("found the error %v, expected %v", err, errBroken)
					}
					if model == "open" && s.Sent != row.sent {
						t.Errorf("%d shots were fired, expected %d", s.Sent, row.sent)
					}
					if s.Duration > 2100*time.Millisecond || s.Ended != s.Sent {
						t.Errorf("it took %v, and %d of %d were awaited", s.Duration, s.Ended, s.Sent)
					}
				})
			})
		}
	}
}

// A source that fails leaves nobody hanging, in either model.
func TestBrokenSourceStopsThoseInFlight(t *testing.T) {
	hang := takes(time.Hour, good)
	source := func(s Shot) (Fire, error) {
		if s.Number == 2 {
			return nil, errBroken
		}
		return hang(s)
	}
	for model, run := range map[string]func(context.Context, Config) (*Summary, error){
		"open": func(ctx context.Context, c Config) (*Summary, error) {
			return Open(ctx, OpenConfig{Config: c, Pacer: &Trace{make([]Arrival, 3)}})
		},
		"closed": func(ctx context.Context, c Config) (*Summary, error) {
			return Closed(ctx, ClosedConfig{Config: c, Concurrency: 3, Requests: 5})
		},
	} {
		t.Run(model, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := run(t.Context(), Config{Virtual: true, Source: source})
				if !errors.Is(err, errBroken) || s.Sent != 2 || s.Ended != 2 || s.Duration > time.Second {
					t.Errorf("found the error %v, %d of %d awaited after %v", err, s.Ended, s.Sent, s.Duration)
				}
			})
		})
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []Progress
		open(t, OpenConfig{
			Config: Config{
				Source: func(s Shot) (Fire, error) {
					if s.Number%2 == 0 {
						return takes(500*time.Millisecond, good)(s)
					}
					return takes(0, Result{Outcome: Rejected, Status: 429})(s)
				},
				Look: func(p Progress) error { p.Summary = nil; seen = append(seen, p); return nil },
			},
			Pacer: stages(t, Constant(), 1, Stage{For: 3 * time.Second, From: 10, To: 10}),
		})
		if len(seen) != 3 {
			t.Fatalf("%d looks, expected 3: one after each second, the last while answers are awaited", len(seen))
		}
		p := seen[1]
		if p.Elapsed != 2*time.Second || p.Planned != 3*time.Second || p.Sent != 20 || p.Rate != 10 || p.Rejected != 10 || p.InFlight != 2 {
			t.Errorf("found %+v, expected 20 sent at 10/s, half of them rejected, 2 in flight", p)
		}
		near(t, "p99", p.P99, 500*time.Millisecond)
	})
}

// A look that is under way when the load ends is awaited: its caller may let go of
// what it looks at.
func TestLookIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looking := false
		open(t, OpenConfig{
			Config: Config{Source: takes(0, good), Look: func(Progress) error {
				looking = true
				time.Sleep(10 * time.Second)
				looking = false
				return nil
			}},
			Pacer: stages(t, Constant(), 1, Stage{For: 1500 * time.Millisecond, From: 10, To: 10}),
		})
		if looking {
			t.Error("the load returned while somebody looked at it")
		}
	})
}

func TestMissingParts(t *testing.T) {
	pacer, source := &Trace{[]Arrival{{}}}, takes(0, good)
	for want, run := range map[error]func() (*Summary, error){
		errNoSource: func() (*Summary, error) { return Open(t.Context(), OpenConfig{Pacer: pacer}) },
		errNoPacer:  func() (*Summary, error) { return Open(t.Context(), OpenConfig{Config: Config{Source: source}}) },
		errEndless:  func() (*Summary, error) { return Closed(t.Context(), ClosedConfig{Config: Config{Source: source}}) },
	} {
		if _, err := run(); !errors.Is(err, want) {
			t.Errorf("found %v, expected %v", err, want)
		}
	}
}

// On the clock on the wall everything is fired and counted, too. How late is for
// the measurement to say: this machine may be busy.
func TestRealClock(t *testing.T) {
	s, err := Open(t.Context(), OpenConfig{
		Config: Config{Source: takes(0, good)},
		Pacer:  stages(t, Constant(), 1, Stage{For: 200 * time.Millisecond, From: 1000, To: 1000}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Sent != 200 || s.Ended != 200 || s.SenderLag.Count != 200 {
		t.Errorf("sent %d, ended %d, %d lags; expected 200 of each", s.Sent, s.Ended, s.SenderLag.Count)
	}
	t.Logf("sender lag: median %v, 99th percentile %v, planned %.0f/s, achieved %.0f/s", s.SenderLag.P50, s.SenderLag.P99, s.PlannedRate, s.AchievedRate)
}

// Without a finer sleep the rest is yielded, and no shot comes early either way.
func TestSleepersAreNeverEarly(t *testing.T) {
	for name, s := range map[string]sleeper{"exact": newSleeper(), "yielding": &exact{}, "plain": plain{}} {
		defer s.close()
		for range 20 {
			at := time.Now().Add(300 * time.Microsecond)
			if err := s.until(t.Context(), at); err != nil || time.Now().Before(at) {
				t.Errorf("%s: error %v, or woken before its time", name, err)
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errBroken)
		if err := s.until(ctx, time.Now().Add(time.Hour)); !errors.Is(err, errBroken) {
			t.Errorf("%s: found %v, expected the cause of the context", name, err)
		}
	}
}

// What is due at one instant of virtual time is fired at distinct ones, in an order
// that the seed gives: else the scheduler would decide who comes first.
func TestTiesAreFiredApart(t *testing.T) {
	for model, run := range map[string]func(context.Context, Config) (*Summary, error){
		"open": func(ctx context.Context, c Config) (*Summary, error) {
			return Open(ctx, OpenConfig{Config: c, Pacer: &Trace{make([]Arrival, 200)}})
		},
		"closed": func(ctx context.Context, c Config) (*Summary, error) {
			return Closed(ctx, ClosedConfig{Config: c, Concurrency: 50, Requests: 200})
		},
	} {
		t.Run(model, func(t *testing.T) {
			once := func(seed uint64) (order []string) {
				synctest.Test(t, func(t *testing.T) {
					begun, last := time.Now(), time.Time{}
					_, err := run(t.Context(), Config{Virtual: true, Seed: seed, Source: func(s Shot) (Fire, error) {
						now := time.Now()
						if !now.After(last) || now.Sub(begun) > 2*time.Microsecond {
							t.Errorf("shot %d is fired after %v, the one before after %v", s.Number, now.Sub(begun), last.Sub(begun))
						}
						last = now
						order = append(order, fmt.Sprint(s.Number, now.Sub(begun)))
						return func(context.Context) Result {
							if s.Number%3 > 0 { // some are answered at once
								time.Sleep(time.Duration(s.Number % 3))
							}
							return Result{Sent: now, Ended: time.Now()}
						}, nil
					}})
					if err != nil {
						t.Fatal(err)
					}
				})
				return order
			}
			if one, again := once(9), once(9); !slices.Equal(one, again) {
				t.Errorf("the same seed gave another run:\n%v\n%v", one, again)
			}
		})
	}
}
