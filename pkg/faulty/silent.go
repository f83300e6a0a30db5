package faulty

import (
	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/llmapi"
	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// ignored is a fault for which one kind of limit is read, carried along and not enforced.
func ignored(window string) func(proxy.Config, *Trigger) proxy.Config {
	return func(cfg proxy.Config, t *Trigger) proxy.Config {
		return dropHolds(cfg, t, func(b *policy.Bound) bool { return b.Window == window })
	}
}

// firstRuleOnly stops at the first rule that binds.
func firstRuleOnly(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBinding(cfg, t, func(b *policy.Binding, _ *policy.Subject, _ *policy.Ask) {
		s := &b.Enforced
		keep(s, func(i int) bool { return s.Bound[i].Rule == s.Bound[0].Rule })
	})
}

// unknownEndpointFree limits endpoints that it knows.
func unknownEndpointFree(cfg proxy.Config, t *Trigger) proxy.Config {
	return unlimited(cfg, t, func(_ *policy.Subject, ask *policy.Ask) bool { return !ask.Metered })
}

// oneEndpointFree forgets one of the endpoints.
func oneEndpointFree(cfg proxy.Config, t *Trigger) proxy.Config {
	return unlimited(cfg, t, func(s *policy.Subject, _ *policy.Ask) bool { return s.Path == "/v1/responses" })
}

// unlimited wraps the policy: it binds nobody where free says so.
func unlimited(cfg proxy.Config, t *Trigger, free func(*policy.Subject, *policy.Ask) bool) proxy.Config {
	return changeBinding(cfg, t, func(b *policy.Binding, s *policy.Subject, ask *policy.Ask) {
		if free(s, ask) {
			*b = policy.Binding{}
		}
	})
}

// streamsFree neither reserves nor charges for streams.
func streamsFree(cfg proxy.Config, t *Trigger) proxy.Config {
	cfg = changeFacts(cfg, t, func(_ dialect, _ string, _ []byte, f *llmapi.Facts) {
		if f.Stream {
			f.Prompt, f.Output, f.Declared = 0, 0, true
		}
	})
	return changeBill(cfg, t, func(bill *proxy.Bill) bool { return bill.Stream }, func(bill *proxy.Bill) { charge(bill, nothing) })
}

// readingCosts takes a request that only reads for one that generates.
func readingCosts(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeQuestion(cfg, t, func(_ *policy.Subject, ask *policy.Ask) { ask.ReadOnly = false })
}

// killSwitchIgnored reads kill switches and lets everyone pass.
func killSwitchIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return forgive(cfg, t, policy.ReasonKillSwitch)
}

// ceilingsIgnored has no ceiling for a single request.
func ceilingsIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return forgive(cfg, t, policy.ReasonPrompt, policy.ReasonPerRequest)
}

// guardsIgnored has neither loop detection nor a circuit breaker.
func guardsIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBinding(cfg, t, func(b *policy.Binding, _ *policy.Subject, _ *policy.Ask) {
		s := &b.Enforced
		b.Enforced = policy.Set{
			Holds: s.Holds, Bound: s.Bound, Reject: s.Reject, Prompt: s.Prompt, OutputCap: s.OutputCap, MidStream: s.MidStream,
			Tokens: s.Tokens, Throttle: s.Throttle, Warnings: s.Warnings, HintIgnored: s.HintIgnored,
		}
	})
}

// midStreamIgnored lets a stream run on beyond the output limit of its rule.
func midStreamIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBinding(cfg, t, func(b *policy.Binding, _ *policy.Subject, _ *policy.Ask) { b.Enforced.MidStream = nil })
}

// retroactiveIgnored caps refunds that the rule wants to be retroactive.
func retroactiveIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeLimits(cfg, t, func(l *limiter.Limit) { l.Refund = limiter.Capped })
}

// throttleIgnored does not delay where a stage of the budget wants it.
func throttleIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeLimits(cfg, t, func(l *limiter.Limit) {
		stages := append([]limiter.Stage(nil), l.Stages...)
		for i := range stages {
			if stages[i].Action == limiter.Throttle {
				stages[i].Action, stages[i].Delay = limiter.Warn, 0
			}
		}
		l.Stages = stages
	})
}
