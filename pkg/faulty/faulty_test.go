package faulty_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmlimit/llmlimit/pkg/faulty"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// signs says for each fault how a limiter shows that it has it. A good limiter shows none of them.
var signs = map[string]func(s *system) bool{
	"reserve-nothing": func(s *system) bool {
		s.mock.Hold("headers")
		done := make(chan answer)
		go func() { done <- s.send(chatBody, "") }()
		for s.mock.Held() == 0 {
			time.Sleep(time.Millisecond)
		}
		outstanding := s.books("tpm").Outstanding
		s.mock.Release()
		<-done
		return outstanding == 0
	},
	"not-atomic": func(s *system) bool {
		const clients = 8
		var admitted atomic.Int64
		s.mock.Hold("headers")
		done := make(chan bool)
		for range clients {
			go func() {
				if s.send(chatBody, "").status == 200 {
					admitted.Add(1)
				}
				done <- true
			}()
		}
		time.Sleep(time.Second)
		s.mock.Release()
		for range clients {
			<-done
		}
		return admitted.Load() > 1 // 2000 tokens, 1006 each
	},
	"no-refund": func(s *system) bool {
		s.send(chatBody, "")
		return s.books("tpm").Refunded == 0
	},
	"refund-twice": func(s *system) bool {
		s.send(chatBody, `usage: 10/600`)
		return s.books("tpm").Refunded == 2*(1006-610)
	},
	"late-refund": func(s *system) bool {
		s.send(chatBody, "")
		early := s.books("tpm").Refunded
		time.Sleep(30 * time.Second)
		return early == 0 && s.books("tpm").Refunded == 956
	},
	"missing-usage-refunds-all": func(s *system) bool {
		s.send(chatBody, `usage_at: none`)
		return s.books("tpm").Actual == 0
	},
	"tpd-not-refunded": func(s *system) bool {
		s.send(chatBody, "")
		return s.books("tpm").Refunded == 956 && s.books("tpd").Refunded == 0
	},
	"non-stream-unsettled": func(s *system) bool {
		s.send(chatBody, "")
		s.send(streamBody, "")
		return s.books("tpd").Outstanding == 1006
	},
	"chunked-unsettled": func(s *system) bool {
		s.send(chatBody, `http: { framing: length }`)
		settled := s.books("tpd").Outstanding
		s.send(chatBody, `http: { framing: chunked }`)
		return settled == 0 && s.books("tpd").Outstanding == 1006
	},
	"stream-unsettled": func(s *system) bool {
		s.send(streamBody, "")
		s.send(chatBody, "")
		return s.books("tpd").Outstanding == 1006
	},
	"injected-event-leaks": func(s *system) bool { return strings.Contains(s.send(streamBody, "").body, `"choices":[],"usage"`) },
	"body-reserialised":    func(s *system) bool { return s.send(chatBody, "").body != s.sent() },
}

// TestFaults: each fault of signs shows, and a good limiter does not show it. What the others do is shown by the suites, which
// selftest runs against every row of the table.
func TestFaults(t *testing.T) {
	for _, f := range faulty.Table {
		shows := signs[f.Name]
		if shows == nil {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			inSystem(t, nil, func(s *system) {
				if shows(s) {
					t.Error("a good limiter shows it too")
				}
			})
			inSystem(t, []string{f.Name}, func(s *system) {
				if !shows(s) {
					t.Error("it does not show")
				}
			})
			inSystem(t, []string{f.Name}, func(s *system) {
				if err := s.switches.Set(f.Name, false); err != nil {
					t.Fatal(err)
				}
				if shows(s) {
					t.Error("it shows although it is switched off")
				}
			})
		})
	}
}

// TestEachFaultServes: whatever a limiter does wrong, it answers, and its answers are marked.
func TestEachFaultServes(t *testing.T) {
	for _, f := range faulty.Table {
		if f.Name == "fails-inside" {
			continue // that is what it does wrong
		}
		t.Run(f.Name, func(t *testing.T) {
			inSystem(t, []string{f.Name}, func(s *system) {
				for _, body := range []string{chatBody, streamBody} {
					a := s.send(body, "")
					if a.status != 200 && a.status != 429 || a.body == "" {
						t.Errorf("status %d, body %q", a.status, a.body)
					}
					if got := a.header.Get(faulty.Header); got != f.Name {
						t.Errorf("marked %q", got)
					}
					time.Sleep(time.Minute)
				}
			})
		})
	}
}

func TestTable(t *testing.T) {
	var seen []string
	for _, f := range faulty.Table {
		if slices.Contains(seen, f.Name) {
			t.Errorf("%s is there twice", f.Name)
		}
		seen = append(seen, f.Name)
		if f.Family == "" || f.Doc == "" || f.Doc != strings.TrimSuffix(f.Doc, ".") {
			t.Errorf("%s: family %q, doc %q", f.Name, f.Family, f.Doc)
		}
	}
	for name := range signs {
		if _, ok := faulty.Lookup(name); !ok {
			t.Errorf("signs has %s, which is no fault", name)
		}
	}
}

func TestRateIsEven(t *testing.T) {
	inSystem(t, []string{"no-refund:rate=25%"}, func(s *system) {
		for range 8 {
			s.send(chatBody, `usage: 10/990`)
			time.Sleep(time.Minute)
		}
		if got, want := s.books("tpd").Refunded, int64(6*6); got != want {
			t.Errorf("refunded %d, expected %d: two of eight are kept", got, want)
		}
	})
}

func TestAnswersAreMarked(t *testing.T) {
	inSystem(t, []string{"tpd-not-refunded", "no-refund"}, func(s *system) {
		if got := s.send(chatBody, "").header.Get(faulty.Header); got != "no-refund, tpd-not-refunded" {
			t.Errorf("marked %q", got)
		}
	})
}

func TestBadSpecs(t *testing.T) {
	for spec, want := range map[string]string{
		"no-refnud":              `unknown fault "no-refnud"; the nearest is "no-refund"`,
		"xyz":                    `unknown fault "xyz"`,
		"no-refund:rat=1%":       `fault no-refund: unknown parameter "rat", expected rate; the nearest is "rate"`,
		"no-refund:rate=1":       `fault no-refund: rate is "1", expected a share such as 1%`,
		"no-refund:rate=0%":      `fault no-refund: rate is "0%", expected a share such as 1%`,
		"no-refund:rate=NaN%":    `fault no-refund: rate is "NaN%", expected a share such as 1%`,
		"late-refund:delay=fast": `fault late-refund: delay is "fast", expected a duration such as 30s`,
	} {
		_, err := faulty.Wrap(proxy.Config{}, spec)
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, expected %s", spec, err, want)
		}
	}
	if _, err := faulty.Wrap(proxy.Config{}, "no-refund", "no-refund"); err == nil {
		t.Error("a fault given twice is accepted")
	}
}
