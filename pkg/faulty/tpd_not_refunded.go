package faulty

import "github.com/llmlimit/llmlimit/pkg/proxy"

// tpdNotRefunded forgets the day.
func tpdNotRefunded(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, always, func(bill *proxy.Bill) {
		for i := range bill.Actual {
			if bill.Bound[i].Window == "tpd" {
				bill.Actual[i] = max(bill.Actual[i], bill.Holds[i].Cost)
			}
		}
	})
}
