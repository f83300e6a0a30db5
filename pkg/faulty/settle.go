package faulty

import (
	"context"
	"time"

	"github.com/llmlimit/llmlimit/pkg/limiter"
	"github.com/llmlimit/llmlimit/pkg/proxy"
)

// changeBill wraps the settlement: change may alter what is charged, of the bills that the fault is about.
func changeBill(cfg proxy.Config, t *Trigger, about func(*proxy.Bill) bool, change func(*proxy.Bill)) proxy.Config {
	next := cfg.Settle
	cfg.Settle = func(ctx context.Context, store limiter.Store, now time.Time, bill *proxy.Bill) (limiter.Settlement, error) {
		if about(bill) && t.Strikes() {
			change(bill)
		}
		return next(ctx, store, now, bill)
	}
	return cfg
}

// loseBill wraps the settlement: bills that the fault is about never reach the store. Their leases will end one day.
func loseBill(cfg proxy.Config, t *Trigger, about func(*proxy.Bill) bool) proxy.Config {
	next := cfg.Settle
	cfg.Settle = func(ctx context.Context, store limiter.Store, now time.Time, bill *proxy.Bill) (limiter.Settlement, error) {
		if about(bill) && t.Strikes() {
			for i := range bill.Actual {
				bill.Actual[i] = bill.Holds[i].Cost // as it stands in the accounts
			}
			return limiter.NewSettlement(len(bill.Holds)), nil
		}
		return next(ctx, store, now, bill)
	}
	return cfg
}

// always is about every bill.
func always(*proxy.Bill) bool { return true }
