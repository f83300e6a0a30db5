package faulty

import "github.com/llmlimit/llmlimit/pkg/proxy"

// noRefund charges at least what was reserved.
func noRefund(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, always, func(bill *proxy.Bill) {
		for i := range bill.Actual {
			bill.Actual[i] = max(bill.Actual[i], bill.Holds[i].Cost)
		}
	})
}
