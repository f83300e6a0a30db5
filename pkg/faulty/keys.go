package faulty

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// keysFoldCase takes "Acme" for "acme".
func keysFoldCase(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeFields(cfg, t, strings.ToLower)
}

// keysTruncated keeps the first letters of a key.
func keysTruncated(cfg proxy.Config, t *Trigger) proxy.Config {
	const most = 64
	return changeFields(cfg, t, func(v string) string { return v[:min(len(v), most)] })
}

// changeFields wraps the policy: it sees other values of the header.
func changeFields(cfg proxy.Config, t *Trigger, change func(string) string) proxy.Config {
	return changeQuestion(cfg, t, func(s *policy.Subject, _ *policy.Ask) {
		for name, values := range s.Header {
			changed := make([]string, len(values))
			for i, v := range values {
				changed[i] = change(v)
			}
			s.Header[name] = changed
		}
	})
}

// keysUntrimmed makes a new account of a blank.
func keysUntrimmed(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeQuestion(cfg, t, func(s *policy.Subject, _ *policy.Ask) {
		s.RawQuery = strings.NewReplacer("%20", "%5F", "+", "%5F").Replace(s.RawQuery)
	})
}

// keysCollide joins the values of a key with a colon, which may be part of one.
func keysCollide(cfg proxy.Config, t *Trigger) proxy.Config { return joinKeys(cfg, t, ":") }

// keysRunTogether joins the values of a key with nothing.
func keysRunTogether(cfg proxy.Config, t *Trigger) proxy.Config { return joinKeys(cfg, t, "") }

func joinKeys(cfg proxy.Config, t *Trigger, by string) proxy.Config {
	return changeAccounts(cfg, t, func(key string, _ *policy.Subject) string {
		if parts, ok := entries(key); ok && len(parts) > ruleEntries {
			return strings.Join(parts[:ruleEntries], "/") + "/" + strings.Join(parts[ruleEntries:], by)
		}
		return key
	})
}

// oneAccountForAll forgets whose account it is.
func oneAccountForAll(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeAccounts(cfg, t, func(key string, _ *policy.Subject) string {
		if parts, ok := entries(key); ok {
			return strings.Join(parts[:min(len(parts), ruleEntries)], "/")
		}
		return key
	})
}

// accountPerEndpoint gives a payer a budget for each endpoint.
func accountPerEndpoint(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeAccounts(cfg, t, func(key string, s *policy.Subject) string { return key + s.Path })
}

// accountPerModel gives a payer a budget for each model.
func accountPerModel(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeAccounts(cfg, t, func(key string, s *policy.Subject) string { return key + s.Model })
}

// changeAccounts wraps the policy: it binds other accounts.
func changeAccounts(cfg proxy.Config, t *Trigger, change func(key string, s *policy.Subject) string) proxy.Config {
	return changeBinding(cfg, t, func(b *policy.Binding, s *policy.Subject, _ *policy.Ask) {
		for i := range b.Enforced.Holds {
			account := &b.Enforced.Holds[i].Account
			account.Key = change(account.Key, s)
		}
	})
}

// ruleEntries is how many entries of an account's key name the rule: policy, rule and window. The others are the payer's.
const ruleEntries = 3

// entries takes the key of an account apart, as far as it is made of entries with their length in front.
func entries(key string) ([]string, bool) {
	var out []string
	for key != "" && key != "*" {
		length, rest, ok := strings.Cut(key, ":")
		n, err := strconv.Atoi(length)
		if !ok || err != nil || n < 0 || n > len(rest) {
			return nil, false
		}
		out, key = append(out, rest[:n]), rest[n:]
	}
	return out, true
}

// missingKeySkips lets a request without a key pass unlimited.
func missingKeySkips(cfg proxy.Config, t *Trigger) proxy.Config {
	return forgive(cfg, t, policy.ReasonMissingKey)
}

// forwardedForBelieved takes the address that a client names for its own.
func forwardedForBelieved(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeQuestion(cfg, t, func(s *policy.Subject, _ *policy.Ask) {
		for _, field := range s.Header["X-Forwarded-For"] {
			first, _, _ := strings.Cut(field, ",")
			if addr, err := netip.ParseAddr(strings.TrimSpace(first)); err == nil {
				s.Peer = addr
			}
		}
	})
}

// shadowEnforces takes the rules of a shadow policy in force.
func shadowEnforces(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBinding(cfg, t, func(b *policy.Binding, _ *policy.Subject, _ *policy.Ask) {
		b.Enforced.Holds = append(b.Enforced.Holds, b.Shadow.Holds...)
		b.Enforced.Bound = append(b.Enforced.Bound, b.Shadow.Bound...)
		b.Shadow = policy.Set{}
	})
}

// shadowShares counts a shadow policy and the one in force under the same accounts: a test that spends.
func shadowShares(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBinding(cfg, t, func(b *policy.Binding, _ *policy.Subject, _ *policy.Ask) {
		for i := range b.Shadow.Holds {
			if i < len(b.Enforced.Holds) && b.Shadow.Holds[i].Account.Limit.Kind == b.Enforced.Holds[i].Account.Limit.Kind {
				b.Shadow.Holds[i].Account = limiter.Account{Key: b.Enforced.Holds[i].Account.Key, Limit: b.Enforced.Holds[i].Account.Limit}
			}
		}
	})
}
