package suite

import (
	"fmt"
	"reflect"
)

// checkStep holds the rules that a step's fields have between each other.
func (d *decoder) checkStep(n *node, s *Step) {
	t := reflect.TypeFor[Step]()
	verbs := s.verbs()
	attempt := len(verbs) == 2 && s.Eventually != nil && s.Send != nil
	if len(verbs) > 1 && !attempt {
		d.fail(n, t, fmt.Sprintf("a step with two verbs, %s and %s", verbs[0], verbs[1]), "one verb per step")
	}
	if len(verbs) == 0 && len(s.Check) == 0 && n.get("check") == nil && n.kind == mapNode && !d.misspelt(n) {
		d.fail(n, t, "a step without a verb", "one verb, or a check")
	}
	if s.Expect != nil && s.Send == nil && s.Drain == nil {
		d.fail(n.at("expect"), t, "expect looks at the response of this step's own request, and this step sends none", "send or drain beside it, or a check")
	}
	if s.Eventually != nil && len(s.Check) == 0 && s.Expect == nil {
		d.fail(n.at("eventually"), t, "eventually has nothing to wait for", "a check, or a send with expect")
	}
	if s.Cancel != nil {
		d.checkCancel(n, s)
	}
	if s.Fault != nil && !open(n.get("fault")) && (s.Fault.Mock == "") == (s.Fault.Target == "") {
		d.fail(n.at("fault"), t, "a fault names either mock or target", "{ mock: NAME, on: true } or { target: NAME, on: true }")
	}
	if s.Reload != nil && (s.Reload.Rules == nil) == (s.Reload.Policy == "") {
		d.fail(n.at("reload"), t, "a reload names either rules or policy", "rules in place, or policy: FILE")
	}
	if wait := n.get("wait"); s.Wait != nil && wait.kind == mapNode && len(wait.fields) == 0 {
		d.fail(n.at("wait"), t, "a wait without an end", "for: 5ms, or until: an instant")
	}
	for _, branch := range s.Parallel {
		if len(branch) == 0 {
			d.fail(n.at("parallel"), t, "an empty branch", "a list of steps")
		}
	}
	if s.Load != nil {
		d.checkLoad(n.get("load"), s.Load)
	}
}

// misspelt tells whether a step has unknown keys, one of which was meant to be
// the verb: one error is enough.
func (d *decoder) misspelt(n *node) bool {
	for _, f := range n.fields {
		if _, known := fieldIndex(reflect.TypeFor[Step](), f.key); !known {
			return true
		}
	}
	return false
}

func (d *decoder) checkCancel(n *node, s *Step) {
	t := reflect.TypeFor[Step]()
	if s.Send == nil && s.Drain == nil {
		d.fail(n.at("cancel"), t, "cancel without a send", "send or drain beside it; a load has a cancel of its own")
	}
	if cancel := n.get("cancel"); !open(cancel) && cancel.kind == mapNode && len(cancel.fields) != 1 {
		d.fail(cancel, t, fmt.Sprintf("cancel with %d moments", len(cancel.fields)), "one of after-headers, after-bytes, after-events and after")
	}
}

// checkLoad holds what the two models ask for.
func (d *decoder) checkLoad(n *node, l *Load) {
	t := reflect.TypeFor[Load]()
	if open(n) {
		return
	}
	if l.Model == ModelClosed {
		if l.Concurrency == 0 {
			d.fail(n, t, "a closed load without concurrency", "concurrency: how many at once")
		}
		if l.Requests == 0 && l.For == 0 {
			d.fail(n, t, "a closed load without an end", "requests or for")
		}
		if len(l.Stages) > 0 || l.Arrivals != nil {
			d.fail(n, t, "a closed load has neither stages nor arrivals", "model: open, or concurrency with requests or for")
		}
	} else {
		if len(l.Stages) == 0 && (l.Arrivals == nil || l.Arrivals.Kind != "trace") {
			d.fail(n, t, "an open load without stages", "stages: [ { for: 30s, rate: 20/s } ], or arrivals: trace(file)")
		}
		if l.Concurrency > 0 || l.Requests > 0 {
			d.fail(n, t, "an open load has neither concurrency nor requests", "model: closed, or stages")
		}
	}
	total := Percent(0)
	for _, share := range l.Mix {
		total += share.Share
	}
	if total > 1 {
		d.fail(n.get("mix"), t, fmt.Sprintf("the shares of mix add up to %.4g%%", float64(total)*100), "at most 100%")
	}
}
