package faulty

import "github.com/llmlimit/llmlimit/pkg/proxy"

// nonStreamUnsettled settles streams only.
func nonStreamUnsettled(cfg proxy.Config, t *Trigger) proxy.Config {
	return loseBill(cfg, t, func(bill *proxy.Bill) bool { return !bill.Stream })
}
