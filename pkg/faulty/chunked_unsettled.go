package faulty

import "github.com/llmlimit/llmlimit/pkg/proxy"

// chunkedUnsettled does not see the end of a whole response whose length was not declared.
func chunkedUnsettled(cfg proxy.Config, t *Trigger) proxy.Config {
	return loseBill(cfg, t, func(bill *proxy.Bill) bool { return !bill.Stream && bill.Framing == proxy.FramingChunked })
}
