package faulty

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmlimit/llmlimit/internal/nearest"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// Param is a parameter of a fault.
type Param struct {
	Name    string
	Default string // a duration
	Doc     string
}

// rate is the parameter that every fault has.
var rate = Param{Name: "rate", Default: "100%", Doc: "the share of the occasions on which the fault strikes, evenly spread"}

// Header is the field that marks every answer of a faulty limiter, with the names of its faults.
const Header = "X-Llmlimit-Fault"

// Names lists every fault, in the order of the table.
func Names() []string {
	names := make([]string, len(Table))
	for i := range Table {
		names[i] = Table[i].Name
	}
	return names
}

// Lookup returns the fault of that name.
func Lookup(name string) (Fault, bool) {
	i := slices.IndexFunc(Table, func(f Fault) bool { return f.Name == name })
	if i < 0 {
		return Fault{}, false
	}
	return Table[i], true
}

// Wrap builds faults into a configuration, each given as NAME or NAME:KEY=VALUE,…. The faults are on. An error says what was found
// and the nearest known word.
func Wrap(cfg proxy.Config, specs ...string) (proxy.Config, error) {
	cfg, _, err := WrapSwitched(cfg, specs...)
	return cfg, err
}

// WrapSwitched is [Wrap] with a switch for each fault.
func WrapSwitched(cfg proxy.Config, specs ...string) (proxy.Config, *Switches, error) {
	cfg = cfg.Complete()
	triggers := make(map[string]*Trigger, len(specs))
	for _, spec := range specs {
		name, t, err := parse(spec)
		if err != nil {
			return proxy.Config{}, nil, err
		}
		if triggers[name] != nil {
			return proxy.Config{}, nil, fmt.Errorf("fault %q is given twice", name)
		}
		triggers[name] = t
	}
	switches := &Switches{triggers: triggers}
	if len(triggers) == 0 {
		return cfg, switches, nil
	}
	for i := range Table {
		if t := triggers[Table[i].Name]; t != nil {
			cfg = Table[i].wrap(cfg, t)
		}
	}
	inner := cfg.Middleware
	cfg.Middleware = func(h http.Handler) http.Handler { return switches.mark(inner(h)) }
	return cfg, switches, nil
}

// Switches turn faults on and off while the limiter runs. It is safe for concurrent use.
type Switches struct{ triggers map[string]*Trigger }

// Set turns one fault on or off. It has to be one of those that were built in.
func (s *Switches) Set(name string, on bool) error {
	t := s.triggers[name]
	if t == nil {
		return fmt.Errorf("fault %q is not built in", name)
	}
	t.off.Store(!on)
	return nil
}

// On lists the faults that are on, in the order of the table.
func (s *Switches) On() []string {
	var on []string
	for i := range Table {
		if t := s.triggers[Table[i].Name]; t != nil && !t.off.Load() {
			on = append(on, Table[i].Name)
		}
	}
	return on
}

// mark says in every answer that the limiter is faulty.
func (s *Switches) mark(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if on := s.On(); len(on) > 0 {
			w.Header().Set(Header, strings.Join(on, ", "))
		}
		h.ServeHTTP(w, r)
	})
}

// parse reads NAME or NAME:KEY=VALUE,….
func parse(spec string) (string, *Trigger, error) {
	name, rest, more := strings.Cut(spec, ":")
	f, ok := Lookup(name)
	if !ok {
		return "", nil, fmt.Errorf("unknown fault %q%s", name, hint(name, Names()))
	}
	if f.share == 0 {
		f.share = whole
	}
	t := &Trigger{share: f.share, durations: map[string]time.Duration{}}
	for _, p := range f.Params {
		if err := t.set(p, p.Default); err != nil {
			return "", nil, fmt.Errorf("fault %s: %w", name, err)
		}
	}
	if !more {
		return name, t, nil
	}
	known := append([]Param{rate}, f.Params...)
	for setting := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(setting, "=")
		i := slices.IndexFunc(known, func(p Param) bool { return p.Name == key })
		if i < 0 {
			words := make([]string, len(known))
			for j := range known {
				words[j] = known[j].Name
			}
			return "", nil, fmt.Errorf("fault %s: unknown parameter %q, expected %s%s", name, key, strings.Join(words, ", "), hint(key, words))
		}
		if err := t.set(known[i], value); err != nil {
			return "", nil, fmt.Errorf("fault %s: %w", name, err)
		}
	}
	return name, t, nil
}

// set reads the value of one parameter.
func (t *Trigger) set(p Param, value string) error {
	if p.Name == rate.Name {
		share, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		if err != nil || !strings.HasSuffix(value, "%") || !(share > 0 && share <= 100) { // NaN is neither
			return fmt.Errorf("%s is %q, expected a share such as 1%%", p.Name, value)
		}
		t.share = int64(share * whole / 100)
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return fmt.Errorf("%s is %q, expected a duration such as %s", p.Name, value, p.Default)
	}
	t.durations[p.Name] = d
	return nil
}

// hint names the known word that the given one is most likely a slip of.
func hint(word string, known []string) string {
	if best := nearest.Word(word, known); best != "" {
		return fmt.Sprintf("; the nearest is %q", best)
	}
	return ""
}
