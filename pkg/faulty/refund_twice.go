package faulty

import "github.com/llmlimit/llmlimit/pkg/proxy"

// refundTwice gives back the unused part twice, but never more than was reserved.
func refundTwice(cfg proxy.Config, t *Trigger) proxy.Config {
	return changeBill(cfg, t, always, func(bill *proxy.Bill) {
		for i := range bill.Actual {
			if unused := bill.Holds[i].Cost - bill.Actual[i]; unused > 0 {
				bill.Actual[i] = max(bill.Actual[i]-unused, 0)
			}
		}
	})
}
