package faulty

import "github.com/llmlimit/llmlimit/pkg/proxy"

// streamUnsettled settles whole responses only.
func streamUnsettled(cfg proxy.Config, t *Trigger) proxy.Config {
	return loseBill(cfg, t, func(bill *proxy.Bill) bool { return bill.Stream })
}
