package policy

import "github.com/llmlimit/llmlimit/pkg/limiter"

// Lineage follows limits from bundle to bundle. State is kept under (policy, rule, window, key), and goes on where a limit counts as the
// one before it did, also when its rule was gone for a while or of another kind: otherwise an account that nobody has used meanwhile
// would be refilled, or hold, as a limit says that has long been replaced. It remembers a limit for each name, kind and period that
// there ever was. The zero value knows none. Not for concurrent use.
type Lineage struct {
	last map[ancestry]*limiter.Limit
}

// ancestry is what a limit has in common with those whose accounts it takes over.
type ancestry struct {
	limitName
	kind   limiter.Kind
	period limiter.Period
}

// Succeed puts a bundle in force and returns what a [limiter.Reloader] has to carry over to the accounts. A limit that did not change
// goes on by itself, and the account of one that is new starts anew.
func (l *Lineage) Succeed(next *Bundle) []limiter.Change {
	if l.last == nil {
		l.last = make(map[ancestry]*limiter.Limit)
	}
	var list []limiter.Change
	for _, rule := range next.Rules() {
		for _, of := range rule.Limits {
			a := ancestry{limitName{rule.Policy, rule.Name, of.Window}, of.Limit.Kind, of.Limit.Period}
			if was := l.last[a]; was != nil && was != of.Limit {
				list = append(list, limiter.Change{Old: was, New: of.Limit})
			}
			l.last[a] = of.Limit
		}
	}
	return list
}
