package faulty

import (
	"net/http"
	"slices"

	"github.com/llmlimit/llmlimit/pkg/policy"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// charge sets what every token hold of a bill costs.
func charge(bill *proxy.Bill, cost func(reserved, actual int64) int64) {
	for i := range bill.Actual {
		if countsTokens(bill.Holds[i].Account) {
			bill.Actual[i] = max(cost(bill.Holds[i].Cost, bill.Actual[i]), 0)
		}
	}
}

func nothing(_, _ int64) int64            { return 0 }
func reservation(reserved, _ int64) int64 { return reserved }

// overshootForgiven never charges more than was reserved.
func overshootForgiven(cfg proxy.Config, t *Trigger) proxy.Config {
	over := func(bill *proxy.Bill) bool {
		for i := range bill.Actual {
			if bill.Actual[i] > bill.Holds[i].Cost {
				return true
			}
		}
		return false
	}
	return changeBill(cfg, t, over, func(bill *proxy.Bill) {
		charge(bill, func(reserved, actual int64) int64 { return min(reserved, actual) })
	})
}

// debitTwice takes an overshoot twice.
func debitTwice(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, always, func(bill *proxy.Bill) {
		charge(bill, func(reserved, actual int64) int64 { return actual + max(actual-reserved, 0) })
	})
}

// settledOnTop charges what was used without giving back what was reserved for it.
func settledOnTop(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, always, func(bill *proxy.Bill) {
		charge(bill, func(reserved, actual int64) int64 { return reserved + actual })
	})
}

// shortRefund gives back 95 of 100 tokens.
func shortRefund(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, always, func(bill *proxy.Bill) {
		charge(bill, func(reserved, actual int64) int64 { return actual + max(reserved-actual, 0)/20 })
	})
}

// tpmNotRefunded forgets the minute.
func tpmNotRefunded(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, always, func(bill *proxy.Bill) {
		for i := range bill.Actual {
			if bill.Bound[i].Window == "tpm" {
				bill.Actual[i] = max(bill.Actual[i], bill.Holds[i].Cost)
			}
		}
	})
}

// errorKeepsAll charges an answer that generated nothing as if it had used all that was reserved.
func errorKeepsAll(cfg proxy.Config, t *Trigger) proxy.Config {
	failed := func(bill *proxy.Bill) bool {
		return !bill.Reading.Reported && (bill.Status == http.StatusNoContent || bill.Status >= 300)
	}
	return changeBill(cfg, t, failed, func(bill *proxy.Bill) { charge(bill, reservation) })
}

// errorRefundsAll takes no notice of the usage that an error reports.
func errorRefundsAll(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, func(bill *proxy.Bill) bool { return bill.Status >= 400 }, func(bill *proxy.Bill) { charge(bill, nothing) })
}

// timeoutRefundsAll takes a provider that was too slow for one that did nothing.
func timeoutRefundsAll(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, ended(proxy.OutcomeTimeout), func(bill *proxy.Bill) { charge(bill, nothing) })
}

// noAnswerRefundsAll takes a connection that was lost for a request that was not made.
func noAnswerRefundsAll(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, ended(proxy.OutcomeNoAnswer), func(bill *proxy.Bill) { charge(bill, nothing) })
}

// unreachableKeepsAll charges a request that never left as if the provider had answered it.
func unreachableKeepsAll(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, ended(proxy.OutcomeUnreachable), func(bill *proxy.Bill) { charge(bill, reservation) })
}

// unreachableLeaks has no settlement on the way out of a request that never left.
func unreachableLeaks(cfg proxy.Config, t *Trigger) proxy.Config {
	return loseBill(cfg, t, ended(proxy.OutcomeUnreachable))
}

// interimKeepsAll takes an interim response for the beginning of an answer.
func interimKeepsAll(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, ended(proxy.OutcomeInterimOnly), func(bill *proxy.Bill) { charge(bill, reservation) })
}

// failureKeepsAll lets a client pay for a mistake of the limiter's own.
func failureKeepsAll(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, ended(proxy.OutcomeInternal), func(bill *proxy.Bill) { charge(bill, reservation) })
}

// timeoutLeaks has no settlement on the way out of a timeout.
func timeoutLeaks(cfg proxy.Config, t *Trigger) proxy.Config {
	return loseBill(cfg, t, ended(proxy.OutcomeTimeout))
}

// brokenLeaks has no settlement on the way out of a response that breaks off.
func brokenLeaks(cfg proxy.Config, t *Trigger) proxy.Config {
	return loseBill(cfg, t, ended(proxy.OutcomeBroken))
}

// truncatedStreamRefunds charges nothing for a stream without its end.
func truncatedStreamRefunds(cfg proxy.Config, t *Trigger) proxy.Config {
	cut := func(bill *proxy.Bill) bool {
		return bill.Stream && !bill.Reading.Reported && !bill.Reading.Complete && bill.Status/100 == 2 &&
			(bill.Outcome == proxy.OutcomeBroken || bill.Outcome == proxy.OutcomeDone)
	}
	return changeBill(cfg, t, cut, func(bill *proxy.Bill) { charge(bill, nothing) })
}

// disconnectRefundsAll lets a client that leaves go free.
func disconnectRefundsAll(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, ended(proxy.OutcomeLeft, proxy.OutcomeLeftEarly), func(bill *proxy.Bill) { charge(bill, nothing) })
}

// disconnectKeepsAll reads the usage after the client has left, and does not use it.
func disconnectKeepsAll(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, ended(proxy.OutcomeLeft), func(bill *proxy.Bill) {
		charge(bill, func(reserved, actual int64) int64 { return max(reserved, actual) })
	})
}

// settleOptionsIgnored reads what a rule says of errors and disconnects, and does what it does by default.
func settleOptionsIgnored(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, func(bill *proxy.Bill) bool { return !bill.Reading.Reported }, func(bill *proxy.Bill) {
		for i := range bill.Actual {
			tokens := bill.Bound[i].Rule.Tokens
			switch {
			case tokens == nil:
			case tokens.Keep5xx && bill.Status >= http.StatusInternalServerError:
				bill.Actual[i] = 0
			case tokens.OnDisconnect == policy.DisconnectObserved && bill.Outcome == proxy.OutcomeLeft:
				bill.Actual[i] = max(bill.Actual[i], bill.Holds[i].Cost)
			}
		}
	})
}

// disconnectLeaks has no settlement on the way out of a client that leaves.
func disconnectLeaks(cfg proxy.Config, t *Trigger) proxy.Config {
	return loseBill(cfg, t, ended(proxy.OutcomeLeft, proxy.OutcomeLeftEarly))
}

// ended is about bills of requests that ended in one of these ways.
func ended(ways ...proxy.Outcome) func(*proxy.Bill) bool {
	return func(bill *proxy.Bill) bool { return slices.Contains(ways, bill.Outcome) }
}
