package faulty

import "github.com/llmlimit/llmlimit/pkg/proxy"

// missingUsageRefundsAll takes "no usage" for "used nothing".
func missingUsageRefundsAll(cfg proxy.Config, t *Trigger) proxy.Config {
	silent := func(bill *proxy.Bill) bool { return bill.Status/100 == 2 && !bill.Reading.Reported }
	return changeBill(cfg, t, silent, func(bill *proxy.Bill) { clear(bill.Actual) })
}
